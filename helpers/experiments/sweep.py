"""Run many independent trainings: one file for each task, so that a sweep can be stopped and taken up again.

A task is a dataclass with a `name` and a method `measure`. The other modules of this room have the tasks;
`python -m helpers.experiments` runs them. A file in data/ holds the results and what they were made with:

    {"made": ["commit 1a2b3c4, Python 3.11.7, torch 2.13.0, …"],
     "results": [{"task": "shape-1x1-0", "layers": 1, …, "seconds": 33.5, "made": 0}, …]}
"""

import contextlib
import json
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import transformers

from helpers import artifacts
from helpers.errors import InputError

COMMAND = "python -m helpers.experiments"
SEEDS = (0, 1, 2)
PATIENCE = 10  # seconds that a cluster may take to answer


def run(task, folder: Path) -> dict:
    """Run one task, write its result to a file in `folder`, and return it; one that is there already is reused.

    The result holds the task's fields, what it measured, the seconds it took on one thread, and what made it.
    """
    path = folder / f"{task.name}.json"
    if path.exists():
        return json.loads(path.read_text())
    with _one_thread():  # the tasks are the parallelism
        started = time.monotonic()
        measured = {"task": task.name, **asdict(task), **task.measure()}
        result = measured | {"seconds": round(time.monotonic() - started, 1), "made": made()}
    folder.mkdir(parents=True, exist_ok=True)
    with artifacts.making(path) as temporary:
        temporary.write_text(json.dumps(result))
    return result


def slug(text: str) -> str:
    """Return a text as part of a file's name: "INT4, all three" → INT4_all_three."""
    return re.sub(r"[^\w.-]", "", text.replace(" ", "_"))


def made() -> str:
    """Return what results are made with here: the course's commit, versions, and the kind of processor."""
    ask = ["git", "-C", artifacts.ROOT, "rev-parse", "--short", "HEAD"]
    try:
        commit = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git here, or a copy without its history
        commit = "unknown"
    versions = ", ".join(f"{package.__name__} {package.__version__}" for package in (np, torch, transformers))
    return f"commit {commit}, Python {platform.python_version()}, {versions}, {platform.machine()}"


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let PyTorch use one thread inside the block, and as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_all(tasks: Sequence, folder: Path, jobs: int = -1, dask: str | None = None) -> list[dict]:
    """Run the tasks through joblib and return their results; finished ones are only read.

    jobs: local processes, −1 for one on each core. dask: the address of a Dask cluster, whose workers
    must see the same `folder` (a shared disk). Raises InputError if no cluster answers there.
    """
    import joblib

    if dask is None:
        return joblib.Parallel(n_jobs=jobs, batch_size=1)(joblib.delayed(run)(task, folder) for task in tasks)
    from distributed import Client

    try:
        client = Client(dask, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(
            f"No Dask cluster answers at {dask!r}. The address is that of its scheduler, such as tcp://host:8786. "
            "Start one with `dask scheduler` and `dask worker`, or leave --dask out."
        ) from error
    with client, joblib.parallel_config(backend="dask", wait_for_workers_timeout=30):
        return joblib.Parallel(batch_size=1)(joblib.delayed(run)(task, folder) for task in tasks)


def collect(folder: Path, path: Path, tasks: Sequence) -> list[dict]:
    """Write the results of all finished tasks into one file and return them; raises InputError if there are none."""
    files = [file for task in tasks if (file := folder / f"{task.name}.json").exists()]
    if not files:
        raise InputError(
            f"None of the {len(tasks)} tasks of {path.stem} is finished: {tasks[0].name} … The sweep was never run "
            f"here. Run `{COMMAND} {path.stem}`, which goes on where it stopped."
        )
    results = [json.loads(file.read_text()) for file in files]
    ways = list(dict.fromkeys(result["made"] for result in results))
    lines = ",\n".join(json.dumps(result | {"made": ways.index(result["made"])}) for result in results)
    with artifacts.making(path) as temporary:
        temporary.write_text(f'{{"made": {json.dumps(ways, indent=1)},\n"results": [\n{lines}\n]}}\n')
    return shipped(path)


def unpack(path: Path, folder: Path, tasks: Sequence) -> None:
    """Write what `collect` has put into a file as one file for each task again, so that none is run twice anywhere."""
    stored = json.loads(path.read_text()) if path.exists() else {"made": [], "results": []}
    rows = {row["task"]: row for row in stored["results"]}
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        file = folder / f"{task.name}.json"
        if task.name in rows and not file.exists():
            row = rows[task.name]
            with artifacts.making(file) as temporary:
                temporary.write_text(json.dumps(row | {"made": stored["made"][row["made"]]}))


def shipped(path: Path) -> list[dict]:
    """Return the shipped results in a file; raises InputError, saying how to make them, if it is missing."""
    if not path.exists():
        raise InputError(
            f"{path.name} is missing. It holds the results of a sweep, hours of training. Take it from the "
            f"repository, or make it: `{COMMAND} {path.stem}`, then `{COMMAND} {path.stem} --collect`."
        )
    return json.loads(path.read_text())["results"]
