"""Notebooks for a class: without solutions, with them, and as slides: `python -m tools.handouts`, in build/handouts."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter

from helpers import artifacts
from tools.execute import find

SOLUTION = re.compile(r"<details>.*?</details>\s*", re.S)


def handouts(folder: Path | None = None) -> list[Path]:
    """Write every notebook without solutions and outputs, with them, and as slides; return the files.

    The slides are one HTML page for each notebook; every heading begins a new one. They show themselves with
    reveal.js, which the browser fetches, so that showing them needs internet.
    """
    folder = folder or artifacts.ROOT / "build" / "handouts"
    written = []
    for name in ("students", "teacher", "slides"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in find(["all"]):
        notebook = nbformat.read(path, as_version=4)
        nbformat.write(notebook, folder / "teacher" / path.name)
        for cell in notebook.cells:
            cell.metadata["slideshow"] = {"slide_type": _slide_type(cell)}
        page, _ = SlidesExporter(exclude_input_prompt=True).from_notebook_node(notebook)
        (folder / "slides" / f"{path.stem}.html").write_text(page)
        for cell in notebook.cells:
            cell.metadata.pop("slideshow")
            if cell.cell_type == "code":  # an answer below the question would spoil the guess
                cell.outputs, cell.execution_count = [], None
            if cell.cell_type == "markdown":
                cell.source = SOLUTION.sub("", cell.source).strip()
        notebook.cells = [cell for cell in notebook.cells if cell.source]
        nbformat.write(notebook, folder / "students" / path.name)
        written += [folder / kind / path.name for kind in ("students", "teacher")]
        written.append(folder / "slides" / f"{path.stem}.html")
    return written


def _slide_type(cell) -> str:
    """A heading begins a slide; the setup cell and exercises' solutions are not shown."""
    if cell.source.startswith("# @title Setup") or "<details>" in cell.source:
        return "skip"
    if cell.cell_type == "markdown":
        return "slide" if re.match(r"##? ", cell.source) else "subslide"
    return "-"


if __name__ == "__main__":
    print(f"{len(handouts())} files in build/handouts")
