"""docs/MODELS.md is what the zoo says."""

import re

from tests.zoo import VARIANTS
from tools import models


def test_the_page_is_current():
    assert models.PAGE.read_text() == models.page(), "Run python -m tools.models"


def test_every_variant_has_a_row_of_six_cells():
    rows = [line for line in models.page().splitlines() if line.startswith("| `")]
    assert [re.match(r"\| `(.+?)` \|", row)[1] for row in rows] == list(VARIANTS)
    assert all(len(re.split(r"(?<!\\)\|", row)) == 8 for row in rows)


def test_what_is_not_a_plain_yes_is_explained():
    """Whoever finds a model of theirs in the table learns what happens, not only that it does."""
    for row in VARIANTS.values():
        if row.refused or row.differs or row.dies or not row.runs:
            assert row.note, row.name
