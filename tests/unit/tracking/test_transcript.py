"""What a run printed, beside its record."""

import io
import subprocess
import sys

import pytest

from amago.tracking.transcript import Transcript


@pytest.fixture
def transcript(tmp_path):
    made = Transcript(tmp_path / "tracking" / "learner.log")
    yield made
    made.end()


def replaced(monkeypatch, name: str = "stdout") -> io.StringIO:
    """Not a fixture: pytest puts its own streams in place between a test's set-up and its call."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, name, stream)
    return stream


def test_lines_go_to_the_screen_and_into_the_file(transcript, monkeypatch):
    screen = replaced(monkeypatch)
    transcript.begin(before=["said before"])
    sys.stdout.write("one\ntw")
    sys.stdout.write("o\n")
    sys.stdout.writelines(["three\n"])
    assert screen.getvalue() == "one\ntwo\nthree\n"
    assert transcript.path.read_text() == "said before\none\ntwo\nthree\n"


def test_of_a_progress_bar_the_last_state_is_kept_without_colour(transcript, monkeypatch):
    replaced(monkeypatch)
    transcript.begin()
    sys.stdout.write("\r 10%\r\x1b[32m 50%\x1b[0m\r100%\nnext\n")
    assert transcript.path.read_text() == "100%\nnext\n"


def test_errors_are_in_it(transcript, monkeypatch):
    replaced(monkeypatch, "stderr")
    transcript.begin()
    sys.stderr.write("a warning\n")
    transcript.end()
    assert transcript.path.read_text() == "a warning\n"


def test_after_the_end_nothing_is_copied_and_the_streams_are_as_they_were(transcript, monkeypatch):
    screen = replaced(monkeypatch)
    transcript.begin()
    sys.stdout.write("unfinished")
    transcript.end()
    assert sys.stdout is screen
    sys.stdout.write("later\n")
    assert transcript.path.read_text() == "unfinished\n"


def test_one_that_somebody_wrapped_stops_too(transcript, monkeypatch):
    replaced(monkeypatch)
    transcript.begin()
    held = replaced(monkeypatch)
    transcript.end()
    assert sys.stdout is held


def test_another_run_of_the_same_script_has_its_own_part(transcript, tmp_path, monkeypatch):
    replaced(monkeypatch)
    transcript.begin()
    other = Transcript(tmp_path / "other.log")
    other.begin()
    sys.stdout.write("of the other\n")
    other.end()
    assert not transcript.path.exists()
    assert other.path.read_text() == "of the other\n"


def test_a_disk_that_cannot_be_written_costs_only_the_transcript(tmp_path, monkeypatch):
    screen = replaced(monkeypatch)
    (tmp_path / "file").write_text("")
    made = Transcript(tmp_path / "file" / "learner.log")
    made.begin()
    sys.stdout.write("still here\n")
    made.end()
    assert screen.getvalue() == "still here\n"


def test_the_traceback_of_a_crash_is_in_it(tmp_path):
    code = (
        "import sys; from pathlib import Path; from amago.tracking.transcript import Transcript\n"
        "Transcript(Path(sys.argv[1])).begin()\n"
        "raise RuntimeError('the reason')\n"
    )
    file = tmp_path / "learner.log"
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, check=False)
    assert done.returncode == 1
    assert file.read_text().endswith("RuntimeError: the reason\n")
