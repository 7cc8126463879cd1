"""llama-cpp-python: found ready-made or built, installed, and checked for instructions that end the process."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from helpers import machine
from helpers.errors import InstallError
from helpers.setup import pip, places
from helpers.setup.packages import pin

LLAMA, NAME = "llama-cpp-python", "llama_cpp_python"  # as the index and as a file spell it
INDEX = "https://abetlen.github.io/llama-cpp-python/whl/cpu"
RELEASED = places.ROOT / "wheels.txt"
ONLY = Path(__file__).with_name("llama_only.cmake")
SETTINGS = ["-DGGML_NATIVE=OFF", "-DLLAVA_BUILD=OFF", f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={ONLY}"]
AMX = "AMX_INT8 = 1"  # how llama.cpp says that it was built for processors with AMX, and runs on one
# Where built wheels are kept for the next environment, apart for each kind of machine.
CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "from-bits-to-gguf" / sysconfig.get_platform()
)
# Every notebook of Colab has a machine of its own. Who makes this folder in a mounted Drive builds for all of them.
DRIVE = Path("/content/drive/MyDrive/from-bits-to-gguf")


def install(constraints: Path) -> None:
    """Install llama-cpp-python from its wheel, which is built first where there is none; then what it needs."""
    made = wheel(cache())
    pip.run(["install", "--no-deps", "--force-reinstall", str(made)], f"installing {LLAMA}")
    pip.run(["install", "-c", str(constraints), pin(LLAMA)], f"completing {LLAMA}")


def cache() -> Path:
    """Return the folder where built wheels are kept: the reader's Drive, if it has a folder for it, or this machine."""
    return DRIVE / sysconfig.get_platform() if DRIVE.is_dir() else CACHE


def wheel(folder: Path) -> Path:
    """Return the wheel of llama-cpp-python in `folder`, fetched or built if it is not there yet.

    Asked in this order: the course's own releases, whose checksums stand in wheels.txt; the project's index, which is
    made by hand and sometimes late; the source. Raises InstallError if nothing works.
    """
    wanted = pin(LLAMA)
    name = f"{NAME}-{wanted.split('==')[-1]}-*.whl"
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
        ready_made = ["--index-url", INDEX, "--only-binary", LLAMA, *pip.FAIL_FAST, wanted]
        own = [[*pip.FAIL_FAST, f"{LLAMA} @ {address}"] for address in [released()] if address]
        for arguments in (*own, ready_made):
            with contextlib.suppress(InstallError):
                pip.run([*command, *arguments], f"looking for a ready-made {LLAMA}")
                break
        else:
            build(Path(inside))
        made = next(Path(inside).glob(name))
        return made.rename(folder / made.name)


def released(lines: Path = RELEASED, repo: str = places.REPO) -> str | None:
    """Return the address of the course's own wheel for this machine with its checksum, which pip compares.

    None where this copy does not know its repository, or no wheel for this kind of machine and this version is pinned.
    """
    version, system = pin(LLAMA).split("==")[-1], "macosx" if sys.platform == "darwin" else sys.platform
    ours = re.compile(rf"{NAME}-{re.escape(version)}-.*{system}\w*_{platform.machine()}\.whl")
    if repo.startswith("OWNER/"):
        return None
    for checksum, name in re.findall(r"^([0-9a-f]{64}) +(\S+)$", lines.read_text(), re.MULTILINE):
        if ours.fullmatch(name):
            return f"https://github.com/{repo}/releases/download/wheels-{version}/{name}#sha256={checksum}"
    return None


def build(folder: Path) -> None:
    """Build the wheel from source into `folder`; raises InstallError, which names a missing compiler.

    Without the instructions that only some processors have (`GGML_NATIVE=OFF`), and past pip's cache, which may hold
    another build: one made on a processor with AMX ends the process in `ggml_backend_amx_mul_mat` at the first token
    (llama.cpp issue 20824), and one made for a newer processor ends it on an older one. Only the libraries that
    `import llama_cpp` loads: no notebook needs the rest (pictures, sound, a web client), which takes long to compile.
    """
    settings = [f"cmake.args={';'.join(SETTINGS)}", "build.targets=llama"]
    options = [part for setting in settings for part in ("--config-settings", setting)]
    command = ["wheel", "--no-deps", "--no-cache-dir", "--wheel-dir", str(folder), *options, pin(LLAMA)]
    try:
        pip.run(command, f"building {LLAMA} from source (about 3 minutes on 2 cores, once; kept in {cache()})")
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
