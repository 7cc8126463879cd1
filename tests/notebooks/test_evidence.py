"""The table of evidence: every sentence is borne out by the results, stands in its notebook, and has its limits."""

import dataclasses

import pytest

from helpers.errors import InputError
from tools import evidence
from tools.conclusions import CONCLUSIONS


@pytest.mark.parametrize("conclusion", CONCLUSIONS, ids=lambda conclusion: conclusion.says[:50])
def test_the_results_bear_it_out(conclusion):
    measured = conclusion.measured()
    assert any(character.isdigit() for character in measured) and "nan" not in measured
    assert len(conclusion.not_shown) > 20 and conclusion.rests_on


def test_the_page_is_that_of_the_table():
    """docs/evidence.md is generated; `python -m tools.evidence` makes it."""
    assert evidence.PAGE.read_text() == evidence.page()


def test_words_that_stand_nowhere_are_named(monkeypatch):
    changed = dataclasses.replace(CONCLUSIONS[0], stands="no such words")
    monkeypatch.setattr(evidence, "CONCLUSIONS", (changed,))
    with pytest.raises(InputError, match="'no such words' stands nowhere in notebook"):
        evidence.page()
