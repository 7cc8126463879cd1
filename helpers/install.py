"""Install what the notebooks need: `python -m helpers.install`. Standard library only.

Two packages deserve care. llama-cpp-python has no binary on the package index, so its own wheel
index is tried first and a build from source (about 6 minutes on 2 cores, kept) comes second. torch for
Linux is a CUDA build of several GB there, so the CPU index is tried first.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from helpers import machine
from helpers.errors import InstallError

REPO = "OWNER/REPO"  # the one place; `make stamp REPO=owner/name` changes it everywhere
ROOT = Path(__file__).resolve().parents[1]
PYTHONS = (3, 11), (3, 13)  # the oldest and the newest that the README names
LLAMA = "llama-cpp-python"
LLAMA_WHEELS = "https://abetlen.github.io/llama-cpp-python/whl/cpu"
TORCH_WHEELS = "https://download.pytorch.org/whl/cpu"
AMX = "AMX_INT8 = 1"  # how llama.cpp says that it was built for processors with AMX, and runs on one
# Where built wheels are kept for the next environment, apart for each kind of machine.
CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "from-bits-to-gguf" / sysconfig.get_platform()
)
# What the notebooks import, and the package that brings it.
NAMED_ALIKE = (
    "numpy pandas matplotlib torch transformers huggingface_hub safetensors scipy ml_dtypes sentencepiece gguf tqdm "
    "psutil filelock ipywidgets "
    "starlette uvicorn fastapi pydantic_settings sse_starlette starlette_context"  # the rehearsal Hub, and notebook 06
).split()
IMPORTS = {name: name.replace("_", "-") for name in NAMED_ALIKE}
IMPORTS |= {"google.protobuf": "protobuf", "llama_cpp": LLAMA, "yaml": "PyYAML"}
_FAIL_FAST = ["--retries", "0", "--timeout", "10"]


def ready() -> None:
    """Make sure the notebooks can import what they need; called by every setup cell.

    On Colab, install what is missing without moving any package that is there. Elsewhere raise
    InstallError, because changing somebody's environment behind their back is not ours to do.
    """
    missing = [package for module, package in IMPORTS.items() if not _importable(module)]
    if not missing:
        return
    if not on_colab():
        raise InstallError(
            f"Not installed in this Python: {', '.join(missing)}. The notebook runs on {sys.executable}, "
            "not on the course's environment. Start it with `make lab`, or install the course here: "
            "`python -m helpers.install`."
        )
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "preinstalled.txt"
        constraints.write_text("\n".join(_frozen(missing)))
        pinned = [pin(package) for package in missing if package != LLAMA]
        if pinned:
            run_pip(["install", "-c", str(constraints), *pinned], f"installing {', '.join(pinned)}")
        if LLAMA in missing:
            install_llama(constraints)
    importlib.invalidate_caches()


def everything(wheels: Path | None = None) -> None:
    """Install the whole course into the running Python, as `make` does into `.venv`.

    wheels: a folder that `tools.classroom` prefetched; then nothing is asked of any network.
    """
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        oldest, newest = (".".join(map(str, version)) for version in PYTHONS)
        raise InstallError(
            f"This is Python {sys.version_info[0]}.{sys.version_info[1]}; the course needs {oldest} to {newest}. Its "
            "packages do not exist for all others. Delete the folder .venv, then name another Python: "
            f"make run PYTHON=python{newest}."
        )
    course = ["-c", str(ROOT / "constraints.txt"), "-r", str(ROOT / "requirements.txt")]
    if wheels:
        if not any(wheels.glob("*.whl")):
            raise InstallError(
                f"There are no wheels in {wheels}. OFFLINE_FROM must name a folder that was prefetched. Make it on a "
                "machine with internet: `make prefetch FOLDER=classroom`."
            )
        return run_pip(["install", "--no-index", "--find-links", str(wheels), *course], f"installing from {wheels}")
    if not _has(pin("torch")):
        try:
            run_pip(["install", "--index-url", TORCH_WHEELS, *_FAIL_FAST, pin("torch")], "installing PyTorch (CPU)")
        except InstallError:
            run_pip(["install", pin("torch")], "installing PyTorch from the package index")
    if not _has(pin(LLAMA)) or uses_amx():
        install_llama(ROOT / "constraints.txt")
    run_pip(["install", *course], "installing the other packages")


def install_llama(constraints: Path) -> None:
    """Install llama-cpp-python from its wheel, which is built first where its index has none; then what it needs."""
    wheel = llama_wheel(CACHE)
    run_pip(["install", "--no-deps", "--force-reinstall", str(wheel)], f"installing {LLAMA}")
    run_pip(["install", "-c", str(constraints), pin(LLAMA)], f"completing {LLAMA}")


def llama_wheel(folder: Path) -> Path:
    """Return the wheel of llama-cpp-python in `folder`, fetched from its own index or built if it is not there yet.

    It is built without the instructions that only some processors have (`GGML_NATIVE=OFF`), and past pip's cache, which
    may hold another build: one made on a processor with AMX ends the process in `ggml_backend_amx_mul_mat` at the first
    token (llama.cpp issue 20824), and one made for a newer processor ends it on an older one.
    """
    wanted = pin(LLAMA)
    name = f"llama_cpp_python-{wanted.split('==')[-1]}-*.whl"
    if found := next(folder.glob(name), None):
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InstallError(
            f"{folder} cannot be made ({error.strerror}). The built {LLAMA} is kept there, for the next environment. "
            "Set XDG_CACHE_HOME to a folder in which you may write."
        ) from error
    with tempfile.TemporaryDirectory(dir=folder) as inside:  # a wheel stands in `folder` whole or not at all
        wheel = ["wheel", "--no-deps", "--wheel-dir", inside]
        try:
            ready_made = ["--index-url", LLAMA_WHEELS, "--only-binary", LLAMA, *_FAIL_FAST]
            run_pip([*wheel, *ready_made, wanted], f"looking for a ready-made {LLAMA}")
        except InstallError:
            _build_llama([*wheel, "--no-cache-dir", "--config-settings", "cmake.args=-DGGML_NATIVE=OFF", wanted])
        made = next(Path(inside).glob(name))
        return made.rename(folder / made.name)


def _build_llama(arguments: list[str]) -> None:
    try:
        run_pip(arguments, f"building {LLAMA} from source (about 6 minutes on 2 cores, once; kept in {CACHE})")
    except InstallError as error:
        tools = [tool for tool in ("cc", "c++") if not shutil.which(tool)]
        if not tools:
            raise
        raise InstallError(
            f"{LLAMA} could not be built. No C or C++ compiler was found ({', '.join(tools)}). Install "
            "one (Debian and Ubuntu: `apt-get install build-essential`; macOS: `xcode-select "
            "--install`) and try again."
        ) from error


def download(requirement: str, folder: Path, source: bool = False) -> Path:
    """Fetch one package file with pip, without its dependencies; `source` asks for the source archive."""
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        name = re.split(r"[=<>\[]", requirement)[0]
        kind = ["--no-binary", name] if source else []
        arguments = ["download", "--no-deps", "--dest", inside, *kind, requirement]
        run_pip(arguments, f"downloading {requirement}")
        found = next(Path(inside).iterdir())
        return found.rename(folder / found.name)


def run_pip(arguments: list[str], what: str) -> None:
    """Run pip, showing one line with the time it has taken; raise InstallError with pip's last words."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=machine.child_environment())
        between, end = (5, "\r") if sys.stdout.isatty() else (60, "\n")  # seconds
        shown = 0.0
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if (elapsed := time.monotonic() - started) - shown >= between:
                    shown = elapsed
                    _say(f"{what} … {_minutes(elapsed)}", end)
        except BaseException:
            process.kill()
            raise
        if process.returncode == 0:
            if (elapsed := time.monotonic() - started) > 2:
                _say(f"{what}: done in {_minutes(elapsed)}")
            return
        log.seek(0)
        lines = [line for line in log.read().splitlines() if line.strip() and not line.startswith("WARNING")]
    raise InstallError(
        f"pip failed while {what}. Its last words: {' | '.join(_without_secrets(lines[-3:]))}. "
        "Check the network and the free disk space, then run this again: finished downloads are kept."
    )


def on_colab() -> bool:
    """Tell whether this Python runs on Google Colab."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def uses_amx() -> bool:
    """Tell whether the installed llama-cpp-python is a build that multiplies with AMX, and so ends the process."""
    code = "import llama_cpp; print(llama_cpp.llama_print_system_info().decode())"
    command, environment = [sys.executable, "-c", code], machine.child_environment()
    return AMX in subprocess.run(command, capture_output=True, text=True, env=environment).stdout


def _without_secrets(lines: list[str]) -> list[str]:
    return [re.sub(r"//[^/@\s]+:[^/@\s]+@", "//", line) for line in lines]


def pin(package: str) -> str:
    """Return `name==version` from constraints.txt, or the bare name if it is not pinned there."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if _canonical(line.split("==")[0]) == _canonical(package):
            return line.strip()
    return package


def _has(pinned: str) -> bool:
    name, _, version = pinned.partition("==")
    try:
        return importlib.metadata.version(name).split("+")[0] == version
    except importlib.metadata.PackageNotFoundError:
        return False


def _frozen(missing: list[str]) -> list[str]:
    """Pin every installed package to its version, so that pip may add but never replace.

    The first of a name on the path is the one in use: on Colab, older ones of Ubuntu's own Python lie behind it.
    """
    installed: dict[str, str] = {}
    for found in importlib.metadata.distributions():
        if found.metadata["Name"]:
            installed.setdefault(_canonical(found.metadata["Name"]), found.version)
    absent = {_canonical(name) for name in missing}
    return [f"{name}=={version}" for name, version in sorted(installed.items()) if name not in absent]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package is missing
        return False


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _say(text: str, end: str = "\n") -> None:
    print(f"\x1b[2K{text}" if sys.stdout.isatty() else text, end=end, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Install the course into this Python.")
    parser.add_argument("--from", dest="folder", type=Path, help="what `make prefetch` filled: no network needed")
    given = parser.parse_args()
    try:
        everything(given.folder.resolve() / "wheels" if given.folder else None)
    except InstallError as failed:
        sys.exit(f"{failed}")
