"""Files arrive whole or not at all."""

import os
import re
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


def test_a_note_names_a_recipe_and_the_state_of_its_files(tmp_path):
    path = tmp_path / "a.gguf"
    assert artifacts.Note.read(path, "so") is None
    path.write_bytes(b"12345")
    artifacts.Note.write(path, "so", remarks=["odd"])
    assert artifacts.Note.read(path, "so") == artifacts.Note(path, "so", (path,), ("odd",))
    assert artifacts.Note.read(path, "otherwise") is None
    path.write_bytes(b"1234")
    assert artifacts.Note.read(path, "so") is None, "cut"
    path.write_bytes(b"54321")
    os.utime(path, (1, 1))
    assert artifacts.Note.read(path, "so") is None, "another file"
    artifacts.Note.write(path, "so")
    artifacts.Note.forget(path)
    assert artifacts.Note.read(path, "so") is None


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", "1234567", '{"recipe": "so", "files": 7, "remarks": []}'])
def test_a_damaged_note_vouches_for_nothing(tmp_path, damage):
    (tmp_path / "a").write_text("")
    artifacts.Note.write(tmp_path / "a", "so")
    (tmp_path / ".a.source").write_text(damage)
    assert artifacts.Note.read(tmp_path / "a", "so") is None


def test_a_stamp_changes_with_name_date_and_content(tmp_path):
    path = tmp_path / "s"
    path.write_bytes(bytes(10))
    os.utime(path, (5, 5))
    stamps = [artifacts.stamp(tmp_path)]
    os.utime(path, (1, 1))  # older than before
    stamps.append(artifacts.stamp(tmp_path))
    path.write_bytes(bytes(9) + b"1")  # of the same size and date
    os.utime(path, (1, 1))
    stamps.append(artifacts.stamp(tmp_path))
    path.rename(tmp_path / "t")
    stamps.append(artifacts.stamp(tmp_path))
    (tmp_path / ".hidden").write_text("")
    assert len(set(stamps)) == 4 and artifacts.stamp(tmp_path) == stamps[-1] == artifacts.stamp(tmp_path / "t")


def test_a_large_file_is_stamped_by_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "WHOLE", 1000)
    path, stamps = tmp_path / "large", set()
    for fill in (b"a", b"b"):
        path.write_bytes(fill * 3_000_000)
        os.utime(path, (1, 1))
        stamps.add(artifacts.stamp(path))
    data = bytearray(path.read_bytes())
    data[-1] = 0
    path.write_bytes(data)
    os.utime(path, (1, 1))
    assert len(stamps | {artifacts.stamp(path)}) == 3


def test_keys_of_the_courses_own_models_are_short(elsewhere):
    assert artifacts.key(artifacts.ROOT / "data" / "story") == "story"
    for name in ("smollm2", "ada--Tiny-Chat--0123abcd"):
        assert artifacts.key(artifacts.folder("models", name)) == name


@pytest.mark.parametrize(
    "name", ["model", "modèle", "模型", "a b {c}", "-F16", "...x", "n" * 200, "con:", "story", "smollm2"]
)
def test_a_key_is_a_name_for_any_system_and_for_one_folder(tmp_path, name):
    folders = [tmp_path / part / name for part in ("a", "b")]
    [folder.mkdir(parents=True) for folder in folders]
    keys = [artifacts.key(folder) for folder in folders]
    assert keys[0] != keys[1]
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{6}", key) and len(key) < 80 for key in keys)
    assert artifacts.key(str(folders[0])) == keys[0]


def test_a_key_does_not_depend_on_how_the_path_is_written(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "model")
    monkeypatch.chdir(tmp_path / "model")
    assert len({artifacts.key(path) for path in (".", "../model", tmp_path / "model", tmp_path / "link")}) == 1
    assert artifacts.key("/").startswith("model-")


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
