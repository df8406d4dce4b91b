import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from amago.agent import Agent
from amago.cli import demo

TINY = demo.DemoSettings(
    attempts=2,
    actors=2,
    epochs=2,
    updates=2,
    steps=30,
    evaluate_every=1,
    test_rollouts=2,
    width=8,
    layers=1,
    heads=1,
    batch=2,
)


def lakes(held_out, count=300):
    lake = demo.SplitLake(one_in=4, held_out=held_out, size=3)
    lake.reset(seed=0)
    return {"".join(lake.generate_lake()) for _ in range(count)}


def test_held_out_lakes_are_never_trained_on():
    trained, unseen = lakes(held_out=False), lakes(held_out=True)
    assert len(trained) > 20
    assert len(unseen) > 5
    assert not trained & unseen


def history(*attempts):
    metrics = {f"Episode {i} Success": list(values) for i, values in enumerate(attempts)}
    return SimpleNamespace(data={demo.ENV_NAME: metrics})


def test_as_many_whole_rollouts_are_taken_from_each_environment():
    experiment = demo.DemoExperiment.__new__(demo.DemoExperiment)
    experiment.ranks = SimpleNamespace(gather=lambda value: [value])
    experiment.max_seq_len = 18
    fast = history([0, 1, 0, 1], [1, 1, 0])  # the fourth rollout is not finished
    slow = history([1, 0], [0, 0])
    experiment.policy_metrics([], [fast, slow])
    taken = experiment.successes(timesteps=36)
    np.testing.assert_array_equal(taken, [[0, 1], [1, 1], [1, 0], [0, 0]])


@pytest.fixture
def acting(monkeypatch):
    """A demo agent without networks, and what reaches the real `get_actions`."""
    seen = []

    def get_actions(self, obs, rl2s, time_idxs, hidden_state, sample):
        seen.append((obs["observation"], rl2s, time_idxs, hidden_state))
        return torch.zeros_like(time_idxs, dtype=torch.uint8), hidden_state

    def reset_hidden_state(self, hidden_state, dones):
        return hidden_state * torch.as_tensor(~dones)

    monkeypatch.setattr(Agent, "get_actions", get_actions)
    monkeypatch.setattr(Agent, "reset_hidden_state", reset_hidden_state)
    agent = demo.DemoAgent.__new__(demo.DemoAgent)
    torch.nn.Module.__init__(agent)
    agent.action_dim = 5
    return agent, seen


def inputs(flags, time):
    obs = torch.tensor([[[0.5, 0.5, float(flag), 0.4]] for flag in flags])
    shape = (len(flags), 1, 1)
    return {"observation": obs}, torch.ones(*shape[:2], 6), torch.full(shape, time)


def test_a_forgetful_agent_is_told_nothing_of_earlier_attempts(acting):
    agent, seen = acting
    agent.conduct = "forgets"
    agent.get_actions(*inputs([1, 1], time=0), hidden_state=torch.tensor([7, 7]))
    agent.get_actions(*inputs([0, 1], time=3), hidden_state=torch.tensor([7, 7]))
    agent.get_actions(*inputs([0, 0], time=5), hidden_state=torch.tensor([7, 7]))
    assert [hidden.tolist() for *_, hidden in seen] == [[0, 0], [7, 0], [7, 7]]
    assert [time.flatten().tolist() for _, _, time, _ in seen] == [[0, 0], [3, 0], [5, 2]]
    assert [rl2s[:, 0, 0].tolist() for _, rl2s, _, _ in seen] == [[0, 0], [1, 0], [1, 1]]
    assert all((obs[..., 3] == 0).all() for obs, *_ in seen)


def test_as_trained_everything_passes_unchanged(acting):
    agent, seen = acting
    obs, rl2s, time_idxs = inputs([1, 0], time=3)
    agent.get_actions(obs, rl2s, time_idxs, hidden_state=torch.tensor([7, 7]))
    assert seen[0][0] is obs["observation"]
    assert seen[0][1] is rl2s


def test_the_random_policy_is_uniform(acting):
    agent, seen = acting
    agent.conduct = "random"
    torch.manual_seed(0)
    actions, _ = agent.get_actions(*inputs([0] * 5000, time=0))
    assert (actions.shape, actions.dtype) == ((5000, 1, 1), torch.uint8)
    frequencies = np.bincount(actions.flatten().numpy(), minlength=5) / 5000
    np.testing.assert_allclose(frequencies, 0.2, atol=0.03)
    assert seen == []


@pytest.mark.slow  # a whole run
def test_a_tiny_demo_writes_its_summary_and_its_record(tmp_path, capsys):
    path = demo.run_demo(seed=5, out=str(tmp_path), settings=TINY)
    summary = json.loads(path.read_text())
    assert summary["seed"] == 5
    assert set(summary["evaluation"]) == {"agent", "memory wiped", "random"}
    assert len(summary["curve"]) == 3  # two epochs, and the end
    for result in summary["evaluation"].values():
        assert result["rollouts"] == TINY.actors * TINY.test_rollouts
        assert len(result["attempts"]) == TINY.attempts
    assert (tmp_path / "seed-5" / "config.json").exists()
    assert not list((tmp_path / "seed-5").rglob("*.npz"))
    printed = capsys.readouterr()
    assert "success by attempt" in printed.out + printed.err
    assert "memory wiped" in printed.out + printed.err


def test_a_second_demo_keeps_the_record_of_the_first(tmp_path):
    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1-2").mkdir()
    experiment = demo.make_experiment(replace(TINY, epochs=0), seed=1, out=tmp_path)
    assert experiment.run_name == "seed-1-3"


def test_without_matplotlib_there_is_a_reason_instead_of_a_figure(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said = demo._draw(tmp_path / "demo.png", {}, [], seed=1)
    assert said.startswith("none (the figure of the demo needs the package `matplotlib`")
