"""Train many tiny LLaMAs to see where quantization ends: `python -m helpers.sweep`.

A task is one model: how many tokens it reads, which schedule, which seed, and (for low-precision
training) how many bits its matrices have while it trains. Tasks are independent, go through joblib, and
each writes its result to a file of its own, so that the sweep can be stopped and taken up again:

    python -m helpers.sweep                       # what is missing, on all cores of this machine
    python -m helpers.sweep --dask tcp://host:8786    # the same on a Dask cluster
    python -m helpers.sweep --collect             # write data/limits.json from the finished tasks
    python -m helpers.sweep --checkpoints         # train the three models of notebook 09, data/tiny-*.safetensors
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers import artifacts, train
from helpers.errors import InputError

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

COMMAND = "python -m helpers.sweep"
RESULTS = artifacts.ROOT / "data" / "limits.json"
BITS = (2, 3, 4, 5, 6, 8)
BATCH = 8  # sequences of train.CONTEXT tokens in each step
SIZES = (250_000, 1_000_000, 3_000_000, 10_000_000)  # tokens read: 2.5 to 100 for each parameter
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Task:
    """One model to train. `bits` is None for training in FP32, else the width of fake-quantized matrices."""

    tokens: int
    schedule: str
    seed: int
    bits: int | None = None

    @property
    def name(self) -> str:
        width = f"-{self.bits}bits" if self.bits else ""
        return f"{self.tokens}-{self.schedule}{width}-{self.seed}"

    def measure(self) -> dict:
        """Train; return the held-out loss in FP32 (`loss`), after rounding every matrix per row (`rounded`, by bits),
        and the parameters. Training and rounding leave the embedding alone.
        """
        model = tiny(self.seed)
        if self.bits:
            train.fake_quantize(model, self.bits)
        steps = max(1, self.tokens // (BATCH * train.CONTEXT))
        tokenizer = train.story_tokenizer()
        train.fit(model, batches(tokenizer, self.seed), steps, peak_rate=5e-3, schedule=self.schedule, progress=False)
        held_out = train.held_out_tokens(tokenizer, 300)
        rounded = {} if self.bits else {b: train.mean_loss(train.rounded_copy(model, b), held_out) for b in BITS}
        return {
            "loss": round(train.mean_loss(model, held_out), 5),
            "rounded": {str(b): round(value, 5) for b, value in rounded.items()},
            "parameters": model.num_parameters(),
        }


def all_tasks() -> list[Task]:
    """Return every task of notebook 10, the short ones first."""
    tasks = [Task(*case) for case in itertools.product(SIZES, ("cosine", "constant"), SEEDS)]
    tasks += [Task(1_000_000, "cosine", seed, bits) for bits, seed in itertools.product((2, 3, 4, 8), SEEDS)]
    return sorted(tasks, key=lambda task: task.tokens)


def tiny(seed: int) -> LlamaForCausalLM:
    """Return the model of the sweep: 100,080 parameters, two layers, 48 wide, the vocabulary of `story`."""
    return train.small_llama(hidden=48, layers=2, heads=4, kv_heads=2, ffn=128, seed=seed, initializer_range=0.05)


def run(task, folder: Path) -> dict:
    """Run one task, write its result to a file in `folder`, and return it; one that is there already is reused.

    A task is a dataclass with a `name` and a method `measure`; the result holds its fields, what it measured, and the
    seconds it took on one thread.
    """
    path = folder / f"{task.name}.json"
    if path.exists():
        return json.loads(path.read_text())
    import torch

    torch.set_num_threads(1)  # the tasks are the parallelism
    started = time.monotonic()
    result = {**asdict(task), **task.measure(), "seconds": round(time.monotonic() - started, 1)}
    folder.mkdir(parents=True, exist_ok=True)
    with artifacts.making(path) as temporary:
        temporary.write_text(json.dumps(result))
    return result


def trained(seed: int) -> LlamaForCausalLM:
    """Return the shipped model of a seed, trained on 3 million tokens; raises InputError if there is none."""
    from safetensors.torch import load_file

    path = artifacts.ROOT / "data" / f"tiny-{seed}.safetensors"
    if not path.exists():
        raise InputError(
            f"There is no {path.name}. Models are shipped for the seeds {', '.join(map(str, SEEDS))}. "
            "Take one of these, or make them again: `python -m helpers.sweep --checkpoints`."
        )
    model = tiny(seed)
    model.load_state_dict(load_file(path), strict=False)  # the tied head is stored once
    model.tie_weights()
    return model.eval()


def make_checkpoints() -> None:
    """Train the models of notebook 09 and write them to data/."""
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    for seed in SEEDS:
        model = tiny(seed)
        steps = 3_000_000 // (BATCH * train.CONTEXT)
        train.fit(model, batches(train.story_tokenizer(), seed), steps, peak_rate=5e-3)
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
        with artifacts.making(artifacts.ROOT / "data" / f"tiny-{seed}.safetensors") as temporary:
            save_file(state, temporary)


def batches(tokenizer, seed: int) -> Iterator[np.ndarray]:
    """Batches of fresh stories; every seed reads others, all about the same world."""
    return train.story_batches(tokenizer, seed=f"sweep {seed}", batch=BATCH)


def run_all(tasks: Sequence, folder: Path, jobs: int = -1, dask: str | None = None) -> list[dict]:
    """Run the tasks through joblib and return their results; finished ones are only read.

    jobs: local processes, −1 for one on each core. dask: the address of a Dask cluster, whose workers
    must see the same `folder` (a shared disk). Raises InputError if no cluster answers there.
    """
    import joblib

    if dask is None:
        return joblib.Parallel(n_jobs=jobs)(joblib.delayed(run)(task, folder) for task in tasks)
    from distributed import Client

    try:
        client = Client(dask, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(
            f"No Dask cluster answers at {dask!r}. The address is that of its scheduler, such as tcp://host:8786. "
            "Start one with `dask scheduler` and `dask worker`, or leave --dask out."
        ) from error
    with client, joblib.parallel_config(backend="dask", wait_for_workers_timeout=30):
        return joblib.Parallel()(joblib.delayed(run)(task, folder) for task in tasks)


def collect(folder: Path, path: Path = RESULTS, tasks: Sequence | None = None, command: str = COMMAND) -> list[dict]:
    """Write the results of all tasks into one file and return them; raises InputError if some are missing."""
    tasks = all_tasks() if tasks is None else tasks
    missing = [task.name for task in tasks if not (folder / f"{task.name}.json").exists()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(tasks)} tasks are not finished: {', '.join(missing[:4])} … The sweep was "
            f"stopped or never run. Run `{command}`, which goes on where it stopped."
        )
    results = [json.loads((folder / f"{task.name}.json").read_text()) for task in tasks]
    lines = ",\n".join(json.dumps(result) for result in results)
    with artifacts.making(path) as temporary:
        temporary.write_text(f"[\n{lines}\n]\n")
    return results


def results(path: Path = RESULTS, command: str = COMMAND) -> list[dict]:
    """Return the shipped results; raises InputError, saying how to make them, if the file is missing."""
    if not path.exists():
        raise InputError(
            f"{path.name} is missing. It holds the results of the sweep, hours of training. Take it from the "
            f"repository, or make it: `{command}`, then `{command} --collect`."
        )
    return json.loads(path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the tiny models of notebook 10.")
    parser.add_argument("--folder", type=Path, default=artifacts.folder("sweep"), help="results, one file each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--dask", help="address of a Dask scheduler")
    parser.add_argument("--collect", action="store_true", help="write data/limits.json from what is there")
    parser.add_argument("--checkpoints", action="store_true", help="train the models of notebook 09")
    given = parser.parse_args()
    if given.checkpoints:
        make_checkpoints()
        return
    if given.collect:
        collect(given.folder)
        return
    run_all(all_tasks(), given.folder, given.jobs, given.dask)


if __name__ == "__main__":
    main()
