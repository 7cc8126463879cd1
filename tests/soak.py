"""A soak: at least 100 random faults strike the pipeline, and after each one nothing is broken.

    python -m tests.soak [--minutes 15] [--faults 120] [--seed 0] [--only NUMBER …]

Each fault strikes one run of tests/soak_pipeline.py (or of notebook 05) in a folder and against a rehearsal Hub of its
own. Afterwards it must hold:

- the run ended well, with one of our errors, or by our own hand; a damaged input was refused, or its checksum tells;
- every file with a final name has the bytes of an undisturbed run; the Hub shows all files of a commit or none;
- what is left half-made is never used: it is filled with rubbish, and a run without fault gives the same bytes again;
- the token stands in no file and in no output.

Fault 17 of seed 0 is the same every time, up to the moment at which a process is struck: `--only 17` repeats it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers import artifacts, gguf_file, hub, llama_tools
from helpers.errors import CourseError
from helpers.rehearsal_hub import RehearsalHub

ROOT = artifacts.ROOT
STORY = ROOT / "data" / "story"
SECRET = "hf_SOAKSECRETthatmustneverbeseen"
HANGS = 180  # seconds after which a run counts as hanging
REFUSED = 3  # the exit code of tests/soak_pipeline.py for one of our errors
PIPELINE = [sys.executable, "-u", str(ROOT / "tests" / "soak_pipeline.py")]
NOTEBOOK = [sys.executable, "-u", "-m", "helpers.notebooks", "run", "05", "--model", "story"]
# The steps of the pipeline, and what each leaves in the artifacts folder.
PRODUCTS = {
    "fetch": ["models/*"],
    "convert": ["gguf/*-F16.gguf"],
    "quantize": ["gguf/*-Q8_0.gguf", "gguf/*-Q4_K_M.gguf"],
    "ask": [],
    "publish": ["published.json"],
    "download": ["downloads/*"],
}


class BrokenError(Exception):
    """A promise that did not hold."""


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: where its artifacts are, their checksums by name, and the seconds of each step."""

    artifacts: Path
    sums: dict[str, str]
    seconds: dict[str, float]
    result: dict


@dataclass(frozen=True)
class Run:
    """How a run ended: its exit code (negative: the signal), everything it printed, and the seconds of its steps."""

    code: int
    output: str
    seconds: dict[str, float]

    @property
    def result(self) -> dict:
        return json.loads(self.output.splitlines()[-1])

    def ended(self, *codes: int) -> Run:
        """Return this run if it ended with one of the codes; raise BrokenError with its last words if not."""
        if self.code not in codes:
            last = "\n      ".join(self.output.strip().splitlines()[-6:])
            raise BrokenError(f"ended with code {self.code}, expected {codes}. Its last words:\n      {last}")
        return self


@dataclass
class Ground:
    """The ground for one fault: a folder with artifacts, a Hub, and the processes that were started."""

    folder: Path
    random: random.Random
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

    def close(self) -> None:
        """End what still runs, and stop the Hub."""
        for process in self.orphans:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.hub.stop()

    # Running

    def run(self, at: tuple[str, float, Callable] | None = None, command=PIPELINE, cwd=ROOT, **environment) -> Run:
        """Run the pipeline to its end; `at` = (step, seconds, action) strikes that long after a step's beginning."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "COURSE_", "SOAK_"))}
        environment = clean | {
            "COURSE_ARTIFACTS": str(self.artifacts),
            "COURSE_HUB": "real",  # for the pipeline this Hub is the real one
            "LLAMA_CPP_DIR": str(TOOLS),
            "SOAK_HUB": self.hub.endpoint,
            "HF_TOKEN": SECRET,
            "HF_HOME": str(self.folder / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            **environment,
        }
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd, env=environment, text=True
        )
        timers = [threading.Timer(HANGS, process.kill)]
        timers[0].start()
        lines, begun, started = [], {}, time.monotonic()

        def begin(step: str) -> None:
            begun[step] = time.monotonic()
            if at and at[0] == step:
                timers.append(threading.Timer(at[1], at[2], [self, process]))
                timers[-1].start()

        begin("start")
        for line in process.stdout:
            lines.append(line)
            if line.startswith("step: "):
                begin(line.split()[1])
        code = process.wait()
        for timer in timers:
            timer.cancel()
            timer.join()
        output = "".join(lines)
        if time.monotonic() - started > HANGS:
            raise BrokenError(f"hung for {HANGS} seconds; it said {output[-300:]!r}")
        if SECRET in output:
            raise BrokenError("the token was printed")
        ends = [*list(begun.values())[1:], time.monotonic()]
        return Run(code, output, {step: end - begun[step] for step, end in zip(begun, ends, strict=True)})

    def begin_at(self, step: str) -> None:
        """Lay out the artifacts as they are when all steps before `step` are done."""
        for earlier, patterns in PRODUCTS.items():
            if earlier == step:
                return
            for pattern in patterns:
                for source in UNDISTURBED.artifacts.glob(pattern):
                    target = self.artifacts / source.relative_to(UNDISTURBED.artifacts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)

    def when(self, step: str, action: Callable, reference: Reference | None = None) -> tuple[str, float, Callable]:
        """A random moment of a step."""
        return step, self.random.uniform(0, (reference or UNDISTURBED).seconds[step]), action

    # Looking

    def final_files(self) -> dict[str, Path]:
        """Every file with a final name: neither a lock nor half-made."""
        found = {}
        for path in sorted(self.artifacts.rglob("*")):
            name = path.relative_to(self.artifacts)
            if path.is_file() and path.suffix != ".lock" and not any(part.endswith(".partial") for part in name.parts):
                found[name.as_posix()] = path
        return found

    def altered(self, reference: Reference) -> list[str]:
        """Names of the files that are not those of the undisturbed run."""
        wrong = []
        for name, path in self.final_files().items():
            if name == "published.json":  # its revision depends on the history of the Hub
                receipt = json.loads(path.read_text())
                known = [commit.oid for repo in self.hub.repos.values() for commit in repo.commits]
                good = receipt["rehearsal"] is False and (receipt["revision"] in known or not known)
            else:
                good = reference.sums.get(name) == artifacts.sha256(path)
            wrong += [] if good else [name]
        return wrong

    def require_whole(self, reference: Reference) -> None:
        """Raise BrokenError unless all that has a final name is whole, here and on the Hub."""
        if wrong := self.altered(reference):
            raise BrokenError(f"not as in an undisturbed run: {', '.join(wrong)}")
        for name, path in self.final_files().items():
            if name.endswith(".gguf"):
                gguf_file.summary(path)
        for repo in self.hub.repos.values():
            for commit in repo.commits:
                ggufs = [name for name in commit.files if name.endswith(".gguf")]
                if len(ggufs) not in (0, 3):
                    raise BrokenError(f"the Hub shows {len(ggufs)} of 3 files")

    def require_no_token(self) -> None:
        """Raise BrokenError if the token stands in any file of the fault's folder."""
        for path in self.folder.rglob("*"):
            if path.is_file() and SECRET.encode() in path.read_bytes():
                raise BrokenError(f"the token stands in {path.relative_to(self.folder)}")

    def spoil_leftovers(self) -> None:
        """Fill what is half-made with rubbish, and lay a half file where there was none."""
        planted = self.artifacts / "gguf" / "soaked-Q8_0.gguf.partial"
        planted.parent.mkdir(exist_ok=True)
        planted.touch()
        for path in self.artifacts.rglob("*"):
            if path.is_file() and any(part.endswith(".partial") for part in path.relative_to(self.artifacts).parts):
                path.write_bytes(b"GGUF" + self.random.randbytes(200_000))

    def damage(self, path: Path, header: int = 0) -> str:
        """Flip a bit, often within the first `header` bytes, or cut the end off; the time of the file stays."""
        kept, data = path.stat(), bytearray(path.read_bytes())
        if self.random.random() < 0.3:
            data = data[: self.random.randrange(len(data))]
            what = f"{path.name} cut to {len(data):,} bytes"
        else:
            place = self.random.randrange(
                min(header, len(data)) if self.random.random() < 0.5 and header else len(data)
            )
            bit = self.random.randrange(8)
            data[place] ^= 1 << bit
            what = f"{path.name} bit {bit} of byte {place:,} flipped"
        path.write_bytes(data)
        os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        return what


# Strikes: what happens to a process at a moment


def kill(ground: Ground, process: subprocess.Popen) -> None:
    """End a process as the system does, without a last word; its children live on, as they would."""
    with contextlib.suppress(psutil.Error):
        ground.orphans += psutil.Process(process.pid).children(recursive=True)
    process.kill()


def kill_child(words: str) -> Callable:
    """Return a strike that ends the first child with `words` in its command line, waiting until it is there."""

    def strike(ground: Ground, process: subprocess.Popen) -> None:
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(process.pid).children(recursive=True):
                    if words in " ".join(child.cmdline()):
                        ground.orphans += [child]
                        return child.kill()
            time.sleep(0.01)

    return strike


# Faults: each strikes one run and returns what happened, in a few words


def converter_killed(ground: Ground) -> str:
    ground.begin_at("convert")
    at = ground.when("convert", kill_child("convert_hf_to_gguf"))
    run = ground.run(at).ended(0, REFUSED)
    if run.code == REFUSED and "ResourceError: The converter was killed" not in run.output:
        raise BrokenError(f"a killed converter was explained as {run.output.splitlines()[-1]}")
    ground.require_whole(UNDISTURBED)
    return f"after {at[1]:.1f} s, {ending(run)}"


def pipeline_killed(ground: Ground) -> str:
    step = ground.random.choice(list(PRODUCTS))
    ground.begin_at(step)
    at = ground.when(step, kill)
    run = ground.run(at).ended(0, -9)
    ground.require_whole(UNDISTURBED)
    return f"{at[1]:.2f} s into {step}, {ending(run)}"


def disk_full(ground: Ground) -> str:
    step = ground.random.choice(["fetch", "convert", "quantize", "download"])
    ground.begin_at(step)
    if ground.random.random() < 0.3:
        free = ground.random.randrange(1_200_000)
        what, environment = f"{free:,} bytes free before {step}", {"SOAK_FREE": str(free)}
    else:
        limit = ground.random.randrange(100_000, 6_000_000)
        what, environment = f"full after {limit:,} bytes of a file of {step}", {"SOAK_FILE_LIMIT": str(limit)}
    run = ground.run(**environment).ended(0, REFUSED)
    ground.require_whole(UNDISTURBED)
    return f"{what}, {ending(run)}"


def connection_cut(ground: Ground) -> str:
    step = ground.random.choice(["fetch", "publish", "download"])
    ground.begin_at(step)
    times = ground.random.choice([1, 2, 50])  # the client tries again; 50 times is more often than it does
    if ground.random.random() < 0.6:
        method, pattern = ("PUT", "/lfs/") if step == "publish" else ("GET", "/resolve/")
        after = ground.random.randrange(2**20 if step == "publish" else 6_000_000)
        ground.hub.cut(method, pattern, after, times)
        what = f"{method} cut after {after:,} bytes"
    else:
        choices = {"publish": [("POST", "/commit/"), ("POST", "/preupload/"), ("PUT", "/lfs/"), ("POST", "/batch")]}
        method, pattern = ground.random.choice(choices.get(step, [("GET", "/resolve/"), ("GET", "/api/models")]))
        status = ground.random.choice([429, 500, 502, 503])
        ground.hub.fail(method, pattern, status, times)
        what = f"{method} {pattern} answered {status}"
    run = ground.run().ended(0, REFUSED)
    if run.code == REFUSED and "HubError" not in run.output:
        raise BrokenError(f"a broken connection was explained as {run.output.splitlines()[-1]}")
    ground.hub.faults.clear()
    ground.require_whole(UNDISTURBED)
    return f"{what} ({times}×) during {step}, {ending(run)}"


def download_damaged(ground: Ground) -> str:
    """The Hub sends other bytes than it lists: bad memory or a bad proxy on the way."""
    path = ground.random.choice(sorted(p for p in ground.offered.iterdir() if p.suffix in (".json", ".safetensors")))
    good = path.read_bytes()
    what = ground.damage(path)
    run = ground.run().ended(REFUSED)
    path.write_bytes(good)
    ground.require_whole(UNDISTURBED)
    return f"{what} on the way, {ending(run)}"


def checkpoint_damaged(ground: Ground) -> str:
    ground.begin_at("convert")
    folder = ground.artifacts / "models" / "soaked"
    path = folder / ground.random.choice(["model.safetensors"] * 3 + ["config.json", "tokenizer.model"])
    what = ground.damage(path, header=4000)
    run = ground.run()
    return f"{what}, {judged(ground, run, path, STORY / path.name, folder)}"


def gguf_damaged(ground: Ground) -> str:
    ground.begin_at("ask")
    path = ground.random.choice(sorted((ground.artifacts / "gguf").glob("*.gguf")))
    what = ground.damage(path, header=20_000)
    run = ground.run()
    return f"{what}, {judged(ground, run, path, UNDISTURBED.artifacts / 'gguf' / path.name, path)}"


def judged(ground: Ground, run: Run, path: Path, good: Path, remedy: Path) -> str:
    """A damaged input was refused, or the checksum that the Hub lists tells; then do what our message says: delete."""
    run.ended(0, REFUSED)
    refused = run.code == REFUSED
    if not refused and run.result == UNDISTURBED.result and not ground.altered(UNDISTURBED):
        return "repaired"
    listed = RehearsalHub.describe(good, good.name)
    sibling = types.SimpleNamespace(size=listed.size, blob_id=listed.oid, lfs=listed if listed.lfs else None)
    try:
        hub.verify_file(path, sibling)
        raise BrokenError(f"{path.name} was damaged, and its checksum does not tell")
    except CourseError:
        pass
    artifacts.remove(remedy)
    return ending(run) if refused else "UNNOTICED by the run, found by its checksum"


def half_download_damaged(ground: Ground) -> str:
    """Killed while the client waits to go on with half a file; then the half is damaged, too."""
    step = ground.random.choice(["fetch", "download"])
    ground.begin_at(step)
    pattern = "model.safetensors" if step == "fetch" else "soaked-F16"
    ground.hub.cut("GET", f"/resolve/.*{pattern}", ground.random.randrange(300_000, 5_000_000), times=50)

    def strike(ground: Ground, process: subprocess.Popen) -> None:
        while process.poll() is None:
            if any(path.stat().st_size for path in ground.artifacts.rglob("*.incomplete")):
                return kill(ground, process)
            time.sleep(0.01)

    run = ground.run((step, 0, strike), SOAK_PATIENT="1").ended(-9)
    ground.hub.faults.clear()
    half = max(ground.artifacts.rglob("*.incomplete"), key=lambda path: path.stat().st_size)
    size = half.stat().st_size
    ground.damage(half)
    ground.require_whole(UNDISTURBED)
    return f"{size:,} bytes of {pattern} there and damaged, {ending(run)}"


def notebook_killed(ground: Ground) -> str:
    """Notebook 05 in a copy of the repository: the program that runs it is killed, or its kernel."""
    strike = ground.random.choice([kill, kill_child("ipykernel")])
    at = ground.when("start", strike, NOTEBOOK_RUN)
    run = run_notebook(ground, at).ended(-9, 1, 0)
    ground.require_whole(NOTEBOOK_RUN)
    return f"{'its program' if strike is kill else 'its kernel'} after {at[1]:.1f} s, {ending(run)}"


def run_notebook(ground: Ground, at=None) -> Run:
    """Run notebook 05 of a copy, because the run writes its pages into the repository."""
    copy = ground.folder / "copy"
    if not copy.exists():
        for part in ("helpers", "data", "notebooks"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "constraints.txt", copy)
    return ground.run(at, NOTEBOOK, copy, COURSE_HUB="rehearsal", PYTHONPATH=str(copy))


def ending(run: Run) -> str:
    """Say how a struck run ended."""
    if run.code == REFUSED:
        words = next(line for line in reversed(run.output.splitlines()) if line.startswith("refused: "))
        return " ".join(words.split()[:8]) + " …"
    return {0: "went on", 1: "stopped"}.get(run.code, "killed")


# How often each fault strikes in a round of 40.
FAULTS = {
    converter_killed: 6,
    pipeline_killed: 10,
    disk_full: 6,
    connection_cut: 6,
    download_damaged: 2,
    checkpoint_damaged: 4,
    gguf_damaged: 3,
    half_download_damaged: 2,
    notebook_killed: 1,
}


def strike(number: int, seed: int, fault: Callable, folder: Path) -> tuple[Callable, float, str, str | None]:
    """Inject one fault, look, run again, look again; return fault, seconds, what happened, and what broke."""
    started = time.monotonic()
    ground = Ground(folder / f"fault-{number}", random.Random(f"{seed} {number}"))
    said, broken = "", None
    try:
        said = fault(ground)
        ground.spoil_leftovers()
        ground.require_no_token()
        is_notebook = fault is notebook_killed
        reference = NOTEBOOK_RUN if is_notebook else UNDISTURBED
        again = (run_notebook(ground) if is_notebook else ground.run()).ended(0)
        if not is_notebook and again.result != reference.result:
            raise BrokenError(f"the run after the fault gave {again.result}, not {reference.result}")
        ground.require_whole(reference)
        if missing := set(reference.sums) - set(ground.final_files()):
            raise BrokenError(f"the run after the fault did not make {', '.join(sorted(missing))}")
        ground.require_no_token()
    except (BrokenError, CourseError, OSError, ValueError, StopIteration) as error:
        broken = f"{type(error).__name__}: {error}"
    finally:
        ground.close()
    if not broken:
        shutil.rmtree(ground.folder)
    return fault, time.monotonic() - started, said, broken


def undisturbed(folder: Path, run: Callable[[Ground], Run]) -> Reference:
    """Run once without a fault and note what comes out."""
    ground = Ground(folder, random.Random(0))
    try:
        done = run(ground).ended(0)
    finally:
        ground.close()
    sums = {name: artifacts.sha256(path) for name, path in ground.final_files().items()}
    return Reference(ground.artifacts, sums, done.seconds, {} if run is run_notebook else done.result)


def schedule(faults: int, seed: int) -> list[Callable]:
    """Every kind of fault in its share, in random order."""
    order, chance = [], random.Random(seed)
    while len(order) < faults:
        turn = [fault for fault, times in FAULTS.items() for _ in range(times)]
        chance.shuffle(turn)
        order += turn
    return order[:faults]


def main() -> int:
    global TOOLS, UNDISTURBED, NOTEBOOK_RUN
    parser = argparse.ArgumentParser(description="Inject random faults into the pipeline.")
    parser.add_argument("--minutes", type=float, default=15, help="begin no new fault after this time")
    parser.add_argument("--faults", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the faults to repeat")
    given = parser.parse_args()
    started = time.monotonic()
    TOOLS = llama_tools.tools()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    faults = list(enumerate(schedule(max([given.faults, *(given.only or [])]), given.seed), 1))
    if given.only:
        faults = [faults[number - 1] for number in given.only]
    UNDISTURBED = undisturbed(folder / "undisturbed", Ground.run)
    if any(fault is notebook_killed for _, fault in faults):
        NOTEBOOK_RUN = undisturbed(folder / "notebook", run_notebook)
    print(f"an undisturbed run takes {sum(UNDISTURBED.seconds.values()):.1f} s", flush=True)

    results, broken = [], []

    def one(job: tuple[int, Callable]) -> None:
        number, fault = job
        if time.monotonic() - started > given.minutes * 60:
            return
        result = strike(number, given.seed, fault, folder)
        results.append(result)
        verdict = "BROKEN" if result[3] else "ok"
        print(
            f"{len(results):4d} #{number:<4d}{title(fault):22s}{verdict:7s}{result[1]:5.1f} s  {result[2]}", flush=True
        )
        if result[3]:
            broken.append(
                f"#{number} {title(fault)}: {result[2]}\n      {result[3]}\n      kept in {folder.name}/fault-{number}"
            )

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, faults))

    print(f"\n{'kind':24s}{'injected':>9s}{'survived':>9s}{'seconds':>9s}")
    for fault in FAULTS:
        mine = [result for result in results if result[0] is fault]
        if mine:
            survived = sum(result[3] is None for result in mine)
            print(f"{title(fault):24s}{len(mine):9d}{survived:9d}{sum(result[1] for result in mine) / len(mine):9.1f}")
    minutes = (time.monotonic() - started) / 60
    print(f"{'all':24s}{len(results):9d}{len(results) - len(broken):9d}   {minutes:.1f} minutes in all")
    if broken:
        print(f"\n{len(broken)} broken, repeat with --seed {given.seed} --only NUMBER:\n" + "\n".join(broken))
    else:
        shutil.rmtree(folder)
    if len(results) < len(faults):
        print(f"\nThe time was up after {len(results)} of {len(faults)} faults.")
    return int(bool(broken) or len(results) < len(faults))


def title(fault: Callable) -> str:
    return fault.__name__.replace("_", " ")


if __name__ == "__main__":
    sys.exit(main())
