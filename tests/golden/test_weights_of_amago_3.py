"""Weights that AMAGO 3.x saved load from a file, every name matched, and act and value as there.

The file is what `torch.save` makes of a plain dict of tensors: the format of `policy_epoch_E.pt`.
"""

import pytest
import torch
from golden_reference import CASES, VECTORS, agents, compare, load_npz
from golden_reference.common import N, T, apply_config, sub

from amago.checkpoint import weights
from amago.core import config

WEIGHTS = "sd/"
AGENTS = [entry for entry in CASES if entry["kind"].startswith(("agent_", "train_step"))]

# the defaults that these cases were made with are advised against
pytestmark = pytest.mark.filterwarnings("ignore::amago.core.errors.AmagoWarning")


@pytest.fixture(autouse=True)
def no_bindings_before():
    config.clear()


def published_weights(npz):
    return {name: T(array) for name, array in sub(npz, WEIGHTS).items()}


def saved(entry, npz, path):
    """An experiment whose agent was built as that case says; the weights are in a file."""
    torch.save(published_weights(npz), path)
    apply_config(entry.get("config"))
    return agents.build_experiment(entry["args"])


def said(kind, policy, args, npz):
    """Outputs of a policy by their stored names, through the public methods."""
    if kind == "agent_values":
        return agents.values_of(policy.eval(), npz)
    if kind == "agent_act":
        return agents.acts_of(policy.eval(), args, npz)
    loss = policy.train()(agents.make_batch(npz), log_step=False)
    info = {"loss": loss, "critic": policy.update_info["Critic Loss"]}
    info["actor"] = policy.update_info["Actor Loss"]
    names = {"loss": "loss", "critic": "critic_loss", "actor": "actor_loss"}
    stored = {key: f"out/step0/{name}" for key, name in names.items()}
    return {stored[key]: N(value) for key, value in info.items() if stored[key] in npz}


def test_every_agent_that_was_stored_has_weights():
    assert len(AGENTS) == 34
    assert all(any(k.startswith(WEIGHTS) for k in entry["arrays"]) for entry in AGENTS)


@pytest.mark.parametrize("entry", AGENTS, ids=[entry["name"] for entry in AGENTS])
def test_weights_load_from_a_file_and_give_the_same_outputs(entry, tmp_path):
    npz = load_npz(VECTORS / entry["file"])
    experiment = saved(entry, npz, tmp_path / "policy.pt")
    experiment.load_checkpoint_from_path(tmp_path / "policy.pt", is_accelerate_state=False)
    found = said(entry["kind"], experiment.policy, entry["args"], npz)
    stored = {k: v for k, v in npz.items() if not k.startswith("out/") or k in found}
    assert found
    assert compare(entry, found, stored) == []


@pytest.mark.parametrize("entry", AGENTS, ids=[entry["name"] for entry in AGENTS])
def test_loaded_weights_are_saved_as_they_were(entry, tmp_path):
    npz = load_npz(VECTORS / entry["file"])
    experiment = saved(entry, npz, tmp_path / "policy.pt")
    experiment.load_checkpoint_from_path(tmp_path / "policy.pt", is_accelerate_state=False)
    again, before = experiment.policy.state_dict(), published_weights(npz)
    assert set(again) == set(before)
    assert all(torch.equal(again[name], x) for name, x in before.items())
    assert all(again[name].dtype == x.dtype for name, x in before.items())


@pytest.mark.parametrize("change", ["missing", "unknown", "of another shape"])
def test_a_weight_that_does_not_fit_is_refused_by_name(change, tmp_path):
    entry = next(entry for entry in AGENTS if entry["name"] == "act_continuous_gru")
    npz = load_npz(VECTORS / entry["file"])
    experiment = saved(entry, npz, tmp_path / "policy.pt")
    changed = published_weights(npz)
    tensor = changed.pop("popart.mu")
    if change != "missing":
        changed["popart.mu" if change == "of another shape" else "popart.nobody"] = tensor[:1]
    torch.save(changed, tmp_path / "policy.pt")
    with pytest.raises(RuntimeError, match=r"popart\.(mu|nobody)"):
        experiment.load_checkpoint_from_path(tmp_path / "policy.pt", is_accelerate_state=False)


def test_the_weights_of_an_epoch_are_found_where_amago_3_put_them(tmp_path):
    entry = next(entry for entry in AGENTS if entry["name"] == "act_continuous_gru")
    npz = load_npz(VECTORS / entry["file"])
    folder = tmp_path / "x" / "ckpts" / "policy_weights"
    folder.mkdir(parents=True)
    experiment = saved(entry, npz, folder / "policy_epoch_7.pt")
    experiment.ckpt_base_dir = str(tmp_path)
    experiment.init_checkpoints()
    experiment.load_checkpoint(7, resume_training_state=False)
    assert experiment.epoch == 7
    assert weights.saved_epochs(experiment.ckpt_dir) == [7]
    assert torch.equal(experiment.policy.popart.mu, T(npz["sd/popart.mu"]))
