"""Fixtures of this room."""

import pytest

from helpers.quality import scoring
from helpers.training import stories


@pytest.fixture(scope="session")
def run(story_f16) -> scoring.Reference:
    """`story` in F16, on 60 stories that it was not trained on."""
    return scoring.reference(story_f16, list(stories.stories(2, 60)), window=128)
