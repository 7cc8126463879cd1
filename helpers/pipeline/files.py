"""Which files belong to a checkpoint: the rule of transformers, applied to the names in a folder or a repository.

`model.safetensors`, else exactly the shards that `model.safetensors.index.json` names, else a whole set of
`model-00001-of-00003.safetensors`. Top level only: a repository with copies below it was seen to cost 7 times the
bytes. Never a pickle: unpickling runs whatever code its author put there.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from helpers.errors import CheckpointError
from helpers.pipeline.shelf import Shelf, json_object

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
SHARD = r"(model)-(\d{5})-of-(\d{5})\.safetensors"

# What makes a tokenizer: any one of these sets is enough for the converter.
TOKENIZERS = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("vocab.json", "merges.txt"),
    ("*.tiktoken",),
    ("tiktoken.model",),
    ("tokenizer.jsonl",),
    ("tekken.json",),
    ("rwkv_vocab_v20230424.txt",),
)
# Files that must hold what their name says; the converter or the tokenizer reads them.
READ = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
    "*.tiktoken",
    "tiktoken.model",
    "tokenizer.jsonl",
    "rwkv_vocab_*.txt",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "quantize_config.json",
    "hf_quant_config.json",
    ADAPTER_CONFIG,
)
PAPERS = ("README.md", "LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "USE_POLICY*")


def matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Return the names that fit one of the patterns, sorted; `*` does not cross into folders."""
    kinds = [(pattern, pattern.count("/")) for pattern in patterns]
    return sorted(n for n in names if any(n.count("/") == depth and fnmatch.fnmatchcase(n, p) for p, depth in kinds))


def small(names: Iterable[str]) -> list[str]:
    """Return everything but the weights: configuration, tokenizer, templates, licence, model card."""
    return matching(names, (*READ, *PAPERS))


def has_tokenizer(names: Iterable[str]) -> bool:
    """Tell whether one of the sets of TOKENIZERS is complete."""
    return any(all(matching(names, (part,)) for part in parts) for parts in TOKENIZERS)


def is_adapter(names: Iterable[str]) -> bool:
    """Tell whether these are the files of an adapter (LoRA) without a model of its own."""
    return ADAPTER_CONFIG in names and not any(name in (SINGLE, INDEX) or _shard(name) for name in names)


def weights(shelf: Shelf, config: dict) -> tuple[list[str], dict[str, str], list[str]]:
    """Return the weight files by transformers' rule, the index (tensor → file, {} without one), and remarks.

    Raises CheckpointError naming what is missing, or why what is there is not taken.
    """
    names, where = shelf.files, shelf.title
    explicit = config.get("transformers_weights")
    if isinstance(explicit, str) and explicit in names and explicit.endswith(".safetensors"):
        return [explicit], {}, [f"config.json names {explicit} as its weights"]
    shards = {name: found for name in names if (found := _shard(name))}
    if SINGLE in names:
        remarks = []
        if INDEX in names and set(_weight_map(shelf).values()) != {SINGLE}:
            remarks.append(
                f"{SINGLE} and {INDEX} are both there, one of them from an earlier save: {SINGLE} is taken, as "
                "transformers does"
            )
        elif shards:
            remarks.append(f"{SINGLE} is taken; shards of another save lie beside it")
        return [SINGLE], {}, remarks
    if INDEX in names:
        parts = _weight_map(shelf)
        wanted = sorted(set(parts.values()))
        if missing := [name for name in wanted if name not in names]:
            raise CheckpointError(
                f"{len(missing)} of {len(wanted)} weight files are missing from {where}: {_some(missing)}. The "
                "download stopped early, or the index belongs to another save. Download again; files that are "
                "complete are not fetched twice."
            )
        return wanted, parts, []
    if shards:
        return _without_index(shards, where)
    raise _nothing(list(names), where)


def _shard(name: str) -> re.Match | None:
    return re.fullmatch(SHARD, name)


def _weight_map(shelf: Shelf) -> dict[str, str]:
    found = json_object(shelf, INDEX).get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(file, str) for file in found.values()):
        raise CheckpointError(
            f"{INDEX} of {shelf.title} has no weight_map, the table that says which file holds which tensor. It is "
            "another file under this name, or damaged. Download it again."
        )
    for name in set(found.values()):
        if not name.endswith(".safetensors") or "/" in name or "\\" in name:
            raise CheckpointError(
                f"{INDEX} of {shelf.title} names {name!r}. Only safetensors files beside it are read, never a pickle "
                "and nothing outside its folder. Download the original again."
            )
    return found


def _without_index(shards: dict[str, re.Match], where: str) -> tuple[list[str], dict[str, str], list[str]]:
    totals = sorted({found[3] for found in shards.values()})
    if len(totals) > 1:
        raise CheckpointError(
            f"{where} holds shards of {len(totals)} different saves ({' and '.join(totals)} parts) and no {INDEX}. "
            "Nobody can tell which belong together. Delete those of the older save, or download again."
        )
    wanted = [f"model-{i:05d}-of-{totals[0]}.safetensors" for i in range(1, int(totals[0]) + 1)]
    if missing := [name for name in wanted if name not in shards]:
        raise CheckpointError(
            f"{len(missing)} of {len(wanted)} weight files are missing from {where}: {_some(missing)}. The download "
            "stopped early. Download again; files that are complete are not fetched twice."
        )
    return wanted, {}, [f"{INDEX} is missing; all {len(wanted)} parts are there, so they are taken"]


def _nothing(names: list[str], where: str) -> CheckpointError:
    """Return the error for a place without weights that count, naming what lies there instead."""
    top = [name for name in names if "/" not in name]
    strays = [name for name in matching(top, ("*.safetensors",)) if name != ADAPTER]
    if pickles := [name for name in matching(top, PICKLES) if name not in ("training_args.bin", "optimizer.pt")]:
        beside = f"; {strays[0]} beside it does not count, as transformers does not load that name" if strays else ""
        return CheckpointError(
            f"{where} has its weights only as pickles ({pickles[0]}){beside}. Loading a pickle runs code from the "
            "internet, so this course refuses. Look for a revision with safetensors, or convert it in a sandbox with "
            "the Hub's safetensors conversion space."
        )
    if any(name.startswith("consolidated") for name in strays):
        return CheckpointError(
            f"{where} holds weights in Mistral's own form only ({_some(strays)}). Names and order differ from those "
            "of transformers, which the course's steps expect. Take the files called model….safetensors."
        )
    if strays:
        rename = f"it is whole, rename it to {SINGLE}" if len(strays) == 1 else "they are whole, save the model again"
        return CheckpointError(
            f"{where} has no {SINGLE}, but {_some(strays)}. By that name transformers loads nothing, and the converter "
            f"would write a file without weights. Look into it: if {rename}."
        )
    if gguf := [name for name in names if name.endswith(".gguf")]:
        return CheckpointError(
            f"{where} holds GGUF files only ({_some(sorted(gguf))}). They are converted already. Open one with "
            "runtime.load, or take the original model, which the card names as base model, to convert it yourself."
        )
    if others := matching(top, ("*.h5", "*.msgpack", "*.onnx", "*.npz", "*.tflite", "*.nemo")):
        return CheckpointError(
            f"{where} has weights for other programs only ({_some(others)}). The converter reads safetensors. Look "
            "for a repository or a revision of the same model with safetensors."
        )
    below = sorted(
        {name.rpartition("/")[0] for name in names if name.endswith((".safetensors", ".bin")) and "/" in name}
    )
    hint = f", only in the folder {below[0]}" if below else ""
    return CheckpointError(
        f"{where} has no weights ({SINGLE}){hint}. The download stopped early, or this is not a model's folder. "
        "Download it again, or choose another model."
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
