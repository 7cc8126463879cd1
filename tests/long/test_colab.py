"""The parts of the Colab rehearsal (colab.py), without its environment: stamping, cloning, secrets, comparing."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import distributions

import colab
import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers import artifacts
from helpers.setup import llama_wheel, packages, places
from tools.execute import find

NOTEBOOKS = find(["all"])
COLAB = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in colab.PREINSTALLED}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The working tree as it would be on GitHub."""
    return colab.lay_down(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def surroundings(repository, tmp_path):
    """Colab's environment, with the stand-in for its module on the path of this Python."""
    colab.stand_in(tmp_path / "packages", tmp_path)
    return colab.environment(repository, tmp_path)


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "content").mkdir()
    return tmp_path / "content"


def python(code: str, folder, surroundings) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=surroundings, capture_output=True, text=True)


# Stamping and cloning


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name[:2])
def test_a_stamped_notebook_knows_its_repository(repository, path):
    stamped = repository / "notebooks" / path.name
    assert "OWNER/REPO" not in stamped.read_text()
    name = colab.address().removeprefix("https://github.com/")
    assert f'REPO, VERSION = "{name}", "{colab.VERSION}"' in colab.first_cell(stamped)
    assert f"{name}/blob/{colab.VERSION}/notebooks/{path.name}" in stamped.read_text()
    cells, ours = (json.loads(p.read_text())["cells"] for p in (stamped, path))
    assert len(cells) == len(ours), "stamping changes nothing else"


def test_the_address_leads_to_the_working_tree(repository, surroundings, empty):
    clone = ["git", "clone", "--quiet", "--depth", "1", "--branch", colab.VERSION, colab.address(), "course"]
    subprocess.run(clone, cwd=empty, env=surroundings, check=True)
    for name in ("helpers/pipeline/convert.py", "constraints.txt", "data/story/model.safetensors"):
        assert artifacts.sha256(empty / "course" / name) == artifacts.sha256(artifacts.ROOT / name), name


def test_an_unstamped_copy_says_so_and_leaves_nothing(surroundings, empty):
    if not places.REPO.startswith("OWNER/"):
        pytest.skip("this copy is stamped")
    done = python(colab.first_cell(NOTEBOOKS[0]), empty, surroundings)
    assert "RuntimeError: The course's files are not here" in done.stderr
    assert "Open the notebook from the repository's own page" in done.stderr
    assert not list(empty.iterdir())


def test_a_stamped_setup_cell_works_in_an_empty_folder(repository, surroundings, empty):
    """With this Python, in which nothing is missing."""
    code = colab.first_cell(repository / "notebooks" / NOTEBOOKS[0].name)
    code += "\nfrom helpers.setup import places\nprint(places.ROOT.name, places.on_colab())"
    done = python(code, empty, surroundings)
    assert done.stdout.split() == [colab.address().split("/")[-1], "True"], done.stderr


# Too slow is no fault


def test_a_cell_that_is_not_finished_in_time_is_told_from_one_that_fails(tmp_path):
    for code, slow in (("import time; time.sleep(60)", True), ("1 / 0", False)):
        cell = nbformat.v4.new_code_cell(code)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
        command = [sys.executable, "-c", colab.EXECUTE, "a.ipynb", "2"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode and bool(colab.why_slow(done.stderr)) == slow, done.stderr
    assert "idle machine" in colab.why_slow("TOO SLOW")


# Secrets


def test_a_notebook_without_secrets(surroundings, tmp_path):
    code = """
import sys
sys.path[:0] = sys.argv[1:]  # google is a namespace: the stand-in lies beside the google of protobuf, as on Colab
import google.colab
from helpers.pipeline import hub
from helpers.pipeline.hub import tokens
from helpers.setup import places
print(places.on_colab(), tokens._vault_token(), hub.find_token())
google.colab.userdata.get("HF_TOKEN")
"""
    command = [sys.executable, "-c", code, str(tmp_path / "packages"), str(artifacts.ROOT)]
    surroundings |= {"HF_TOKEN_PATH": os.devnull}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "None", "None"], done.stderr
    assert "SecretNotFoundError: Secret HF_TOKEN does not exist." in done.stderr


def test_nothing_of_this_machine_is_passed_on(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "COURSE_ARTIFACTS", "LLAMA_CPP_DIR", "PYTHONPATH", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "ours")
    assert "ours" not in colab.environment(tmp_path, tmp_path).values()


# Packages


def test_colabs_versions_are_within_the_ranges():
    for line in (artifacts.ROOT / "requirements.txt").read_text().splitlines():
        if re.match(r"\w", line) and (requirement := Requirement(line)).name in COLAB:
            assert requirement.specifier.contains(COLAB[canonicalize_name(requirement.name)]), line


def test_what_colab_lacks_is_little():
    """A new import of the notebooks that Colab lacks costs every reader time: look whether it is worth it."""
    lacking = {package for package in packages.IMPORTS.values() if canonicalize_name(package) not in COLAB}
    expected = {"torch", "gguf", llama_wheel.LLAMA, "pydantic-settings", "sse-starlette", "starlette-context"}
    assert lacking == expected, "torch is installed apart"


def test_added_and_moved_packages_are_told_apart():
    before = {"numpy==2.1.3", "MarkupSafe==3.0.3", "torch==2.11.0+cpu"}
    after = {"numpy==2.1.3", "markupsafe==2.0.1", "gguf==0.19.0", "torch==2.11.0+cpu"}
    assert colab.differences(before, after) == (["gguf==0.19.0"], ["MarkupSafe==3.0.3"])
    assert colab.differences(before, before) == ([], [])


def test_packages_in_the_shadow_are_not_pinned(monkeypatch, tmp_path):
    """On Colab the packages of Ubuntu's Python lie last on the path; pinning one would downgrade the one in use."""
    used = next(d for d in distributions() if canonicalize_name(d.metadata["Name"]) == "markupsafe")
    record = tmp_path / "MarkupSafe-2.0.1.dist-info" / "METADATA"
    record.parent.mkdir()
    record.write_text("Metadata-Version: 2.1\nName: MarkupSafe\nVersion: 2.0.1\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    pins = [line.split("==")[1] for line in packages.frozen([]) if line.lower().startswith("markupsafe==")]
    assert pins == [used.version]
