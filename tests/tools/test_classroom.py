"""A room without internet: what is fetched, what is used, and what is handed out."""

import nbformat
import pytest

from helpers import artifacts, install
from helpers.errors import InputError
from helpers.pipeline import llama_tools, rebuild
from helpers.setup import llama_wheel, pip
from tools import classroom
from tools import handouts as handouts_tool


@pytest.fixture(scope="module")
def handouts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handouts")
    return folder, handouts_tool.handouts(folder)


def text(path) -> str:
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)


def test_every_notebook_is_handed_out_three_times(handouts):
    written = handouts[1]
    notebooks = sorted((artifacts.ROOT / "notebooks").glob("[0-9]*.ipynb"))
    assert len(written) == 3 * len(notebooks) and all(path.stat().st_size > 1000 for path in written)


def test_students_get_exercises_without_solutions(handouts):
    folder, _ = handouts
    for path in (folder / "students").iterdir():
        theirs, teachers = text(path), text(folder / "teacher" / path.name)
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") for cell in cells), "what comes out is for them to find"
        assert "<details>" not in theirs and "Solution" not in theirs and "**Exercise 1" in theirs
        assert teachers.count("<details>") == teachers.count("</details>") >= 3
        assert theirs.count("**Exercise") == teachers.count("**Exercise")
        assert "## In practice" in theirs, "what follows a solution stays"


def test_slides_have_no_solutions_and_no_setup(handouts):
    folder, _ = handouts
    for path in (folder / "slides").iterdir():
        page = path.read_text()
        assert page.count("<section") > 10 and "# @title Setup" not in page and "install.ready" not in page
        assert "<details>" not in page


def prefetched(tmp_path, monkeypatch):
    """A prefetched folder, with pip replaced by a function that notes what it was asked for."""
    asked = []
    monkeypatch.setattr(pip, "run", lambda arguments, what: asked.append(arguments))
    monkeypatch.setenv("COURSE_ARTIFACTS", str(tmp_path / "here"))
    for part in classroom.PARTS:
        (artifacts.folder() / part).mkdir(parents=True)
        (artifacts.folder() / part / "file").write_text(part)
    monkeypatch.setattr(llama_tools, "tools", lambda: None)
    monkeypatch.setattr(rebuild, "source_gguf", lambda: None)
    (tmp_path / "llama_cpp_python-0-py3-none-any.whl").touch()
    if not (tmp_path / "kept").exists():
        monkeypatch.setattr(llama_wheel, "wheel", lambda folder: tmp_path / "llama_cpp_python-0-py3-none-any.whl")
    classroom.prefetch(tmp_path / "room")
    return tmp_path / "room", asked


def test_prefetched_and_unpacked(tmp_path, monkeypatch):
    room, asked = prefetched(tmp_path, monkeypatch)
    assert all(arguments[0] == "wheel" for arguments in asked) and any("-r" in arguments for arguments in asked)
    monkeypatch.setenv("COURSE_ARTIFACTS", str(tmp_path / "there"))
    classroom.unpack(room)
    (tmp_path / "there" / "packages" / "file").unlink()
    (room / "packages" / "half.partial").touch()
    classroom.unpack(room)  # again, over a folder that lacks something
    assert not list((tmp_path / "there").rglob("*.partial"))
    for part in classroom.PARTS:
        assert (tmp_path / "there" / part / "file").read_text() == part


def test_the_build_for_a_room_is_not_for_one_processor(tmp_path, monkeypatch):
    """The wheel of llama-cpp-python is the one that runs everywhere, and what is there is not fetched again."""
    kept = tmp_path / "kept" / "llama_cpp_python-1-py3-none-any.whl"
    kept.parent.mkdir()
    kept.write_text("portable")
    monkeypatch.setattr(llama_wheel, "wheel", lambda folder: kept)
    room, _ = prefetched(tmp_path, monkeypatch)
    assert (room / "wheels" / kept.name).read_text() == "portable"
    monkeypatch.setattr(llama_wheel, "wheel", lambda folder: pytest.fail("fetched again"))
    classroom.prefetch(room)


def test_unpacking_something_else(tmp_path):
    with pytest.raises(InputError, match=r"has no llama.cpp, packages, wheels.*make prefetch"):
        classroom.unpack(tmp_path)


def test_installing_from_a_folder_asks_no_index(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(pip, "run", lambda arguments, what: asked.append(arguments))
    with pytest.raises(install.InstallError, match="no wheels"):
        install.everything(tmp_path)
    (tmp_path / "numpy-2.1.3-py3-none-any.whl").touch()
    install.everything(tmp_path)
    (arguments,) = asked
    assert "--no-index" in arguments and str(tmp_path) in arguments
