"""Guess first: nothing waits, a touched slider counts, and the sentence is right in both directions."""

import pytest

from helpers.checks import guess as guesses
from helpers.checks.guess import guess, recap
from helpers.errors import InputError


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(guesses, "_made", {})


def chooser(made):
    return made.widget.children[1]


def test_who_does_not_guess_is_told_the_answer():
    made = guess("How many GB?", 1, 1000, "GB")
    assert made.mine is None and repr(made.answer(280)) == "It is 280 GB."
    assert "no guesses yet" in repr(recap())


@pytest.mark.parametrize(
    ("mine", "right", "told"),
    [
        (150, 280, "You guessed 150 GB, 1.9 times too little."),
        (560, 280, "You guessed 560 GB, 2 times too much."),
        (281, 280, "You guessed 281 GB: near enough."),
        (280, 280, "You guessed it."),
        (5, 0, "You guessed 5 GB."),
        (-4, -8, "You guessed -4 GB, 2 times too little."),
        (3, -3, "You guessed 3 GB."),
    ],
)
def test_the_sentence_after_a_guess(mine, right, told):
    made = guess("How many GB?", -1000, 1000, "GB")
    chooser(made).value = mine
    assert repr(made.answer(right)).endswith(told)


def test_choices():
    made = guess("Which gets stuck?", choices=("FP16", "BF16"))
    assert made.mine is None
    chooser(made).value = "BF16"
    assert repr(made.answer("FP16")) == "It is FP16. You guessed BF16."
    assert repr(guess("Which?", choices=("a", "b"), mine="a").answer("a")) == "It is a. You guessed it."


def test_far_apart_is_logarithmic_and_near_is_not():
    assert type(chooser(guess("a", 1, 1000))).__name__ == "FloatLogSlider"
    assert type(chooser(guess("b", 0, 1000))).__name__ == "FloatSlider"
    assert chooser(guess("c", 0, 64)).step == 1 and chooser(guess("d", 0, 1)).step == 0.01


def test_a_cell_that_runs_twice_asks_once():
    guess("How many?", 1, 10).answer(3)
    made = guess("How many?", 1, 10, mine=4)
    made.answer(3)
    guess("Another?", 1, 10).answer(5)
    assert repr(recap()).startswith("1 of 2 questions guessed:\nHow many? It is 3. You guessed 4, 1.3 times too much.")


@pytest.mark.parametrize("arguments", [(), (5,), (5, 5), (7, 3)])
def test_a_question_without_a_range_or_choices(arguments):
    with pytest.raises(InputError, match="neither choices nor a range"):
        guess("What?", *arguments)


def test_it_is_shown_as_a_widget(capsys):
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.instance()
    guess("How many?", 1, 10)._ipython_display_()
    assert "VBox" in capsys.readouterr().out
