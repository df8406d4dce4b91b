"""The loop: what happens, in which order, and what it leaves behind."""

import gc
import json
from pathlib import Path

import gymnasium as gym
import pytest
import torch

from amago.core.errors import AmagoWarning, CheckpointError, ConfigError
from amago.envs import AMAGOEnv
from amago.loading import DoNothingDataset
from amago.tracking.reader import read_rows


def started(make_tiny, **overrides):
    experiment = make_tiny(**overrides)
    experiment.start()
    return experiment


def weights_of(experiment):
    return {name: value.clone() for name, value in experiment.policy.state_dict().items()}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_a_run_evaluates_collects_learns_and_saves_in_that_order(make_tiny):
    experiment = started(make_tiny, epochs=1)
    calls = []
    for name in (
        "evaluate_val",
        "collect_new_training_data",
        "train_epoch",
        "save_checkpoint",
        "write_latest_policy",
    ):
        original = getattr(experiment, name)
        setattr(experiment, name, lambda n=name, f=original: (calls.append(n), f())[1])
    experiment.learn()
    assert calls == [
        "evaluate_val",
        "collect_new_training_data",
        "train_epoch",
        "save_checkpoint",
        "write_latest_policy",
    ]


def test_nothing_is_written_before_the_first_row(make_tiny, tmp_path):
    started(make_tiny)
    assert not (tmp_path / "tiny").exists()


def test_every_row_carries_every_axis_and_axes_never_decrease(make_tiny, tmp_path):
    experiment = started(make_tiny)
    experiment.learn()
    experiment.evaluate_test(experiment.make_val_env, timesteps=25)
    experiment.record.flush()
    rows = list(read_rows(tmp_path / "tiny"))
    names = {"total_frames", "total_frames-CartPole", "Epoch", "gradient_steps"}
    axes = [row.axes for row in rows]
    assert all(set(a) == names for a in axes)
    for name in names:
        values = [a[name] for a in axes]
        assert values == sorted(values)
        assert values[-1] > 0
    sections = {name.split("/")[0] for row in rows for name in row.data}
    assert sections == {
        *("System", "dataset", "train", "val", "test"),
        *("val_episodes", "test_episodes"),
    }


def test_frames_are_the_steps_of_the_training_environments(make_tiny):
    experiment = started(make_tiny)
    experiment.learn()
    assert experiment.x_axis_metrics()["total_frames"] == 2 * 40 * 3
    assert experiment.grad_update_counter == 2 * 3


def test_the_settings_are_recorded_in_full(make_tiny, tmp_path):
    experiment = started(make_tiny, seed=None)
    experiment.learn()
    config = json.loads((tmp_path / "tiny" / "config.json").read_text())
    assert config["experiment"]["seed"] == experiment.run_seed
    assert config["experiment"]["batch_size"] == 4
    assert config["gin"]["amago.agent.Agent.gamma"] == 0.999
    assert config["gin"]["amago.nets.actor_critic.Actor.d_hidden"] == 8
    assert "Actor.d_hidden = 8" in (tmp_path / "tiny" / "ckpts" / "config.txt").read_text()


def test_the_same_seed_gives_the_same_weights(make_tiny, tmp_path):
    results = []
    for i in range(2):
        experiment = started(make_tiny, root=tmp_path / str(i))
        experiment.learn()
        results.append(weights_of(experiment))
    assert_equal(*results)


def test_a_loader_of_ones_own_may_be_any_iterable(make_tiny):
    experiment = started(make_tiny, epochs=1)
    make_loader = experiment.init_dloaders
    experiment.init_dloaders = lambda: (batch for batch in make_loader())
    experiment.learn()
    assert experiment.grad_update_counter == 3


def test_evaluating_more_often_does_not_change_the_weights(make_tiny, tmp_path):
    results = []
    for i, interval in enumerate((1, None)):
        experiment = started(make_tiny, root=tmp_path / str(i), val_interval=interval)
        experiment.learn()
        results.append(weights_of(experiment))
    assert_equal(*results)


def test_another_seed_gives_other_weights(make_tiny, tmp_path):
    first = started(make_tiny, root=tmp_path / "a")
    second = started(make_tiny, root=tmp_path / "b", seed=1)
    a, b = weights_of(first), weights_of(second)
    assert any(not torch.equal(a[name], b[name]) for name in a)


def test_weights_alone_load_into_another_experiment(make_tiny):
    first = started(make_tiny)
    first.learn()
    second = started(make_tiny, seed=5)
    second.load_checkpoint(1, resume_training_state=False)
    assert_equal(weights_of(first), weights_of(second))
    assert second.epoch == 1
    assert second.grad_update_counter == 0


def test_a_resumed_run_goes_on_after_the_saved_epoch(make_tiny):
    first = started(make_tiny)
    first.learn()
    second = started(make_tiny, epochs=3)
    second.load_checkpoint(1)
    assert_equal(weights_of(first), weights_of(second))
    assert (second.epoch, second.cursor.phase, second.grad_update_counter) == (1, "publish", 6)
    steps = [state["global_step"] for state in second.train_envs.pool.call("state_dict")]
    assert steps == [2 * 40] * 3
    second.learn()
    assert second.grad_update_counter == 9
    assert second.x_axis_metrics()["total_frames"] == 3 * 40 * 3


def test_a_finished_run_is_not_started_again_by_accident(make_tiny):
    first = started(make_tiny)
    first.learn()
    first.close()
    again = started(make_tiny)
    with pytest.raises(ConfigError, match=r"already finished.*load_checkpoint"):
        again.learn()


def test_epochs_may_be_run_one_by_one_with_something_in_between(make_tiny):
    """Scripts count the epochs themselves, to stop by a score of their own."""
    experiment = started(make_tiny, epochs=0)
    updates = []
    for epoch in range(3):
        experiment.epoch, experiment.epochs = epoch, epoch + 1
        experiment.learn()
        experiment.evaluate_val()
        updates.append(experiment.grad_update_counter)
    per_epoch = experiment.train_batches_per_epoch
    assert updates == [per_epoch, 2 * per_epoch, 3 * per_epoch]


def test_garbage_is_not_searched_for_in_what_stays(make_tiny):
    experiment = started(make_tiny, epochs=1)
    frozen = []
    experiment.on_interact_step = lambda obs: frozen.append(gc.get_freeze_count())
    experiment.learn()
    assert min(frozen) > 100_000  # torch alone
    assert gc.get_freeze_count() == 0  # a second experiment finds things as they were


def test_a_checkpoint_can_be_saved_by_hand_after_learning(make_tiny):
    experiment = started(make_tiny, ckpt_interval=None, epochs=1)
    experiment.learn()
    experiment.save_checkpoint()
    again = started(make_tiny, epochs=1)
    assert again.resume()
    assert_equal(weights_of(experiment), weights_of(again))


def test_two_learners_in_one_folder_are_refused(make_tiny):
    first, second = started(make_tiny), started(make_tiny)
    first.collect_new_training_data = lambda: second.learn()
    with pytest.raises(ConfigError, match="lock"):
        first.learn()


def test_collectors_fetch_what_a_learner_published(make_tiny):
    learner = started(make_tiny)
    learner.learn()
    collector = started(make_tiny, seed=3)
    collector.read_latest_policy()
    assert_equal(weights_of(learner), weights_of(collector))


def test_a_missing_latest_policy_is_a_warning(make_tiny):
    with pytest.warns(AmagoWarning, match="latest policy"):
        started(make_tiny).read_latest_policy()


def test_an_epoch_without_enough_data_is_skipped_and_said(make_tiny):
    experiment = started(make_tiny, dataset=DoNothingDataset(), epochs=1)
    with pytest.warns(AmagoWarning, match="Skipping training on epoch 0"):
        experiment.learn()
    assert experiment.grad_update_counter == 0


def test_every_wrong_setting_is_named_at_once(make_tiny):
    experiment = make_tiny(
        env_mode="asink", traj_save_len=3, batch_size=0, padded_sampling="middle"
    )
    with pytest.raises(ConfigError) as error:
        experiment.start()
    for name in ("env_mode", "did you mean 'async'", "traj_save_len", "batch_size", "padded"):
        assert name in str(error.value)


def test_test_trajectories_are_stored_where_asked(make_tiny, tmp_path):
    experiment = started(make_tiny)
    folder = tmp_path / "test-trajectories"
    metrics = experiment.evaluate_test(
        experiment.make_val_env, timesteps=60, save_trajs_to=str(folder), episodes=4
    )
    assert "Average Total Return in CartPole" in metrics
    assert len(list(Path(folder).glob("*.npz"))) >= 4


def test_worker_processes_collect_what_one_process_does(make_tiny, tmp_path):
    weights = []
    for mode in ("async", "sync"):
        # A lambda travels by value: workers then need not import this module, and with it torch.
        factory = lambda: AMAGOEnv(gym.make("CartPole-v1"), env_name="CartPole")  # noqa: E731
        experiment = started(
            make_tiny,
            root=tmp_path / mode,
            env_mode=mode,
            make_train_env=factory,
            make_val_env=factory,
        )
        experiment.learn()
        weights.append(weights_of(experiment))
    assert_equal(*weights)


def test_a_state_that_is_not_there_names_those_that_are(make_tiny):
    experiment = started(make_tiny)
    experiment.learn()
    with pytest.raises(CheckpointError, match="tiny_epoch_0, tiny_epoch_1"):
        experiment.load_checkpoint(7)


@pytest.mark.slow  # starts the real client
def test_log_to_wandb_reaches_the_real_client(make_tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    experiment = started(make_tiny, log_to_wandb=True, wandb_project="testing", epochs=1)
    experiment.learn()
    experiment.close()
    assert list((tmp_path / "tiny" / "wandb_logs").glob("wandb/offline-run-*/run-*.wandb"))


def test_every_epoch_draws_other_batches_of_the_same_files(make_tiny):
    started(make_tiny, epochs=1).learn()  # which leaves files
    experiment = started(make_tiny)

    def drawn(epoch):
        experiment.epoch = epoch
        actions = [batch.actions for batch in experiment.init_dloaders()]
        assert experiment.dataset.epoch == epoch
        return torch.cat([a.flatten() for a in actions])

    first, second, again = drawn(0), drawn(1), drawn(0)
    assert torch.equal(first, again)
    assert first.shape != second.shape or not torch.equal(first, second)
