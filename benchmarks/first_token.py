"""Minutes from clone to first generated token, cold and warm. About a quarter of an hour.

Cold: empty caches, as on a new machine; all packages are downloaded and llama.cpp is built. Warm: a second
clone with those caches. Then `make run` in the second clone. Needs git, make and a package index.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Row
from helpers import artifacts

GROUP = "From clone to first token"
FIRST_TOKEN = """
import time
from helpers.pipeline import catalogue, convert, runtime
started = time.monotonic()
checkpoint = catalogue.CATALOGUE["smollm2"].fetch()
fetched = time.monotonic()
gguf = convert.to_gguf(checkpoint, "q8_0")
converted = time.monotonic()
llm = runtime.load(gguf, n_ctx=256)
assert runtime.ask(llm, "What is the capital of France?", max_tokens=1)
print(fetched - started, converted - fetched, time.monotonic() - converted)
"""
STEPS = ("clone", "environment", "model in hand", "conversion to Q8_0", "load and first token")


def rows() -> Iterator[Row]:
    """Clone twice with the same caches; then run the second clone."""
    with tempfile.TemporaryDirectory(prefix="newcomer-") as temporary:
        folder = Path(temporary)
        empty = {"PIP_CACHE_DIR": "pip", "XDG_CACHE_HOME": "cache", "HF_HOME": "hf"}  # cache: our wheel of llama.cpp
        surroundings = clean() | {name: str(folder / place) for name, place in empty.items()}
        for state in ("cold", "warm"):
            seconds = newcomer(folder / state, surroundings)
            for step, taken in zip(STEPS, seconds, strict=True):
                yield Row(GROUP, f"{state}: {step}", taken, "s")
            yield Row(GROUP, f"{state}: clone to first token", sum(seconds) / 60, "minutes")
        course = folder / "warm"
        taken = make("run", course, surroundings | {"COURSE_MODEL": "smollm2", "COURSE_HUB": "rehearsal"})
        yield Row(GROUP, "make run, SmolLM2, model in hand", taken / 60, "minutes", note="notebooks 04 to 07")


def clean() -> dict[str, str]:
    """Return the environment without our switches."""
    ours = ("COURSE_", "HF_", "LLAMA_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def clone(course: Path) -> None:
    """Clone what is committed here."""
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", artifacts.ROOT, course], check=True)


def newcomer(course: Path, surroundings: dict[str, str]) -> list[float]:
    """Do what a newcomer does, up to the first token of SmolLM2; return the seconds of each step."""
    started = time.monotonic()
    clone(course)
    cloned = time.monotonic()
    make(".venv/.ready", course, surroundings)
    ready = time.monotonic()
    command = [course / ".venv" / "bin" / "python", "-c", FIRST_TOKEN]
    done = subprocess.run(command, cwd=course, env=surroundings, stdout=subprocess.PIPE, text=True, check=True)
    return [cloned - started, ready - cloned, *map(float, done.stdout.split()[-3:])]


def make(target: str, course: Path, surroundings: dict[str, str]) -> float:
    """Run a target of the Makefile and return its seconds; what it prints goes to stderr."""
    started = time.monotonic()
    command = ["make", target, f"PYTHON={sys.executable}"]
    subprocess.run(command, cwd=course, env=surroundings, stdout=sys.stderr, check=True)
    return time.monotonic() - started
