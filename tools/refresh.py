"""Execute notebooks in place and store clean outputs: `python -m tools.refresh [all | 04 …]`, with SmolLM2."""

from __future__ import annotations

import argparse
import sys

import nbformat

from helpers.errors import CourseError
from tools.execute import clean, execute, find, last_words


def refresh(names: list[str]) -> int:
    """Execute notebooks in place with SmolLM2 and the rehearsal Hub; return the number of failures."""
    failures = 0
    for path in find(names):
        notebook, error = execute(path, {"COURSE_MODEL": "smollm2", "COURSE_HUB": "rehearsal"})
        if error:
            print(f"{path.stem} stopped and was left as it was:\n{last_words(error)}", file=sys.stderr)
            failures += 1
            continue
        clean(notebook)
        nbformat.write(notebook, path)
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description="Execute notebooks in place and store their outputs.")
    parser.add_argument("names", nargs="*", default=["all"], help="numbers such as 04 05, main or all")
    try:
        return refresh(parser.parse_args().names)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
