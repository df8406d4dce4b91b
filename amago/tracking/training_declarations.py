"""The declared metrics of `train/`: what an agent and its learner report on log steps.

m is the mask of valid transitions; mean_m(x) = sum(x m) / (sum(m) + 1e-5), over all axes of x. A
minimum, maximum or percentile is over the valid transitions, all critics and all discounts.
"""

from amago.tracking.sections import Metric

_AGENT = "amago/agent/agent.py"
_DIAGNOSTICS = "amago/agent/diagnostics.py"
_LEARNER = "amago/training/learner.py"
_SCALED = "return * reward_multiplier"

_LOSSES = (
    Metric(
        "train/Loss",
        "loss",
        "What the optimiser minimises. Its level says little: targets and filters keep changing. "
        "Bad: it grows by orders of magnitude.",
        "Actor Loss + critic_loss_weight * Critic Loss",
        _AGENT,
    ),
    Metric(
        "train/Actor Loss",
        "loss",
        "Lower: actions with higher value, or closer to the good actions in the data.",
        "mean_m(-online_coeff * Q(s, pi(s)) - offline_coeff * weight * log pi(a|s))",
        _AGENT,
    ),
    Metric(
        "train/Critic Loss",
        "loss",
        "Distance of the critics from their TD targets; 0 when critics are not trained. Good: "
        "falls, then stays level. Bad: rises and does not come back.",
        "Agent: mean_m((Q - target)^2), both normalised by PopArt; MultiTaskAgent: mean_m of the "
        "cross-entropy over bins",
        _AGENT,
    ),
    Metric(
        "train/Learning Rate",
        "1",
        "The rate that the schedule has reached: that of the next update.",
        "learning_rate * min(1, gradient_steps / lr_warmup_steps)",
        _LEARNER,
    ),
    Metric(
        "train/Skipped Updates",
        "updates",
        "Updates whose gradient was not finite, so far; shown once there is one. Bad: it keeps "
        "growing.",
        "number of updates left out",
        _LEARNER,
    ),
    *(
        Metric(
            f"train/{part} Grad Norm",
            "1",
            f"Size of the gradient of the {part}. Good: the same order of magnitude throughout. "
            "Bad: spikes, or zero, which means that this part does not learn.",
            "L2 norm over its parameters, after clipping",
            _DIAGNOSTICS,
        )
        for part in ("Actor", "Critic", "TrajEncoder", "TstepEncoder")
    ),
)

_BATCH = (
    Metric(
        "train/Sequence Length",
        "timesteps",
        "Stored timesteps of the longest sequence of the batch.",
        "L",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Batch Size (in Timesteps)",
        "timesteps",
        "Transitions of the batch, padding included.",
        "B * (L - 1)",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Unmasked Batch Size (in Timesteps)",
        "timesteps",
        "Transitions the actor learns from. Far below the batch size: most of it is padding.",
        "sum of the actor's mask, after edit_actor_mask, first discount",
        _AGENT,
    ),
    *(
        Metric(
            f"train/{kind} Reward (in training sequences)",
            "reward",
            says,
            formula,
            _DIAGNOSTICS,
        )
        for kind, says, formula in (
            ("Mean", "Mean reward of the batch, as the environment gave it.", "mean_m(r)"),
            ("Min", "Smallest reward of the batch.", "minimum of r"),
            (
                "Max",
                "Largest reward of the batch. Always 0: nothing in the buffer was ever rewarded, "
                "so there is nothing to learn from.",
                "maximum of r",
            ),
        )
    ),
    Metric(
        "train/Sequences Containing Done",
        "sequences",
        "Sequences of the batch in which an episode terminates (truncation does not count).",
        "number of sequences with a valid transition that terminates",
        _DIAGNOSTICS,
    ),
)

_VALUES = (
    Metric(
        "train/Q(s, a) (global mean, rescaled) gamma={gamma}",
        _SCALED,
        "What the critics expect for the actions in the data, at this discount. Good: follows the "
        "return that is reached. Bad: far above any return that is possible.",
        "mean_m(Q), PopArt's normalisation undone",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Q(s,a) (global mean, raw scale) gamma={gamma}",
        "1",
        "The same before it is scaled back. Good: within a few units of 0.",
        "Agent: mean_m of the critics' output; MultiTaskAgent: mean_m((Q - mu) / sigma)",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Q(s, a) Ensemble Stdev. (raw scale, ignoring padding) gamma={gamma}",
        "1",
        "How far the critics disagree. Good: falls as data comes in.",
        "mean_m of the sample standard deviation over critics; 0 for one critic",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Q(s, a) (global std, rescaled, ignoring padding)",
        _SCALED,
        "Spread of Q over the batch, all critics and discounts. Near 0: the critics tell no "
        "situation from another.",
        "sqrt(mean_m((Q - mean_m(Q))^2))",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Min TD Target",
        _SCALED,
        "Smallest target in the batch. Below what is possible: bootstrapping has gone wrong.",
        "minimum of y",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Max TD Target",
        _SCALED,
        "Largest target in the batch. Above what is possible: values are over-estimated.",
        "maximum of y",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/TD Target (test-time gamma)",
        _SCALED,
        "Mean target at the discount of the policy that acts.",
        "mean_m(y), last discount; y = next n_step rewards + discounted target Q after them",
        _DIAGNOSTICS,
    ),
    *(
        Metric(
            f"train/PopArt {name} (mean over gamma)",
            unit,
            f"Value normalisation: {says}.",
            formula,
            _DIAGNOSTICS,
        )
        for name, unit, says, formula in (
            ("mu", _SCALED, "running mean of the targets", "mu <- (1 - rate) mu + rate mean(y)"),
            (
                "nu",
                f"({_SCALED})^2",
                "running mean of the squared targets",
                "nu <- (1 - rate) nu + rate mean(y^2)",
            ),
            ("w", "1", "factor on the critics' output", "w <- w sigma_old / sigma"),
            (
                "b",
                "1",
                "shift of the critics' output",
                "b <- (sigma_old b + mu_old - mu) / sigma",
            ),
            ("sigma", _SCALED, "running deviation of the targets", "sqrt(nu - mu^2)"),
        )
    ),
    *(
        Metric(
            f"train/Maximum Bin ({which})",
            "bin",
            "Which bins of the value distribution are used. Bad: piled up at an end (the limits "
            "of the bins are too narrow), or all in one (too wide).",
            f"histogram of arg-max bins over valid transitions, critics and {over} "
            "(MultiTaskAgent)",
            _DIAGNOSTICS,
        )
        for which, over in (("All Gammas", "discounts"), ("Target Gamma", "the last discount"))
    ),
)

_POLICY = (
    Metric(
        "train/Policy Per-timestep Entropy (test-time gamma)",
        "nats",
        "Discrete: how undecided the policy is. Good: falls slowly. Bad: near 0 early in training, "
        "when it has stopped trying other actions.",
        "mean_m(-sum_a pi(a|s) log pi(a|s)), last discount",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Policy Per-timstep Low Prob. (test-time gamma)",
        "probability",
        "Discrete: probability of the least likely action. (The spelling is part of the name.)",
        "mean_m(min_a pi(a|s)), last discount",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Policy Per-timestep High Prob. (test-time gamma)",
        "probability",
        "Discrete: probability of the most likely action.",
        "mean_m(max_a pi(a|s)), last discount",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Policy Overall Highest Prob.",
        "probability",
        "Discrete: the most certain choice in the batch.",
        "maximum of pi(a|s), all actions and discounts",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Policy Entropy (test-time gamma)",
        "nats",
        "Continuous: how spread out the policy is; may be negative. Bad: falls without end.",
        "mean_m(-log pi(a|s)) of one sampled action a, last discount",
        _DIAGNOSTICS,
    ),
    *(
        Metric(
            f"train/{kind} Action Logprob",
            "nats",
            f"{kind} log-probability the policy gives to the actions in the data.",
            "mean_m(log pi(a|s))" if kind == "Mean" else f"{kind.lower()} of log pi(a|s)",
            _DIAGNOSTICS,
        )
        for kind in ("Minimum", "Maximum", "Mean")
    ),
    *(
        Metric(
            f"train/Filter {kind}",
            "weight",
            "Weights that filtered behaviour cloning gives to the actions in the data.",
            formula,
            _DIAGNOSTICS,
        )
        for kind, formula in (
            ("Max", "maximum of the weights"),
            ("Min", "minimum of the weights"),
            ("Mean", "mean_m(weight)"),
            ("95th Percentile", "95th percentile of the weights"),
            ("75th Percentile", "75th percentile of the weights"),
        )
    ),
    Metric(
        "train/Pct. of Actions Approved by Binary FBC Filter (All Gammas)",
        "%",
        "Share of the actions in the data that the critics think better than the policy's. Bad: "
        "stays at 0 or at 100, for then nothing is being selected.",
        "100 * mean_m(weight > 0)",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Pct. of Actions Approved by Binary FBC (gamma = {gamma})",
        "%",
        "The same at one discount.",
        "100 * mean_m(weight > 0)",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/activation-{layer}-{statistic}",
        "1",
        "Numbers inside the networks: max, min, mean and std of a layer's output. Bad: they grow "
        "without end, or the deviation goes to 0.",
        "over the whole output, padding included",
        "amago/nets/utils.py",
    ),
)

TRAIN = (*_LOSSES, *_BATCH, *_VALUES, *_POLICY)
