"""Files arrive whole or not at all."""

import os
import threading
import time

import pytest

from helpers import artifacts


def test_a_finished_file_gets_its_name(tmp_path):
    with artifacts.making(tmp_path / "a" / "f.txt") as temporary:
        temporary.write_text("x")
        assert not (tmp_path / "a" / "f.txt").exists()
    assert (tmp_path / "a" / "f.txt").read_text() == "x" and not list(tmp_path.rglob("*.partial"))


def test_a_failed_file_leaves_nothing_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "f.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), artifacts.making(path) as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and not list(tmp_path.rglob("*.partial"))


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "d"
    path.mkdir()
    (path / "old").write_text("")
    with artifacts.making(path) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("")
    assert [p.name for p in path.iterdir()] == ["new"]


def test_what_a_killed_process_left_is_replaced(tmp_path):
    (tmp_path / "f.txt.0123abcd.partial").write_text("half")
    with artifacts.making(tmp_path / "f.txt") as temporary:
        assert not temporary.exists()
        temporary.write_text("whole")
    assert (tmp_path / "f.txt").read_text() == "whole" and not list(tmp_path.glob("*.partial"))


def test_an_abandoned_converter_cannot_write_into_the_next_run(tmp_path):
    """Its notebook was killed, it lives on, and opens its file late: then it must not be the new run's file."""
    with pytest.raises(KeyboardInterrupt), artifacts.making(tmp_path / "f.txt") as abandoned:
        raise KeyboardInterrupt
    with artifacts.making(tmp_path / "f.txt") as temporary:
        temporary.write_text("whole")
        abandoned.write_text("from the past")
    assert (tmp_path / "f.txt").read_text() == "whole"


def test_two_notebooks_do_not_make_the_same_file_at_once(tmp_path):
    order = []

    def make(name):
        with artifacts.making(tmp_path / "f.txt") as temporary:
            order.append(f"{name} in")
            time.sleep(0.1)
            temporary.write_text(name)
            order.append(f"{name} out")

    threads = [threading.Thread(target=make, args=(name,)) for name in "ab"]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert order[1].endswith("out") and order[0][0] == order[1][0]


def test_is_current_follows_the_rule_of_make(tmp_path):

    source, target = tmp_path / "s", tmp_path / "t"
    source.write_text("")
    assert not artifacts.is_current(target, source)
    target.write_text("")
    os.utime(source, (1, 1))
    assert artifacts.is_current(target, source)
    os.utime(target, (0, 0))
    assert not artifacts.is_current(target, source)


@pytest.mark.parametrize(
    "size, text", [(2_200_119_864, "2.20 GB"), (999_999_999, "1.00 GB"), (98_362_432, "98.4 MB"), (1234, "1 kB")]
)
def test_sizes_in_words(size, text):
    assert artifacts.size_text(size) == text


def test_a_relative_folder_is_the_same_from_everywhere(tmp_path, monkeypatch):
    """Notebooks run in notebooks/, the table of `make run` in the folder above."""
    monkeypatch.setattr(artifacts, "ROOT", tmp_path / "course")
    monkeypatch.setenv("COURSE_ARTIFACTS", "work")
    monkeypatch.chdir(tmp_path)
    assert artifacts.folder("gguf") == tmp_path / "course" / "work" / "gguf"


def test_who_waited_finds_the_work_done(tmp_path):
    path, made = tmp_path / "f.txt", []

    def make(name):
        with artifacts.locked(path):
            if not path.exists():
                with artifacts.making(path) as temporary:  # the same lock again, in the same thread
                    time.sleep(0.1)
                    temporary.write_text(name)
                    made.append(name)

    threads = [threading.Thread(target=make, args=(name,)) for name in "ab"]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(made) == 1 and path.read_text() == made[0]
