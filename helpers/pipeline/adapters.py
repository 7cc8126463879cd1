"""LoRA adapters: a folder of changes to a model, merged into the model they belong to.

    folder = adapters.merge(adapter_folder, base_folder)     # a checkpoint like any other
    gguf = convert.to_gguf(folder, "auto")

LoRA (arXiv 2106.09685) learns for a weight W of shape (out, in) two thin matrices, A of shape (r, in) and B of shape
(out, r). The tuned weight is W + s·B·A with s = alpha / r, or alpha / sqrt(r) for rank-stabilized LoRA (arXiv
2312.03732). It is computed here in FP32 and stored so: a change is often smaller than BF16's step at that weight.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import artifacts, machine
from helpers.errors import CheckpointError
from helpers.pipeline import model_card, origin, view, weights
from helpers.pipeline.checkpoint import Checkpoint, read

# Settings of peft under which W + s·B·A is not what the model computes: what they are.
UNSOUND = {
    "use_dora": "DoRA, which also rescales each row",
    "use_qalora": "QA-LoRA",
    "lora_bias": "a bias inside the adapter",
    "layer_replication": "layers that are used several times",
    "target_parameters": "changes to tensors of experts",
    "trainable_token_indices": "changed rows of the embedding",
    "alora_invocation_tokens": "aLoRA, which is switched on by words of the prompt",
    "megatron_config": "layers of Megatron",
}
# Ways to begin that change the base model too: the adapter alone does not hold the difference.
CHANGED_BASES = ("pissa", "olora", "corda", "loftq", "lora_ga")
TOKENIZER = ("tokenizer.json", "tokenizer.model")
TIED = r"(embed_tokens|wte|word_embeddings|embed_in|embed_out|lm_head)\.weight$"
WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class _Change:
    """What happens to one tensor of the base: s·B·A is added, or it is replaced."""

    a: str | None = None
    b: str | None = None
    replacement: str | None = None
    scale: float = 0.0
    turned: bool = False  # the base keeps the matrix as (in, out): embeddings, and GPT-2's Conv1D


def merge(adapter: Path | str, base: Path | str | Checkpoint) -> Path:
    """Return a checkpoint folder with the adapter merged into its base model, made once in artifacts/models.

    The tokenizer is the adapter's if it has one (training may have added a chat template), else the base's. Raises
    CheckpointError for an adapter that is not a LoRA, whose kind cannot be merged (it is named), or that belongs to
    another model.
    """
    adapter = Path(adapter)
    source = base if isinstance(base, Checkpoint) else read(Path(base))
    settings = _settings(adapter)
    name = f"{artifacts.key(adapter)}-on-{artifacts.key(source.folder)}"
    path = artifacts.folder("models") / (name if len(name) <= 120 else artifacts.key(adapter))
    with artifacts.locked(path):
        recipe = repr(("merged", artifacts.stamp(adapter), artifacts.stamp(source.folder, *view.weight_files(source))))
        if not (artifacts.Note.read(path, recipe) and path.is_dir()):
            artifacts.Note.forget(path)
            changes = _changes(adapter, settings, source)
            size = sum(t.elements * (4 if n in changes else 2) for n, t in source.tensors.items())
            machine.require_disk(size, path.parent, path.name)
            with artifacts.making(path) as folder:
                folder.mkdir()
                _copy_small_files(adapter, settings, source, folder)
                _write(source, changes, adapter / WEIGHTS, folder / "model.safetensors")
                read(folder)
            artifacts.Note.write(path, recipe)
    return path


def _settings(adapter: Path) -> dict:
    """Return adapter_config.json of a LoRA that can be merged; raise CheckpointError for anything else."""
    try:
        settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        kind, start = settings.get("peft_type"), settings.get("init_lora_weights")
    except (OSError, ValueError, AttributeError):
        raise CheckpointError(
            f"{adapter.name} is no adapter's folder: adapter_config.json is missing or damaged. Without it nobody "
            "knows how strongly the adapter counts. Download the adapter again."
        ) from None
    if not (adapter / WEIGHTS).is_file():
        raise CheckpointError(
            f"{adapter.name} has no {WEIGHTS}. The download stopped early, or the weights are a pickle (*.bin), which "
            "this course does not load. Save the adapter again with safe_serialization=True."
        )
    found = [what for setting, what in UNSOUND.items() if settings.get(setting)]
    if kind != "LORA":
        found.append(f"not LoRA but {kind}")
    if isinstance(start, str) and start.lower().startswith(CHANGED_BASES):
        found.append(f"begun with {start}, which changes the base model as well")
    if found:
        raise CheckpointError(
            f"{adapter.name} cannot be merged here: it is {', and '.join(found)}. W + s·B·A is not what such a model "
            "computes. Merge it with peft (merge_and_unload), save the model, and convert that folder."
        )
    return settings


def _changes(adapter: Path, settings: dict, source: Checkpoint) -> dict[str, _Change]:
    """Return what the adapter does to which tensor of the base, every tensor of the adapter accounted for."""
    held = weights.entries(adapter / WEIGHTS)
    changes: dict[str, _Change] = {}
    for name in held:
        module, part = _parse(name)
        if part == "B":
            continue  # looked up with its A
        target = _target(module, source, adapter)
        shape = source.tensors[target].shape
        if source.config.get("tie_word_embeddings") and re.search(TIED, target):
            raise _foreign(adapter, name, "the base uses one matrix as embedding and output, and peft changes only one")
        if part == "whole":
            changes[target] = _Change(replacement=name)
            fits = held[name][1] == shape
        else:
            pair = re.sub(r"lora_(embedding_)?A", r"lora_\1B", name)
            if pair not in held or len(held[name][1]) != 2:
                raise _foreign(adapter, name, "its other half is missing, or it is no matrix")
            rank, into = held[name][1]
            out = held[pair][1][0]
            turned = "lora_embedding" in name or (
                shape == (into, out) and (into != out or settings.get("fan_in_fan_out"))
            )
            fits = held[pair][1] == (out, rank) and shape == ((into, out) if turned else (out, into))
            changes[target] = _Change(name, pair, scale=_scale(settings, module, rank), turned=bool(turned))
        if not fits:
            raise _foreign(adapter, name, f"it does not fit to {target} of shape {shape}")
    if lonely := [name for name in held if _parse(name)[1] == "B" and name not in {c.b for c in changes.values()}]:
        raise _foreign(adapter, lonely[0], "its other half is missing")
    return changes


def _parse(name: str) -> tuple[str, str]:
    """Divide a tensor's name into the base's module or tensor, and what it is: A, B or whole."""
    name = re.sub(r"\.(base_layer|modules_to_save)\.", ".", name.removeprefix("base_model.model."))
    found = re.fullmatch(r"(.+)\.lora_(?:embedding_)?([AB])(?:\.weight)?", name)
    return (found[1] + ".weight", found[2]) if found else (name, "whole")


def _target(name: str, source: Checkpoint, adapter: Path) -> str:
    """Return the base's tensor by its name, or by its end: GPT-2 is saved with and without `transformer.`."""
    ends = [n for n in source.tensors if n == name or name.endswith(f".{n}") or n.endswith(f".{name}")]
    exact = [n for n in ends if n == name] or ends
    if len(exact) != 1:
        raise _foreign(adapter, name, f"{source.folder.name} has no such tensor")
    return exact[0]


def _scale(settings: dict, module: str, rank: int) -> float:
    alpha = settings.get("lora_alpha", 8)
    for pattern, own in (settings.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module.removesuffix(".weight")):
            alpha = own
            break
    return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def _foreign(adapter: Path, name: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"{adapter.name} does not fit to this model: {name} cannot be merged, {why}. The adapter belongs to another "
        "base model, or changes a part that no merging rule is known for here. Its adapter_config.json names the base "
        "model; use that one, or merge with peft (merge_and_unload)."
    )


def _copy_small_files(adapter: Path, settings: dict, source: Checkpoint, folder: Path) -> None:
    has_own = any((adapter / name).is_file() for name in TOKENIZER)
    taken = view.small_files(source.folder)
    if has_own:
        words = ("token", "vocab", "merges", "chat_template", "special_tokens")
        taken = [path for path in taken if not any(word in path.name for word in words)]
        taken += [path for path in view.small_files(adapter) if any(word in path.name for word in words)]
    for path in taken:
        shutil.copyfile(path, folder / path.name)
    config = source.config | {"dtype": "float32", "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    card = model_card.at(source.folder)
    base = origin.repository(source.folder)[0] or settings.get("base_model_name_or_path")
    known = {name: card[name] for name in ("license", "license_name", "license_link", "language") if name in card}
    lines = [f"{name}: {json.dumps(value)}" for name, value in (known | {"base_model": base}).items() if value]
    (folder / "README.md").write_text("\n".join(["---", *lines, "---", ""]), encoding="utf-8")


def _write(source: Checkpoint, changes: dict[str, _Change], adapter: Path, path: Path) -> None:
    """Write the merged weights one tensor after the other: changed ones in FP32, the others byte for byte."""
    places = {file: weights.entries(file) for file in view.weight_files(source)}
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in source.tensors.items():
        _, _, first, last = places[tensor.file.absolute()][name]
        size = 4 * tensor.elements if name in changes else last - first
        dtype = "F32" if name in changes else tensor.dtype
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    held = weights.entries(adapter)
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in source.tensors.items():
            file = tensor.file.absolute()
            for piece in _bytes(name, file, places[file][name], changes.get(name), adapter, held):
                out.write(piece)


def _bytes(name: str, file: Path, place, change: _Change | None, adapter: Path, held: dict) -> Iterable[bytes]:
    if change is None:
        return weights.pieces(file, *place[2:])
    if change.replacement:
        return [weights.tensor(adapter, held[change.replacement]).tobytes()]
    a, b = (weights.tensor(adapter, held[part]) for part in (change.a, change.b))
    difference = np.float32(change.scale) * (b @ a)  # (out, in)
    return [(weights.tensor(file, place) + (difference.T if change.turned else difference)).tobytes()]
