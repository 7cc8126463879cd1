"""The faults of tests/long/soak.py: each strikes one run on its ground and returns what happened, in a few words."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
import types
from collections.abc import Callable
from pathlib import Path

import psutil
from soak_ground import PRODUCTS, REFUSED, STORY, BrokenError, Ground, Run

from helpers import artifacts
from helpers.pipeline.hub.publishing import checksums
from helpers.pipeline.rehearsal.store import describe

# What hits a process at its moment


def kill(ground: Ground, process: subprocess.Popen) -> None:
    """End a process without a last word, as the system does; its children live on, as they would."""
    with contextlib.suppress(psutil.Error):
        ground.orphans += psutil.Process(process.pid).children(recursive=True)
    process.kill()


def kill_child(words: str) -> Callable:
    """Return a strike that ends the first child with `words` in its command, as soon as there is one."""

    def strike(ground: Ground, process: subprocess.Popen) -> None:
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(process.pid).children(recursive=True):
                    if words in " ".join(child.cmdline()):
                        ground.orphans += [child, *child.children(recursive=True)]
                        return child.kill()
            time.sleep(0.01)

    return strike


# Killed


def converter_killed(ground: Ground) -> str:
    ground.begin_at("convert")
    seconds = ground.some_time("convert")
    run = ground.run("convert", seconds, kill_child("convert_hf_to_gguf")).ended(0, REFUSED)
    if run.code == REFUSED and "ResourceError: The converter was killed" not in run.output:
        raise BrokenError(f"a killed converter was explained as {run.words}")
    ground.require_whole()
    return f"after {seconds:.1f} s, {run.ending}"


def pipeline_killed(ground: Ground) -> str:
    step = ground.chance.choice(list(PRODUCTS))
    ground.begin_at(step)
    seconds = ground.some_time(step)
    run = ground.run(step, seconds, kill).ended(0, -9)
    ground.require_whole()
    return f"{seconds:.2f} s into {step}, {run.ending}"


def notebook_killed(ground: Ground) -> str:
    """Notebook 05: the program that runs it is killed, or its kernel."""
    strike = ground.chance.choice([kill, kill_child("ipykernel")])
    seconds = ground.some_time("start")
    run = ground.run("start", seconds, strike).ended(0, 1, -9)
    ground.require_whole()
    return f"{'its program' if strike is kill else 'its kernel'} after {seconds:.1f} s, {run.ending}"


# The disk


def disk_full(ground: Ground) -> str:
    step = ground.chance.choice(["fetch", "convert", "quantize", "download"])
    ground.begin_at(step)
    if ground.chance.random() < 0.3:
        free = ground.chance.randrange(1_200_000)
        run, what = ground.run(SOAK_FREE=str(free)), f"{free:,} bytes free before {step}"
    else:
        limit = ground.chance.randrange(100_000, 6_000_000)
        run, what = ground.run(SOAK_FILE_LIMIT=str(limit)), f"full after {limit:,} bytes of a file of {step}"
    if run.ended(0, REFUSED).code == REFUSED and "refused: ResourceError" not in run.output:
        raise BrokenError(f"a full disk ({what}) was explained as {run.words}")
    ground.require_whole()
    return f"{what}, {run.ending}"


# The connection


def connection_cut(ground: Ground) -> str:
    step = ground.chance.choice(["fetch", "publish", "download"])
    ground.begin_at(step)
    times = ground.chance.choice([1, 2, 50])  # the client tries again, but not 50 times
    method, path = ("PUT", "/lfs/") if step == "publish" else ("GET", "/resolve/")
    if ground.chance.random() < 0.6:
        after = ground.chance.randrange(2**20 if step == "publish" else 5_500_000)
        ground.hub.cut(method, path, after, times)
        what = f"{method} {path} cut after {after:,} bytes"
    else:
        others = [("POST", "/preupload/"), ("POST", "/batch"), ("POST", "/commit/")]
        method, path = ground.chance.choice([(method, path), *(others if step == "publish" else [("GET", "/api/")])])
        status = ground.chance.choice([429, 500, 502, 503])
        ground.hub.fail(method, path, status, times)
        what = f"{method} {path} answered with {status}"
    run = ground.run().ended(0, REFUSED)
    if run.code == REFUSED and "refused: HubError" not in run.output:
        raise BrokenError(f"a broken connection was explained as {run.words}")
    ground.hub.faults.clear()
    ground.require_whole()
    return f"{what} {times} times in {step}, {run.ending}"


def download_damaged(ground: Ground) -> str:
    """The Hub sends other bytes than it lists, as through a bad proxy."""
    path = ground.chance.choice([ground.offered / name for name in ("model.safetensors", "config.json")])
    good = path.read_bytes()
    what = ground.damage(path)
    run = ground.run().ended(REFUSED)
    path.write_bytes(good)
    ground.require_whole()
    return f"{what} on the way, {run.ending}"


def half_download_damaged(ground: Ground) -> str:
    """Killed while the client waits to go on with half a file; then the half is damaged, too."""
    step, name = ground.chance.choice([("fetch", "model.safetensors"), ("download", "soaked-F16.gguf")])
    ground.begin_at(step)
    ground.hub.cut("GET", f"/resolve/.*{name}", ground.chance.randrange(300_000, 5_000_000), times=50)

    def strike(ground: Ground, process: subprocess.Popen) -> None:
        while process.poll() is None:
            if halves(ground):
                return kill(ground, process)
            time.sleep(0.01)

    run = ground.run(step, 0, strike, SOAK_PATIENT="1").ended(-9)
    ground.hub.faults.clear()
    there = sum(half.stat().st_size for half in halves(ground))
    for half in halves(ground):
        ground.damage(half)
    ground.require_whole()
    return f"{there:,} bytes were there, {run.ending}"


def halves(ground: Ground) -> list[Path]:
    """Return the files that the client has begun and not finished."""
    found = []
    for path in ground.artifacts.rglob("*.incomplete"):
        with contextlib.suppress(FileNotFoundError):  # finished, and renamed, since it was listed
            found += [path] * (path.stat().st_size > 100_000)
    return found


# Files that were good and are no longer


def checkpoint_damaged(ground: Ground) -> str:
    ground.begin_at("convert")
    folder = ground.artifacts / "models" / "soaked"
    path = folder / ground.chance.choice(["model.safetensors"] * 3 + ["config.json", "tokenizer.model"])
    what = ground.damage(path, header=4000)
    return f"{what}, {judged(ground, ground.run(), path, STORY / path.name, folder)}"


def gguf_damaged(ground: Ground) -> str:
    ground.begin_at("ask")
    path = ground.chance.choice(sorted((ground.artifacts / "gguf").glob("*.gguf")))
    what = ground.damage(path, header=20_000)
    return f"{what}, {judged(ground, ground.run(), path, ground.reference.artifacts / 'gguf' / path.name, path)}"


def judged(ground: Ground, run: Run, path: Path, good: Path, remedy: Path) -> str:
    """A damaged file was refused, or its checksum tells; then do what our messages say and delete `remedy`."""
    run.ended(0, REFUSED, -signal.SIGABRT)  # llama.cpp ends the process over some damaged vocabularies
    if artifacts.sha256(path) == artifacts.sha256(good):
        ground.require_whole()
        return "made again"
    listed = describe(good, good.name)
    sibling = types.SimpleNamespace(size=listed.size, blob_id=listed.oid, lfs=listed if listed.lfs else None)
    expected, found = checksums(path, sibling)
    if found == expected:
        raise BrokenError(f"{path.name} was damaged, and its checksum does not tell")
    artifacts.remove(remedy)
    ground.hub.repos.pop("rehearsal/soaked", None)
    return f"{run.ending if run.code else 'not noticed by the run'}, found by its checksum"


# How often each strikes in a round of 40.
SHARES = {
    converter_killed: 6,
    pipeline_killed: 10,
    notebook_killed: 1,
    disk_full: 6,
    connection_cut: 6,
    download_damaged: 2,
    half_download_damaged: 2,
    checkpoint_damaged: 4,
    gguf_damaged: 3,
}
