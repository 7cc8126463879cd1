"""Run, refresh and stamp the notebooks: `python -m helpers.notebooks run|refresh|stamp`.

run 04 05 06 07        executes copies into build/, with HTML and an index page, and a final table
refresh [04 …]         executes in place with SmolLM2 and cleans the stored outputs
stamp owner/name       writes the repository's address everywhere
"""

from __future__ import annotations

import argparse
import html
import os
import re
import sys
import time
from pathlib import Path

from helpers import artifacts, install
from helpers.errors import CourseError, InputError

ROOT = artifacts.ROOT
FOLDER = ROOT / "notebooks"
MAIN = ["04", "05", "06", "07"]  # the main job: download, convert, run, publish


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
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        kept = []
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                continue
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                continue
            if kept and output.output_type == "stream" and kept[-1].output_type == "stream":
                kept[-1].text += output.text  # a streamed answer arrives in many pieces
                continue
            kept.append(output)
        cell.outputs = kept


def run(names: list[str], model: str) -> int:
    """Execute copies into build/ and print the final table; return the number of failed notebooks."""
    import nbformat
    from nbconvert import HTMLExporter

    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    results = []
    for path in find(names):
        started = time.monotonic()
        notebook, error = execute(path, {"COURSE_MODEL": model})
        seconds = time.monotonic() - started
        clean(notebook)
        nbformat.write(notebook, build / path.name)
        page, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
        (build / f"{path.stem}.html").write_text(page)
        results.append((path.stem, seconds, error))
        if error:
            print(f"\n{path.stem} stopped:\n{_last_words(error)}\n", file=sys.stderr)
    _write_index(build, results)
    print()
    for name, seconds, error in results:
        print(f"{name:36s} {'FAILED' if error else 'ok':7s} {seconds:5.0f} s")
    if not any(error for _, _, error in results) and set(MAIN) <= {name[:2] for name, _, _ in results}:
        print(outcome(model))
    print(f"\nPages to read: {(build / 'index.html').relative_to(ROOT)}")
    return sum(error is not None for _, _, error in results)


def outcome(model_name: str) -> str:
    """Return the table of the main job: each file with its size, speed and answer, and where it went."""
    import json

    from helpers import convert, models, runtime

    os.environ["COURSE_MODEL"] = model_name
    model = models.choose(model_name)
    f16 = convert.to_gguf(model.fetch(), "f16")
    paths = [f16, convert.to_gguf(model.fetch(), "q8_0"), convert.requantize(f16, "Q4_K_M")]
    lines = [f"\n{'file':28s} {'size':>9s} {'bits/weight':>12s} {'tokens/s':>9s}  {model.questions[0]}"]
    for path in paths:
        file = convert.summary(path)
        llm = runtime.load(path, n_ctx=512)
        answer = " ".join(runtime.ask(llm, model.questions[0], max_tokens=24).split())
        speed = runtime.tokens_per_second(llm).generation
        llm.close()
        size = artifacts.size_text(file.file_bytes)
        lines.append(f"{path.name:28s} {size:>9s} {file.bits_per_weight:12.2f} {speed:9.1f}  {answer[:60]}")
    receipt = artifacts.folder() / "published.json"
    if receipt.exists():
        where = json.loads(receipt.read_text())
        kind = "rehearsal Hub (this machine, gone now)" if where["rehearsal"] else "Hugging Face Hub (private)"
        lines.append(f"\npublished as {where['repo']} at revision {where['revision'][:10]} on the {kind}")
    return "\n".join(lines)


def refresh(names: list[str]) -> int:
    """Execute notebooks in place with SmolLM2 and the rehearsal Hub; return the number of failures."""
    import nbformat

    failures = 0
    for path in find(names):
        notebook, error = execute(path, {"COURSE_MODEL": "smollm2", "COURSE_HUB": "rehearsal"})
        if error:
            print(f"{path.stem} stopped and was left as it was:\n{_last_words(error)}", file=sys.stderr)
            failures += 1
            continue
        clean(notebook)
        nbformat.write(notebook, path)
        if path.name.startswith("05"):
            save_overview(notebook, ROOT / "docs" / "overview.png")
    return failures


def save_overview(notebook, path: Path) -> None:
    """Save notebook 05's picture of all files as the README's picture."""
    import base64

    for cell in notebook.cells:
        if cell.cell_type == "code" and "plots.type_sizes(" in cell.source:
            (picture,) = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(base64.b64decode(picture))


def stamp(repo: str) -> list[Path]:
    """Write the repository's address into every file that names it; return the changed files."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", repo):
        raise InputError(f"{repo!r} is not the address of a repository. Write it as owner/name.")
    documents = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob(".github/**/*.md"))]
    places = [*sorted(FOLDER.glob("*.ipynb")), *documents, ROOT / "CITATION.cff"]
    places.append(Path(install.__file__))
    changed = []
    for path in places:
        text = path.read_text()
        if install.REPO in text:
            path.write_text(text.replace(install.REPO, repo))
            changed.append(path)
    return changed


def _last_words(error: Exception) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return "\n".join(text.strip().splitlines()[-8:])


def _write_index(build: Path, results: list) -> None:
    rows = "\n".join(
        f'<li><a href="{html.escape(name)}.html">{html.escape(name.replace("_", " "))}</a> '
        f"({'<strong>failed</strong>' if error else f'{seconds:.0f} s'})</li>"
        for name, seconds, error in results
    )
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>From Bits to GGUF</title>
<style>body {{ font: 18px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}</style>
<h1>From Bits to GGUF</h1><p>The notebooks as they ran on this machine:</p><ol>{rows}</ol></html>"""
    (build / "index.html").write_text(page)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run, refresh and stamp the notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="execute copies into build/")
    one.add_argument("names", nargs="*", default=["main"])
    one.add_argument("--model", default=os.environ.get("COURSE_MODEL") or "auto")
    two = commands.add_parser("refresh", help="execute in place and store the outputs")
    two.add_argument("names", nargs="*", default=["all"])
    commands.add_parser("stamp", help="write the repository's address everywhere").add_argument("repo")
    given = parser.parse_args()
    try:
        if given.command == "run":
            return run(given.names, given.model)
        if given.command == "refresh":
            return refresh(given.names)
        for path in stamp(given.repo):
            print(f"stamped {path.relative_to(ROOT)}")
        return 0
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
