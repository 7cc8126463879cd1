"""Versions: what is installed, and what the course runs with."""

import importlib.metadata
import re
import sys
import types

import packaging.requirements
import pytest
from place import somewhere

from helpers import artifacts, install
from helpers.errors import InstallError
from helpers.setup import packages, pip, places


@pytest.fixture
def versions(monkeypatch):
    """Let some packages be installed in other versions than they are."""
    others, version = {}, importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: others.get(name) or version(name))
    monkeypatch.setattr(pip, "run", lambda *a: pytest.fail("pip was called"))
    return others


@pytest.mark.parametrize(
    ("place", "old", "remedy"),
    [
        ("Colab", {"huggingface-hub": "1.23.0", "transformers": "5.13.1"}, "Runtime version: Latest"),
        ("Colab", {"numpy": "1.26.4"}, "Runtime version: Latest"),
        ("Kaggle", {"huggingface-hub": "1.11.0", "transformers": "5.0.0"}, "%pip install.*Restart & clear"),
        ("here", {"transformers": "4.57.1"}, "python -m helpers.install"),
        ("here", {"llama-cpp-python": "0.3.35"}, "python -m helpers.install"),
    ],
)
def test_other_versions_than_the_course_runs_with_are_named_before_anything_is_installed(
    monkeypatch, versions, place, old, remedy
):
    somewhere(monkeypatch, place)
    versions.update(old)
    monkeypatch.setitem(packages.IMPORTS, "no_such_module", "no-such-package")
    with pytest.raises(InstallError, match=remedy) as caught:
        install.ready()
    ranges = (places.ROOT / "requirements.txt").read_text()
    for package, version in old.items():
        wanted = re.search(rf"^{package.replace('-', '[-_]')}(?:\[.*\])?([<>=].*)$", ranges, re.M)[1]
        assert f"{package} {version} (needed: {wanted})" in str(caught.value)
    assert len(re.findall("needed:", str(caught.value))) == len(old)


def test_kaggle_is_told_what_to_install(monkeypatch, versions):
    somewhere(monkeypatch, "Kaggle")
    versions["transformers"] = "5.13.1"
    with pytest.raises(InstallError) as caught:
        install.ready()
    (command,) = re.findall("`%pip install (.*)`", str(caught.value))
    assert packaging.requirements.Requirement(command.strip('"')).specifier.contains("5.15.0")


@pytest.mark.parametrize("version", ["2.6.0", "2.13.0+cpu", "2.12.0a0+nv26.1", "built by hand"])
def test_builds_of_ones_own_are_left_alone(versions, version):
    versions["torch"] = version
    install.ready()


def test_a_version_that_is_loaded_already(monkeypatch):
    """After `%pip install -U` in a running notebook the new version is there, and the old one at work."""
    monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(__version__="5.13.1"))
    monkeypatch.setattr(packages, "importable", lambda module: True)
    with pytest.raises(InstallError, match="transformers 5.13.1.*Restart the kernel"):
        install.ready()


def test_pins_agree_with_the_ranges():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (artifacts.ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    for line in (artifacts.ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line


def test_colab_versions_are_within_the_ranges():
    """Colab in August 2026; a range that excludes them would move a preinstalled package."""
    from packaging.requirements import Requirement

    colab = {"numpy": "2.1.3", "torch": "2.11.0", "transformers": "5.15.0", "huggingface_hub": "1.27.0"}
    colab |= {"ipywidgets": "7.7.1", "matplotlib": "3.10.0", "protobuf": "5.29.6"}
    for line in (artifacts.ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#") and (requirement := Requirement(line)).name in colab:
            assert requirement.specifier.contains(colab[requirement.name]), line


def test_every_import_of_the_setup_check_is_a_requirement():
    text = (artifacts.ROOT / "requirements.txt").read_text() + (artifacts.ROOT / "constraints.txt").read_text()
    for package in packages.IMPORTS.values():
        assert package.lower().replace("_", "-") in text.lower().replace("_", "-"), package
