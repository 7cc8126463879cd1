"""Find notebooks, run them in a fresh kernel, and clean what they leave behind.

nbclient is the runner, not `jupyter nbconvert --execute`: it reports each cell, for a progress bar, and hands over the
notebook as far as it came when a cell fails.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from helpers import artifacts
from helpers.errors import InputError

FOLDER = artifacts.ROOT / "notebooks"
MAIN = ["00", "04", "05", "06", "07"]  # the main job: all of it at once, then download, convert, run, publish


def find(names: list[str]) -> list[Path]:
    """Return notebook paths for numbers such as ["04", "05"], ["main"] or ["all"]."""
    known = {path.name[:2]: path for path in sorted(FOLDER.glob("[0-9]*.ipynb"))}
    wanted = [number for name in names for number in ({"main": MAIN, "all": list(known)}.get(name) or [name])]
    unknown = [number for number in wanted if number not in known]
    if unknown:
        raise InputError(
            f"There is no notebook {', '.join(unknown)}. Notebooks are named by number. "
            f"Choose from main, all, {', '.join(known)}."
        )
    return [known[number] for number in wanted]


def execute(path: Path, environment: dict[str, str], seconds_a_cell: int = 7200) -> tuple[object, Exception | None]:
    """Run a notebook in a fresh kernel with a progress bar; return it, and the error that stopped it."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from tqdm.auto import tqdm

    notebook = nbformat.read(path, as_version=4)
    code_cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    with tqdm(
        total=code_cells, desc=path.stem, unit="cell", bar_format="{desc}: {bar} {n}/{total} cells, {elapsed}"
    ) as bar:
        client = NotebookClient(
            notebook,
            timeout=seconds_a_cell,  # by default long enough to download TinyLlama through a slow network
            kernel_name="python3",
            resources={"metadata": {"path": str(FOLDER)}},
            extra_arguments=["--log-level=ERROR"],
            on_cell_executed=lambda cell, cell_index, execute_reply: bar.update(cell.cell_type == "code"),
        )
        try:
            client.execute(env={**os.environ, **environment})
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return notebook, error
    return notebook, None


def clean(notebook) -> None:
    """Remove what must not be committed: progress bars, widget state, times, and this machine's traces."""
    from nbconvert.preprocessors import ClearMetadataPreprocessor, CoalesceStreamsPreprocessor

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_passing(output)]
    metadata = ClearMetadataPreprocessor(
        preserve_nb_metadata_mask={"colab", "kernelspec", ("language_info", "name")},
        preserve_cell_metadata_mask={"tags", "cellView", "jupyter"},
    )
    for step in (metadata, CoalesceStreamsPreprocessor()):  # a streamed answer arrives in many pieces
        step.preprocess(notebook, {})


def _is_passing(output) -> bool:
    """Tell whether an output has a meaning only while the cell runs: a progress bar, a widget, a warning."""
    if output.output_type == "stream":
        return output.name == "stderr"
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def last_words(error: Exception) -> str:
    """Return the end of what a failed cell said, without colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return "\n".join(text.strip().splitlines()[-8:])
