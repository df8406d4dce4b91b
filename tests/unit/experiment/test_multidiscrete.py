"""A whole run whose actions are several choices at once."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, MultiDiscrete

from amago.agent import Agent, MultiTaskAgent
from amago.core.config import bind
from amago.envs import AMAGOEnv
from amago.loading import load_traj_from_disk

pytestmark = pytest.mark.slow  # whole runs


class TwoDials(gym.Env):
    """Shows the position of two dials to turn to; ends after five turns."""

    observation_space = Box(0.0, 2.0, (2,), np.float32)
    action_space = MultiDiscrete([2, 3], start=[10, 0])

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.turns = 0
        return self._shown(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.turns += 1
        reward = float((action == self.wanted).mean())
        return self._shown(), reward, self.turns == 5, False, {}

    def _shown(self):
        self.wanted = self.np_random.integers([10, 0], [12, 3])
        return (self.wanted - [10, 0]).astype(np.float32)


def make_dials() -> AMAGOEnv:
    return AMAGOEnv(TwoDials(), env_name="TwoDials")


@pytest.mark.parametrize(
    "env_mode",
    ["sync", pytest.param("async", marks=pytest.mark.slow)],  # starts workers
)
@pytest.mark.parametrize("agent_type", [Agent, MultiTaskAgent])
def test_a_run_collects_stores_and_learns_from_them(make_tiny, agent_type, env_mode, tmp_path):
    experiment = make_tiny(
        agent_type=agent_type,
        env_mode=env_mode,
        make_train_env=make_dials,
        make_val_env=make_dials,
        parallel_actors=2,
        epochs=1,
    )
    bind({"NCriticsTwoHot.min_return": -10.0, "NCriticsTwoHot.max_return": 100.0})
    bind({"NCriticsTwoHot.d_hidden": 8, "NCriticsTwoHot.output_bins": 8})
    experiment.start()
    before = [p.detach().clone() for p in experiment.policy.actor.parameters()]
    experiment.learn()
    after = list(experiment.policy.actor.parameters())
    assert all(p.isfinite().all() for p in after)
    assert any(not p.equal(q) for p, q in zip(before, after, strict=True))
    path = next((tmp_path / "data" / "buffer" / "fifo").glob("*.npz"))
    actions = load_traj_from_disk(str(path)).actions
    assert actions.shape[1] == 5
    np.testing.assert_array_equal(actions[:, :2].sum(axis=1), 1)
    np.testing.assert_array_equal(actions[:, 2:].sum(axis=1), 1)
