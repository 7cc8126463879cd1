"""Installing: fall-backs, messages, and never moving what is there."""

import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from helpers import artifacts, install
from helpers.errors import InstallError


def test_missing_packages_are_named_and_nothing_is_changed(monkeypatch):
    monkeypatch.setitem(install.IMPORTS, "no_such_module", "no-such-package")
    monkeypatch.setattr(install, "run_pip", lambda *a: pytest.fail("pip was called"))
    with pytest.raises(InstallError, match="no-such-package.*make lab"):
        install.ready()


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 14, 0)])
def test_a_python_that_is_too_old_or_too_new(monkeypatch, version):
    monkeypatch.setattr("sys.version_info", version)
    with pytest.raises(InstallError, match=rf"Python 3.{version[1]}; the course needs 3.11 to 3.13.*Delete.*PYTHON="):
        install.everything()


def test_the_readme_names_the_same_pythons():
    oldest, newest = (".".join(map(str, version)) for version in install.PYTHONS)
    assert f"Python {oldest} to {newest}" in (install.ROOT / "README.md").read_text()


def test_colab_gets_what_is_missing_and_nothing_moves(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(install, "llama_wheel", lambda folder: tmp_path / "llama.whl")

    def pip(arguments, what):
        constraints = open(arguments[arguments.index("-c") + 1]).read() if "-c" in arguments else ""
        calls.append((arguments, constraints))

    present = {"numpy", "torch", "transformers", "huggingface_hub"}
    monkeypatch.setattr(install, "on_colab", lambda: True)
    monkeypatch.setattr(install, "_importable", lambda module: module in present)
    monkeypatch.setattr(install, "run_pip", pip)
    install.ready()
    asked = [argument for arguments, _ in calls for argument in arguments]
    assert "gguf==0.19.0" in asked and any(re.match("llama[_-]cpp[_-]python==", argument) for argument in asked)
    assert not any(argument.split("==")[0] in present for argument in asked)
    import numpy

    assert f"numpy=={numpy.__version__}" in calls[0][1], "everything installed is pinned to its version"


def pip_that_makes_wheels(calls: list, index_answers: bool = True):
    """Stand in for run_pip: notes the calls, and lays a wheel down where pip would."""

    def pip(arguments, what):
        calls.append((arguments, what))
        if "--index-url" in arguments and not index_answers:
            raise InstallError("no wheel")
        if arguments[0] == "wheel":
            folder = Path(arguments[arguments.index("--wheel-dir") + 1])
            (folder / f"llama_cpp_python-{install.pin(install.LLAMA).split('==')[1]}-py3-none-any.whl").touch()

    return pip


@pytest.mark.parametrize("wheel_there", [True, False])
def test_llama_comes_as_a_wheel_or_is_built(monkeypatch, tmp_path, wheel_there):
    calls = []
    monkeypatch.setattr(install, "CACHE", tmp_path / "kept")
    monkeypatch.setattr(install, "run_pip", pip_that_makes_wheels(calls, wheel_there))
    install.install_llama(tmp_path / "c.txt")
    first = calls[0][0]
    assert first[first.index("--retries") + 1] == "0" and install.LLAMA_WHEELS in first
    assert any("building" in what for _, what in calls) == (not wheel_there)


def test_the_built_wheel_runs_on_every_processor_and_is_kept(monkeypatch, tmp_path):
    """pip's cache may hold one that was built for this processor alone, or that ends the process where there is AMX."""
    calls = []
    monkeypatch.setattr(install, "CACHE", tmp_path / "kept")
    monkeypatch.setattr(install, "run_pip", pip_that_makes_wheels(calls, index_answers=False))
    wheel = install.llama_wheel(install.CACHE)
    built = next(arguments for arguments, what in calls if "building" in what)
    assert "cmake.args=-DGGML_NATIVE=OFF" in built and "--no-cache-dir" in built
    assert list(install.CACHE.iterdir()) == [wheel], "nothing half-made beside it"
    calls.clear()
    assert install.llama_wheel(install.CACHE) == wheel and not calls, "built once"


def test_a_cache_that_cannot_be_made_says_so(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InstallError, match="XDG_CACHE_HOME"):
        install.llama_wheel(tmp_path / "file" / "cache")


def test_an_interrupted_build_leaves_no_wheel(monkeypatch, tmp_path):
    def pip(arguments, what):
        pip_that_makes_wheels([])(arguments, what)
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "run_pip", pip)
    with pytest.raises(KeyboardInterrupt):
        install.llama_wheel(tmp_path / "kept")
    assert not list((tmp_path / "kept").iterdir())


def test_a_build_with_amx_is_replaced(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(install, "CACHE", tmp_path / "kept")
    monkeypatch.setattr(install, "_has", lambda pinned: True)
    monkeypatch.setattr(install, "run_pip", pip_that_makes_wheels(calls))
    for amx in (False, True):
        monkeypatch.setattr(install, "uses_amx", lambda amx=amx: amx)
        install.everything()
        assert any("--force-reinstall" in arguments for arguments, _ in calls) == amx


def test_the_installed_package_does_not_multiply_with_amx():
    assert not install.uses_amx()


def test_a_missing_compiler_is_named(monkeypatch, tmp_path):
    def pip(arguments, what):
        raise InstallError("it failed")

    monkeypatch.setattr(install, "CACHE", tmp_path / "kept")
    monkeypatch.setattr(install, "run_pip", pip)
    monkeypatch.setattr("shutil.which", lambda tool: None)
    with pytest.raises(InstallError, match="build-essential"):
        install.install_llama(tmp_path / "c.txt")


def test_torch_falls_back_to_the_package_index(monkeypatch):
    calls = []

    def pip(arguments, what):
        calls.append(arguments)
        if install.TORCH_WHEELS in arguments:
            raise InstallError("out of reach")

    monkeypatch.setattr(install, "run_pip", pip)
    monkeypatch.setattr(install, "_has", lambda pinned: "torch" not in pinned)
    install.everything()
    assert calls[0][-1] == calls[1][-1] == install.pin("torch") and "--index-url" not in calls[1]


def test_a_failing_pip_says_its_last_words():
    with pytest.raises(InstallError, match=r"looking at nothing.*no-such-file"):
        install.run_pip(["install", "--no-index", "-r", "no-such-file.txt"], "looking at nothing")


def test_passwords_of_package_indexes_are_not_shown():
    assert install._without_secrets(["see https://ada:pw@host/simple"]) == ["see https://host/simple"]


def test_pip_gets_no_token(monkeypatch):
    seen, original = [], subprocess.Popen
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("subprocess.Popen", lambda *args, env, **more: seen.append(env) or original(*args, **more))
    install.run_pip(["--version"], "asking pip")
    assert "HF_TOKEN" not in seen[0] and "PATH" in seen[0]


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
    for package in install.IMPORTS.values():
        assert package.lower().replace("_", "-") in text.lower().replace("_", "-"), package


def test_install_needs_the_standard_library_only():
    code = "import sys; sys.path.insert(0, '.'); import helpers.install; print(sorted(m for m in sys.modules if m in"
    code += " ('numpy', 'torch', 'tqdm', 'filelock', 'huggingface_hub')))"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=artifacts.ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_on_colab_is_recognised(monkeypatch):
    assert not install.on_colab()
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert install.on_colab()
