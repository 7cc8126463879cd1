"""What a model card says in its YAML head: licence, base model. Read leniently, because many cards are odd."""

from __future__ import annotations

import re

from helpers.pipeline.shelf import Shelf

MOST = 1_000_000  # bytes; some cards hold pictures after the head


def head(shelf: Shelf) -> dict:
    """Return the YAML at the head of README.md, every value as text (`no` stays `no`), {} if it is odd or missing."""
    import yaml

    if "README.md" not in shelf.files:
        return {}
    text = shelf.data("README.md", MOST).decode("utf-8-sig", "replace")
    block = re.match(r"---\s*\n(.*?\n)---\s*(\n|$)", text, re.DOTALL)
    try:
        found = yaml.load(block[1].replace("\t", "  "), yaml.BaseLoader) if block else {}
    except (ValueError, yaml.YAMLError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def texts(value: object) -> list[str]:
    """Return a card's value as texts of one line; it may be one, a list, or something else."""
    values = value if isinstance(value, list) else [value]
    return [" ".join(text.split()) for text in values if isinstance(text, str) and text.strip()]


def licence(card: dict) -> str:
    """Return the licence that a card names, `unknown` without one."""
    found = ", ".join(texts(card.get("license")))
    name = ", ".join(texts(card.get("license_name")))
    return (name if name and found in ("", "other") else found) or "unknown"


def bases(card: dict) -> list[str]:
    """Return the repositories that a card names as its base models."""
    return texts(card.get("base_model"))
