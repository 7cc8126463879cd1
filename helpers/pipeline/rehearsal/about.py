"""What the Hub tells of a model because it reads the repository's own files: card, configuration, weights."""

import json
import math
from collections import Counter

import yaml
from safetensors import SafetensorError, safe_open

from helpers.pipeline.hub_rules import front_matter
from helpers.pipeline.rehearsal.store import Commit, Store

CONFIG = ("architectures", "model_type", "quantization_config")  # what the Hub repeats of config.json


def about(store: Store, commit: Commit) -> dict:
    """Return the fields of `model_info` that come out of files; without the file there is no field."""
    told: dict = {"tags": []}
    if "README.md" in commit.files:
        try:
            card = front_matter(store.content(commit.files["README.md"].sha256).read_text()) or {}
            card = json.loads(json.dumps(card, default=str))  # dates become text
        except (yaml.YAMLError, ValueError, TypeError):
            card = {}
        told |= {"cardData": card} | {key: card[key] for key in ("pipeline_tag", "library_name") if key in card}
        for key in ("library_name", "pipeline_tag", "tags", "language"):
            told["tags"] += _listed(card, key)
        told["tags"] += [f"license:{licence}" for licence in _listed(card, "license")]
        bases, relation = _listed(card, "base_model"), _listed(card, "base_model_relation")
        told["tags"] += [f"base_model:{base}" for base in bases]
        told["tags"] += [f"base_model:{kind}:{base}" for kind in relation for base in bases]
    told["tags"] += [
        kind for kind in ("gguf", "safetensors") if any(name.endswith(f".{kind}") for name in commit.files)
    ]
    if "config.json" in commit.files:
        try:
            config = json.loads(store.content(commit.files["config.json"].sha256).read_text())
            told["config"] = {key: config[key] for key in CONFIG if key in config}
            told["tags"] += _listed(config, "model_type")
        except (ValueError, TypeError, AttributeError):
            pass  # damaged on purpose, for a test
    told["tags"] = list(dict.fromkeys(told["tags"]))
    if parameters := _parameters(store, commit):
        told["safetensors"] = {"parameters": parameters, "total": sum(parameters.values())}
    return told


def _listed(card: dict, key: str) -> list[str]:
    value = card.get(key) or []
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def _parameters(store: Store, commit: Commit) -> dict[str, int]:
    """Count parameters by the names that safetensors gives to number formats, such as BF16.

    Of model.safetensors, else of the shards that the index names: the Hub reads no other file.
    """
    counted: Counter[str] = Counter()
    try:
        names = ["model.safetensors"]
        if names[0] not in commit.files:
            index = json.loads(store.content(commit.files["model.safetensors.index.json"].sha256).read_text())
            names = sorted(set(index["weight_map"].values()))
        for name in names:
            with safe_open(store.content(commit.files[name].sha256), "np") as tensors:
                for tensor in map(tensors.get_slice, tensors.keys()):
                    counted[tensor.get_dtype()] += math.prod(tensor.get_shape())
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # no weights, or not safetensors after all
    return dict(counted)
