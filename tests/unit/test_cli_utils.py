"""The command line is frozen; the way from it to an Experiment is checked without starting one."""

import subprocess
import sys
from argparse import ArgumentParser
from types import SimpleNamespace

import pytest

from amago import cli_utils
from amago.core import config as core_config
from amago.core.errors import ConfigError

FROZEN_DEFAULTS = {
    "agent_type": "agent",
    "batch_size": 24,
    "batches_per_epoch": 1000,
    "buffer_dir": "b",
    "ckpt": None,
    "ckpt_interval": 50,
    "configs": None,
    "dloader_workers": 8,
    "dset_max_size": 20_000,
    "env_mode": "async",
    "epochs": 1000,
    "memory_layers": 3,
    "memory_size": 256,
    "mixed_precision": "no",
    "mode": "both",
    "no_log": False,
    "parallel_actors": 12,
    "run_name": "r",
    "start_learning_at_epoch": 0,
    "timesteps_per_epoch": 1000,
    "traj_encoder": "transformer",
    "trials": 1,
    "val_interval": 20,
}


@pytest.fixture(autouse=True)
def clean_gin():
    with cli_utils.gin.unlock_config():
        core_config.clear()
        yield
    with cli_utils.gin.unlock_config():
        core_config.clear()


def parse(*argv):
    parser = ArgumentParser()
    cli_utils.add_common_cli(parser)
    return parser.parse_args(["--run_name", "r", "--buffer_dir", "b", *argv])


# ---------------------------------------------------------------------------- command line


def test_flags_and_defaults_are_frozen():
    assert vars(parse()) == FROZEN_DEFAULTS


@pytest.mark.parametrize("missing", ["--run_name", "--buffer_dir"])
def test_run_name_and_buffer_dir_are_required(missing, capsys):
    parser = ArgumentParser()
    cli_utils.add_common_cli(parser)
    given = {"--run_name": "r", "--buffer_dir": "b"}
    del given[missing]
    with pytest.raises(SystemExit):
        parser.parse_args([word for pair in given.items() for word in pair])
    assert missing in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ("both", "both"),
        ("learn", "learn"),
        ("train", "learn"),
        ("learner", "learn"),
        ("collect", "collect"),
        ("collector", "collect"),
    ],
)
def test_mode_and_its_aliases(given, mode):
    assert parse("--mode", given).mode == mode


@pytest.mark.parametrize(
    ("flag", "value", "choice"),
    [
        ("--mode", "watch", "collect"),
        ("--env_mode", "threads", "already_vectorized"),
        ("--traj_encoder", "transfromer", "transformer"),
        ("--agent_type", "multitusk", "multitask"),
        ("--mixed_precision", "fp8", "bf16"),
    ],
)
def test_a_wrong_choice_lists_the_right_ones(flag, value, choice, capsys):
    with pytest.raises(SystemExit):
        parse(flag, value)
    assert choice in capsys.readouterr().err


def test_a_name_registered_after_the_parser_was_made_is_accepted():
    class LateTrajEncoder(cli_utils.TrajEncoder):
        pass

    parser = ArgumentParser()
    cli_utils.add_common_cli(parser)
    cli_utils.amago.register_traj_encoder("late-for-test-cli-utils")(LateTrajEncoder)
    args = ["--run_name", "r", "--buffer_dir", "b", "--traj_encoder", "late-for-test-cli-utils"]
    assert parser.parse_args(args).traj_encoder == "late-for-test-cli-utils"


def test_help_is_printed(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    assert "--memory_size" in capsys.readouterr().out


# --------------------------------------------------------------------------- star import


def test_a_star_import_brings_what_scripts_use():
    names = {}
    exec("from amago.cli_utils import *", names)
    for name in ("gin", "wandb", "amago", "os", "ArgumentParser", "Optional", "Agent", "RLDataset"):
        assert name in names
    assert names["amago"].__name__ == "amago"
    assert names["gin"].__name__ == "gin"


def test_every_exported_name_exists():
    assert [name for name in cli_utils.__all__ if not hasattr(cli_utils, name)] == []


def test_wandb_is_not_imported_until_it_is_used():
    code = (
        "from amago.cli_utils import *\n"
        "import sys\n"
        "wandb.finish()\n"
        "assert 'wandb' not in sys.modules\n"
        "wandb.Settings\n"
        "assert 'wandb' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -------------------------------------------------------------------------- configuration


def test_switches_return_the_class_and_write_bindings():
    config = {}
    encoder = cli_utils.switch_tstep_encoder(config, "ff", d_hidden=7)
    agent = cli_utils.switch_agent(config, "multitask", tau=0.5)
    noise = cli_utils.switch_exploration(config, "bilevel", rollout_horizon=9)
    names = [cls.__name__ for cls in (encoder, agent, noise)]
    assert names == ["FFTstepEncoder", "MultiTaskAgent", "BilevelEpsilonGreedy"]
    assert config == {
        "amago.nets.tstep_encoders.FFTstepEncoder.d_hidden": 7,
        "amago.agent.MultiTaskAgent.tau": 0.5,
        "amago.envs.exploration.BilevelEpsilonGreedy.rollout_horizon": 9,
    }


@pytest.mark.parametrize(
    ("arch", "cls", "sizes"),
    [
        ("transformer", "TformerTrajEncoder", {"d_model": 8, "d_ff": 32, "n_layers": 2}),
        ("rnn", "GRUTrajEncoder", {"d_hidden": 8, "d_output": 8, "n_layers": 2}),
        ("ff", "FFTrajEncoder", {"d_model": 8, "n_layers": 2}),
        ("mamba", "MambaTrajEncoder", {"d_model": 8, "n_layers": 2}),
        ("identity", "IdentityTrajEncoder", {}),
    ],
)
def test_sizes_of_trajectory_encoders(arch, cls, sizes):
    config = {}
    encoder = cli_utils.switch_traj_encoder(config, arch, memory_size=8, layers=2)
    assert encoder.__name__ == cls
    assert config == {f"amago.nets.traj_encoders.{cls}.{key}": v for key, v in sizes.items()}


def test_keywords_win_over_sizes():
    config = {}
    cli_utils.switch_traj_encoder(config, "transformer", 8, 2, d_ff=5, n_heads=1)
    prefix = "amago.nets.traj_encoders.TformerTrajEncoder"
    assert config[f"{prefix}.d_ff"] == 5
    assert config[f"{prefix}.n_heads"] == 1


def test_files_win_over_the_dict_and_later_files_over_earlier(tmp_path):
    first, second = tmp_path / "first.gin", tmp_path / "second.gin"
    first.write_text("Agent.gamma = 0.5\nAgent.tau = 0.5\n")
    second.write_text("Agent.tau = 0.25\n")
    cli_utils.use_config(
        {"Agent.gamma": 0.1, "Agent.tau": 0.1, "Agent.n_step": 3}, [str(first), str(second)]
    )
    bound = core_config.bindings()
    assert bound["amago.agent.Agent.gamma"] == 0.5
    assert bound["amago.agent.Agent.tau"] == 0.25
    assert bound["amago.agent.Agent.n_step"] == 3
    assert cli_utils.gin.config_is_locked()


def test_a_second_trial_may_bind_again():
    cli_utils.use_config({"Agent.gamma": 0.5})
    cli_utils.use_config({"Agent.gamma": 0.75})
    assert core_config.bindings()["amago.agent.Agent.gamma"] == 0.75


def test_finalize_false_leaves_it_open():
    cli_utils.use_config({"Agent.gamma": 0.5}, finalize=False)
    assert not cli_utils.gin.config_is_locked()


def test_an_unknown_parameter_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'tua' in amago\.agent\.Agent; did you mean 'tau'"):
        cli_utils.use_config({"amago.agent.Agent.tua": 0.1})


# ----------------------------------------------------------------------------- experiment


class Recorder:
    """Stands for an Experiment type: keeps what it was built with."""

    def __init__(self, **fields):
        self.fields = fields


def create(*argv, **kwargs):
    required = {
        "make_train_env": list,
        "make_val_env": tuple,
        "max_seq_len": 16,
        "group_name": "group",
        "run_name": "run",
        "agent_type": "agent-type",
        "tstep_encoder_type": "tstep-type",
        "traj_encoder_type": "traj-type",
        "experiment_type": Recorder,
    }
    return cli_utils.create_experiment_from_cli(parse(*argv), **(required | kwargs)).fields


def test_the_command_line_becomes_fields():
    fields = create("--timesteps_per_epoch", "5", "--batches_per_epoch", "6", "--no_log")
    assert fields["train_timesteps_per_epoch"] == 5
    assert fields["train_batches_per_epoch"] == 6
    assert fields["log_to_wandb"] is False
    assert fields["wandb_group_name"] == "group"
    assert fields["ckpt_base_dir"] == "b"
    assert fields["run_name"] == "run"
    assert fields["traj_save_len"] == 10_000_000_000
    assert fields["exploration_wrapper_type"] is cli_utils.EpsilonGreedy


def test_logging_is_on_unless_switched_off():
    assert create()["log_to_wandb"] is True


def test_the_default_dataset_is_a_disk_buffer_of_the_run():
    dataset = create("--dset_max_size", "11")["dataset"]
    assert isinstance(dataset, cli_utils.DiskTrajDataset)
    assert (dataset.dset_root, dataset.dset_name, dataset.dset_max_size) == ("b", "run", 11)


def test_extra_keywords_win():
    fields = create(batch_size=3, sample_actions_val=False, dataset="mine", traj_save_len=99)
    assert fields["batch_size"] == 3
    assert fields["sample_actions_val"] is False
    assert fields["dataset"] == "mine"
    assert fields["traj_save_len"] == 99


def test_every_field_exists_in_experiment():
    known = {f for f in cli_utils.amago.Experiment.__dataclass_fields__}
    assert set(create()) <= known


def settings(**fields):
    calls = []
    return SimpleNamespace(
        **{"epochs": 7, "has_dset_edit_rights": True, **fields},
        init_dsets=lambda: calls.append("init_dsets"),
        calls=calls,
    )


def test_a_learner_never_collects_and_publishes():
    experiment = cli_utils.switch_async_mode(settings(), "learn")
    assert experiment.role == "learn"
    assert experiment.start_collecting_at_epoch == float("inf")
    assert experiment.train_timesteps_per_epoch == 0
    assert experiment.val_timesteps_per_epoch == 0
    assert experiment.val_interval == 10
    assert experiment.parallel_actors == 1
    assert (experiment.always_save_latest, experiment.always_load_latest) == (True, False)
    assert experiment.has_dset_edit_rights


def test_a_collector_never_learns_and_fetches():
    experiment = cli_utils.switch_async_mode(settings(), "collect")
    assert experiment.role == "collect"
    assert experiment.start_learning_at_epoch == float("inf")
    assert experiment.train_batches_per_epoch == 0
    assert experiment.ckpt_interval is None
    assert (experiment.always_save_latest, experiment.always_load_latest) == (False, True)
    assert experiment.epochs == 1_000_000
    assert not experiment.has_dset_edit_rights
    assert experiment.calls == ["init_dsets"]


def test_both_changes_nothing():
    experiment = settings()
    before = dict(vars(experiment))
    assert vars(cli_utils.switch_async_mode(experiment, "both")) == before


def test_an_unknown_mode_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'collect'"):
        cli_utils.switch_async_mode(settings(), "colect")
