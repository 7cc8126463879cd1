"""The text on which importance is recorded: the course's own, or the reader's by its path.

`data/calibration.txt` is a mixture of genres, languages, code and tables, all of it our own (tools/calibration.py makes
it). It shares no eight words in a row with a text that the course measures on. `story` knows one kind of text alone:
record it on `stories.stories(5, 400)`, which are neither its training nor its held-out text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from helpers import artifacts
from helpers.errors import InputError
from helpers.pipeline import gguf_header
from helpers.quality import scoring

PATH = artifacts.ROOT / "data" / "calibration.txt"


def text(path: str | Path = PATH) -> str:
    """Return the course's calibration text, or the reader's own. Raises InputError for what is no UTF-8 text."""
    path = gguf_header.located(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name} is no text in UTF-8: byte {error.start:,} does not fit. It was saved in another encoding, or "
            "is no text. Save it as UTF-8."
        ) from error


def phrases(text: str, words: int = 8) -> set[str]:
    """Return every `words` words in a row, in small letters: `phrases(a) & phrases(b)` is what two texts share.

    Calibrating on the text that is measured afterwards flatters the result; nothing shared is the way to be sure.
    """
    found = re.findall(r"\w+", text.lower())
    return {" ".join(found[i : i + words]) for i in range(len(found) - words + 1)}


def named(given: str | Path | Iterable[str], name: str | None = None) -> tuple[str | list[str], str]:
    """Return a text (of a Path: its content) and what to call it, with 8 digits of its SHA-256."""
    name = name or (given.name if isinstance(given, Path) else "text")
    content = scoring.documents(text(given) if isinstance(given, Path) else given)
    whole = content if isinstance(content, str) else "\0".join(content)
    return content, f"{name} (SHA-256 {hashlib.sha256(whole.encode()).hexdigest()[:8]})"
