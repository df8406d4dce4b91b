"""Every row of the table of failures in `docs/resume.md` has tests: this is the index.

Not here, with the reason: a network that is cut between machines, and a process of another machine
that dies (there is one machine); a power cut (what is flushed before a rename is tested, the disk's
own honesty is not); leaks of a user's environment, beyond a worker that the system kills; a hang in
`env_mode="sync"`, which happens in the process that would have to notice it.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "resume.md"

POOL = "unit/envs/pool/test_faults.py"
WORKERS = "unit/envs/pool/test_lost_workers.py"
TRAINING = "faults/test_training.py"
FILES = "faults/test_stored_trajectories.py"
STATES = "faults/test_checkpoints.py"
DAMAGED = "faults/test_damaged_checkpoints.py"
LOCKS = "faults/test_locks.py"
HALVES = "faults/test_separate_processes.py"
RESUME = "resume/test_resume.py"

FAULTS = {
    "the process is killed (SIGKILL, power, preemption)": (
        f"{RESUME}::test_fifty_kills_at_random_events_change_nothing",
        f"{RESUME}::test_kills_change_nothing_where_workers_step_the_environments",
        f"{STATES}::test_killed_at_any_operation_every_state_is_the_old_or_the_new_one",
        f"{STATES}::test_killed_at_random_moments_large_states_stay_whole",
    ),
    "SIGTERM, SIGUSR1": (
        f"{RESUME}::test_twenty_requests_to_stop_change_nothing",
        f"{TRAINING}::test_a_request_to_stop_saves_and_says_resume_me",
    ),
    "an environment raises": (
        f"{POOL}::test_an_exception_interrupts_its_row_only",
        f"{TRAINING}::test_an_environment_that_breaks_is_replaced_and_counted",
    ),
    "a worker dies, or does not answer within `env_timeout_s`": (
        f"{WORKERS}::test_a_lost_worker_is_replaced_and_only_its_rows_are_cut_off",
    ),
    "`max_env_failures` faults of one environment without a finished episode between them": (
        f"{POOL}::test_too_many_faults_in_a_row_are_an_error_with_the_traceback",
        f"{WORKERS}::test_workers_that_die_again_and_again_are_an_error",
    ),
    "an environment cannot be made, or its first reset fails": (
        f"{POOL}::test_the_first_reset_is_an_error_at_once",
        f"{WORKERS}::test_an_environment_that_takes_too_long_to_make_is_named",
    ),
    "NaN, infinity, a wrong shape or type from an environment": (
        f"{POOL}::test_bad_values_are_an_error",
        f"{POOL}::test_bad_values_can_cost_the_episode",
        f"{POOL}::test_numbers_that_are_not_finite_can_be_replaced",
    ),
    "shared memory cannot be had": (f"{WORKERS}::test_without_shared_memory_the_way_out_is_named",),
    "a gradient that is not finite": (
        f"{TRAINING}::test_a_batch_that_is_not_finite_changes_no_weight",
    ),
    "`max_bad_updates` of those in a row": (
        f"{TRAINING}::test_training_that_diverges_ends_and_keeps_the_evidence",
    ),
    "the disk is full while trajectories are stored": (
        f"{TRAINING}::test_old_trajectories_give_way_on_a_full_disk_and_nothing_new_is_lost",
        f"{TRAINING}::test_a_disk_that_stays_full_is_an_error_and_nothing_half_written_is_there",
        "unit/rollout/test_files.py::test_what_the_disk_refused_stays_queued_and_a_second_call_goes_on",
    ),
    "the disk is full while a checkpoint is saved": (
        f"{TRAINING}::test_a_checkpoint_that_does_not_fit_leaves_the_last_one_and_the_run_goes_on",
        f"{STATES}::test_a_disk_that_refuses_any_operation_leaves_the_old_state_and_says_so",
    ),
    "the disk is full while the record is written": (
        "unit/tracking/test_store.py::test_disk_full_is_said_once_and_rows_are_written_when_it_ends",
        "unit/tracking/test_store.py::test_rows_that_found_no_room_are_marked_as_a_gap",
    ),
    "a trajectory file is damaged, empty, or not one": (
        f"{FILES}::test_a_damaged_file_goes_to_quarantine_and_the_other_items_stay",
        f"{FILES}::test_a_file_truncated_anywhere_is_refused",
        f"{FILES}::test_too_many_damaged_files_stop_the_run",
    ),
    "a file is evicted by another process while it is read": (
        f"{FILES}::test_files_evicted_by_another_process_give_way_to_others",
        f"{FILES}::test_a_file_that_is_cut_while_it_is_trained_on_is_never_read_as_garbage",
    ),
    "a checkpoint is damaged": (
        f"{DAMAGED}::test_a_damaged_file_is_refused_by_name",
        f"{RESUME}::test_resume_takes_the_newest_state_that_is_whole_and_names_what_it_skipped",
    ),
    "the clock goes backwards": (
        f"{LOCKS}::test_a_clock_that_jumps_changes_nobody_s_lock",
        "unit/rollout/test_files.py::test_a_clock_that_steps_back_changes_no_order",
    ),
    "a second learner in the run's folder": (
        f"{LOCKS}::test_a_learner_in_another_process_is_refused_until_that_one_is_dead",
        f"{LOCKS}::test_only_learners_are_refused_where_another_learns",
    ),
    "the learner dies while collectors are alive": (
        f"{HALVES}::test_a_killed_learner_is_replaced_and_its_collectors_go_on",
    ),
    "a collector dies": (
        f"{HALVES}::test_a_collector_killed_while_it_acts_is_counted_once_and_replaced",
    ),
    "one process of several (DDP) dies": (
        f"{RESUME}::test_interrupting_one_of_two_processes_changes_nothing",
    ),
    "a folder cannot be read or written": (
        f"{TRAINING}::test_a_folder_that_cannot_be_made_is_told_before_any_environment_is",
        f"{LOCKS}::test_a_folder_that_cannot_be_written_to_is_said_and_nothing_is_left",
    ),
    "W&B cannot be reached": (
        "faults/test_wandb.py::test_a_server_that_does_not_work_when_the_run_starts",
        "faults/test_wandb.py::test_a_server_that_stops_working_while_the_run_goes_on",
        "faults/test_wandb.py::test_a_run_that_was_cut_off_is_completed_by_amago_sync",
    ),
}


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((TESTS / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_failure_on_the_page_is_in_the_index():
    table = PAGE.read_text().partition("## When something fails")[2]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if "|" in line]
    assert rows[2:] == list(FAULTS)  # after the head and the rule below it


@pytest.mark.parametrize("fault", FAULTS)
def test_every_failure_has_tests_that_exist(fault: str):
    for test in FAULTS[fault]:
        path, _, name = test.partition("::")
        assert name in functions_of(path), test
