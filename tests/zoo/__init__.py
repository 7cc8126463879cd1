"""Tiny checkpoints of every kind, and what must come of each.

    from tests.zoo import VARIANTS, build
    folder = build("gemma2", tmp_path)          # a second; no network
    VARIANTS["sliding-mistral"].differs         # "logits": llama.cpp ignores the window

architectures.py  which model, in which size      families.py  one row for each architecture
checkpoints.py    random weights                  folders.py, settings.py, vocabularies.py  the other rows
tokenizers.py     the small tokenizers            workshop.py  converts, proves and runs them all
changes.py        what happens to folders         truth.py     a comparison independent of the course's proof

docs/MODELS.md is generated from the rows (`python -m tools.models`); test_zoo.py holds them against the real tools.
"""

from .variants import VARIANTS, Variant, build

__all__ = ["VARIANTS", "Variant", "build"]
