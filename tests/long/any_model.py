"""Run the main job with tiny checkpoints of the zoo: `python -m tests.long.any_model [--hub] [variant …]`.

Without a name: every architecture that converts and runs, a minute each. As a folder, or with --hub as `zoo/<variant>`
of a Hub that is not the course's own rehearsal: downloaded, converted, proven, asked, published with a token. What
stopped stays in build/any_model.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from helpers import artifacts
from helpers.pipeline import llama_tools
from helpers.pipeline.rehearsal import RehearsalHub
from tests.zoo import VARIANTS, build
from tools.execute import MAIN, execute, find, last_words

TOKEN = "hf_of_a_reader"
STOPPED = artifacts.ROOT / "build" / "any_model"


def run(name: str, numbers: list[str] = MAIN, hub: bool = False) -> str:
    """Run notebooks with a variant, in one kernel; return the last words if one stopped, else ""."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        together = Path(temporary) / f"{name}.ipynb"
        nbformat.write(joined(find(numbers)), together)
        folder = build(name, temporary)
        variables = environment(folder, Path(temporary) / "artifacts")
        if hub:
            server = RehearsalHub(Path(temporary)).start()
            stack.callback(server.stop)
            server.host(f"zoo/{name}", folder)
            server.roles[TOKEN] = "write"  # a rehearsal's own token would not be taken for a reader's
            variables |= {"COURSE_MODEL": f"zoo/{name}", "COURSE_HUB": "real"}
            variables |= {"HF_ENDPOINT": server.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": temporary}
        notebook, error = execute(together, variables, 600)
        if hub and error is None:
            published = [repo for repo in server.repos if repo.startswith("rehearsal/")]
            assert published, "nothing was published"
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
    hub, names = "--hub" in names, [name for name in names if name != "--hub"]
    wanted = names or [v.name for v in VARIANTS.values() if v.group == "Architectures" and not v.refused and v.runs]
    failures = 0
    for name in wanted:
        started = time.monotonic()
        words = run(name, hub=hub)
        failures += bool(words)
        print(f"{name:24s} {time.monotonic() - started:4.0f} s  {'STOPPED' if words else 'ok'}\n{words}", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
