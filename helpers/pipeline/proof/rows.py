"""One line of a proof, and the three words that it can end in."""

from __future__ import annotations

from dataclasses import dataclass

PASSED, FAILED, OPEN = "passed", "failed", "not compared"


@dataclass(frozen=True)
class Row:
    """What was compared, how it ended, what was seen, and what helps if it failed.

    `left_out` names what the file lacks on purpose (a vision tower): right, but nothing to keep quiet about.
    """

    name: str
    verdict: str
    detail: str
    remedy: str = ""
    left_out: str = ""


def some(names: list[str], most: int = 3) -> str:
    """Return the first few of a list for a sentence: `a, b, c and 4 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
