"""One update of an actor and its critics, from a batch of sequences. Read this to learn the method.

Every timestep of every sequence is a training example, for every discount at once. The critics
learn the value of stored actions by temporal differences; the actor imitates the stored actions
that are better than its own (offline), and follows the critics' gradient (online).

Axes: `B` sequences, `L` timesteps, `T = L - 1` transitions, `D` state, `K` sampled actions,
`C` critics, `G` discounts, `A` action.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from amago.agent.actions import Actions
from amago.loading.batch import Batch
from amago.nets.actor_critic.values import Values
from amago.rl.losses import dpg_loss, filtered_bc_loss


@dataclass(frozen=True)
class Networks:
    """What an update reads. Actors map `[B L D]` to distributions, critics states and actions
    to whatever a `Values` reads.
    """

    actor: Callable[[torch.Tensor], Any]
    target_actor: Callable[[torch.Tensor], Any] | None
    """Slow copy of the actor, for targets; None uses the actor itself."""
    critics: Callable[[torch.Tensor, torch.Tensor], Any]
    target_critics: Callable[[torch.Tensor, torch.Tensor], Any]
    """Slow copy of the critics, for targets."""
    maximized_critics: Callable[[torch.Tensor, torch.Tensor], Any]
    """Latest copy of the critics that takes no gradient, for the actor to climb."""


@dataclass(frozen=True)
class Settings:
    """An agent's settings, as they are at this update."""

    online: float
    """Weight of the value of the actor's own actions."""
    offline: float
    """Weight of imitation."""
    fake_filter: bool
    """Imitate every stored action."""
    weigh: Callable[[torch.Tensor], torch.Tensor]
    """Advantage to weight of imitation, `[B T G 1]`."""
    gammas: torch.Tensor
    """Discounts, `[G]`."""
    reward_multiplier: float
    n_step: int
    k_critic: int
    """Actions sampled for the value of a next state."""
    k_actor: int
    """Actions sampled for the value of a state."""
    reduce_ensemble: Callable[[torch.Tensor], torch.Tensor]
    """`[B T C G 1] -> [B T 1 G 1]`."""
    nstep_return: Callable[..., torch.Tensor]
    """See `amago.rl.returns.nstep_return`."""


@dataclass(frozen=True)
class Evaluation:
    """What the critics said in an update, for its statistics."""

    output: Any
    """Of the online critics for the stored actions, as they gave it."""
    q: torch.Tensor
    """The same as numbers, `[B T C G 1]`."""
    target: torch.Tensor
    """In units of scaled return, `[B T 1 G 1]`."""


@dataclass(frozen=True)
class Update:
    """Losses of every transition, and what they were made of."""

    actor_loss: torch.Tensor
    """`[B T G 1]`."""
    critic_loss: torch.Tensor | None
    """`[B T C G 1]`; None if no critic was needed."""
    policy: Any
    """Distribution over `[B L G A]`."""
    log_prob: torch.Tensor
    """Of the stored actions, `[B T G 1]`."""
    weight: torch.Tensor
    """Of their imitation, `[B T G 1]`."""
    evaluation: Evaluation | None


def update(
    batch: Batch,
    state: torch.Tensor,
    net: Networks,
    values: Values,
    actions: Actions,
    hp: Settings,
) -> Update:
    """Losses for one batch. Reads modules, changes nothing but `values`' running statistics.

    Args:
        state: what the sequence model made of the batch, `[B L D]`.
    """
    policy = actions.view(net.actor(state))  # over [B L G A]
    stored = actions.stored(batch.actions)  # [B L G A]
    log_prob = actions.log_prob(policy, stored)[:, :-1]  # [B T G 1]

    if hp.fake_filter and hp.online == 0:  # plain imitation needs no critic
        weight = torch.ones_like(log_prob)
        actor_loss = hp.offline * filtered_bc_loss(log_prob, weight)
        return Update(actor_loss, None, policy, log_prob, weight, None)

    now = state[:, :-1]  # [B T D]
    output = net.critics(now, actions.seen_by_critics(stored)[None, :, :-1])  # [1 B T C G ·]
    with torch.no_grad():
        q = values.read(output)[0].detach()  # [B T C G 1]
        target = td_target(batch, state, policy, net, values, actions, hp)  # [B T 1 G 1]
        values.observe(target, batch.mask[:, :, None, None, None])
    critic_loss = values.td_loss(output, target)  # [B T C G 1]

    def draw(with_gradient: bool) -> torch.Tensor:
        return actions.draw(policy, hp.k_actor, with_gradient)[:, :, :-1]  # [K B T G A]

    baseline, own_value = values.of_policy(net, now, draw, online=hp.online > 0)  # [B T G 1]
    advantage = q.mean(dim=2) - baseline  # how much better the stored action is, [B T G 1]
    weight = torch.ones_like(advantage) if hp.fake_filter else hp.weigh(advantage)
    actor_loss = hp.offline * filtered_bc_loss(log_prob, weight)
    if own_value is not None:
        actor_loss = actor_loss + hp.online * dpg_loss(own_value)
    return Update(actor_loss, critic_loss, policy, log_prob, weight, Evaluation(output, q, target))


def td_target(
    batch: Batch,
    state: torch.Tensor,
    policy: Any,
    net: Networks,
    values: Values,
    actions: Actions,
    hp: Settings,
) -> torch.Tensor:
    """What the critics should predict, in units of scaled return, `[B T 1 G 1]`.

    The next `n` rewards, and the value of what the target policy would do after them.
    """
    if net.target_actor is not None:
        policy = actions.view(net.target_actor(state))
    a = actions.draw(policy, hp.k_critic, with_gradient=False)  # [K B L G A]
    q = net.target_critics(state[:, 1:], a[:, :, 1:])
    v = values.to_returns(values.read(q)).mean(dim=0)  # of the next state, [B T C G 1]
    return hp.nstep_return(
        r=hp.reward_multiplier * batch.rews[:, :, None, None],
        d=batch.dones[:, :, None, None],
        q=hp.reduce_ensemble(v),
        gamma=hp.gammas[:, None],
        n=hp.n_step,
        mask=batch.mask[:, :, None, None, None],
    )
