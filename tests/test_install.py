"""Installing: fall-backs, messages, and never moving what is there."""

import re
import subprocess
import sys

import pytest

from helpers import artifacts, install
from helpers.errors import InstallError
from helpers.setup import llama_wheel, packages, pip, places


def test_missing_packages_are_named_and_nothing_is_changed(monkeypatch):
    monkeypatch.setitem(packages.IMPORTS, "no_such_module", "no-such-package")
    monkeypatch.setattr(pip, "run", lambda *a: pytest.fail("pip was called"))
    with pytest.raises(InstallError, match="no-such-package.*make lab"):
        install.ready()


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 14, 0)])
def test_a_python_that_is_too_old_or_too_new(monkeypatch, version):
    monkeypatch.setattr("sys.version_info", version)
    with pytest.raises(InstallError, match=rf"Python 3.{version[1]}; the course needs 3.11 to 3.13.*Delete.*PYTHON="):
        install.everything()


def test_the_readme_names_the_same_pythons():
    oldest, newest = (".".join(map(str, version)) for version in install.PYTHONS)
    assert f"Python {oldest} to {newest}" in (places.ROOT / "README.md").read_text()


def test_colab_gets_what_is_missing_and_nothing_moves(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(llama_wheel, "wheel", lambda folder: tmp_path / "llama.whl")

    def run(arguments, what):
        constraints = open(arguments[arguments.index("-c") + 1]).read() if "-c" in arguments else ""
        calls.append((arguments, constraints))

    present = {"numpy", "torch", "transformers", "huggingface_hub"}
    monkeypatch.setattr(places, "on_colab", lambda: True)
    monkeypatch.setattr(packages, "importable", lambda module: module in present)
    monkeypatch.setattr(pip, "run", run)
    install.ready()
    asked = [argument for arguments, _ in calls for argument in arguments]
    assert "gguf==0.19.0" in asked and any(re.match("llama[_-]cpp[_-]python==", argument) for argument in asked)
    assert not any(argument.split("==")[0] in present for argument in asked)
    import numpy

    assert f"numpy=={numpy.__version__}" in calls[0][1], "everything installed is pinned to its version"


def test_torch_falls_back_to_the_package_index(monkeypatch):
    calls = []

    def run(arguments, what):
        calls.append(arguments)
        if install.TORCH_WHEELS in arguments:
            raise InstallError("out of reach")

    monkeypatch.setattr(pip, "run", run)
    monkeypatch.setattr(packages, "has", lambda pinned: "torch" not in pinned)
    install.everything()
    assert calls[0][-1] == calls[1][-1] == packages.pin("torch") and "--index-url" not in calls[1]


def test_install_needs_the_standard_library_only():
    code = "import sys; sys.path.insert(0, '.'); import helpers.install; print(sorted(m for m in sys.modules if m in"
    code += " ('numpy', 'torch', 'tqdm', 'filelock', 'huggingface_hub')))"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=artifacts.ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
