"""Write docs/MODELS.md, the table of the zoo: `python -m tools.models`. tests/zoo holds it against the real tools."""

import sys

from helpers import artifacts
from tests.zoo import VARIANTS, Variant

PAGE = artifacts.ROOT / "docs" / "MODELS.md"
INTRODUCTION = """# Which models convert

Every row is a tiny checkpoint that the tests build, convert with the pinned llama.cpp, prove and run: {architectures}
architectures, {variants} variants. The page is generated (`python -m tools.models`) from the outcomes that `tests/zoo`
expects and checks. "Published" is a configuration as the Hub has it; the others are as transformers saves them today.

- **Converts**: *refused* means that the course stops and says why, before or instead of a wrong file.
- **Proof**: *fails* names what differs between the checkpoint and its GGUF: the file is made, and it is another model.
- **Runs**: *no* means that llama.cpp does not open it, *aborts* that it ends the whole process.

What is said of llama.cpp, its converter and transformers is true of the pinned versions and was reported there or
found here; a model of your own may differ from every row. Look at its proof.
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
    if row.refused:
        converts, proof, runs = "refused", "–", "–"
    else:
        converts = "yes"
        proof = f"fails: {row.differs}" if row.differs else "passes"
        runs = "yes"
        if row.dies or not row.runs:
            proof, runs = "–", "aborts" if row.dies else "no"
    note = "; ".join(filter(None, [row.note, f"not yet: {row.today}" if row.today else ""]))
    cells = [f"`{row.name}`", row.architecture, converts, proof, runs, note.replace("|", "\\|").replace("<", "&lt;")]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def main() -> int:
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
