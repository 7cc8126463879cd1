"""What a model card says in its YAML head: licence, base model. Read leniently, because many cards are odd.

Every value stays text, so that the language `no` is Norwegian and not False.
"""

from __future__ import annotations

import re
from pathlib import Path

from helpers.errors import CheckpointError
from helpers.pipeline import hub_rules
from helpers.pipeline.shelf import Folder, Shelf

HUB = "https://huggingface.co/"
MOST = 1_000_000  # bytes; some cards hold pictures after the head


def at(folder: Path | str) -> dict:
    """Return the YAML head of a folder's README.md; see `head`."""
    return head(Folder(Path(folder)))


def head(shelf: Shelf) -> dict:
    """Return the YAML at the head of README.md, every value as text (`no` stays `no`), {} if it is odd or missing."""
    import yaml

    if "README.md" not in shelf.files:
        return {}
    try:
        text = shelf.data("README.md", MOST).decode("utf-8-sig", "replace")
        block = re.match(r"---\s*\n(.*?\n)---\s*(\n|$)", text, re.DOTALL)
        found = yaml.load(block[1].replace("\t", "  "), yaml.BaseLoader) if block else {}
    except (CheckpointError, ValueError, TypeError, yaml.YAMLError, RecursionError):
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


def licence_fields(card: dict, repo: str | None, revision: str | None) -> dict[str, str | list[str]]:
    """Return license, license_name and license_link as the Hub takes them; without a licence there is none of them.

    A licence that is none of the Hub's identifiers becomes `other` with its name. A link into the original's repository
    `repo` becomes a whole address.
    """
    raw, names, links = (texts(card.get(key)) for key in ("license", "license_name", "license_link"))
    known = [re.sub(r"\s+", "-", text.lower()) for text in raw]
    found: dict[str, str | list[str]] = {}
    if raw and set(known) <= hub_rules.LICENCES:
        found["license"] = known[0] if len(known) == 1 else known
    elif raw:
        found["license"], names = "other", names or [" ".join(raw)]
    if found and names:
        found["license_name"] = re.sub(r"[^a-z0-9.-]+", "-", names[0].lower()).strip("-") or "other"
    if found and links:
        relative = repo and not re.match(r"[a-z]+://", links[0])
        where = f"{HUB}{repo}/blob/{revision or 'main'}/"
        found["license_link"] = where + links[0].lstrip("./") if relative else links[0]
    return found


def bases(card: dict) -> list[str]:
    """Return the repositories that a card names as its base models."""
    return texts(card.get("base_model"))


def line(text: str) -> str:
    """Return a text on one line that does not break a card: no signs of tables or tags."""
    return " ".join(re.sub(r"[|<>`\x00-\x1f]", " ", text).split())
