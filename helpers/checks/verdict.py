"""What a check of an exercise answers: *correct* with the reason, or *not yet* with a hint; it never raises."""

import functools
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check; the last line of a cell shows it."""

    correct: bool
    text: str

    def __repr__(self) -> str:
        return f"{'✓ Correct' if self.correct else '○ Not yet'}: {self.text}"


def check(function: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """Turn every exception of an answer, and a stub with `...` left in it, into *not yet*."""

    @functools.wraps(function)
    def guarded(answer: object) -> Verdict:
        if answer is ... or (isinstance(answer, tuple | list) and any(part is ... for part in answer)):
            return not_yet("replace the three dots by your answer, then run the cell again.")
        try:
            return function(answer)
        except Exception as error:
            return not_yet(f"your answer raised {type(error).__name__}: {error}")

    return guarded


def correct(reason: str) -> Verdict:
    """Return *correct* with the reason why."""
    return Verdict(True, reason)


def not_yet(hint: str) -> Verdict:
    """Return *not yet* with a hint."""
    return Verdict(False, hint)


def whole_number(answer: object) -> int | None:
    """Return an answer as a whole number, or None if it is none."""
    try:
        number = float(answer)  # accepts numpy numbers too
    except (TypeError, ValueError):
        return None
    return int(number) if number == int(number) else None
