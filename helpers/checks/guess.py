"""Guess first: a question with a slider or a few answers to choose from, told apart after the cell that knows.

    size = guess("How many GB do 70 billion weights take at 32 bits?", 1, 1000, "GB")
    size                    # shows the slider
    size.answer(280)        # "It is 280 GB. You guessed 150 GB, 1.9 times too little."
    recap()                 # all guesses of this notebook

Nothing waits for a guess: Run All goes through. Where widgets do not work, pass `mine=`, a number or a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from helpers.errors import InputError

_made: dict[str, Guess] = {}  # by their question: a cell that runs again asks anew


@dataclass
class Guess:
    """A question, what the reader guessed (None as long as nothing was touched), and the answer once it is known."""

    question: str
    unit: str
    mine: float | str | None
    widget: object = field(repr=False)
    right: float | str | None = None

    def answer(self, right: float | str) -> Told:
        """Keep the answer and say how far the guess was off."""
        self.right = right
        return Told(f"It is {self._text(right)}. {self._verdict()}".strip())

    def _verdict(self) -> str:
        if self.mine is None:
            return ""
        if self.mine == self.right:
            return "You guessed it."
        if isinstance(self.mine, str) or isinstance(self.right, str):
            return f"You guessed {self._text(self.mine)}."
        told = f"You guessed {self._text(self.mine)}"
        if self.mine * self.right <= 0:
            return f"{told}."
        factor = max(self.mine / self.right, self.right / self.mine)
        if factor < 1.1:
            return f"{told}: near enough."
        return f"{told}, {factor:.2g} times too {'much' if abs(self.mine) > abs(self.right) else 'little'}."

    def _text(self, value: float | str) -> str:
        shown = value if isinstance(value, str) else f"{value:,.0f}" if value == int(value) else f"{value:,.3g}"
        return f"{shown} {self.unit}".strip()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)


@dataclass(frozen=True)
class Told:
    """A sentence that a cell shows as its value."""

    text: str

    def __repr__(self) -> str:
        return self.text


def guess(
    question: str,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    choices: Sequence[str] = (),
    mine: float | str | None = None,
) -> Guess:
    """Return a question for the reader: a slider from `low` to `high`, logarithmic if they are far apart, or choices.

    mine: a guess given in the code, for where widgets do not work. Raises InputError for a question without a range
    and without choices, and for a range that is none.
    """
    import ipywidgets

    look = {"layout": ipywidgets.Layout(width="95%", max_width="36em")}
    label = ipywidgets.Label(question, **look)
    if choices:
        chooser = ipywidgets.ToggleButtons(options=list(choices), value=None, **look)
    elif low is None or high is None or not low < high:
        raise InputError(
            f"The question {question!r:.60} has neither choices nor a range. Something must be shown to choose from. "
            'Pass low and high, low below high, or choices=("one", "other").'
        )
    elif low > 0 and high / low >= 50:
        from math import log10

        start = (low * high) ** 0.5
        ends = {"min": log10(low), "max": log10(high), "step": 0.01}
        chooser = ipywidgets.FloatLogSlider(value=start, readout_format=".3g", description=unit, **ends, **look)
    else:
        step = 1 if all(float(end).is_integer() for end in (low, high)) and high - low >= 10 else (high - low) / 100
        chooser = ipywidgets.FloatSlider(
            value=(low + high) / 2, min=low, max=high, step=step, readout_format=".4g", description=unit, **look
        )
    made = Guess(question, unit, mine, ipywidgets.VBox([label, chooser]))

    def touched(change: dict) -> None:
        made.mine = change["new"]

    chooser.observe(touched, "value")
    _made[question] = made
    return made


def recap() -> Told:
    """Return all guesses of this kernel with their answers, as a text of one line for each."""
    answered = [made for made in _made.values() if made.right is not None]
    guessed = [made for made in answered if made.mine is not None]
    if not guessed:
        return Told(f"{len(answered)} questions, no guesses yet: a guess before the answer makes it stay.")
    lines = [f"{made.question} {made.answer(made.right)}" for made in guessed]
    return Told("\n".join([f"{len(guessed)} of {len(answered)} questions guessed:", *lines]))
