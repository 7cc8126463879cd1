"""Run notebooks 04 to 07 with tiny checkpoints of the zoo: `python -m tests.long.any_model [variant …]`.

Without a name: every architecture that converts and runs, half a minute each. What stopped stays in build/any_model.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import nbformat

from helpers import artifacts
from helpers.pipeline import llama_tools
from tests.zoo import VARIANTS, build
from tools.execute import MAIN, execute, find, last_words

STOPPED = artifacts.ROOT / "build" / "any_model"


def run(name: str, numbers: list[str] = MAIN) -> str:
    """Run notebooks with a variant, in one kernel; return the last words if one stopped, else ""."""
    with tempfile.TemporaryDirectory() as temporary:
        together = Path(temporary) / f"{name}.ipynb"
        nbformat.write(joined(find(numbers)), together)
        notebook, error = execute(together, environment(build(name, temporary), Path(temporary) / "artifacts"), 600)
    if error is None:
        return ""
    STOPPED.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, STOPPED / together.name)
    return last_words(error)


def joined(paths: list[Path]):
    """Return one notebook with the code of several; each begins with no variables of the one before."""
    cells = []
    for path in paths:
        code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        cells += [nbformat.v4.new_code_cell("%reset -f"), *(nbformat.v4.new_code_cell(cell.source) for cell in code)]
    return nbformat.v4.new_notebook(cells=cells)


def environment(model: Path, folder: Path) -> dict[str, str]:
    """Return what a kernel needs to work with a model, offline, without touching the course's own artifacts."""
    tools = {"LLAMA_CPP_DIR": str(llama_tools.tools()), "COURSE_ARTIFACTS": str(folder)}
    return {"COURSE_MODEL": str(model), "COURSE_HUB": "rehearsal", **tools}


def main(names: list[str]) -> int:
    """Run all notebooks with all variants named; return how many stopped."""
    wanted = names or [v.name for v in VARIANTS.values() if v.group == "Architectures" and not v.refused and v.runs]
    failures = 0
    for name in wanted:
        started = time.monotonic()
        words = run(name)
        failures += bool(words)
        print(f"{name:24s} {time.monotonic() - started:4.0f} s  {'STOPPED' if words else 'ok'}\n{words}", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
