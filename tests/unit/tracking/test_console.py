import io
import re

import pytest

from amago.tracking.console import Console


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.delenv("NO_COLOR", raising=False)


def text_of(act, stream=None, verbose=True, clock=None):
    stream = io.StringIO() if stream is None else stream
    options = {"clock": clock} if clock else {}
    act(Console(verbose, stream, **options))
    return stream.getvalue()


def test_the_summary_is_aligned_and_fits_80_columns():
    facts = {"Agent": "Agent", "Max sequence length": 128, "Dataset": "word " * 40, "Empty": ""}
    text = text_of(lambda console: console.summary("AMAGO v4.0.0", facts))
    lines = text.splitlines()
    assert lines[1:3] == ["AMAGO v4.0.0", "─" * 12]
    assert "  Agent                Agent" in lines
    assert "  Max sequence length  128" in lines
    assert max(map(len, lines)) <= 80


def test_a_long_path_stays_in_one_piece():
    path = "/data/" + "x" * 120
    assert path in text_of(lambda console: console.summary("t", {"Checkpoints": path}))


def test_evaluation_lines_are_those_of_the_manual():
    def act(console):
        console.evaluation(1.5, fps=200.0)
        console.test(2.5)

    assert text_of(act).splitlines() == [
        *("Average Return : 1.5", "Env FPS : 200", "Test Average Return : 2.5")
    ]


def test_not_verbose_leaves_only_trouble():
    def act(console):
        console.summary("title", {"a": 1})
        console.evaluation(1.0, 2.0)
        console.line("text")
        with console.progress(10, "Env Interaction") as progress:
            progress.update(10)
        console.warn("w")
        console.error("e")

    assert text_of(act, verbose=False) == "Warning: w\nError: e\n"
    assert "Warning" in text_of(act, Terminal(), verbose=False)


def test_trouble_is_red_on_a_terminal_unless_no_color(monkeypatch):
    assert text_of(lambda c: c.error("x"), Terminal()) == "\x1b[31mError: x\x1b[0m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert text_of(lambda c: c.error("x"), Terminal()) == "Error: x\n"


def work(console, total=100):
    with console.progress(total, "Env Interaction", colour="yellow") as progress:
        for _ in range(total):
            progress.update()


def test_a_terminal_shows_a_bar_that_fits_80_columns():
    def act(console):
        with console.progress(1000, f"{'long' * 20} Epoch 12 Train", colour="green") as progress:
            progress.update(1000)

    text = text_of(act, Terminal())
    assert "\x1b[32m" in text  # green
    frames = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\n", "\r").split("\r")
    assert max(map(len, frames)) <= 80
    assert any("Epoch 12 Train: 100%|" in frame and "1000/1000" in frame for frame in frames)


def test_a_bar_has_no_colour_where_that_is_not_wanted(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[33m" not in text_of(work, Terminal())


def test_a_log_file_gets_a_line_every_ten_seconds_and_one_at_the_end():
    clock = Clock()

    def act(console):
        with console.progress(100, "Env Interaction") as progress:
            for _ in range(100):
                clock.now += 0.25
                progress.update()

    assert text_of(act, clock=clock).splitlines() == [
        "Env Interaction:  40%  40/100  4 steps/s  00:15 left",
        "Env Interaction:  80%  80/100  4 steps/s  00:05 left",
        "Env Interaction: 100%  100/100  4 steps/s  took 00:25",
    ]


def test_an_unfinished_progress_says_how_far_it_got():
    def act(console):
        with console.progress(8, "x") as progress:
            progress.update(4)

    assert text_of(act).startswith("x:  50%  4/8  ")


def test_a_line_is_not_mixed_into_a_bar():
    def act(console):
        with console.progress(10, "Env Interaction") as progress:
            progress.update(5)
            console.line("between")

    lines = text_of(act, Terminal()).replace("\n", "\r").split("\r")
    assert "between" in lines


def test_a_name_the_terminal_cannot_show_does_not_end_the_run():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(True, stream).line("ä \ud800")
    stream.flush()
    assert stream.buffer.getvalue() == b"? ?\n"  # pyright: ignore[reportAttributeAccessIssue]


def test_standard_output_is_looked_up_when_writing(capsys):
    Console(True).line("hello")
    assert capsys.readouterr().out == "hello\n"
