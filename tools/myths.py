"""Write docs/myths.md from the table of claims: `python -m tools.myths`."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from helpers import artifacts
from helpers.errors import InputError
from tools.claims import CLAIMS, SOURCES, Claim

PAGE = artifacts.ROOT / "docs" / "myths.md"
MARKS = {"right": "✓ right", "loose": "◐ loosely", "wrong": "✗ wrong"}
HEAD = """# Myths, checked

<!-- Made by `python -m tools.myths` from tools/claims.py. Do not edit by hand. -->

Four popular articles have taught many people what quantization is, and each of them is worth reading. This page takes
every claim of theirs that can be checked, and checks it: {right} are right, {loose} hold with a condition or by up to a
third, {wrong} are wrong. Numbers are computed by the course's code, and the link leads to the section that shows it.
These are slips of people who know the field, and easy to make; that is why a cell decides here.

"""


def page() -> str:
    """Return the page; raises InputError if a claim's words stand in no section of its notebook."""
    counts = Counter(claim.verdict for claim in CLAIMS)
    text = [HEAD.format(**counts)]
    for number in sorted({claim.notebook for claim in CLAIMS}):
        path, cells, title = notebook(number)
        text.append(f"## {title}\n\n| an article says | | we find | shown in |\n|---|---|---|---|\n")
        for claim in (claim for claim in CLAIMS if claim.notebook == number):
            section = section_of(claim, cells)
            link = f"[{section}](../notebooks/{path.name}#{anchor(section)})"
            note = "ABCD".index(claim.source) + 1
            text.append(f"| {claim.says} [{note}] | {MARKS[claim.verdict]} | {claim.found} | {link} |\n")
        text.append("\n")
    text.append(
        "## The articles\n\nAll four were read in Portuguese translations; these are addresses of English versions.\n\n"
    )
    for number, source in enumerate(SOURCES.values(), 1):
        text.append(f"{number}. *{source.title}*, {source.author}. <{source.url}> (compared: {source.compared})\n")
    return "".join(text)


def notebook(number: str) -> tuple[Path, list[dict], str]:
    """Return path, cells and title of a notebook."""
    path = next((artifacts.ROOT / "notebooks").glob(f"{number}_*.ipynb"))
    cells = json.loads(path.read_text())["cells"]
    return path, cells, "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")


def section_of(claim: Claim, cells: list[dict]) -> str:
    """Return the heading under which a notebook shows what it finds."""
    heading = "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
    for cell in cells:
        for part in re.split(r"(?m)^(?=#{2,4} )", "".join(cell["source"])):
            if cell["cell_type"] == "markdown" and (found := re.match(r"#{2,4} (.+)", part)):
                heading = found[1].strip()
            if squeezed(claim.stands) in squeezed(part):
                return heading
        if squeezed(claim.stands) in squeezed(printed(cell)):
            return heading
    raise InputError(
        f"{claim.stands!r} stands nowhere in notebook {claim.notebook}. The table of claims quotes it. Correct "
        "`stands` in tools/claims.py, or the notebook."
    )


def printed(cell: dict) -> str:
    """Return what the outputs of a cell say in text."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        found += ["".join(output.get("text", ""))]
        found += ["".join(value) for kind, value in data.items() if kind.startswith("text/")]
    return "\n".join(found)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def anchor(heading: str) -> str:
    """Return the anchor that GitHub and the site give a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


def main() -> None:
    with artifacts.making(PAGE) as temporary:
        Path(temporary).write_text(page())
    print(f"{len(CLAIMS)} claims in {PAGE.relative_to(artifacts.ROOT)}")


if __name__ == "__main__":
    main()
