"""Files that steps make: where they go, and how they get there whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def folder(*parts: str) -> Path:
    """Return (and make) a folder below `artifacts/`, or below COURSE_ARTIFACTS if that is set.

    A relative path begins at the course's folder: notebooks and `make` run in different ones.
    """
    base = (ROOT / Path(os.environ.get("COURSE_ARTIFACTS") or "artifacts").expanduser()).resolve()
    path = base.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def making(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` if the block succeeds, else delete it.

    A lock (`locked`) keeps two notebooks from making the same file at once. If the process is killed, a
    `.partial` file stays behind that nothing reads; the next run deletes it. Its name is new every time, because
    a converter may live on for a while after its notebook was killed, and write where it was told to.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    with locked(path):
        for abandoned in path.parent.glob(f"{glob.escape(path.name)}.????????.partial"):
            remove(abandoned)
        try:
            yield temporary
            if path.is_dir():  # a folder cannot be replaced in one step
                remove(path)
            os.replace(temporary, path)
        finally:
            remove(temporary)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one notebook at a time into the block, for this path; `making` may stand inside.

    Who had to wait finds the work done, so look at `path` inside the block, not before it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path.parent / f".{path.name}.lock"):
        yield


@functools.cache
def _lock(path: Path):
    """One object for each lock: a thread that holds it may enter again."""
    import filelock

    return filelock.FileLock(path)


def remove(path: Path) -> None:
    """Delete a file or a folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_current(path: Path, *sources: Path) -> bool:
    """Tell whether `path` exists and is not older than its sources: the rule that make uses."""
    if not path.exists():
        return False
    made = path.stat().st_mtime_ns
    return all(source.stat().st_mtime_ns <= made for source in sources)


def stamp(folder: Path) -> str:
    """Return a digest of the names, sizes and dates of a folder's files: it changes when one of them does."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    listed = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(listed).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_text(n_bytes: float) -> str:
    """Return a size the way the course prints it: `0.67 GB`, `98.4 MB`, `12 kB` (powers of ten)."""
    if n_bytes >= 0.995e9:
        return f"{n_bytes / 1e9:.2f} GB"
    if n_bytes >= 0.9995e6:
        return f"{n_bytes / 1e6:.1f} MB"
    return f"{n_bytes / 1e3:.0f} kB"
