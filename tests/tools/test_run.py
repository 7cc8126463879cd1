"""Notebooks are found, run, cleaned and stamped."""

import json
import subprocess
import sys

import nbformat
import pytest

from helpers import artifacts
from helpers.errors import InputError
from helpers.setup import places
from tools import execute, run, stamp


def test_find_knows_numbers_and_groups():
    assert [path.name[:2] for path in execute.find(["main"])] == ["00", "04", "05", "06", "07"]
    assert len(execute.find(["all"])) == len(list(execute.FOLDER.glob("[0-9]*.ipynb")))
    with pytest.raises(InputError, match="no notebook 99"):
        execute.find(["99"])


def test_clean_strips_what_must_not_be_committed():
    cell = nbformat.v4.new_code_cell("x")
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="50%"),
        nbformat.v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}}),
        nbformat.v4.new_output("stream", name="stdout", text="kept"),
    ]
    cell.metadata["execution"] = {"iopub.status.busy": "2026-01-01"}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})
    execute.clean(notebook)
    assert [output.text for output in cell.outputs] == ["kept"]
    assert "execution" not in cell.metadata and "widgets" not in notebook.metadata


def test_a_failing_notebook_is_reported(tmp_path, monkeypatch, capsys):
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("raise ValueError('on purpose')")])
    nbformat.write(broken, tmp_path / "99_broken.ipynb")
    monkeypatch.setattr(execute, "FOLDER", tmp_path)
    monkeypatch.setattr(run, "BUILD", tmp_path / "build")
    assert run.run(["99"], "story") == 1
    printed = capsys.readouterr()
    assert "FAILED" in printed.out and "on purpose" in printed.err
    assert "failed" in (tmp_path / "build" / "index.html").read_text()


def test_stamp_changes_every_place_and_can_be_repeated(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_a.ipynb").write_text(json.dumps({"x": 'REPO, VERSION = "OWNER/REPO", "main"'}))
    (tmp_path / "README.md").write_text("https://github.com/OWNER/REPO/blob/main/a.ipynb of main")
    (tmp_path / "CITATION.cff").write_text("none")
    (tmp_path / ".github" / "ISSUE_TEMPLATE").mkdir(parents=True)
    (tmp_path / ".github" / "ISSUE_TEMPLATE" / "failure.md").write_text("see https://github.com/OWNER/REPO/docs")
    (tmp_path / "places.py").write_text('REPO, VERSION = "OWNER/REPO", "main"')
    monkeypatch.setattr(stamp, "ROOT", tmp_path)
    monkeypatch.setattr(places, "__file__", str(tmp_path / "places.py"))
    monkeypatch.setattr(places, "REPO", "OWNER/REPO")
    changed = {path.name for path in stamp.stamp("ada/course")}
    assert changed == {"01_a.ipynb", "README.md", "failure.md", "places.py"}
    assert "ada/course" in (tmp_path / "README.md").read_text()
    monkeypatch.setattr(places, "REPO", "ada/course")
    assert {path.name for path in stamp.stamp("ada/course", "v2.0.0")} == {"01_a.ipynb", "README.md", "places.py"}
    assert (tmp_path / "README.md").read_text() == "https://github.com/ada/course/blob/v2.0.0/a.ipynb of main"
    assert (tmp_path / "places.py").read_text() == 'REPO, VERSION = "ada/course", "v2.0.0"'
    cell = json.loads((tmp_path / "notebooks" / "01_a.ipynb").read_text())["x"]
    assert cell == 'REPO, VERSION = "ada/course", "v2.0.0"'
    monkeypatch.setattr(places, "VERSION", "v2.0.0")
    assert stamp.stamp("ada/course", "v2.0.0") == [], "the same again changes nothing"
    assert len(stamp.stamp("ada/course", "main")) == 3, "and back, when work goes on"
    for address, version in (("not an address", "main"), ("ada/course", "no version"), ("ada/course", "--force")):
        with pytest.raises(InputError, match=r"owner/name|as v2.0.0"):
            stamp.stamp(address, version)


def test_a_cell_that_never_ends_is_a_failed_notebook(tmp_path):
    """Not a traceback of `make run`, which has other notebooks to run."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import time; time.sleep(60)")])
    nbformat.write(notebook, tmp_path / "slow.ipynb")
    executed, error = execute.execute(tmp_path / "slow.ipynb", {}, seconds_a_cell=2)
    assert "timed out" in str(error) and len(executed.cells) == 1


def test_command_line_errors_are_one_sentence_not_a_traceback():
    done = subprocess.run([sys.executable, "-m", "tools.run", "77"], cwd=artifacts.ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "no notebook 77" in done.stderr and "Traceback" not in done.stderr
