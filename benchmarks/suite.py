"""The whole suite in a new clone, with a warm cache of pip: environment, lint, tests, notebooks. 20 to 30 minutes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.first_token import clean, clone, make
from benchmarks.report import Row

GROUP = "The whole suite"


def rows() -> Iterator[Row]:
    """Time the environment and `make test` in a clone; a test that fails ends it."""
    with tempfile.TemporaryDirectory(prefix="suite-") as temporary:
        course = Path(temporary) / "course"
        clone(course)
        yield Row(GROUP, "environment, warm", make(".venv/.ready", course, clean()), "s")
        yield Row(GROUP, "make test", make("test", course, clean()) / 60, "minutes")
