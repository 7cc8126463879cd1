"""Write docs/evidence.md, what each conclusion of Parts III and IV rests on: `python -m tools.evidence`."""

from __future__ import annotations

from pathlib import Path

from helpers import artifacts
from tools.conclusions import CONCLUSIONS
from tools.myths import anchor, notebook, section_of

PAGE = artifacts.ROOT / "docs" / "evidence.md"
HEAD = """# Evidence

<!-- Made by `python -m tools.evidence` from tools/conclusions.py and data/. Do not edit by hand. -->

What the conclusions of Parts III and IV rest on. The link leads to the section whose cells show it. *Measured* is
computed from the results under data/ when this page is made, and the sentence is checked against it; a range is the
least and the most of the models named; brackets hold 95 %, of bootstrap draws (08), of redraws of the grid's points
(10), or by Student's t of three pairs (13). The last column is as
much a part of the conclusion as the first. The models are small: 100,080 parameters (*tiny*), 648,064 (*small*) and 2.9
million (`story`), all trained on stories whose least possible loss is known, 0.32 nats for each token.

"""


def page() -> str:
    """Return the page; raises AssertionError for a sentence that the results do not bear out, and InputError for one
    whose words stand in no section of its notebook.
    """
    text = [HEAD]
    for number in sorted({conclusion.notebook for conclusion in CONCLUSIONS}):
        path, cells, title = notebook(number)
        text.append(f"## {title}\n\n| conclusion | measured | rests on | does not show |\n|---|---|---|---|\n")
        for each in (conclusion for conclusion in CONCLUSIONS if conclusion.notebook == number):
            section = section_of(each, cells)
            link = f"[{section}](../notebooks/{path.name}#{anchor(section)})"
            text.append(f"| {each.says} | {each.measured()} | {link}: {each.rests_on} | {each.not_shown} |\n")
        text.append("\n")
    return "".join(text).rstrip() + "\n"


def main() -> None:
    with artifacts.making(PAGE) as temporary:
        Path(temporary).write_text(page())
    print(f"{len(CONCLUSIONS)} conclusions in {PAGE.relative_to(artifacts.ROOT)}")


if __name__ == "__main__":
    main()
