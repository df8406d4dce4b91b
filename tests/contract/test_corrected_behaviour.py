"""Where this package behaves unlike AMAGO 3.x, or like it on purpose: an index, item by item.

Items 19.1 to 19.14 are faults of AMAGO 3.x. Items 21.1 to 21.31 came up when its numbers were
recomputed: faults, surprising maths, and documentation that says something else. `waivers.json` of
the stored numbers (`tests/golden`) refers to them. Each has tests that pin what ours does.
"""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

RUNS = "contract/test_corrected_behaviour_running.py"
MATHS = "contract/test_corrected_behaviour_learning.py"


@dataclass(frozen=True)
class Behaviour:
    """One item.

    Attributes:
        theirs: what AMAGO 3.x does.
        ours: what this package does.
        tests: those that pin it, `path::name` below `tests/`.
    """

    theirs: str
    ours: str
    tests: tuple[str, ...]


KEPT = "the same: it defines the method"

FAULTS = {
    "19.1": Behaviour(
        "a resumed run raises on the CPU, repeats an epoch, and starts counters from zero",
        "goes on at the same phase and step, with every number and file as without the stop",
        (
            "resume/test_resume.py::test_fifty_kills_at_random_events_change_nothing",
            "resume/test_resume.py::test_twice_n_epochs_are_n_epochs_resumed_for_n_more",
            "unit/nets/transformer/test_sigma_reparam.py::test_buffers_own_their_memory",
        ),
    ),
    "19.2": Behaviour(
        "the default length of a stored trajectory is a float, which Python 3.12 refuses",
        "an integer; floats of older scripts are accepted",
        (
            f"{RUNS}::test_the_default_length_of_a_stored_trajectory_is_an_integer",
            f"{RUNS}::test_a_length_of_a_stored_trajectory_may_be_a_float",
        ),
    ),
    "19.3": Behaviour(
        "mixed precision is float16 whatever was asked for, and needs CUDA",
        "the precision asked for, on any device that has it",
        (
            "unit/training/test_distributed.py::test_autocast_has_the_chosen_dtype",
            "unit/training/test_distributed.py::test_fp16_without_a_gpu_is_refused_with_what_to_use",
            "unit/training/test_learner.py::test_bf16_trains_on_the_cpu_and_keeps_full_precision_weights",
        ),
    ),
    "19.4": Behaviour(
        "metrics of the policy never reach the log; the epoch of a row lags behind",
        "every metric is a scalar or a histogram; a row carries the epoch it was made in",
        (
            "unit/agent/test_diagnostics.py::test_every_metric_is_a_scalar_or_a_histogram",
            "unit/agent/test_diagnostics.py::test_a_log_step_has_every_metric_and_no_other",
            f"{RUNS}::test_every_row_of_an_epoch_carries_that_epoch",
        ),
    ),
    "19.5": Behaviour(
        "wandb is the only record and always imported; old gym is required",
        "a local record is always kept; wandb is imported when used; old gym is no dependency",
        (
            "unit/tracking/test_wandb_tracker.py::test_wandb_is_imported_only_when_a_run_starts",
            "unit/test_cli_utils.py::test_wandb_is_not_imported_until_it_is_used",
            "unit/tracking/test_store.py::test_a_row_comes_back_with_all_its_axes",
            "structure/test_sources.py::test_every_package_that_the_library_imports_is_declared",
        ),
    ),
    "19.6": Behaviour(
        "the default model needs FlashAttention",
        "the default model can be built anywhere",
        (
            "unit/nets/traj_encoders/test_attention.py::test_the_default_attention_works_on_any_machine",
        ),
    ),
    "19.7": Behaviour(
        "each layer remembers the last `max_seq_len` keys; positions are times of writing",
        KEPT + "; a time beyond a table of learnt positions is an error that names it",
        (
            "property/test_sequence_models.py::test_rollouts_with_resets_and_long_contexts_equal_separate_sequences",
            "unit/nets/transformer/test_positions.py::test_a_time_beyond_the_table_names_the_setting",
        ),
    ),
    "19.8": Behaviour(
        "memories start as NaN, and a full one is copied at every step",
        "memories start empty, and the newest key replaces the oldest in place",
        (
            "unit/nets/transformer/test_cache.py::test_a_new_state_is_empty",
            "unit/nets/transformer/test_attention.py::test_the_newest_key_is_written_over_the_oldest",
            "unit/nets/transformer/test_attention.py::test_what_stands_in_slots_out_of_sight_has_no_influence",
        ),
    ),
    "19.9": Behaviour(
        "more than 255 choices overflow; a start other than 0 and several choices do not work",
        "all work",
        (
            "unit/agent/test_agent.py::test_choices_that_do_not_fit_a_byte_are_int64",
            "unit/envs/test_spaces.py::test_indices_are_uint8_as_long_as_they_fit",
            "unit/envs/test_spaces.py::test_discrete_actions_count_from_zero_whatever_the_start",
            "unit/agent/test_factored.py::test_an_action_is_an_int64_index_for_each_factor",
            "unit/agent/test_factored.py::test_one_factor_learns_as_a_single_choice_does",
        ),
    ),
    "19.10": Behaviour(
        "gymnasium 1.0 and later do not work",
        "they are what is supported, in each of their ways to reset",
        ("unit/envs/test_batched.py::test_every_autoreset_mode_gives_the_same_whole_episodes",),
    ),
    "19.11": Behaviour(
        "a test needs environments that can be pickled, and reports those of one process",
        "functions travel by value; results of all processes",
        (
            "unit/envs/pool/test_pickling.py::test_functions_travel_by_value",
            f"{RUNS}::test_a_test_reports_the_results_of_all_processes",
        ),
    ),
    "19.12": Behaviour(
        "which file is the oldest follows the clock; names of environments can break paths",
        "a sequence number in the name decides; any name gives one safe component",
        (
            "unit/loading/test_filenames.py::test_the_order_is_that_of_the_sequence_even_if_the_clock_steps_back",
            "unit/loading/test_filenames.py::test_any_environment_name_gives_one_safe_component",
            "unit/loading/test_disk.py::test_the_oldest_files_go_even_if_the_clock_steps_back",
        ),
    ),
    "19.13": Behaviour(
        "more processes shorten the warm-up; every one of them writes the latest policy",
        "a schedule follows updates; the main process writes, whole or not at all",
        (
            "unit/training/test_distributed.py::test_two_processes_with_half_the_batch_learn_what_one_learns",
            "unit/checkpoint/test_weights.py::test_killed_at_any_operation_the_weights_are_the_old_or_the_new",
            f"{RUNS}::test_only_the_main_process_publishes_weights",
        ),
    ),
    "19.14": Behaviour(
        "documentation and code disagree about names and places",
        "names and places are tested, those of older scripts are accepted",
        (
            "unit/experiment/test_learn.py::test_the_settings_are_recorded_in_full",
            "contract/test_signatures.py::test_experiment_has_every_field_with_its_default",
            "examples/test_examples.py::test_it_collects_learns_and_leaves_a_record",
            f"{RUNS}::test_the_summary_of_a_run_names_the_version_that_runs",
        ),
    ),
}

MISBEHAVIOUR = {
    "21.1": Behaviour(
        "`MultiTaskAgent` with discrete actions fails torch's argument checks",
        "passes them",
        (
            "unit/agent/test_multitask.py::test_discrete_actions_work_with_torch_s_argument_checks_on",
            "property/test_agents.py::test_choices_of_many_tasks_are_learnt_with_torch_s_argument_checks_on",
        ),
    ),
    "21.2": Behaviour(
        "n-step targets raise where n exceeds the length of the batch",
        "all of the batch is summed",
        (
            "unit/rl/test_returns.py::test_n_may_exceed_the_length_of_the_batch",
            "property/test_agents.py::test_more_steps_than_the_batch_has_are_all_of_them",
        ),
    ),
    "21.3": Behaviour(
        "exploration without a random multiplier raises at the end of an episode",
        "the multiplier stays 1",
        (
            "unit/envs/test_exploration.py::test_without_randomization_the_multiplier_stays_one_over_episode_ends",
        ),
    ),
    "21.4": Behaviour(
        "gradients of the maximised critics add up from update to update",
        "they take no gradient",
        (
            "unit/agent/test_update.py::test_no_gradient_reaches_targets_or_the_maximised_copy",
            "unit/training/test_learner.py::test_gradients_of_networks_that_are_not_trained_neither_count_nor_add_up",
        ),
    ),
    "21.5": Behaviour(
        "the best guess of a switch is off unless its probability is exactly 1",
        "the likelier side",
        ("unit/agent/test_agent.py::test_the_best_guess_of_switches_is_the_likelier_side",),
    ),
    "21.6": Behaviour(
        "HL-Gauss labels of targets far outside the support are zeros",
        "the end bin, as with two-hot labels",
        (
            "unit/rl/test_categorical.py::test_hl_gauss_saturates_at_the_end_bin_far_outside_the_support",
        ),
    ),
    "21.7": Behaviour(
        "tokens above the largest are an IndexError",
        "they count as the largest",
        (
            "unit/nets/test_goal_embedders.py::test_tokens_outside_the_range_count_as_the_nearest_inside",
        ),
    ),
    "21.8": Behaviour(
        "an update of PopArt without a valid value makes its statistics NaN",
        "it changes nothing, nor do values that are not finite",
        (
            "unit/nets/actor_critic/test_values.py::test_an_update_without_a_valid_value_changes_nothing",
            "unit/nets/actor_critic/test_values.py::test_a_batch_of_unusable_values_changes_nothing",
            "property/test_agents.py::test_a_batch_of_nothing_but_padding_teaches_nothing",
        ),
    ),
    "21.9": Behaviour(
        "`Trajectory()` has no list of its own",
        "it has",
        ("unit/test_hindsight.py::test_two_trajectories_share_no_list",),
    ),
    "21.10": Behaviour(
        "a list given as a metric grows; text given as one breaks averages",
        "it stays as it was; what is no number is ignored with a warning",
        (
            "unit/envs/test_histories.py::test_the_callers_list_does_not_grow",
            "unit/envs/test_histories.py::test_what_is_no_number_is_ignored_with_a_warning",
        ),
    ),
    "21.11": Behaviour(
        "the deviation of one critic is NaN",
        "0",
        (
            "unit/agent/test_agent.py::test_the_deviation_of_one_critic_is_zero",
            "property/test_agents.py::test_one_critic_disagrees_with_nobody",
        ),
    ),
}

METHOD = {
    "21.12": Behaviour(
        "targets follow before the optimiser's step",
        "the same: its published numbers were made that way",
        (
            "unit/training/test_learner.py::test_targets_follow_after_clipping_and_before_the_optimiser",
        ),
    ),
    "21.13": Behaviour(
        "clipping counts gradients of the maximised critics",
        "trainable parameters only",
        (
            "unit/training/test_learner.py::test_gradients_of_networks_that_are_not_trained_neither_count_nor_add_up",
        ),
    ),
    "21.14": Behaviour(
        "`Agent`'s loss filters raw advantages, `get_values` scaled ones",
        "the same, and documented",
        (f"{MATHS}::test_the_loss_filters_raw_advantages_and_get_values_scaled_ones",),
    ),
    "21.15": Behaviour(
        "stored choices are softened by the limits of the policy's probabilities",
        KEPT,
        (
            "unit/agent/test_actions.py::test_critics_see_discrete_actions_under_the_limits_of_the_policy",
            "unit/agent/test_actions.py::test_sampled_actions_are_one_hots_with_a_gradient_on_demand",
        ),
    ),
    "21.16": Behaviour(
        "a gradient flows through the sum that renormalises limited probabilities",
        KEPT,
        (f"{MATHS}::test_a_gradient_flows_through_the_renormalisation_of_probabilities",),
    ),
    "21.17": Behaviour(
        "the log-probability of a sample depends on which object it is",
        "always that of the action within its limits",
        (
            "unit/nets/policy_dists/test_continuous.py::test_log_prob_of_a_sample_does_not_depend_on_where_it_came_from",
        ),
    ),
    "21.18": Behaviour(
        "exploration beyond the horizon leaves [0, 1]",
        "it stays a probability",
        ("unit/envs/test_exploration.py::test_epsilon_stays_a_probability_beyond_the_horizon",),
    ),
    "21.19": Behaviour(
        "the first update of a warm-up has rate 0",
        KEPT,
        ("unit/training/test_learner.py::test_the_first_update_of_a_warm_up_uses_rate_zero",),
    ),
    "21.20": Behaviour(
        "masked means divide by the count plus 1e-5",
        KEPT,
        ("unit/rl/test_masking.py::test_masked_mean_divides_by_the_count_plus_a_little",),
    ),
    "21.21": Behaviour(
        "values that `MultiTaskAgent` maximises are normalised without PopArt's scale and shift",
        KEPT,
        (f"{MATHS}::test_the_maximised_value_of_many_tasks_has_no_scale_and_shift",),
    ),
    "21.22": Behaviour(
        "`MultiTaskAgent` logs rewards times their multiplier",
        "true rewards in both agents",
        (
            "unit/agent/test_multitask.py::test_rewards_are_logged_as_they_are",
            "unit/agent/test_diagnostics.py::test_statistics_count_valid_transitions_only",
        ),
    ),
    "21.23": Behaviour(
        "the critics of a target are drawn with replacement, for each timestep and discount",
        KEPT,
        (
            "unit/rl/test_ensemble.py::test_members_are_drawn_uniformly_and_with_replacement",
            "unit/rl/test_ensemble.py::test_every_timestep_and_discount_draws_for_itself",
        ),
    ),
    "21.24": Behaviour(
        "the overall return weighs names of environments, not episodes",
        KEPT,
        ("unit/rollout/test_episodes.py::test_the_overall_average_weighs_names_not_episodes",),
    ),
    "21.25": Behaviour(
        "a truncated episode is stored without a done",
        KEPT,
        (f"{RUNS}::test_only_a_terminal_state_is_stored_as_done",),
    ),
    "21.26": Behaviour(
        "a dataset of exactly its smallest size is not ready",
        "it is, as documented",
        ("unit/loading/test_disk.py::test_it_is_ready_with_the_smallest_number_of_files",),
    ),
    "21.27": Behaviour(
        "hiding rewards and whole previous actions hides the rewards only",
        "hides both",
        ("unit/nets/tstep_encoders/test_base.py::test_what_is_hidden_is_zero",),
    ),
}

DOCUMENTATION = {
    "21.28": Behaviour(
        "learnt positions have a documented name that raises",
        "both names are accepted",
        (
            "unit/nets/traj_encoders/test_attention.py::test_both_spellings_of_learnt_positions_are_accepted",
        ),
    ),
    "21.29": Behaviour(
        "the larger number of sampled actions is documented for the wrong loss",
        "the same numbers: 3 for the actor, 1 for the critics",
        (f"{MATHS}::test_many_tasks_sample_three_actions_for_the_actor_and_one_for_critics",),
    ),
    "21.30": Behaviour(
        "limits of the leaky ReLU filter and its binary term are not documented",
        "the same defaults, documented",
        (f"{MATHS}::test_the_leaky_relu_filter_is_limited_and_binary_by_default",),
    ),
    "21.31": Behaviour(
        "the entropy of continuous policies is undefined",
        "estimated from a sample, and said so",
        (f"{MATHS}::test_the_entropy_of_a_continuous_policy_is_estimated_from_a_sample",),
    ),
}

BEHAVIOURS = FAULTS | MISBEHAVIOUR | METHOD | DOCUMENTATION


@cache
def functions_of(path: str) -> set[str]:
    """Names of the test functions of a file below `tests/`."""
    tree = ast.parse((TESTS / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_item_is_missing():
    assert list(BEHAVIOURS) == [f"19.{i}" for i in range(1, 15)] + [f"21.{i}" for i in range(1, 32)]


@pytest.mark.parametrize("item", BEHAVIOURS)
def test_every_item_has_tests_that_exist(item: str):
    assert BEHAVIOURS[item].tests
    for test in BEHAVIOURS[item].tests:
        path, _, name = test.partition("::")
        assert name in functions_of(path), test


def test_every_waiver_of_the_stored_numbers_is_an_item():
    from golden_reference import WAIVERS

    assert {item for waiver in WAIVERS for item in waiver["spec"].split(", ")} <= set(BEHAVIOURS)
