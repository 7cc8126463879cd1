"""Execute notebooks in place and store clean outputs: `python -m tools.refresh [all | 04 …]`, with SmolLM2."""

from __future__ import annotations

import argparse
import base64
import sys
from pathlib import Path

import nbformat

from helpers import artifacts
from helpers.errors import CourseError
from tools.execute import clean, execute, find, last_words

OVERVIEW = artifacts.ROOT / "docs" / "overview.png"


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
        if path.name.startswith("05"):
            save_overview(notebook, OVERVIEW)
    return failures


def save_overview(notebook, path: Path) -> None:
    """Save notebook 05's picture of all files as the README's picture."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and "figures.type_sizes(" in cell.source:
            (picture,) = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(base64.b64decode(picture))


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
