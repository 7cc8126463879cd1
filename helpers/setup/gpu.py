"""A graphics card, where the reader wants it: `USE_GPU` in the setup cell, or the variable COURSE_GPU (1 or 0).

The card and its driver are asked through `nvidia-smi`; llama-cpp-python has builds for some versions of CUDA, which use
the CUDA 12 libraries of the system. Apple's GPU (Metal) is in the build for macOS. Standard library only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from helpers import machine
from helpers.errors import InstallError
from helpers.setup import pip
from helpers.setup.llama_wheel import LLAMA
from helpers.setup.packages import pin

VARIABLE = "COURSE_GPU"
INDEX = "https://abetlen.github.io/llama-cpp-python/whl/{build}"
BUILDS = {(12, 5): "cu125", (12, 4): "cu124"}  # the newest first; there is none for 12.6 to 12.9
OLDEST = (6, 0)  # compute capability: what these builds carry code for (P100 has 6.0, T4 has 7.5)
# The CPU alone: a CUDA build moves long prompts to the card even without layers there.
CPU_ONLY = {"n_gpu_layers": 0, "offload_kqv": False, "op_offload": False}

_asked = False  # what the setup cell said


@dataclass(frozen=True)
class Card:
    """An NVIDIA card that answers: its name, its compute capability, and the newest CUDA that its driver runs."""

    name: str
    capability: tuple[int, int]
    cuda: tuple[int, int]


def choose(use: bool) -> None:
    """Keep what the setup cell says; the variable COURSE_GPU overrides it."""
    global _asked
    _asked = use


def wanted() -> bool:
    """Tell whether the reader wants the GPU to be used."""
    return os.environ.get(VARIABLE, "1" if _asked else "0").lower() in ("1", "on", "true", "yes")


def card() -> Card | None:
    """Return the first NVIDIA card that answers, None if there is none or its driver does not say what it is."""
    program = shutil.which("nvidia-smi")
    if not program:
        return None
    try:
        fields, banner = (
            subprocess.run([program, *asked], capture_output=True, text=True, timeout=20, check=True).stdout
            for asked in (["--query-gpu=name,compute_cap", "--format=csv,noheader"], [])
        )
    except (OSError, subprocess.SubprocessError):  # a program without a card, or a driver that does not answer
        return None
    one = re.match(r"(.+), *(\d+)\.(\d+)", fields)
    driver = re.search(r"CUDA[ \w]*Version: *(\d+)\.(\d+)", banner)
    if not one or not driver:
        return None
    return Card(one[1].strip(), (int(one[2]), int(one[3])), (int(driver[1]), int(driver[2])))


def build_for(found: Card) -> str | None:
    """Return the name of the newest CUDA build that this card and its driver run, such as cu124; None if none does."""
    if found.capability < OLDEST:
        return None
    return next((name for version, name in BUILDS.items() if version <= found.cuda), None)


def built_in() -> bool:
    """Tell whether the installed llama-cpp-python is a build for CUDA, without loading it."""
    spec = find_spec("llama_cpp")
    return bool(spec and spec.origin and next(Path(spec.origin).parent.glob("lib/*ggml-cuda*"), None))


def needs_its_build(found: Card | None) -> bool:
    """Tell whether the card is wanted and can be used, and the installed llama-cpp-python is not a build for it."""
    return bool(wanted() and found and build_for(found)) and not built_in()


def offloads() -> bool:
    """Tell whether the installed llama-cpp-python loads and finds a GPU; asked in a process of its own."""
    command = [sys.executable, "-c", "import llama_cpp; print('GPU', llama_cpp.llama_supports_gpu_offload())"]
    done = subprocess.run(command, capture_output=True, text=True, env=machine.child_environment())
    return "GPU True" in done.stdout


def install(constraints: Path, found: Card) -> bool:
    """Replace llama-cpp-python by its CUDA build for this card; tell whether it is there now and finds the card.

    constraints: a file that keeps every other package as it is. Raises InstallError if the CPU build was loaded before.
    """
    index = INDEX.format(build=build_for(found))
    arguments = ["--no-deps", "--force-reinstall", "--index-url", index, "--only-binary", LLAMA, *pip.FAIL_FAST]
    try:
        pip.run(["install", *arguments, pin(LLAMA)], f"installing {LLAMA} for {found.name} ({build_for(found)})")
    except InstallError:  # the index is made by hand, and late sometimes
        return False
    pip.run(["install", "-c", str(constraints), pin(LLAMA)], f"completing {LLAMA}")
    if "llama_cpp" in sys.modules:
        raise InstallError(
            f"{LLAMA} was replaced by its build for {found.name}. This process still holds the one for the CPU. "
            "Restart the kernel and run the cells from the top."
        )
    return offloads()


def in_use() -> bool:
    """Tell whether llama.cpp computes on the GPU: the reader wants it, and the loaded build can."""
    import llama_cpp

    return wanted() and llama_cpp.llama_supports_gpu_offload()


def llama_options() -> dict:
    """Return what `llama_cpp.Llama` is told about the GPU: all layers there, or nothing at all."""
    return {"n_gpu_layers": -1} if in_use() else dict(CPU_ONLY)


def torch_device() -> str:
    """Return where trainings compute: "cuda" if the reader wants it and PyTorch finds a card, else "cpu"."""
    if not wanted():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def sentence(found: Card | None, managed: bool) -> str:
    """Say what is used and why; empty where there is nothing to say.

    managed: whether the setup cell may install here, as on Colab.
    """
    if not wanted():
        return f"{found.name} is here and not used. USE_GPU = True in this cell uses it." if found else ""
    if sys.platform == "darwin":
        return "llama.cpp computes on Apple's GPU (Metal); PyTorch on the CPU."
    if not found:
        choice = " Choose a machine with one (Colab: Runtime > Change runtime type; Kaggle: Accelerator)."
        return "No NVIDIA card answers, so everything is computed on the CPU." + (choice if managed else "")
    if not build_for(found):
        capability, cuda = (".".join(map(str, pair)) for pair in (found.capability, found.cuda))
        return (
            f"{found.name} is here (compute capability {capability}, driver for CUDA {cuda}), but llama-cpp-python has "
            "no build for it: those need 6.0 and 12.4 or newer. llama.cpp computes on the CPU."
        )
    if built_in():
        return f"llama.cpp computes on {found.name}, and so do the trainings if PyTorch finds it."
    how = "was not to be had or does not load" if managed else "comes by `python -m helpers.install --gpu`"
    return f"{found.name} is here, but llama.cpp computes on the CPU: its build for CUDA {how}."
