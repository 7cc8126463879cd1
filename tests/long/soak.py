"""A soak: at least 100 random faults strike the pipeline, and after each one nothing is broken.

    python tests/long/soak.py [--minutes 15] [--faults 120] [--seed 0] [--only NUMBER …]

Each fault (soak_faults.py) strikes one run of the pipeline (soak_pipeline.py) or of notebook 05, in a folder and
against a rehearsal Hub of its own (soak_ground.py). Afterwards it must hold:

- the run ended well, with one of our errors, or by our own hand; a damaged file was refused, or its checksum tells;
- every file with a final name has the bytes of an undisturbed run; the Hub shows all files of a commit or none;
- what is half-made is never used: it is filled with rubbish, and a run without fault gives the same bytes again;
- the token stands in no file and in no output.

Fault 17 of seed 0 is the same every time, up to the exact moment of a strike: `--only 17` repeats it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from soak_faults import SHARES, notebook_killed
from soak_ground import COMMANDS, BrokenError, Ground, Reference

from helpers import artifacts
from helpers.errors import CourseError


@dataclass(frozen=True)
class Result:
    """One fault: what it was, what happened, and which promise broke, if any."""

    number: int
    kind: str
    seconds: float
    happened: str
    broken: str

    def __str__(self) -> str:
        return f"{self.kind:22s}{'BROKEN' if self.broken else 'ok':8s}{self.seconds:5.1f} s  {self.happened}"


def inject(number: int, fault: Callable, seed: int, folder: Path, reference: Reference) -> Result:
    """Strike one run, look, run again without a fault, and look again."""
    started, happened, broken = time.monotonic(), "", ""
    ground = Ground(folder, random.Random(f"{seed} {number}"), program_of(fault), reference)
    try:
        happened = fault(ground)
        ground.require_no_token()
        ground.spoil_leftovers()
        again = ground.run().ended(0)
        if again.result != reference.run.result:
            raise BrokenError(f"the run after the fault gave {again.result!r}, not {reference.run.result!r}")
        ground.require_whole()
        ground.require_all()
        ground.require_no_token()
    except (BrokenError, CourseError, OSError, ValueError) as error:
        broken = f"{type(error).__name__}: {error}"
    ground.close()
    if not broken:
        shutil.rmtree(folder)
    return Result(number, title(fault), time.monotonic() - started, happened, broken)


def undisturbed(folder: Path, program: str) -> Reference:
    """Run once without a fault and note what comes out."""
    ground = Ground(folder, random.Random(0), program)
    run = ground.run()
    ground.close()
    run.ended(0)
    return Reference(run, ground.artifacts, {n: artifacts.sha256(p) for n, p in ground.final_files().items()})


def schedule(faults: int, seed: int) -> list[Callable]:
    """Return every kind of fault in its share, in random order."""
    order: list[Callable] = []
    chance = random.Random(seed)
    while len(order) < faults:
        order += chance.sample([fault for fault, share in SHARES.items() for _ in range(share)], sum(SHARES.values()))
    return order[:faults]


def program_of(fault: Callable) -> str:
    return "notebook" if fault is notebook_killed else "pipeline"


def title(fault: Callable) -> str:
    return fault.__name__.replace("_", " ")


def table(results: list[Result]) -> str:
    """Return one line for each kind; `seconds` is the mean, the second run included."""
    lines = [f"{'kind':24s}{'injected':>9s}{'survived':>9s}{'seconds':>9s}"]
    for kind in ["all", *map(title, SHARES)]:
        mine = [result for result in results if kind in ("all", result.kind)]
        if mine:
            survived, seconds = sum(not result.broken for result in mine), sum(result.seconds for result in mine)
            lines.append(f"{kind:24s}{len(mine):9d}{survived:9d}{seconds / len(mine):9.1f}")
    return "\n".join([lines[0], *lines[2:], *lines[1:2]])


def main() -> int:
    parser = argparse.ArgumentParser(description="Strike the pipeline with random faults.")
    parser.add_argument("--minutes", type=float, default=15, help="begin no new fault after this time")
    parser.add_argument("--faults", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="repeat these faults of the seed")
    given = parser.parse_args()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    order = schedule(max([given.faults, *(given.only or [])]), given.seed)
    jobs = [(number, order[number - 1]) for number in given.only or range(1, given.faults + 1)]
    needed = {program_of(fault) for _, fault in jobs}
    references = {program: undisturbed(folder / program, program) for program in COMMANDS if program in needed}
    results: list[Result] = []

    def work(job: tuple[int, Callable]) -> None:
        number, fault = job
        if time.monotonic() - started < 60 * given.minutes:
            place, reference = folder / f"fault-{number}", references[program_of(fault)]
            results.append(inject(number, fault, given.seed, place, reference))
            print(f"{len(results):4d} of {len(jobs)}  #{number:<5d}{results[-1]}", flush=True)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(work, jobs))  # list() lets an exception of ours out

    print(f"\n{table(results)}\n\n{len(results)} faults in {(time.monotonic() - started) / 60:.1f} minutes")
    broken = [result for result in results if result.broken]
    for result in broken:
        print(f"\n#{result.number} {result.kind}: {result.happened}\n      {result.broken}")
    if broken:
        print(f"\nWhat they left is in {folder}. Repeat one with --seed {given.seed} --only NUMBER.")
    else:
        shutil.rmtree(folder)
    if len(results) < len(jobs):
        print(f"The time was up after {len(results)} of {len(jobs)} faults.")
    return int(bool(broken) or len(results) < len(jobs))


if __name__ == "__main__":
    sys.exit(main())
