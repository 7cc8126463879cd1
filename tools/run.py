"""Run notebooks as a reader does: `python -m tools.run [main | all | 04 05 …] [--model name]`.

Executed copies go into build/, with HTML and an index page, and a final table.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import sys
import time
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from helpers import artifacts
from helpers.errors import CourseError
from helpers.pipeline import catalogue, convert, runtime
from helpers.pipeline.hub import staging
from helpers.quality import importance
from tools.execute import MAIN, clean, execute, find, last_words

BUILD = artifacts.ROOT / "build"


def run(names: list[str], model: str) -> int:
    """Execute copies into build/ and print the final table; return the number of failed notebooks."""
    BUILD.mkdir(exist_ok=True)
    results = []
    for path in find(names):
        started = time.monotonic()
        notebook, error = execute(path, {"COURSE_MODEL": model})
        seconds = time.monotonic() - started
        clean(notebook)
        nbformat.write(notebook, BUILD / path.name)
        page, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
        (BUILD / f"{path.stem}.html").write_text(page)
        results.append((path.stem, seconds, error))
        if error:
            print(f"\n{path.stem} stopped:\n{last_words(error)}\n", file=sys.stderr)
    _write_index(BUILD, results)
    print()
    for name, seconds, error in results:
        print(f"{name:36s} {'FAILED' if error else 'ok':7s} {seconds:5.0f} s")
    if not any(error for _, _, error in results) and set(MAIN) <= {name[:2] for name, _, _ in results}:
        print(outcome(model))
    print(f"\nPages to read: {(BUILD / 'index.html').relative_to(BUILD.parent)}")
    return sum(error is not None for _, _, error in results)


def outcome(model_name: str) -> str:
    """Return the table of the main job: each file with its size, speed and answer, and where it went."""
    os.environ["COURSE_MODEL"] = model_name
    model = catalogue.choose(model_name)
    folder = model.fetch()
    wide = convert.sixteen_bits(folder)
    made = [wide, convert.to_gguf(folder, "q8_0"), importance.weighed(wide, "Q4_K_M")]
    paths = staging.stage(made, model.name)  # as they are published
    lines = [f"\n{'file':28s} {'size':>9s} {'bits/weight':>12s} {'tokens/s':>9s}  {model.questions[0]}"]
    for path in paths:
        file = convert.summary(path)
        llm = runtime.load(path, n_ctx=min(512, runtime.trained_context(file)))
        answer = " ".join(runtime.ask(llm, model.questions[0], max_tokens=24).split())
        speed = runtime.tokens_per_second(llm).generation
        llm.close()
        size = artifacts.size_text(file.file_bytes)
        lines.append(f"{path.name:28s} {size:>9s} {file.bits_per_weight:12.2f} {speed:9.1f}  {answer[:60]}")
    receipt = artifacts.folder() / "published.json"
    if receipt.exists():
        where = json.loads(receipt.read_text())
        kind = "rehearsal Hub (this machine, gone now)" if where["rehearsal"] else "Hugging Face Hub"
        seen = "private" if where.get("private", True) else "public"
        lines.append(f"\nproof: {where.get('proof') or 'not made'}")
        lines.append(f"published as {where['repo']} ({seen}) at revision {where['revision'][:10]} on the {kind}")
    return "\n".join(lines)


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
    parser = argparse.ArgumentParser(description="Run notebooks; executed copies go into build/.")
    parser.add_argument("names", nargs="*", default=["main"], help="numbers such as 04 05, main or all")
    parser.add_argument("--model", default=os.environ.get("COURSE_MODEL") or "auto")
    given = parser.parse_args()
    try:
        return run(given.names, given.model)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
