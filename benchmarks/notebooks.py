"""Each notebook with SmolLM2: the first time, again, beside one and two busy programs; memory and disk. 100 minutes.

Memory is what the kernel and its children hold at the worst moment, files that are mapped included; disk is what stays
in the folder for artifacts. The first time nothing is there but the course and its packages.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.report import BUSY, Row
from helpers import artifacts, machine
from tools import execute

GROUP = "Notebooks, alone and beside busy programs"
KEEPS = True  # NOTEBOOKS="09 10" measures these again
BUDGET = 1 / 3  # of its speed alone, beside two busy programs
RUN = """
import os, sys
from pathlib import Path
from tools import execute
os.sched_setaffinity(0, range(int(sys.argv[2]))) if sys.argv[2:] else None
error = execute.execute(Path(sys.argv[1]), {})[1]
sys.exit(str(error) if error else 0)
"""


@dataclass(frozen=True)
class Run:
    """How one notebook ran: wall-clock seconds, and the most memory at once, in bytes."""

    seconds: float
    memory: int


def rows() -> Iterator[Row]:
    """Run every notebook in each situation; one that fails ends it."""
    for path in execute.find(os.environ.get("NOTEBOOKS", "all").split()):
        with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
            first = run(path, Path(folder))
            disk = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
            again = run(path, Path(folder))
            name = path.name[:2]
            yield Row(GROUP, f"{name} again", again.seconds, "s", "the first time", first.seconds)
            yield Row(GROUP, f"{name} memory", max(first.memory, again.memory) / 1e9, "GB")
            yield Row(GROUP, f"{name} disk", disk / 1e9, "GB")
            for neighbours, label in ((1, "one busy program"), (2, "two busy programs")):
                beside = run(path, Path(folder), neighbours)
                note = f"budget: ratio {BUDGET:.2f}" if neighbours == 2 else ""
                yield Row(GROUP, f"{name} beside {label}", beside.seconds, "s", "alone", again.seconds, note=note)


def run(path: Path, folder: Path, neighbours: int = 0, cores: int | None = None, group: Path | None = None) -> Run:
    """Run a notebook with its artifacts in `folder`; raises RuntimeError with its last words if it fails.

    group: a folder of cgroups, whose limits the kernel gets. cores: the notebook runs on the first so many.
    """
    # What it chooses on a machine that has been so for a minute.
    spins = machine.BUSY_SPINS if neighbours else machine.IDLE_SPINS
    environment = {"COURSE_MODEL": "smollm2", "COURSE_HUB": "rehearsal", "COURSE_ARTIFACTS": str(folder)}
    environment |= {"GOMP_SPINCOUNT": str(spins)}
    inherited = {name: value for name, value in os.environ.items() if name not in machine.CHOICES}
    with ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile("w+"))  # a pipe that nobody reads meanwhile could fill
        options = {"cwd": artifacts.ROOT, "stdout": log, "stderr": log}
        for _ in range(neighbours):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", BUSY, str(os.getpid())]))
            stack.callback(busy.kill)
        command = [sys.executable, "-c", RUN, str(path), *([str(cores)] if cores else [])]
        started, most = time.monotonic(), 0
        process = stack.enter_context(psutil.Popen(command, env=inherited | environment, **options))
        if group:
            (group / "cgroup.procs").write_text(str(process.pid))
        while process.poll() is None:
            most = max(most, held(process))
            time.sleep(0.25)
        seconds = time.monotonic() - started
        log.seek(0)
        said = log.read()
    if process.returncode:
        raise RuntimeError(f"{path.name}: {said[-2000:]}")
    return Run(seconds, most)


def held(process: psutil.Process) -> int:
    """Return the bytes that a process and its children hold; what several share counts once."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except psutil.Error:  # it has ended since
            continue
    return total
