"""All variants by name, and `build`."""

import dataclasses
from pathlib import Path

from . import families, folders, settings, vocabularies
from .checkpoints import make
from .variant import Variant

GROUPS = {
    "Architectures": families.ROWS,
    "Weights and files": folders.ROWS,
    "Configuration": settings.ROWS,
    "Tokenizer and chat template": vocabularies.ROWS,
}
VARIANTS: dict[str, Variant] = {
    row.name: dataclasses.replace(row, group=group) for group, rows in GROUPS.items() for row in rows
}
assert len(VARIANTS) == sum(map(len, GROUPS.values())), "two variants of one name"


def build(name: str, parent: Path | str) -> Path:
    """Make a variant's checkpoint in `parent` and return its folder, which has the variant's name."""
    variant = VARIANTS[name]
    folder = Path(parent) / name
    make(variant.architecture, folder, variant.dtype, **variant.settings)
    for change in variant.changes:
        change(folder)
    return folder
