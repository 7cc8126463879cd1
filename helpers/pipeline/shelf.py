"""Where a model's files stand: a folder here, or a repository of a Hub. Both answer the same questions.

`checkpoint.examine` reads either by the same rules; `hub.reading.Repository` is the other shelf.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from helpers.errors import CheckpointError

POINTER = b"version https://git-lfs.github.com/spec/"
LONGEST_HEADER = 100_000_000  # bytes, the limit of the safetensors library


class Shelf(Protocol):
    """The files of one model. `title` names it in messages, `files` are names and sizes (None: nobody tells)."""

    title: str
    files: dict[str, int | None]

    def data(self, name: str, most: int | None = None) -> bytes:
        """Return a file's content, or its first `most` bytes."""

    def place(self, name: str) -> Path:
        """Return what to note as a tensor's file."""


class Folder:
    """A folder on this machine. Hidden files do not count: macOS writes `._model.safetensors` beside real ones."""

    def __init__(self, path: Path):
        self.path, self.title = path, path.name or str(path)
        inside = [*_visible(path), *_visible(path / "additional_chat_templates")]
        self.files: dict[str, int | None] = {
            file.relative_to(path).as_posix(): file.stat().st_size for file in inside if file.is_file()
        }

    def data(self, name: str, most: int | None = None) -> bytes:
        """Return a file's content, or its first `most` bytes. Raises CheckpointError if it may not be read."""
        try:
            with open(self.path / name, "rb") as file:
                return file.read(-1 if most is None else most)
        except OSError as error:
            raise CheckpointError(
                f"{self.title}/{name} cannot be read: {error.strerror}. The file's rights or the disk forbid it. "
                "Correct that, or copy the folder to a place of your own."
            ) from None

    def place(self, name: str) -> Path:
        """Return the file's path."""
        return self.path / name


def _visible(path: Path) -> list[Path]:
    return [file for file in sorted(path.iterdir()) if not file.name.startswith(".")] if path.is_dir() else []


def json_object(shelf: Shelf, name: str) -> dict:
    """Return a JSON file that holds an object ({…}); raises CheckpointError for any other content."""
    data = shelf.data(name)
    require_content(data[:200], name, shelf.title)
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise CheckpointError(
            f"{name} of {shelf.title} is not valid JSON. The file is damaged or was cut. Download it again."
        ) from None
    if not isinstance(found, dict):
        raise CheckpointError(
            f"{name} of {shelf.title} is JSON of another form: a {type(found).__name__}, where names with values are "
            "expected. It is another file under this name. Download the original again."
        )
    return found


def require_content(start: bytes, name: str, where: str) -> None:
    """Raise CheckpointError if a file that begins with `start` is empty, a Git LFS pointer or a web page."""
    if start.startswith(POINTER):
        raise CheckpointError(
            f"{name} of {where} is a Git LFS pointer: three lines of text that stand for the file. The repository was "
            "cloned without git-lfs. Run `git lfs install`, then `git lfs pull` inside the folder; a pointer on the "
            "Hub itself was uploaded by mistake."
        )
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not text:
        raise CheckpointError(
            f"{name} of {where} is empty. The download or the copy was interrupted. Delete it and download it again."
        )
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"{name} of {where} is a web page. A login or an error page was saved under its name. Delete it and "
            "download it again, from the file's own address (…/resolve/main/…)."
        )
