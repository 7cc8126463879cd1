"""The ground on which soak.py strikes: a folder with artifacts, a Hub, a program to run, and the promises."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from helpers import artifacts
from helpers.pipeline import gguf_file, llama_tools
from helpers.pipeline.rehearsal import RehearsalHub

ROOT = artifacts.ROOT
STORY = ROOT / "data" / "story"
SECRET = "hf_SOAKSECRETthatmustneverbeseen"
HANGS = 180  # seconds after which a run counts as hanging
REFUSED = 3  # the exit code of tests/long/soak_pipeline.py for one of our errors
COMMANDS = {
    "pipeline": [sys.executable, "-u", str(ROOT / "tests" / "long" / "soak_pipeline.py")],
    "notebook": [sys.executable, "-u", "-m", "tools.run", "05", "--model", "story"],
}
# The steps of the pipeline, and what each leaves in the artifacts folder.
PRODUCTS = {
    "fetch": ["models/*"],
    "convert": ["gguf/*-F16.gguf", "gguf/.*-F16.gguf.source"],
    "quantize": ["gguf/*-Q8_0.gguf", "gguf/*-Q4_K_M.gguf"],
    "ask": [],
    "publish": ["published.json"],
    "download": ["downloads/*"],
}
tools = functools.cache(llama_tools.tools)


class BrokenError(Exception):
    """A promise that did not hold."""


@dataclass(frozen=True)
class Run:
    """How a run ended: its exit code (negative: the signal), what it printed, the seconds of its steps."""

    code: int
    output: str
    seconds: dict[str, float]

    @property
    def result(self) -> dict | str:
        """What the program says in its last line: the pipeline as JSON what it made, a notebook where its pages are."""
        last = self.output.splitlines()[-1]
        return json.loads(last) if last.startswith("{") else last

    @property
    def words(self) -> str:
        """The name and the text of the error of ours that stopped it."""
        said = [line for line in self.output.splitlines() if line.startswith("refused: ")]
        return said[-1].removeprefix("refused: ") if said else "nothing of ours"

    @property
    def ending(self) -> str:
        """How it ended, in a few words."""
        if self.code == REFUSED:
            return " ".join(self.words.split()[:8]) + " …"
        return {0: "went on", 1: "stopped", -signal.SIGABRT: "ended by llama.cpp"}.get(self.code, "killed")

    def ended(self, *codes: int) -> Run:
        """Return this run; raise BrokenError with its last words unless it ended with one of the codes."""
        if self.code not in codes:
            last = "\n      ".join(line for line in self.output.splitlines()[-8:] if line.strip())
            raise BrokenError(f"ended with code {self.code}, expected {codes}. Its last words:\n      {last}")
        return self


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: where its artifacts are, and their checksums by name."""

    run: Run
    artifacts: Path
    sums: dict[str, str]


@dataclass
class Ground:
    """The ground for one fault. `reference` is what an undisturbed run makes; `chance` decides everything random."""

    folder: Path
    chance: random.Random
    program: str
    reference: Reference | None = None
    orphans: list[psutil.Process] = field(default_factory=list)

    def __post_init__(self):
        self.artifacts = self.folder / "artifacts"
        self.offered = self.folder / "offered"  # what the Hub offers for download
        for path in (self.artifacts, self.folder / "hub"):
            path.mkdir(parents=True)
        shutil.copytree(STORY, self.offered)
        # Small pieces, so that an upload has several parts and can be cut between them.
        self.hub = RehearsalHub(self.folder / "hub", multipart_over=4 * 2**20, chunk=2**20)
        self.hub.roles[SECRET] = "write"
        self.hub.start()
        self.hub.host("course/story", self.offered)
        self.copy = ROOT
        if self.program == "notebook":  # it writes its pages into the repository
            self.copy = self.folder / "copy"
            for part in ("helpers", "tools", "data", "notebooks"):
                shutil.copytree(ROOT / part, self.copy / part, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "constraints.txt", self.copy)

    def close(self) -> None:
        """End what still runs, and stop the Hub."""
        for process in self.orphans:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.hub.stop()

    # Running

    def begin_at(self, step: str) -> None:
        """Lay out the artifacts as they are when all steps before `step` are done."""
        done = self.reference.artifacts
        for name in list(PRODUCTS)[: list(PRODUCTS).index(step)]:
            for source in (path for pattern in PRODUCTS[name] for path in done.glob(pattern)):
                target = self.artifacts / source.relative_to(done)
                target.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)

    def run(self, step: str = "", seconds: float = 0, strike: Callable | None = None, **environment: str) -> Run:
        """Run the command to its end; `strike` hits its process `seconds` after the beginning of `step`."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "COURSE_", "SOAK_"))}
        environment = clean | {
            "COURSE_ARTIFACTS": str(self.artifacts),
            "COURSE_HUB": "rehearsal" if self.program == "notebook" else "real",
            "LLAMA_CPP_DIR": str(tools()),
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_TOKEN": SECRET,
            "HF_HOME": str(self.folder / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "PYTHONPATH": str(self.copy),
            **environment,
        }
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen(COMMANDS[self.program], cwd=self.copy, env=environment, **pipes)
        timers = [threading.Timer(HANGS, process.kill)]
        begun, output = {}, ""

        def begin(name: str) -> None:
            begun[name] = time.monotonic()
            if name == step:
                timers.append(threading.Timer(seconds, strike, [self, process]))
                timers[-1].start()

        timers[0].start()
        begin("start")
        for line in process.stdout:
            output += line
            if line.startswith("step: "):
                begin(line.split()[1])
        code = process.wait()
        for timer in timers:
            timer.cancel()
            timer.join()
        times = [*begun.values(), time.monotonic()]
        if times[-1] - times[0] >= HANGS:
            raise BrokenError(f"hung for {HANGS} seconds, having said {output[-300:]!r}")
        if SECRET in output:
            raise BrokenError("the token was printed")
        return Run(code, output, {name: end - start for name, start, end in zip(begun, times, times[1:], strict=False)})

    def some_time(self, step: str) -> float:
        """Draw a random moment within a step, in seconds after its beginning."""
        return self.chance.uniform(0, self.reference.run.seconds[step])

    # Damaging

    def damage(self, path: Path, header: int = 0) -> str:
        """Cut a file's end off or flip a bit, every other time within the first `header` bytes; its date stays."""
        before, data = path.stat(), bytearray(path.read_bytes())
        if self.chance.random() < 0.3:
            data = data[: self.chance.randrange(len(data))]
            what = f"{path.name} cut to {len(data):,} bytes"
        else:
            within = min(header, len(data)) if header and self.chance.random() < 0.5 else len(data)
            place, bit = self.chance.randrange(within), self.chance.randrange(8)
            data[place] ^= 1 << bit
            what = f"{path.name}: bit {bit} of byte {place:,} flipped"
        path.write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return what

    def spoil_leftovers(self) -> None:
        """Fill what is half-made with rubbish, and lay a half file beside it."""
        planted = self.artifacts / "gguf" / "soaked-F16-Q8_0.gguf.partial"
        planted.parent.mkdir(exist_ok=True)
        planted.touch()
        for path in self.artifacts.rglob("*"):
            if path.is_file() and self.is_half(path):
                path.write_bytes(b"GGUF" + self.chance.randbytes(200_000))

    # The promises

    def is_half(self, path: Path) -> bool:
        """Tell whether a file is half-made by its own name or by that of a folder it is in."""
        return any(part.endswith(".partial") for part in path.relative_to(self.artifacts).parts)

    def final_files(self) -> dict[str, Path]:
        """Return every file with a final name: neither half-made nor a lock or a note of what it was made from."""
        files = (p for p in sorted(self.artifacts.rglob("*")) if p.is_file() and p.suffix not in (".lock", ".source"))
        return {path.relative_to(self.artifacts).as_posix(): path for path in files if not self.is_half(path)}

    def require_whole(self) -> None:
        """Raise BrokenError unless everything that has a final name is whole, here and on the Hub."""
        for name, path in self.final_files().items():
            if name.endswith(".gguf"):
                gguf_file.summary(path)
            same = artifacts.sha256(path) == self.reference.sums.get(name)
            if not same and not (name == "published.json" and self.is_receipt(path)):
                raise BrokenError(f"{name} is not what an undisturbed run makes")
        for name, repo in self.hub.repos.items():
            for commit in repo.commits:
                shown = sum(file.endswith(".gguf") for file in commit.files)
                if shown not in (0, 3):
                    raise BrokenError(f"{name} shows {shown} of 3 files on the Hub")

    def is_receipt(self, path: Path) -> bool:
        """Tell whether a receipt names a commit of the Hub: a second attempt to publish may make a second one."""
        commits = [commit.oid for repo in self.hub.repos.values() for commit in repo.commits]
        return json.loads(path.read_text())["revision"] in commits

    def require_all(self) -> None:
        """Raise BrokenError unless every file of an undisturbed run is there."""
        if missing := set(self.reference.sums) - set(self.final_files()):
            raise BrokenError(f"the run after the fault did not make {', '.join(sorted(missing))}")

    def require_no_token(self) -> None:
        """Raise BrokenError if the token stands in any file below the folder."""
        for path in self.folder.rglob("*"):
            if path.is_file() and SECRET.encode() in path.read_bytes():
                raise BrokenError(f"the token stands in {path.relative_to(self.folder)}")
