"""The rollout loop: observe, act, step, remember."""

from collections.abc import Callable
from typing import Any

from amago.rollout.actor import Actor
from amago.rollout.recorded import RecordedEnvs


def rollout(
    envs: RecordedEnvs,
    actor: Actor,
    timesteps: int,
    episodes: int | None = None,
    on_observation: Callable[[dict[str, Any]], None] = lambda obs: None,
    on_step: Callable[[], object] = lambda: None,
    render: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Step every environment `timesteps` times, or until `episodes` episodes have finished.

    Args:
        timesteps: steps of each environment, at most.
        episodes: finished episodes, of all environments together, after which to stop.
        on_observation: called with the batched observation before each action.
        on_step: called after each step, e.g. to advance a progress bar.
        should_stop: asked after each step; true ends the rollout.

    Returns:
        Steps taken by each environment.
    """
    for taken in range(1, timesteps + 1):
        inputs = actor.observe(envs.timestep)
        on_observation(inputs["obs"])
        step = envs.step(actor.act(inputs))
        actor.forget(step.started)
        on_step()
        if render:
            envs.render()
        if episodes is not None and envs.statistics.episodes_finished >= episodes:
            return taken
        if should_stop():
            return taken
    return timesteps
