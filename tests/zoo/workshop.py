"""Build, convert, run and prove every variant with the real tools: `python -m tests.zoo.workshop results.json [names]`.

Each variant gets a process of its own, because llama.cpp ends the process for some. The processes are forked from
one that has imported everything, and so is the converter (see forked.py): 190 conversions in two minutes.
`--truth` compares with transformers by truth.py even where the course's own proof can be imported.
"""

import argparse
import dataclasses
import gc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from . import forked, truth
from .variants import VARIANTS, build

PROGRAMS = (  # of the course and of llama.cpp, forked when the course starts them
    "convert_hf_to_gguf.py",
    "convert_lora_to_gguf.py",
    "start_converter.py",
    "helpers.pipeline.proof.predictions",
)
QUESTION = "There once was a stoat"
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "COURSE_HUB": "rehearsal",
    "GGML_NO_BACKTRACE": "1",  # a debugger's backtrace of each abort takes 10 s
}


@dataclass
class Outcome:
    """What came of a variant. `error` and `run_error` name the exception; `ours` tells whether both are the course's.

    `failing` has the rows of the proof that fail, by name; `died` the signal that ended the process, if one did.
    """

    name: str
    stage: str = "build"
    error: str = ""
    ours: bool = True
    failing: dict[str, str] = field(default_factory=dict)
    unproved: str = ""
    run_error: str = ""
    answer: str | None = None
    code_was_run: bool = False
    died: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


class Stopped(Exception):
    """A step failed and the outcome says how."""


def work(name: str, place: Path, own_proof: bool) -> None:
    """Do everything with one variant, writing the outcome after each step: what stands there survives a crash."""
    _quiet(place / "log.txt")
    os.environ["COURSE_ARTIFACTS"] = str(place / "artifacts")
    os.environ["ZOO_MARK"] = str(place / "mark")
    subprocess.Popen = forked.popen(PROGRAMS)
    import torch

    torch.set_num_threads(1)  # renews PyTorch's pool of threads, which a fork breaks, before several threads ask for it
    from helpers.errors import CourseError
    from helpers.pipeline import checkpoint, convert, runtime

    outcome, variant = Outcome(name), VARIANTS[name]

    def step(stage: str, action: Callable, problem: str = "error"):
        outcome.stage = stage
        _write(outcome, place)
        before = os.times()
        try:
            return action()
        except Exception as error:
            setattr(outcome, problem, f"{type(error).__name__}: {error}")
            outcome.ours &= isinstance(error, CourseError) or problem == "unproved"
            if problem == "error":
                raise Stopped from error
        finally:
            outcome.seconds[stage] = round(sum(os.times()[:4]) - sum(before[:4]), 2)  # of the processor
            outcome.code_was_run = (place / "mark").exists()
            _write(outcome, place)

    try:
        made = step("build", lambda: build(name, place))
        folder = step("read", lambda: variant.ready(made) if variant.ready else checkpoint.read(made).folder)
        gguf = step("convert", lambda: convert.to_gguf(folder, variant.outtype, **variant.options))
        found = step("proof", lambda: _failing_rows(folder, gguf, variant.outtype, own_proof), "unproved")
        outcome.failing = found or {}
        outcome.answer = step("run", lambda: runtime.ask(runtime.load(gguf, threads=1), QUESTION, 4), "run_error")
        outcome.stage = "done"
        _write(outcome, place)
    except Stopped:
        pass


def _failing_rows(folder: Path, gguf: Path, outtype: str, own_proof: bool) -> dict[str, str]:
    """Return the rows of the proof that fail and their details."""
    if own_proof:
        from helpers.pipeline import proof

        found = proof.same_model(folder, gguf, threads=1)
        return {row.name: row.detail for row in found.rows if row.verdict != "passed"}
    return truth.failing_rows(folder, gguf, outtype)


def _quiet(log: Path) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)


def _write(outcome: Outcome, folder: Path) -> None:
    (folder / "outcome.json").write_text(json.dumps(dataclasses.asdict(outcome)))


def measure(names: Iterable[str], own_proof: bool, base: Path, processes: int = 2) -> dict[str, Outcome]:
    """Return the outcomes of these variants; nothing may have computed with threads in this process before."""
    os.environ.update(ENVIRONMENT)
    _warm_up(base)
    todo, running, outcomes = list(names)[::-1], {}, {}
    while todo or running:
        while todo and len(running) < processes:
            name = todo.pop()
            folder = base / "work" / name
            folder.mkdir(parents=True)
            running[forked.child(lambda name=name, folder=folder: work(name, folder, own_proof))] = name, folder
        pid, status = os.wait()
        name, folder = running.pop(pid)
        outcomes[name] = Outcome(**json.loads((folder / "outcome.json").read_text()))
        outcomes[name].died = max(0, -forked.exit_code(status))
    return outcomes


def _warm_up(base: Path) -> None:
    """Import and use once what every child needs, with one thread, so that a fork has it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from helpers.pipeline import llama_tools

    from . import tokenizers

    torch.set_num_threads(1)
    tools = llama_tools.tools()
    os.environ["LLAMA_CPP_DIR"] = str(tools)
    tokenizers.smollm2()
    folder = build("llama", base / "warm")
    AutoTokenizer.from_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(folder)
    forked.Program.modules = forked.imported_from([tools, tools / "gguf-py"], ["gguf", "conversion.llama"])
    for name in ("gguf", "llama_cpp", "sentencepiece"):  # this gguf is the course's, that one was the converter's
        importlib.import_module(name)
    gc.freeze()  # the collector writes to every object, and what a child writes to is copied


def describe(outcome: Outcome) -> str:
    """Return a line about an outcome: what it ended with."""
    parts = [outcome.error, f"unproved: {outcome.unproved}" if outcome.unproved else "", outcome.run_error]
    parts += [f"{name}: {detail}" for name, detail in outcome.failing.items()]
    parts += [f"died of signal {outcome.died} in {outcome.stage}"] if outcome.died else []
    return f"{outcome.name:30} {sum(outcome.seconds.values()):5.1f} s  " + " | ".join(filter(None, parts))


def main() -> int:
    parser = argparse.ArgumentParser(description="Build, convert, run and prove the variants of the zoo.")
    parser.add_argument("results", type=Path)
    parser.add_argument("names", nargs="*", help="variants; all if none is named")
    parser.add_argument("--truth", action="store_true", help="compare by truth.py, not by the course's proof")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave everything there")
    given = parser.parse_args()
    started = time.time()
    with tempfile.TemporaryDirectory() as temporary:
        base = given.keep or Path(temporary)
        own_proof = not given.truth and _has_proof()
        outcomes = measure(given.names or VARIANTS, own_proof, base)
    given.results.write_text(json.dumps([dataclasses.asdict(outcome) for outcome in outcomes.values()]))
    print("\n".join(map(describe, outcomes.values())))
    print(f"{len(outcomes)} variants in {time.time() - started:.0f} s")
    return 0


def _has_proof() -> bool:
    return importlib.util.find_spec("helpers.pipeline.proof") is not None


if __name__ == "__main__":
    sys.exit(main())
