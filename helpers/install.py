"""Install what the notebooks need: `python -m helpers.install`. Standard library only.

Two packages deserve care. llama-cpp-python has no binary on the package index (`helpers.setup.llama_wheel`). torch for
Linux is a CUDA build of several GB there, so the CPU index is tried first.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from helpers.errors import InstallError
from helpers.setup import gpu, llama_wheel, packages, pip, places
from helpers.setup.llama_wheel import LLAMA
from helpers.setup.packages import pin

PYTHONS = (3, 11), (3, 13)  # the oldest and the newest that the README names
TORCH_WHEELS = "https://download.pytorch.org/whl/cpu"


def ready(use_gpu: bool = False) -> None:
    """Make sure the notebooks can import what they need, in versions that they run with; called by every setup cell.

    On Colab and Kaggle, install what is missing without moving any package that is there. Elsewhere raise InstallError,
    because changing somebody's environment behind their back is not ours to do. So does a version outside the ranges of
    requirements.txt, everywhere and before anything is installed.

    use_gpu: whether llama.cpp and the trainings may compute on a graphics card, as far as there is one (`setup.gpu`).
    """
    gpu.choose(use_gpu)
    missing, managed, card = packages.missing(), places.on_colab() or places.on_kaggle(), gpu.card()
    if "packaging" not in missing:
        packages.check()
    if missing and not managed:
        raise InstallError(
            f"Not installed in this Python: {', '.join(missing)}. The notebook runs on {sys.executable}, "
            "not on the course's environment. Start it with `make lab`, or install the course here: "
            "`python -m helpers.install`."
        )
    change_build = managed and gpu.needs_its_build(card)
    if missing or change_build:
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder) / "preinstalled.txt"
            constraints.write_text("\n".join(packages.frozen([*missing, LLAMA])))
            pinned = [pin(package) for package in missing if package != LLAMA]
            if pinned:
                pip.run(["install", "-c", str(constraints), *pinned], f"installing {', '.join(pinned)}")
            _install_llama(constraints, card if change_build else None, LLAMA in missing)
        importlib.invalidate_caches()
    if told := gpu.sentence(card, managed):
        print(told)


def everything(wheels: Path | None = None, use_gpu: bool = False) -> None:
    """Install the whole course into the running Python, as `make` does into `.venv`.

    wheels: a folder that `tools.classroom` prefetched; then nothing is asked of any network. use_gpu: take the build of
    llama-cpp-python for the NVIDIA card, if one answers and there is one for its driver.
    """
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        oldest, newest = (".".join(map(str, version)) for version in PYTHONS)
        raise InstallError(
            f"This is Python {sys.version_info[0]}.{sys.version_info[1]}; the course needs {oldest} to {newest}. Its "
            "packages do not exist for all others. Delete the folder .venv, then name another Python: "
            f"make run PYTHON=python{newest}."
        )
    course = ["-c", str(places.ROOT / "constraints.txt"), "-r", str(places.ROOT / "requirements.txt")]
    if wheels:
        if not any(wheels.glob("*.whl")):
            raise InstallError(
                f"There are no wheels in {wheels}. OFFLINE_FROM must name a folder that was prefetched. Make it on a "
                "machine with internet: `make prefetch FOLDER=classroom`."
            )
        return pip.run(["install", "--no-index", "--find-links", str(wheels), *course], f"installing from {wheels}")
    if not packages.has(pin("torch")):
        try:
            pip.run(["install", "--index-url", TORCH_WHEELS, *pip.FAIL_FAST, pin("torch")], "installing PyTorch (CPU)")
        except InstallError:
            pip.run(["install", pin("torch")], "installing PyTorch from the package index")
    if not packages.has(pin(LLAMA)) or llama_wheel.uses_amx():
        llama_wheel.install(places.ROOT / "constraints.txt")
    pip.run(["install", *course], "installing the other packages")
    if use_gpu:
        gpu.choose(True)
        card = gpu.card()
        if gpu.needs_its_build(card):
            _install_llama(places.ROOT / "constraints.txt", card, absent=False)
        print(gpu.sentence(card, managed=True))


def _install_llama(constraints: Path, card: gpu.Card | None, absent: bool) -> None:
    """Install the build for a card, if one is given; that for the CPU if none is there, or the other does not work."""
    if not (card and gpu.install(constraints, card)) and (absent or gpu.built_in()):
        llama_wheel.install(constraints)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Install the course into this Python.")
    parser.add_argument("--from", dest="folder", type=Path, help="what `make prefetch` filled: no network needed")
    parser.add_argument("--gpu", action="store_true", help="llama-cpp-python's build for the NVIDIA card that is here")
    given = parser.parse_args()
    try:
        everything(given.folder.resolve() / "wheels" if given.folder else None, given.gpu)
    except InstallError as failed:
        sys.exit(f"{failed}")
