"""llama-cpp-python: found, built, kept, and fit for every processor."""

from pathlib import Path

import pytest

from helpers import install
from helpers.errors import InstallError
from helpers.setup import llama_wheel, packages, pip


def pip_that_makes_wheels(calls: list, index_answers: bool = True):
    """Stand in for pip.run: notes the calls, and lays a wheel down where pip would."""

    def run(arguments, what):
        calls.append((arguments, what))
        if "--index-url" in arguments and not index_answers:
            raise InstallError("no wheel")
        if arguments[0] == "wheel":
            folder = Path(arguments[arguments.index("--wheel-dir") + 1])
            (folder / f"llama_cpp_python-{packages.pin(llama_wheel.LLAMA).split('==')[1]}-py3-none-any.whl").touch()

    return run


@pytest.mark.parametrize("wheel_there", [True, False])
def test_llama_comes_as_a_wheel_or_is_built(monkeypatch, tmp_path, wheel_there):
    calls = []
    monkeypatch.setattr(llama_wheel, "CACHE", tmp_path / "kept")
    monkeypatch.setattr(pip, "run", pip_that_makes_wheels(calls, wheel_there))
    llama_wheel.install(tmp_path / "c.txt")
    first = calls[0][0]
    assert first[first.index("--retries") + 1] == "0" and llama_wheel.WHEELS in first
    assert any("building" in what for _, what in calls) == (not wheel_there)


def test_the_built_wheel_runs_on_every_processor_and_is_kept(monkeypatch, tmp_path):
    """pip's cache may hold one that was built for this processor alone, or that ends the process where there is AMX."""
    calls = []
    monkeypatch.setattr(llama_wheel, "CACHE", tmp_path / "kept")
    monkeypatch.setattr(pip, "run", pip_that_makes_wheels(calls, index_answers=False))
    wheel = llama_wheel.wheel(llama_wheel.CACHE)
    built = next(arguments for arguments, what in calls if "building" in what)
    assert "cmake.args=-DGGML_NATIVE=OFF" in built and "--no-cache-dir" in built
    assert list(llama_wheel.CACHE.iterdir()) == [wheel], "nothing half-made beside it"
    calls.clear()
    assert llama_wheel.wheel(llama_wheel.CACHE) == wheel and not calls, "built once"


def test_a_cache_that_cannot_be_made_says_so(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InstallError, match="XDG_CACHE_HOME"):
        llama_wheel.wheel(tmp_path / "file" / "cache")


def test_an_interrupted_build_leaves_no_wheel(monkeypatch, tmp_path):
    def run(arguments, what):
        pip_that_makes_wheels([])(arguments, what)
        raise KeyboardInterrupt

    monkeypatch.setattr(pip, "run", run)
    with pytest.raises(KeyboardInterrupt):
        llama_wheel.wheel(tmp_path / "kept")
    assert not list((tmp_path / "kept").iterdir())


def test_a_build_with_amx_is_replaced(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(llama_wheel, "CACHE", tmp_path / "kept")
    monkeypatch.setattr(packages, "has", lambda pinned: True)
    monkeypatch.setattr(pip, "run", pip_that_makes_wheels(calls))
    for amx in (False, True):
        monkeypatch.setattr(llama_wheel, "uses_amx", lambda amx=amx: amx)
        install.everything()
        assert any("--force-reinstall" in arguments for arguments, _ in calls) == amx


def test_the_installed_package_does_not_multiply_with_amx():
    assert not llama_wheel.uses_amx()


def test_a_missing_compiler_is_named(monkeypatch, tmp_path):
    def run(arguments, what):
        raise InstallError("it failed")

    monkeypatch.setattr(llama_wheel, "CACHE", tmp_path / "kept")
    monkeypatch.setattr(pip, "run", run)
    monkeypatch.setattr("shutil.which", lambda tool: None)
    with pytest.raises(InstallError, match="build-essential"):
        llama_wheel.install(tmp_path / "c.txt")
