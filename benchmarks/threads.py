"""How threads wait, the default beside ours: SmolLM2 Q8_0 writes alone, twice at once, among busy ones. 4 minutes.

Every generator is a process of its own that uses llama_cpp without our helpers; the peer's environment says nothing
about waiting (libgomp's default), ours has what `machine.wait_politely` sets in that situation. Old and new take turns.
The median counts here, not the best: a lucky round is not what a reader gets. While it measures nobody else should
compute: rounds in which another program used more than a tenth of a core are repeated, and if it goes on, noted.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

from benchmarks.report import BUSY, Row
from helpers import artifacts, machine
from helpers.pipeline import catalogue, convert

GROUP = "Threads that wait"
ROUNDS, ATTEMPTS = 5, 4
# Situation, generators, busy neighbours, seconds (the default writes in bursts there), our spin count, budget.
SITUATIONS = (
    ("alone", 1, 0, 3, machine.IDLE_SPINS, 0.95),
    ("two at once, begun on an idle machine", 2, 0, 3, machine.IDLE_SPINS, None),
    ("two at once, begun on a busy machine", 2, 0, 3, machine.BUSY_SPINS, 1.5),
    ("beside six busy processes", 1, 6, 8, machine.BUSY_SPINS, 6),
)
GENERATOR = """
import json, sys, time
import llama_cpp
path, seconds, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
llm = llama_cpp.Llama(path, n_ctx=512, n_threads=threads, n_threads_batch=threads, verbose=False)
llm.eval(range(100, 108))
print("ready", flush=True)
sys.stdin.readline()
tokens, started = 0, time.perf_counter()
while (taken := time.perf_counter() - started) < seconds:
    if tokens % 64 == 0:
        llm.reset()
        llm.eval([100])
    llm.eval([llm.sample(temp=0.0)])
    tokens += 1
print(json.dumps(tokens / taken), flush=True)
"""


def reading(rows: list[Row]) -> str:
    """Say what the rows show."""
    alone, idle, busy, six = (row.ratio for row in rows)
    brief, _, short, _ = (re.search(r"spin count ([\d,]+)", row.note)[1] for row in rows)
    most = rows[0].ours / 4 / rows[3].theirs
    return (
        f"Brief spinning ({brief} rounds) gives {alone:.2f} times the default's speed on an idle machine. Two "
        f"notebooks at once: {idle:.2f} times with it, {busy:.2f} times with a spin count of {short}. Among six busy "
        f"processes: {six:.1f} times, and no way of waiting could give more than {most:.1f}, "
        "because two of eight running threads get a quarter of the machine. "
        "No setting is best in all, so `machine.wait_politely` chooses when a kernel starts, by what the machine is "
        "doing. The speeds are those of one generator, the medians of the rounds; spread is how far the slowest round "
        "of ours lies below them. The default's rounds differ most: it depends on luck whether both of its threads "
        "run at the same time.\n\n"
        "The default's range and the budget stand in the notes; a ratio below its budget was not reached in this run."
    )


def rows() -> Iterator[Row]:
    """Measure each situation with the default and with ours, in turns."""
    gguf = convert.to_gguf(catalogue.CATALOGUE["smollm2"].fetch(), "q8_0")
    default = {name: value for name, value in machine.child_environment().items() if name not in machine.CHOICES}
    for situation, generators, neighbours, seconds, spins, budget in SITUATIONS:
        environments = (default | {"GOMP_SPINCOUNT": str(spins)}, default)
        speeds: tuple[list[float], list[float]] = ([], [])
        disturbed = 0
        for kept, environment in [*zip(speeds, environments, strict=True)] * ROUNDS:
            for _attempt in range(ATTEMPTS):
                speed, foreign = measure(str(gguf), generators, neighbours, seconds, environment)
                if foreign < 0.1:
                    break
            disturbed += foreign >= 0.1
            kept.append(speed)
        ours, theirs = map(statistics.median, speeds)
        notes = [f"spin count {spins:,}", f"default {min(speeds[1]):.1f} to {max(speeds[1]):.1f}"]
        notes += [f"budget: ratio {budget}"] if budget else []
        notes += [f"{disturbed} of {2 * ROUNDS} rounds disturbed"] if disturbed else []
        spread = 1 - min(speeds[0]) / ours
        yield Row(GROUP, situation, ours, "tokens/s", "libgomp's default", theirs, spread, "; ".join(notes))


def measure(
    gguf: str, generators: int, neighbours: int, seconds: float, environment: dict[str, str]
) -> tuple[float, float]:
    """Return the mean tokens per second of the generators, and how many cores programs not ours used meanwhile."""
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    command = [sys.executable, "-c", GENERATOR, gguf, str(seconds), str(machine.cores())]
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> psutil.Popen:
            process = stack.enter_context(psutil.Popen(arguments, cwd=artifacts.ROOT, env=environment, **options))
            stack.callback(process.kill)
            return process

        busy = [start(sys.executable, "-c", BUSY, str(os.getpid())) for _ in range(neighbours)]
        writing = [start(*command) for _ in range(generators)]
        for process in writing:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("A generator ended before it began.")
        own, everything, started = _used(busy + writing), _all_used(), time.perf_counter()
        for process in writing:
            process.stdin.write("go\n")
            process.stdin.flush()
        time.sleep(seconds * 0.9)
        foreign = _all_used() - everything - (_used(busy + writing) - own)
        foreign /= time.perf_counter() - started
        return statistics.mean(json.loads(process.stdout.readline()) for process in writing), foreign


def _used(processes: list[psutil.Popen]) -> float:
    """Seconds of processor time that these processes have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _all_used() -> float:
    """Seconds of processor time that the machine has used, those that its host kept from it included."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0)
