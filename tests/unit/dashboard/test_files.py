import os
from urllib.parse import unquote

import pytest

from amago.dashboard.files import headers_for, list_files, open_inside, tail
from amago.dashboard.requests import RequestError


@pytest.fixture
def folder(tmp_path):
    run = tmp_path / "run"
    (run / "tracking" / "media").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    (run / "tracking" / "learner.log").write_text("one\ntwo\nthree\n")
    (run / "tracking" / "media" / "a b.png").write_bytes(b"\x89PNG")
    (tmp_path / "outside.txt").write_text("outside")
    return run


def read(folder, path):
    with open_inside(folder, path).stream as stream:
        return stream.read()


def test_files_of_the_run_are_listed_and_read(folder):
    paths = [entry["path"] for entry in list_files(folder)]
    assert paths == ["config.json", "tracking/learner.log", "tracking/media/a b.png"]
    assert [read(folder, path) for path in paths] == [b"{}", b"one\ntwo\nthree\n", b"\x89PNG"]


@pytest.mark.parametrize(
    "path",
    [
        *("../outside.txt", "tracking/../../outside.txt", "..", ".", "", "/etc/passwd"),
        *("//etc/passwd", "tracking//learner.log", "./config.json", "tracking/./learner.log"),
        *("config.json/", "config.json\0", "tracking", "tracking/", "..%2foutside.txt"),
        *("missing", "x" * 5000, "/".join(["a"] * 1000), "config.json/x", "\udcff", "a\\..\\b"),
    ],
)
def test_no_path_leads_out_of_the_folder_or_to_something_that_is_no_file(folder, path):
    with pytest.raises(RequestError) as caught:
        open_inside(folder, path)
    assert caught.value.status == 404


def test_links_are_neither_followed_nor_listed(folder):
    (folder / "link").symlink_to("../outside.txt")
    (folder / "inner").symlink_to("config.json")
    (folder / "up").symlink_to("..")
    (folder / "tracking" / "root").symlink_to("/")
    for path in ("link", "inner", "up/outside.txt", "tracking/root/etc/passwd"):
        with pytest.raises(RequestError):
            open_inside(folder, path)
    assert len(list_files(folder)) == 3


def test_locks_temporary_files_and_pipes_are_hidden(folder):
    for name in ("learner.lock", ".tmp-1-host-aa", ".git", "tracking.db-wal"):
        (folder / name).write_text("x")
        with pytest.raises(RequestError):
            open_inside(folder, name)
    os.mkfifo(folder / "pipe")
    with pytest.raises(RequestError):
        open_inside(folder, "pipe")  # and does not wait for somebody to write into it
    assert len(list_files(folder)) == 3


def test_a_folder_of_very_many_files_does_not_hide_the_others(folder, monkeypatch):
    monkeypatch.setattr("amago.dashboard.files._MOST_IN_A_FOLDER", 5)
    (folder / "buffer").mkdir()
    for i in range(9):
        (folder / "buffer" / f"{i}.npz").touch()
    paths = [str(entry["path"]) for entry in list_files(folder)]
    assert sum(path.startswith("buffer/") for path in paths) == 5
    assert "tracking/learner.log" in paths


def test_the_end_of_a_log_begins_with_a_whole_line(folder):
    assert tail(folder, "tracking/learner.log", 10) == ("three\n", 14)
    assert tail(folder, "tracking/learner.log", 14) == ("one\ntwo\nthree\n", 14)
    (folder / "tracking" / "learner.log").write_bytes(b"\xff\xfe\nok\n")
    assert tail(folder, "tracking/learner.log", 100)[0].endswith("ok\n")


def headers(folder, name):
    (folder / name).write_bytes(b"x")
    opened = open_inside(folder, name)
    opened.stream.close()
    return headers_for(opened)


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.js", "a.png.html", "a", "a.xml", "a.pdf"])
def test_what_a_browser_could_run_is_a_download(folder, name):
    found = headers(folder, name)
    assert found["Content-Type"] == "application/octet-stream"
    assert found["Content-Disposition"].startswith("attachment")


def test_a_picture_is_shown(folder):
    found = headers(folder, "a.PNG")
    assert (found["Content-Type"], found["Content-Disposition"]) == ("image/png", "inline")


@pytest.mark.parametrize("name", ['a"; filename="evil.exe', "a\r\nSet-Cookie: x=1", "ü;,\u202egnp"])
def test_a_hostile_name_stays_inside_its_header(folder, name):
    value = headers(folder, name)["Content-Disposition"]
    assert "\r" not in value
    assert "\n" not in value
    assert value.isascii()
    plain, encoded = value.removeprefix("attachment; filename=").split("; filename*=UTF-8''")
    assert plain.count('"') == 2
    assert unquote(encoded) == name
