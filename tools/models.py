"""Write docs/MODELS.md, the table of the zoo: `python -m tools.models`. tests/zoo holds it against the real tools."""

import sys

from helpers import artifacts
from tests.zoo import VARIANTS, Variant

PAGE = artifacts.ROOT / "docs" / "MODELS.md"
INTRODUCTION = """# Which models convert

Every row is a tiny checkpoint with random weights that the tests make and put through the course: reading, converting
with the pinned llama.cpp, the proof, an answer. {architectures} architectures, {variants} variants. The page is
generated (`make models`) from the outcomes that `tests/zoo` states; tests hold these against what happens.

- **Converts**: *refused* means that the course stops and says why, before a wrong file is there.
- **Proof**: *fails* names what differs between the checkpoint and its GGUF. The file is made, and it is another model.
- **Runs**: *no* means that llama.cpp does not open it, *aborts* that it ends the process that asks.
  *Open* names what could not be compared: then it is not proven, and the gate keeps it private.

How far this carries: the weights are converted to F32 unless a row's name has another type, so that what differs is
the conversion and not rounding, and the texts have at most 256 tokens. Most architectures borrow SmolLM2's tokenizer or
that of `story`; whether their own tokenizer is read correctly is not seen here. Configurations are as transformers
saves them today; "published" adds what the converter expects of the files on the Hub. llama.cpp has the sizes of some
published models built in, so a model of another size may fail where its family passes. What the notes say of llama.cpp
and transformers was seen in the pinned versions. For a model of your own, look at its proof.
"""


def page() -> str:
    """Return the text of docs/MODELS.md."""
    rows = list(VARIANTS.values())
    lines = [INTRODUCTION.format(architectures=len({row.architecture for row in rows}), variants=len(rows))]
    for group in dict.fromkeys(row.group for row in rows):
        lines += [
            f"\n## {group}\n",
            "| variant | architecture | converts | proof | runs | note |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_line(row) for row in rows if row.group == group]
    return "\n".join(lines) + "\n"


def _line(row: Variant) -> str:
    cells = [f"`{row.name}`", row.architecture, *_fate(row), row.note]
    safe = [cell.replace("|", r"\|").replace("<", "&lt;") for cell in cells]
    return f"| {' | '.join(safe)} |".replace("|  |", "| |")


def _fate(row: Variant) -> tuple[str, str, str]:
    """Return whether it converts, is proved and runs."""
    if row.refused:
        return "refused", "–", "–"
    if row.dies or not row.runs:
        return "yes", "–", "aborts" if row.dies else "no"
    open_rows = f"open: {row.unproven}" if row.unproven else "passes"
    return "yes", f"fails: {row.differs}" if row.differs else open_rows, "yes"


def main() -> int:
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
