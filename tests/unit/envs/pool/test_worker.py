"""A worker ends with the process that it works for, and with nobody else."""

import multiprocessing
import os

import pytest

from amago.envs.pool import worker


class Parent:
    """Lives for some checks; `pid` is its own."""

    def __init__(self, pid: int, checks: int) -> None:
        self.pid = pid
        self.checks = checks

    def is_alive(self) -> bool:
        self.checks -= 1
        return self.checks >= 0

    def join(self, timeout: float) -> None:
        pass


class Ended(Exception):
    pass


@pytest.fixture
def ends_after(monkeypatch):
    """A function: a parent, and our parent's number at each look -> checks left at the end."""

    def run(parent, parent_ids):
        looks = iter(parent_ids)

        def end(code):
            raise Ended

        monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
        monkeypatch.setattr(os, "getppid", lambda: next(looks, parent_ids[-1]))
        monkeypatch.setattr(os, "_exit", end)
        with pytest.raises(Ended):
            worker._exit_with_parent()
        return parent.checks

    return run


def test_it_ends_when_its_parent_is_gone(ends_after):
    assert ends_after(Parent(pid=7, checks=3), [7]) == -1


def test_a_child_ends_when_it_is_left_to_another_process(ends_after):
    """Where siblings hold the parent's pipe open, its end shows in this way only."""
    assert ends_after(Parent(pid=7, checks=100), [7, 7, 7, 1]) > 90


def test_it_outlives_the_fork_server_that_made_it(ends_after):
    assert ends_after(Parent(pid=7, checks=5), [55, 55, 1]) == -1
