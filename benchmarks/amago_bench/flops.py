"""How many floating point operations an update needs at least: the lower bound of its time.

Counted are matrix products, one multiplication and one addition each, of every useful forward and
backward pass once:

* a layer with weights: forward, gradient of its weights, gradient of its input (not of the data);
* the part of a critic's first layer that reads the state: once for all discounts and actions;
* frozen networks (targets, the copy that the actor climbs): no gradient of weights, and of inputs
  only as far as the actor needs;
* attention: the causal half of both products, twice that backward.

Elementwise work, normalisations, the optimiser and spectral norms are not counted.

Axes: `G` discounts, `C` critics, `K` sampled actions, `A` numbers in an action, `D` state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

FORWARD, TRAINED, INPUT_ONLY = 1, 3, 2
"""Passes of a layer: forward; with both gradients; with the gradient of its input alone."""


@dataclass(frozen=True)
class Shape:
    """What an update costs depends on this, and on batch and length.

    Attributes:
        encoder: "ff", "gru" or "transformer".
        tstep_hidden: width of the timestep encoder, which has two hidden layers.
        tstep_out: width of what it gives.
        width: of the sequence model, and of the state.
        heads: of attention; the count does not depend on it.
        bins: of a classifying critic (MultiTaskAgent); None for one that predicts a number.
        k_actor: actions sampled for the value of a state.
    """

    obs: int
    actions: int
    discrete: bool
    encoder: str
    layers: int
    width: int
    heads: int = 8
    tstep_hidden: int = 256
    tstep_out: int = 256
    heads_hidden: int = 256
    critics: int = 4
    gammas: int = 7
    bins: int | None = None
    k_actor: int = 1


def update_gflop(shape: Shape, batch: int, length: int, causal: bool = True) -> float:
    """An update of `batch` sequences of `length` stored timesteps.

    Args:
        causal: count half of the attention products; false counts them whole.
    """
    per_step = (
        encoder_macs(shape) + actor_macs(shape) + critic_macs(shape)
    ) + TRAINED * attention_macs(shape, length, causal)
    return 2 * per_step * batch * length / 1e9


def policy_gflop(shape: Shape, rows: int, context: int) -> float:
    """One action of `rows` actors that remember `context` timesteps (their own included)."""
    dense = mlp([*_tstep_layers(shape)]) + _sequence_macs(shape) + mlp(_actor_layers(shape))
    return 2 * rows * (dense + _attended(shape, context)) / 1e9


def mlp(widths: Sequence[int]) -> int:
    """Products of a forward pass through dense layers, in multiply-adds per row."""
    return sum(a * b for a, b in pairwise(widths))


def encoder_macs(shape: Shape) -> int:
    """Timestep and trajectory encoder without attention, per timestep, forward and backward."""
    tstep = _tstep_layers(shape)
    data_gradient = tstep[0] * tstep[1]  # nobody needs the gradient of an observation
    return TRAINED * (mlp(tstep) + _sequence_macs(shape)) - data_gradient


def attention_macs(shape: Shape, length: int, causal: bool = True) -> float:
    """Both products of attention, forward, per timestep; a timestep sees half of the others."""
    return _attended(shape, (length + 1) / 2 if causal else length)


def actor_macs(shape: Shape) -> int:
    """The actor, trained, and its slow copy, per timestep."""
    return (TRAINED + FORWARD) * mlp(_actor_layers(shape))


def critic_macs(shape: Shape) -> int:
    """Every evaluation of the critics in an update, per timestep."""
    if shape.bins is None and shape.discrete:
        net = shape.critics * mlp(_critic_layers(shape))
        return (TRAINED + FORWARD + FORWARD) * net  # online, target, and the copy that is climbed
    of_state = shape.critics * shape.width * shape.heads_hidden
    first_of_action = shape.critics * shape.gammas * (1 + shape.actions) * shape.heads_hidden
    deeper = shape.critics * shape.gammas * mlp(_critic_layers(shape)[1:])
    of_action = first_of_action + deeper
    # The gradient of the stored actions and discounts is nobody's.
    online = TRAINED * (of_state + of_action) - first_of_action
    target = FORWARD * (of_state + of_action)
    own = FORWARD * (of_state + shape.k_actor * of_action)
    if shape.bins is None:  # the actor climbs them: the gradient goes back to the actions
        own += shape.k_actor * (INPUT_ONLY - FORWARD) * of_action
    return online + target + own


def _tstep_layers(shape: Shape) -> list[int]:
    seen = shape.obs + 1 + shape.actions  # the previous reward and action beside the observation
    return [seen, shape.tstep_hidden, shape.tstep_hidden, shape.tstep_out]


def _sequence_macs(shape: Shape) -> int:
    """The trajectory encoder without attention, forward, per timestep."""
    d = shape.width
    if shape.encoder == "ff":
        return mlp([shape.tstep_out, d]) + shape.layers * mlp([d, 4 * d, d]) + mlp([d, d])
    if shape.encoder == "gru":
        inputs = [shape.tstep_out] + [d] * (shape.layers - 1)
        return sum(3 * d * (a + d) for a in inputs) + mlp([d, d])
    return mlp([shape.tstep_out, d]) + shape.layers * (4 * d * d + mlp([d, 4 * d, d]))


def _attended(shape: Shape, context: float) -> float:
    return shape.layers * 2 * context * shape.width if shape.encoder == "transformer" else 0.0


def _actor_layers(shape: Shape) -> list[int]:
    outputs = shape.actions if shape.discrete else 2 * shape.actions  # mean and deviation
    return [shape.width, shape.heads_hidden, shape.heads_hidden, shape.gammas * outputs]


def _critic_layers(shape: Shape) -> list[int]:
    """Widths of one critic; the first layer of one that reads actions is counted apart."""
    hidden = shape.heads_hidden
    if shape.bins is not None:
        return [shape.width, hidden, hidden, shape.bins]
    outputs = shape.gammas * shape.actions if shape.discrete else 1
    return [shape.width, hidden, hidden, outputs]
