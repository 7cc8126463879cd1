"""Files that steps make: where they go, and how they get there whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def folder(*parts: str) -> Path:
    """Return (and make) a folder below `artifacts/`, or below COURSE_ARTIFACTS if that is set.

    A relative path begins at the course's folder: notebooks and `make` run in different ones.
    """
    path = _base().joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def _base() -> Path:
    return (ROOT / Path(os.environ.get("COURSE_ARTIFACTS") or "artifacts").expanduser()).resolve()


def key(folder: Path | str) -> str:
    """Return a name for what is made from a model folder: ASCII, never empty, no two folders the same.

    A folder that the course fetched has such a name already (`smollm2`, `<owner>--<name>--<commit>`), and so has
    `story`. Any other gets a readable form of its own name and 6 digits of its path's SHA-256: `my-model-3fa29c`.
    """
    folder = Path(folder).resolve()
    ours = folder.parent == _base() / "models" or folder == ROOT / "data" / "story"
    if ours and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}", folder.name):
        return folder.name
    return f"{slug(folder.name)}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:6]}"


def slug(text: str) -> str:
    """Return a text as part of a file's name on any system: ASCII letters, digits, `.`, `_`, `-`; `model` if none."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:60].rstrip("-._") or "model"


@contextlib.contextmanager
def making(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` if the block succeeds, else delete it."""
    with partial(path) as temporary:
        yield temporary
        if path.is_dir():  # a folder cannot be replaced in one step
            remove(path)
        os.replace(temporary, path)


@contextlib.contextmanager
def partial(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, for a file or a folder that is deleted after the block.

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


# A file up to this size is read whole for its stamp; of a larger one this many pieces of 4 kB, evenly spread.
WHOLE, PIECES = 8 << 20, 256


def stamp(*paths: Path) -> str:
    """Return a digest of files, or of all files right in a folder, that changes when one of them is another.

    Names, sizes and dates do not suffice: what is unpacked from an archive, or kept by version control, often has the
    date of something else, and two fine-tunes of a model have the same size. So contents count too, of large files in
    samples: no training leaves all of them alone. Dates are compared for being equal, never for being newer.
    """
    files = []
    for path in paths:
        inside = path.iterdir() if path.is_dir() else [path]
        files += sorted(file for file in inside if file.is_file() and (file == path or not file.name.startswith(".")))
    total = hashlib.sha256()
    for file in files:
        status = file.stat()
        total.update(repr((file.name, status.st_size, status.st_mtime_ns)).encode())
        with open(file, "rb") as opened:
            if status.st_size <= WHOLE:
                total.update(opened.read())
                continue
            for piece in range(PIECES):
                opened.seek((status.st_size - 4096) * piece // (PIECES - 1))
                total.update(opened.read(4096))
    return total.hexdigest()


@dataclass(frozen=True)
class Note:
    """What a hidden file beside an artifact says: the recipe it was made by, its files, remarks.

    An artifact is current if its note names the same recipe (sources, options, tools), and its files have the sizes
    and dates that they had when the note was written.
    """

    path: Path  # of the artifact, or the name that it has when it is not in parts
    recipe: str
    files: tuple[Path, ...]
    remarks: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, recipe: str) -> Note | None:
        """Return the note of an artifact that is whole and made by this recipe, else None."""
        try:
            said = json.loads(cls._beside(path).read_text(encoding="utf-8"))
            files = {path.with_name(name): state for name, state in said["files"].items()}
            good = said["recipe"] == recipe and files and all(cls._state(f) == was for f, was in files.items())
            return cls(path, recipe, tuple(files), tuple(said["remarks"])) if good else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @classmethod
    def write(cls, path: Path, recipe: str, files: Iterable[Path] = (), remarks: Iterable[str] = ()) -> Note:
        """Write the note; without it (a full disk) the artifact is made again next time, no more."""
        note = cls(path, recipe, tuple(files) or (path,), tuple(remarks))
        states = {file.name: cls._state(file) for file in note.files}
        with contextlib.suppress(OSError):
            text = json.dumps({"recipe": recipe, "files": states, "remarks": note.remarks})
            cls._beside(path).write_text(text, encoding="utf-8")
        return note

    @classmethod
    def forget(cls, path: Path) -> None:
        """Delete the note before the artifact is made anew: it must not vouch for the file that comes now."""
        cls._beside(path).unlink(missing_ok=True)

    @staticmethod
    def _state(file: Path) -> list[int]:
        status = file.stat()
        return [status.st_size, status.st_mtime_ns]

    @staticmethod
    def _beside(path: Path) -> Path:
        return path.with_name(f".{path.name}.source")


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
