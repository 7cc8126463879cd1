"""Compare recorded importance with llama.cpp's own llama-imatrix: `python -m tests.long.llama_imatrix [model …]`.

The program is built from the sources that llama-cpp-python's source distribution carries, the same that run here: once,
20 minutes on 2 cores, in build/llama_imatrix. Needs cmake and a C++ compiler. Then it and the course record the same
windows of `story` and of a mixture of experts, and must agree; and each must read what the other wrote.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from helpers import artifacts, machine
from helpers.errors import InstallError
from helpers.pipeline import catalogue, convert, llama_tools
from helpers.quality import calibration, importance
from helpers.quality.importance import Importance
from helpers.setup import llama_wheel, packages, pip
from tests.zoo import build as build_checkpoint

FOLDER = artifacts.ROOT / "build" / "llama_imatrix"
SETTINGS = "GGML_NATIVE LLAMA_CURL LLAMA_OPENSSL LLAMA_BUILD_TESTS LLAMA_BUILD_EXAMPLES LLAMA_BUILD_SERVER".split()
WINDOW, WINDOWS = 128, 12
MODELS = ("story", "granitemoe")
TIED = "token_embd.weight"  # the output too where there is one matrix for both, which llama-imatrix does not record


def program(name: str = "llama-imatrix") -> Path:
    """Return the program, built if it is not there. Raises InstallError without a compiler."""
    path = FOLDER / "built" / "bin" / name
    if not path.exists():
        if missing := [tool for tool in ("cmake", "c++") if not shutil.which(tool)]:
            raise InstallError(f"{name} cannot be built. {' and '.join(missing)} is missing. Install it and try again.")
        _build(_sources(), FOLDER / "built", name)
    return path


def _sources() -> Path:
    """Return llama.cpp's whole tree out of llama-cpp-python's source distribution."""
    path = FOLDER / "sources"
    if not path.exists():
        archive = pip.download(packages.pin(llama_wheel.LLAMA), artifacts.folder("packages"), source=True)
        with artifacts.making(path) as temporary, tarfile.open(archive) as packed:
            packed.extractall(temporary, filter="data")
        archive.unlink()
    (tree,) = path.glob("*/vendor/llama.cpp")
    return tree


def _build(sources: Path, folder: Path, name: str) -> None:
    """Configure and compile one program, as llama-cpp-python itself is built: for any processor."""
    settings = [f"-D{setting}=OFF" for setting in SETTINGS]
    for command in (
        ["cmake", "-S", sources, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", *settings],
        ["cmake", "--build", folder, "--target", name, "--parallel", str(machine.cores())],
    ):
        subprocess.run(list(map(str, command)), check=True, env=machine.child_environment())


def run(gguf: Path, *options: object) -> str:
    """Run llama-imatrix and return what it says."""
    command = [program(), "-m", gguf, "-t", machine.cores(), "-ngl", 0, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout + done.stderr


def differences(ours: Importance, theirs: Importance) -> list[str]:
    """Return what differs: names, counts, and sums by more than 1e-4 of each tensor's maximum."""
    alone = {*ours.names} - {*theirs.names, TIED} | {*theirs.names} - {*ours.names}
    found = [f"{name} was seen by one of the two alone" for name in sorted(alone)]
    for name in sorted({*ours.names} & {*theirs.names}):
        a, b = ours.sums[name].astype(np.float64), theirs.sums[name].astype(np.float64)
        if a.shape != b.shape or ours.counts[name].tolist() != theirs.counts[name].tolist():
            found.append(f"{name}: counts {ours.counts[name].tolist()} and {theirs.counts[name].tolist()}")
        elif (error := np.abs(a - b).max() / b.max()) > 1e-4:
            found.append(f"{name}: sums differ by {error:.1e} of the maximum")
    return found


def compare(gguf: Path, text: str, folder: Path) -> list[str]:
    """Record the same windows with both and return what differs, also after each read what the other wrote."""
    source, theirs, ours = folder / "text.txt", {}, {}
    source.write_text(text, encoding="utf-8")
    windows = ["-c", WINDOW, "-b", WINDOW]
    options = ["-f", source, *windows, "--chunks", WINDOWS, "--no-ppl", "--process-output"]
    recorded = importance.collect(gguf, text, window=WINDOW, most=WINDOWS)
    for form in ("gguf", "dat"):
        path, back = folder / f"theirs.{form}", folder / f"back.{form}.gguf"
        run(gguf, *options, "-o", path, "--output-format", form)
        theirs[form] = importance.read(path)
        run(gguf, "--in-file", recorded.save(folder / f"ours.{form}"), *windows, "-o", back)
        ours[form] = importance.read(back)
    found = differences(recorded, theirs["gguf"]) + differences(recorded, ours["gguf"])
    found += [f"older format: {name}" for old in (theirs["dat"], ours["dat"]) for name in other_weights(recorded, old)]
    return found


def other_weights(ours: Importance, old: Importance) -> list[str]:
    """Return the names of the older format, which has no counts of experts, whose means are others."""
    known = {name: ours.weights(name) for name in old.names}
    return [name for name, weights in known.items() if np.abs(old.weights(name) / weights - 1).max() > 1e-2]


def main(names: list[str]) -> int:
    """Compare every model; return how many differ."""
    text = calibration.text()
    failures = 0
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["LLAMA_CPP_DIR"] = str(llama_tools.tools())
        os.environ["COURSE_ARTIFACTS"] = temporary  # nothing that was recorded before
        for name in names or MODELS:
            folder = artifacts.folder(name)
            known = name in catalogue.CATALOGUE
            checkpoint = catalogue.CATALOGUE[name].fetch() if known else build_checkpoint(name, folder)
            found = compare(convert.to_gguf(checkpoint, "f16" if known else "f32"), text, folder)
            print(f"{name:12s} {'; '.join(found) or 'the same'}", flush=True)
            failures += bool(found)
    return failures


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
