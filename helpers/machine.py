"""The machine that the course runs on: its disk, its memory, its cores, and the processes that are started on it.

    machine.require_memory(2e9, "opening the model")     # before a step that could fail half-way
    machine.cores()                                      # how many threads a computation may have
    subprocess.run(command, env=machine.child_environment(HF_HUB_OFFLINE="1"))

`helpers/__init__.py` calls `wait_politely`, so it runs before torch or llama_cpp is loaded, however a notebook begins.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import warnings
from pathlib import Path

from helpers.artifacts import size_text
from helpers.errors import ResourceError

CGROUP = Path("/sys/fs/cgroup")  # what Linux allows a container, in version 2 of its files or in 1

# How often a thread of libgomp (the OpenMP of llama.cpp and torch on Linux) looks for work before it sleeps. Its own
# default is 300,000, which keeps a core busy for some 20 ms while a neighbour could use it. Training in torch pays for
# it on an idle machine (measured: 0.9 of its speed for `story`, 0.8 for tiny models, which wait often). With 12,000 it
# would not, but then two notebooks that generate at once are as slow as by default.
IDLE_SPINS = 1_500  # llama.cpp alone loses nothing by it; two notebooks at once write two thirds more
# Where others compute, a core that waits is theirs. Not 0: on a virtual machine a sleeping core wakes so slowly that
# SmolLM2 would write a quarter of its tokens as soon as the others stop (measured: 25 against 97 per second, 300: 97).
BUSY_SPINS = 300
CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # the variables by which a user decides


def require_disk(n_bytes: float, where: Path, what: str) -> None:
    """Raise ResourceError unless the disk of `where` has room for `n_bytes` and 5 % more."""
    existing = next(path for path in (where, *where.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < n_bytes * 1.05:
        raise ResourceError(
            f"Not enough disk for {what}: it needs {size_text(n_bytes)}, {size_text(free)} are free. "
            "Nothing was written. Delete old files in artifacts/, choose a smaller model (COURSE_MODEL), "
            "or put the files elsewhere (COURSE_ARTIFACTS)."
        )


def require_memory(n_bytes: float, what: str) -> None:
    """Raise ResourceError unless `n_bytes` of memory are available now."""
    available = available_memory()
    if available < n_bytes:
        raise ResourceError(
            f"Not enough memory for {what}: it needs about {size_text(n_bytes)}, "
            f"{size_text(available)} are available. Close other notebooks (each keeps its model), "
            "or choose a smaller model (COURSE_MODEL)."
        )


def available_memory(cgroup: Path = CGROUP) -> float:
    """Return how many bytes this process can still take: what is free, or less where a container is limited."""
    import psutil

    limit, taken = _container_memory(cgroup)
    return max(0, min(psutil.virtual_memory().available, limit - taken))


def total_memory(cgroup: Path = CGROUP) -> float:
    """Return the bytes of memory of this machine, or of the container if it may have fewer."""
    import psutil

    return min(psutil.virtual_memory().total, _container_memory(cgroup)[0])


def _container_memory(cgroup: Path) -> tuple[float, float]:
    """Return a container's limit in bytes, and what it has taken without files that the kernel can drop again."""
    for folder, names, cache in (
        (cgroup, ("memory.max", "memory.current"), "inactive_file"),
        (cgroup / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_inactive_file"),
    ):
        try:
            limit, taken = (int((folder / name).read_text()) for name in names)
            parts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return limit, taken - int(parts.get(cache, 0))
        except (OSError, ValueError):  # the other version, "max", or no Linux
            continue
    return math.inf, 0


def cores(cgroup: Path = CGROUP) -> int:
    """Return how many cores this process may use: fewer than the machine has where a container or taskset limits it."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:  # how long a container may compute in each period of time; "max" or -1 for as long as it likes
            allowed, period = (int(part) for name in names for part in (cgroup / name).read_text().split())
        except (OSError, ValueError):
            continue
        if allowed > 0:
            count = max(1, min(count, math.ceil(allowed / period)))
    return count


def child_environment(**extra: str) -> dict[str, str]:
    """Return the environment for a process that runs others' code: this one's without tokens, and with `extra`.

    Building a package, converting a checkpoint and serving a model need no token, so none can leak there. How threads
    wait (`wait_politely`) is inherited. NO_COLOR (no-color.org), because our messages quote what such a process says,
    and some send a terminal's colours into a pipe where CI or FORCE_COLOR is set.
    """
    inherited = {name: value for name, value in os.environ.items() if "TOKEN" not in name.upper()}
    return inherited | {"NO_COLOR": "1"} | extra


def no_proxy_for_this_machine() -> None:
    """Keep this process's requests to servers on 127.0.0.1 away from a proxy, as http_proxy asks for one."""
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))


def wait_politely() -> str:
    """Set how the threads of llama.cpp and torch wait, here and in child processes, and return it in a sentence.

    Where a minute of others' work and a look at this moment say that half of the cores are taken, they sleep very
    soon; else they spin briefly first, because waking costs more than the wait between two matrices. No count serves
    both: see docs/BENCHMARKS.md. A value that is there already stays, a user's as well as a parent process's. libgomp
    reads it once, when it is loaded: if that has happened, only child processes get it, and a RuntimeWarning says so.
    Other OpenMP libraries (macOS) and builds of llama.cpp without OpenMP do not know the variable and wait as before.
    """
    if chosen := [f"{name}={os.environ[name]}" for name in CHOICES if name in os.environ]:
        return f"Threads wait as the environment says: {', '.join(chosen)}."
    spins, why = (BUSY_SPINS, "others compute here") if busy() else (IDLE_SPINS, "the machine is idle")
    os.environ["GOMP_SPINCOUNT"] = str(spins)
    if loaded := " and ".join(name for name in ("torch", "llama_cpp") if name in sys.modules):
        warnings.warn(
            f"Threads of this process spin while they wait. {loaded} was loaded before the course's helpers, too early "
            "for the setting. Restart the kernel and run the setup cell first.",
            RuntimeWarning,
            stacklevel=2,
        )
        return f"Too late for this process, {loaded} is loaded; child processes get GOMP_SPINCOUNT={spins}."
    return f"Threads look for work {spins:,} times, then sleep: {why}."


def busy(load: Path = Path("/proc/loadavg")) -> bool:
    """Tell whether others keep half of the cores at work, in the mean of the last minute and at this moment.

    Both must hold: the mean remembers a kernel that was restarted just now, the moment may be an accident. Without the
    file (Linux has it) the answer is no.
    """
    try:
        mean, _, _, threads, _ = load.read_text().split()
    except OSError:
        return False
    running = int(threads.split("/")[0]) - 1  # without the thread that asks
    return min(float(mean), running) >= cores() / 2
