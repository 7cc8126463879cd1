"""What the Hub tells of a model because it reads the repository's own files: card, configuration, weights."""

import json
import math
import re
from collections import Counter

import yaml
from safetensors import SafetensorError, safe_open

from helpers.pipeline.rehearsal.store import Commit, Store

CONFIG = ("architectures", "model_type", "quantization_config")  # what the Hub repeats of config.json


def metadata(card: str) -> dict | None:
    """Return the YAML block at the top of a model card, None if there is none. Raises yaml.YAMLError."""
    block = re.match(r"---\s*\n(.*?)\n---", card, re.S)
    if not block:
        return None
    found = yaml.safe_load(block[1])
    return json.loads(json.dumps(found if isinstance(found, dict) else {}, default=str))  # dates become text


def about(store: Store, commit: Commit) -> dict:
    """Return the fields of `model_info` that come out of files; without the file there is no field."""
    told: dict = {"tags": []}
    if "README.md" in commit.files:
        try:
            card = metadata(store.content(commit.files["README.md"].sha256).read_text()) or {}
        except (yaml.YAMLError, UnicodeDecodeError):
            card = {}
        told |= {"cardData": card} | {key: card[key] for key in ("pipeline_tag", "library_name") if key in card}
        told["tags"] = [*_listed(card, "library_name"), *_listed(card, "tags"), *_listed(card, "language")]
        told["tags"] += [f"license:{licence}" for licence in _listed(card, "license")]
    if "config.json" in commit.files:
        try:
            config = json.loads(store.content(commit.files["config.json"].sha256).read_text())
            told["config"] = {key: config[key] for key in CONFIG if key in config}
        except ValueError:
            pass  # damaged on purpose, for a test
    if parameters := _parameters(store, commit):
        told["safetensors"] = {"parameters": parameters, "total": sum(parameters.values())}
    return told


def _listed(card: dict, key: str) -> list[str]:
    value = card.get(key) or []
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def _parameters(store: Store, commit: Commit) -> dict[str, int]:
    """Count parameters by the names that safetensors gives to number formats, such as BF16."""
    counted: Counter[str] = Counter()
    for name, stored in commit.files.items():
        if name.endswith(".safetensors") and "/" not in name:
            try:
                with safe_open(store.content(stored.sha256), "np") as tensors:
                    for tensor in map(tensors.get_slice, tensors.keys()):
                        counted[tensor.get_dtype()] += math.prod(tensor.get_shape())
            except (SafetensorError, OSError):
                return {}  # not safetensors after all
    return dict(counted)
