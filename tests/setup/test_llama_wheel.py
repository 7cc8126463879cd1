"""llama-cpp-python: found, built, kept, and fit for every processor."""

import re
import zipfile
from pathlib import Path

import pytest

from helpers import artifacts, install
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
    assert first[first.index("--retries") + 1] == "0" and llama_wheel.INDEX in first
    assert any("building" in what for _, what in calls) == (not wheel_there)


def test_the_built_wheel_runs_on_every_processor_and_is_kept(monkeypatch, tmp_path):
    """pip's cache may hold one that was built for this processor alone, or that ends the process where there is AMX."""
    calls = []
    monkeypatch.setattr(llama_wheel, "CACHE", tmp_path / "kept")
    monkeypatch.setattr(pip, "run", pip_that_makes_wheels(calls, index_answers=False))
    wheel = llama_wheel.wheel(llama_wheel.CACHE)
    built = next(arguments for arguments, what in calls if "building" in what)
    assert "--no-cache-dir" in built and "build.targets=llama" in built
    assert any(argument.startswith("cmake.args=") and "-DGGML_NATIVE=OFF" in argument for argument in built)
    assert list(llama_wheel.CACHE.iterdir()) == [wheel], "nothing half-made beside it"
    calls.clear()
    assert llama_wheel.wheel(llama_wheel.CACHE) == wheel and not calls, "built once"


PINS = """# a comment
{0}  llama_cpp_python-{1}-py3-none-linux_x86_64.whl
{0}  llama_cpp_python-{1}-py3-none-linux_aarch64.whl
{0}  llama_cpp_python-{1}-py3-none-macosx_11_0_arm64.whl
"""
VERSION = packages.pin(llama_wheel.LLAMA).split("==")[1]


@pytest.mark.parametrize(
    ("system", "machine", "file"),
    [
        ("linux", "x86_64", "linux_x86_64"),
        ("linux", "aarch64", "linux_aarch64"),
        ("darwin", "arm64", "macosx_11_0_arm64"),
        ("darwin", "x86_64", None),
        ("win32", "AMD64", None),
    ],
)
def test_the_courses_own_wheel_is_that_for_this_machine(monkeypatch, tmp_path, system, machine, file):
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    (tmp_path / "wheels.txt").write_text(PINS.format("ab" * 32, VERSION))
    found = llama_wheel.released(tmp_path / "wheels.txt", "ada/course")
    if file is None:
        assert found is None
    else:
        address, checksum = found.split("#sha256=")
        assert checksum == "ab" * 32 and address.startswith("https://github.com/ada/course/releases/download/wheels-")
        assert address.endswith(f"/llama_cpp_python-{VERSION}-py3-none-{file}.whl")


def test_a_copy_without_repository_and_other_versions_have_no_wheel_of_their_own(tmp_path):
    (tmp_path / "wheels.txt").write_text(PINS.format("ab" * 32, VERSION))
    assert llama_wheel.released(tmp_path / "wheels.txt", "OWNER/REPO") is None
    (tmp_path / "wheels.txt").write_text(PINS.format("ab" * 32, "0.3.1"))
    assert llama_wheel.released(tmp_path / "wheels.txt", "ada/course") is None


def test_the_pins_are_checksums_and_names():
    lines = llama_wheel.RELEASED.read_text().splitlines()
    assert all(re.fullmatch(r"#.*|[0-9a-f]{64}  llama_cpp_python-\S+\.whl", line) for line in lines)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_released_wheel_is_taken_only_with_its_checksum(monkeypatch, tmp_path, damaged):
    """With the real pip; where the checksum is another, the index is asked, and then it is built."""
    name = f"llama_cpp_python-{VERSION}-py3-none-any.whl"
    record = f"llama_cpp_python-{VERSION}.dist-info"
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr(f"{record}/METADATA", f"Metadata-Version: 2.1\nName: llama_cpp_python\nVersion: {VERSION}\n")
        archive.writestr(f"{record}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{record}/RECORD", "")
    checksum = "0" * 64 if damaged else artifacts.sha256(tmp_path / name)
    monkeypatch.setattr(llama_wheel, "released", lambda: f"{(tmp_path / name).as_uri()}#sha256={checksum}")
    monkeypatch.setattr(llama_wheel, "INDEX", (tmp_path / "no-index").as_uri())
    built = []

    def build(folder):
        built.append((folder / name).write_bytes(b"built"))

    monkeypatch.setattr(llama_wheel, "build", build)
    wheel = llama_wheel.wheel(tmp_path / "kept")
    assert bool(built) == damaged and wheel == tmp_path / "kept" / name
    assert (wheel.read_bytes() == (tmp_path / name).read_bytes()) != damaged


def test_a_folder_in_the_drive_keeps_it_for_other_notebooks(monkeypatch, tmp_path):
    monkeypatch.setattr(llama_wheel, "DRIVE", tmp_path / "from-bits-to-gguf")
    assert llama_wheel.cache() == llama_wheel.CACHE
    (tmp_path / "from-bits-to-gguf").mkdir()
    assert llama_wheel.cache().parent == tmp_path / "from-bits-to-gguf"


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
