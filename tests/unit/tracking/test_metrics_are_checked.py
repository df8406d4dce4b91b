"""Where each declared metric is compared with a computation of its own.

The tests are in folders of `tests/`; a name here that is no test of theirs, or a metric without
one, fails.
"""

import re
from pathlib import Path

import pytest

from amago.tracking.metrics import all_metrics

TESTS = Path(__file__).resolve().parents[2]

EPISODES = "property/test_metrics.py::test_every_metric_is_what_a_plain_computation_gives"
REFERENCE = "unit/agent/test_diagnostics_reference.py::"
DISK = "unit/loading/test_disk.py::"
MIXTURE = "unit/loading/test_mixture.py::"
DAMAGE = "unit/loading/test_damage.py::"
LEARNER = "unit/training/test_learner.py::"
SYSTEM = "unit/tracking/test_system.py::"
EVALUATION = "unit/experiment/test_evaluation_metrics.py::"
VALUES = "test_values_are_shown_in_returns_and_on_the_raw_scale"

CHECKED_BY = {
    # pattern of declared names: the test
    r"(test|val)/Average .*|(test|val)/Bottom .*": EPISODES,
    r"(test|val)_episodes/.*": EVALUATION + "test_beside_val_there_is_the_mean_over_episodes",
    r"val/Env FPS.*": EVALUATION + "test_the_speed_is_steps_of_all_environments_in_a_second",
    r"dataset/[^{]*(Protected).*": DISK + "test_protected_files_are_sampled_and_never_deleted",
    r"dataset/[^{]*(Deleted).*": DISK + "test_the_oldest_files_go_even_if_the_clock_steps_back",
    r"dataset/[^{]*(FIFO|Total|Disk Space).*": DISK + "test_metrics_count_files_and_gigabytes",
    r"dataset/.*Quarantined": DAMAGE
    + "test_metrics_tell_what_was_damaged_or_gone_since_the_last_ones",
    r"dataset/.*Gone While Reading": DAMAGE
    + "test_metrics_tell_what_was_damaged_or_gone_since_the_last_ones",
    r"dataset/Collector.*": "unit/experiment/test_collecting.py::"
    "test_staleness_is_how_many_publications_the_slowest_live_collector_is_behind",
    r"dataset/Environment Faults": "faults/test_training.py::"
    "test_an_environment_that_breaks_is_replaced_and_counted",
    r"dataset/{dataset} (Traj|Total|Buffer|Current|Normal).*": MIXTURE
    + "test_metrics_of_members_carry_their_names",
    r"dataset/{dataset} Empirical.*": MIXTURE + "test_metrics_of_members_carry_their_names",
    r"total_frames|Epoch|gradient_steps": "unit/experiment/test_axes.py::"
    "test_a_resumed_run_goes_on_with_every_axis",
    r"total_frames-.*": "unit/experiment/test_axes.py::"
    "test_frames_of_several_names_add_up_to_all_frames",
    r"train/(Loss|Actor Loss|Critic Loss)": REFERENCE
    + "test_losses_are_means_over_valid_transitions",
    r"train/Learning Rate": LEARNER + "test_log_steps_add_the_rate_and_the_norm_after_clipping",
    r"train/Skipped Updates": LEARNER
    + "test_log_steps_say_how_many_updates_were_skipped_if_any_were",
    r"train/.* Grad Norm": REFERENCE + "test_gradient_norms_are_root_sums_of_squares",
    r"train/(Sequence|Batch|Unmasked|Mean R|Min R|Max R).*": REFERENCE
    + "test_sizes_and_rewards_are_those_of_the_batch",
    r"train/Q\(.*": REFERENCE + VALUES,
    r"train/(Min |Max |)TD Target.*|train/PopArt .*": REFERENCE
    + "test_targets_and_their_running_statistics",
    r"train/Maximum Bin.*": REFERENCE
    + "test_histograms_count_the_likeliest_bin_of_every_valid_prediction",
    r"train/Policy (Per|Overall).*": REFERENCE
    + "test_discrete_policies_show_entropy_and_extreme_probabilities",
    r"train/Policy Entropy.*": REFERENCE
    + "test_the_entropy_of_a_continuous_policy_is_estimated_from_one_action",
    r"train/.* Action Logprob": REFERENCE
    + "test_log_probabilities_are_those_of_the_stored_actions",
    r"train/(Filter|Pct).*": REFERENCE
    + "test_filter_statistics_are_of_the_weights_of_valid_transitions",
    r"train/activation-.*": "unit/nets/test_utils.py::test_activation_log_has_four_statistics",
    r"System/GPU .*": SYSTEM + "test_gpus_are_sampled_and_what_one_does_not_report_is_left_out",
    r"System/(Disk Read|Disk Written|Network).*": SYSTEM
    + "test_rates_are_bytes_over_the_time_between_samples",
    r"System/(CPU|RAM|Process|Disk Free).*": SYSTEM
    + "test_sizes_are_in_gigabytes_and_loads_in_percent",
}


@pytest.mark.parametrize("metric", all_metrics(), ids=lambda metric: metric.name)
def test_a_declared_metric_is_compared_with_a_computation_of_its_own(metric):
    assert [p for p in CHECKED_BY if re.fullmatch(p, metric.name)]


@pytest.mark.parametrize("test", sorted(set(CHECKED_BY.values())))
def test_the_test_that_is_named_exists(test):
    path, _, name = test.partition("::")
    assert f"def {name}(" in (TESTS / path).read_text(encoding="utf-8")
