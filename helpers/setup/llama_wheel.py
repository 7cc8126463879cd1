"""llama-cpp-python: found ready-made or built, installed, and checked for instructions that end the process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from helpers import machine
from helpers.errors import InstallError
from helpers.setup import pip
from helpers.setup.packages import pin

LLAMA = "llama-cpp-python"
WHEELS = "https://abetlen.github.io/llama-cpp-python/whl/cpu"
AMX = "AMX_INT8 = 1"  # how llama.cpp says that it was built for processors with AMX, and runs on one
# Where built wheels are kept for the next environment, apart for each kind of machine.
CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "from-bits-to-gguf" / sysconfig.get_platform()
)


def install(constraints: Path) -> None:
    """Install llama-cpp-python from its wheel, which is built first where its index has none; then what it needs."""
    made = wheel(CACHE)
    pip.run(["install", "--no-deps", "--force-reinstall", str(made)], f"installing {LLAMA}")
    pip.run(["install", "-c", str(constraints), pin(LLAMA)], f"completing {LLAMA}")


def wheel(folder: Path) -> Path:
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
        command = ["wheel", "--no-deps", "--wheel-dir", inside]
        try:
            ready_made = ["--index-url", WHEELS, "--only-binary", LLAMA, *pip.FAIL_FAST]
            pip.run([*command, *ready_made, wanted], f"looking for a ready-made {LLAMA}")
        except InstallError:
            _build([*command, "--no-cache-dir", "--config-settings", "cmake.args=-DGGML_NATIVE=OFF", wanted])
        made = next(Path(inside).glob(name))
        return made.rename(folder / made.name)


def _build(arguments: list[str]) -> None:
    try:
        pip.run(arguments, f"building {LLAMA} from source (about 6 minutes on 2 cores, once; kept in {CACHE})")
    except InstallError as error:
        tools = [tool for tool in ("cc", "c++") if not shutil.which(tool)]
        if not tools:
            raise
        raise InstallError(
            f"{LLAMA} could not be built. No C or C++ compiler was found ({', '.join(tools)}). Install "
            "one (Debian and Ubuntu: `apt-get install build-essential`; macOS: `xcode-select "
            "--install`) and try again."
        ) from error


def uses_amx() -> bool:
    """Tell whether the installed llama-cpp-python is a build that multiplies with AMX, and so ends the process."""
    code = "import llama_cpp; print(llama_cpp.llama_print_system_info().decode())"
    command, environment = [sys.executable, "-c", code], machine.child_environment()
    return AMX in subprocess.run(command, capture_output=True, text=True, env=environment).stdout
