"""What is in a model folder: is it whole, what kind of model is it, and which tensors does it hold?

checkpoint = read(folder)            # raises CheckpointError, or everything is there
checkpoint.tensors["model.norm.weight"].shape
checkpoint.kind, checkpoint.notes    # 'causal', ()

`names` reads what MODEL says, `files` which files count, `headers` the tables of tensors, `consistency` and
`vocabulary` compare them with the configuration; `examine` does all of it, for a folder or a repository.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

from helpers.errors import CheckpointError
from helpers.pipeline import (
    architectures,
    consistency,
    files,
    headers,
    model_card,
    quantized,
    vocabulary,
)
from helpers.pipeline.shelf import Folder, Shelf, json_object, require_content


@dataclass(frozen=True)
class Tensor:
    """What a safetensors header says of one tensor: its type (F32, F16, BF16 …), its shape, and the file it lies in."""

    dtype: str
    shape: tuple[int, ...]
    file: Path

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """A verified model folder: its configuration, and its tensors by name, as its headers list them.

    kind: `causal` chats, `base` continues text, `recurrent` keeps a state beside or in place of attention, `vision`
    has a text part among others, `quantized` holds codes that the converter turns back into floats if asked to,
    `adapter` holds changes to another model. `notes` are sentences to show before work begins; `files` are the names
    that belong to the checkpoint, weights included; `bases` the models that it was made from, as far as it says.
    """

    folder: Path
    config: dict
    tensors: dict[str, Tensor]
    kind: str = "causal"
    notes: tuple[str, ...] = ()
    chat: bool = False
    files: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    quantization: dict = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        return sum(tensor.elements for tensor in self.tensors.values())


def read(folder: Path | str) -> Checkpoint:
    """Return a checkpoint that the converter can read; raises CheckpointError for anything else.

    Checks the configuration, the tokenizer, that weights are safetensors, that every file is there with the size its
    own header announces, and that names and shapes fit to the configuration. Headers are read once, weights not at all.
    """
    path = Path(os.fspath(folder)).expanduser()
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise CheckpointError(
            f"{path.name or path} is no model folder: it {what}. A model is a folder with config.json, a tokenizer and "
            "weights. Check the path."
        )
    return examine(Folder(path), path)


def header(path: Path | str) -> dict[str, dict]:
    """Return the header of a whole safetensors file: name → dtype, shape, data_offsets. Raises CheckpointError."""
    path = Path(path)
    shelf = Folder(path.parent)
    shelf.files[path.name] = path.stat().st_size
    return headers.read(shelf, path.name)


def examine(shelf: Shelf, folder: Path, most: int | None = None, get_headers=None) -> Checkpoint:
    """Return the checkpoint on a shelf; see `read`.

    most: tokenizer files with more bytes are not opened; `None` also opens every other small file, to see that it is
    what its name says. get_headers(shelf, file): how to get at a table of tensors.
    """
    get_headers = get_headers or headers.read
    if files.is_adapter(shelf.files):
        return _adapter(shelf, folder, get_headers)
    _require_config(shelf)
    config = json_object(shelf, "config.json")
    architectures.refuse(config, shelf.files, shelf.title)
    bases = model_card.bases(model_card.head(shelf))
    codes = quantized.settings(shelf, config)
    quantized.require_readable(codes, shelf.title, bases)
    weights, index, notes = files.weights(shelf, config)
    _require_small_files(shelf, opened=most is None)
    tensors = _tensors(shelf, weights, index, get_headers)
    quantized.require_settings(tensors, codes, shelf.title, bases)
    method = codes.get("quant_method")
    consistency.check(tensors, config, shelf.title, quantized=bool(method))
    embedding = consistency.embedding(tensors)
    rows = tensors[embedding].shape[0] if embedding and not method else None
    text = architectures.text_part(config)
    if rows := rows or consistency.number(text, ("vocab_size",)):
        notes += vocabulary.check(vocabulary.read(shelf, most), rows, shelf.title, text.get("model_type"))
    chat = has_template(shelf)
    kind, remarks = _kind(config, method, chat, bases)
    return Checkpoint(
        folder,
        config,
        tensors,
        kind,
        (*remarks, *notes),
        chat,
        (*files.small(shelf.files), *weights),
        tuple(bases),
        codes,
    )


def _adapter(shelf: Shelf, folder: Path, get_headers) -> Checkpoint:
    """Return a LoRA's folder, whose base model can be found."""
    config = json_object(shelf, files.ADAPTER_CONFIG)
    base = config.get("base_model_name_or_path")
    if files.ADAPTER not in shelf.files:
        pickles = [name for name in shelf.files if name.startswith("adapter_model.")]
        why = f"only a pickle ({pickles[0]}), which this course does not load" if pickles else "missing"
        raise CheckpointError(
            f"The weights of the adapter {shelf.title} are {why}. Without {files.ADAPTER} there is nothing to merge. "
            "Save the adapter again with safe_serialization=True, or download it again."
        )
    named = base if isinstance(base, str) and base.strip() else ", ".join(model_card.bases(model_card.head(shelf)))
    if not named:
        raise CheckpointError(
            f"{shelf.title} is an adapter (LoRA) and names no base model. It holds changes to a model that only its "
            "author knows. Ask them, and enter it as base_model_name_or_path in adapter_config.json."
        )
    tensors = _tensors(shelf, [files.ADAPTER], {}, get_headers)
    taken = (*files.small(shelf.files), files.ADAPTER)
    note = f"an adapter to {named}: it is merged into that model, which is downloaded, too"
    return Checkpoint(folder, config, tensors, "adapter", (note,), has_template(shelf), taken, (named,))


def _require_config(shelf: Shelf) -> None:
    if "config.json" in shelf.files:
        return
    where, names = shelf.title, list(shelf.files)
    if "model_index.json" in names:
        raise CheckpointError(
            f"{where} makes pictures (a diffusers model). GGUF is used here for language models. "
            "Choose a model that writes text, a …ForCausalLM."
        )
    if (
        names
        and all(name.endswith((".gguf", ".md", ".txt", ".imatrix", ".json")) for name in names)
        and any(name.endswith(".gguf") for name in names)
    ):
        files.weights(shelf, {})  # raises: it holds GGUF files only
    here = Path(getattr(shelf, "path", "/nowhere"))
    inside = [*here.glob("[!.]*/config.json"), *here.glob("snapshots/*/config.json")]  # the last is the Hub's own cache
    below = sorted(path.parent.relative_to(here).as_posix() for path in inside)
    hint = f" (its folder {below[0]} has one)" if below else ""
    raise CheckpointError(
        f"{where}/config.json is missing{hint}. Either this is not a model folder or the download stopped early. Check "
        "the path or download again."
    )


def _require_small_files(shelf: Shelf, opened: bool) -> None:
    if not files.has_tokenizer(shelf.files):
        raise CheckpointError(
            f"{shelf.title} has no tokenizer (tokenizer.model or tokenizer.json). Without it a GGUF "
            "cannot turn text into numbers. Download again with the tokenizer's files included."
        )
    for name in files.matching(shelf.files, files.READ):
        if shelf.files[name] == 0:
            require_content(b"", name, shelf.title)
        elif opened and name.endswith(".json") and name != "tokenizer.json":  # that one is read with the vocabulary
            json_object(shelf, name)
        elif opened:
            require_content(shelf.data(name, 200), name, shelf.title)


def _tensors(shelf: Shelf, weights: list[str], index: dict[str, str], get_headers) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for file in weights:
        for name, entry in get_headers(shelf, file).items():
            if name not in tensors or index.get(name) == file:
                tensors[name] = Tensor(entry["dtype"], tuple(entry["shape"]), shelf.place(file))
    if not tensors:
        raise CheckpointError(
            f"{shelf.title} has no tensors: {files._some(weights)} holds an empty table. Nothing was saved, or on "
            "another process of a distributed training. Save the model again, or download another revision."
        )
    if lost := sorted(set(index) - set(tensors)):
        raise CheckpointError(
            f"{len(lost)} tensors of {shelf.title} are in no file although the index lists them, such as {lost[0]}. "
            "Index and shards are of different saves. Download all of them again."
        )
    return tensors


def has_template(shelf: Shelf) -> bool:
    """Tell whether there is a chat template."""
    names = ("chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja")
    if files.matching(shelf.files, names):
        return True
    return "tokenizer_config.json" in shelf.files and bool(
        json_object(shelf, "tokenizer_config.json").get("chat_template")
    )


def _kind(config: dict, method: str | None, chat: bool, bases: list[str]) -> tuple[str, list[str]]:
    """Return the kind of a checkpoint, and what to say of it."""
    remarks = []
    if not chat:
        remarks.append("it has no chat template: it continues a text and does not answer")
    if architectures.is_recurrent(config):
        remarks.append("some or all layers keep a state in place of a cache of all tokens")
    if parts := architectures.senses(config):
        remarks.append(f"only the part that writes text is converted, without {' and '.join(parts)}; pictures or sound "
                       "need a second file (mmproj)")  # fmt: skip
    if config.get("auto_map"):
        remarks.append("it brings a program of its own, which the course never runs: not everything can be compared")
    if method in quantized.REVERSIBLE:
        origin = f" (of {bases[0]})" if bases else ""
        remarks.append(f"its weights are quantized already ({method}): what they lost stays lost. The original{origin} "
                       "is better; to convert this one, ask with dequantize=True")  # fmt: skip
        return "quantized", remarks
    if method in quantized.COPIED:
        remarks.append(f"its experts are stored as {method} and are copied as they are")
    kind = "vision" if parts else "recurrent" if architectures.is_recurrent(config) else "causal" if chat else "base"
    return kind, remarks
