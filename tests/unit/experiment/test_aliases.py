"""Keywords of earlier versions still make the experiment they made, with a warning."""

import inspect
from dataclasses import dataclass, fields
from typing import Any

import pytest

from amago.core import config
from amago.core.errors import ConfigError
from amago.experiment.aliases import accepts_old_names, modern_settings
from amago.experiment.settings import Settings
from amago.hindsight import NoOpRelabeler
from amago.loading import DiskTrajDataset


@config.configurable(module="test_aliases")
@accepts_old_names
@dataclass
class Run:
    """A few of the fields of an `Experiment`."""

    run_name: str
    dataset: Any
    sample_actions_train: bool = True
    sample_actions_val: bool = True
    save_trajs_as: str = "npz"


def modern(**settings: Any) -> dict[str, Any]:
    with pytest.warns(DeprecationWarning, match="of an earlier version"):
        return modern_settings(settings)


def test_modern_settings_pass_unchanged_and_silently():
    settings = {field.name: object() for field in fields(Settings)}
    assert modern_settings(settings) == settings


def test_one_flag_for_sampling_sets_both():
    found = modern(sample_actions=False, epochs=3)
    assert found == {"sample_actions_train": False, "sample_actions_val": False, "epochs": 3}


def test_the_weight_of_the_critics_reaches_both_agents_even_if_gin_is_locked():
    config.finalize()
    assert modern(critic_loss_weight=3.0) == {}
    for agent in ("Agent", "MultiTaskAgent"):
        assert config.bindings()[f"amago.agent.{agent}.critic_loss_weight"] == 3.0


def test_settings_of_the_buffer_make_a_dataset(tmp_path):
    relabeler = NoOpRelabeler()
    found = modern(
        dset_root=str(tmp_path),
        dset_name="mine",
        dset_max_size=7,
        dset_min_size=2,
        relabeler=relabeler,
    )
    dataset = found.pop("dataset")
    assert found == {}
    assert isinstance(dataset, DiskTrajDataset)
    assert (dataset.dset_name, dataset.dset_max_size, dataset.dset_min_size) == ("mine", 7, 2)
    assert dataset.relabeler is relabeler


def test_a_buffer_without_a_name_has_that_of_the_run(tmp_path):
    found = modern(run_name="a_run", dset_root=str(tmp_path), dset_max_size=7)
    assert found["run_name"] == found["dataset"].dset_name == "a_run"


def test_the_gpu_is_for_the_launcher_to_choose():
    assert modern(gpu=1) == {}


def test_no_format_is_the_default_format():
    assert modern(save_trajs_as=None) == {}
    assert modern_settings({"save_trajs_as": "npz"}) == {"save_trajs_as": "npz"}


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"sample_actions": True, "sample_actions_val": False}, "keep sample_actions_val"),
        ({"relabeler": None, "dataset": None}, "relabeler .* keep dataset"),
    ],
)
def test_an_old_and_a_modern_name_for_one_thing_are_refused(settings, match):
    with pytest.raises(ConfigError, match=match):
        modern_settings(settings)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"sample_actions": True}, "sample_actions_train and sample_actions_val"),
        ({"critic_loss_weight": 1.0}, r"bind Agent.critic_loss_weight = 1.0"),
        ({"gpu": 0}, "CUDA_VISIBLE_DEVICES"),
        ({"save_trajs_as": None}, "leave it out"),
    ],
)
def test_each_warning_says_what_to_write_instead(old, new):
    with pytest.warns(DeprecationWarning, match=new):
        modern_settings(old)


# ------------------------------------------------------------------------------- the constructor


def test_the_constructor_takes_old_names_and_gin_binds_them():
    config.bind({"test_aliases.Run.sample_actions": False})
    with pytest.warns(DeprecationWarning, match="sample_actions_train"):
        run = Run(run_name="r", dataset=None)
    assert not run.sample_actions_train
    assert not run.sample_actions_val
    assert {field.name for field in fields(run)} == {
        "run_name",
        "dataset",
        "sample_actions_train",
        "sample_actions_val",
        "save_trajs_as",
    }


def test_subclasses_with_or_without_a_constructor_take_them_too():
    class Plain(Run):
        pass

    class Forwarding(Run):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

    for cls in (Plain, Forwarding):
        with pytest.warns(DeprecationWarning, match="CUDA_VISIBLE_DEVICES"):
            assert cls(run_name="r", dataset=None, gpu=0).run_name == "r"


def test_old_names_come_last_in_the_signature_and_are_not_recorded():
    Run(run_name="r", dataset=None)
    names = list(inspect.signature(Run).parameters)
    assert names[:2] == ["run_name", "dataset"]
    assert "sample_actions" in names
    recorded = [key for key in config.operative() if "test_aliases" in key]
    assert any(key.endswith("Run.sample_actions_train") for key in recorded)
    assert not any(key.endswith((".sample_actions", ".gpu", ".relabeler")) for key in recorded)


def test_unknown_names_are_still_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'sample_actoins'"):
        Run(run_name="r", dataset=None, sample_actoins=True)
    with pytest.raises(ConfigError, match="no parameter 'sample_actoins'"):
        config.bind({"test_aliases.Run.sample_actoins": True})
