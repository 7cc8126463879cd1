"""What is in a model folder: is it whole, and which tensors does it hold?

checkpoint = read(folder)            # raises CheckpointError, or everything is there
checkpoint.tensors["model.norm.weight"].shape
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import CheckpointError

# Never pickles (*.bin, *.pt): unpickling runs whatever code its author put there.
PATTERNS = ("*.json", "*.safetensors", "tokenizer.model", "*.txt", "README.md", "LICENSE*")


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
    """A verified model folder: its configuration, and its tensors by name, as its headers list them."""

    folder: Path
    config: dict
    tensors: dict[str, Tensor]

    @property
    def parameters(self) -> int:
        return sum(tensor.elements for tensor in self.tensors.values())


def read(folder: Path) -> Checkpoint:
    """Return a checkpoint that the converter can read; raises CheckpointError for anything else.

    Checks that no code lies there, the configuration, the tokenizer, that weights are safetensors and not already
    quantized, and that every shard is there with the size its own header announces. Headers are read once, weights not
    at all.
    """
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise CheckpointError(
            f"{folder.name}/config.json is missing. Either this is not a model folder or the download "
            "stopped early. Check the path or download again."
        )
    if code := sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py")):
        raise CheckpointError(
            f"{folder.name} brings code of its own ({code[0]}). For some models the converter runs such files without "
            "asking, and nobody has read them. Move the *.py files out of the folder, and try again."
        )
    config = _read_json(config_path)
    method = (config.get("quantization_config") or {}).get("quant_method")
    if method:
        raise CheckpointError(
            f"{folder.name} is already quantized ({method}). The converter needs the original weights, "
            "because a quantized tensor cannot be quantized again from its codes. Download the "
            "repository that this one was made from (its model card names the base model)."
        )
    if not any((folder / name).is_file() for name in ("tokenizer.model", "tokenizer.json")):
        raise CheckpointError(
            f"{folder.name} has no tokenizer (tokenizer.model or tokenizer.json). Without it a GGUF "
            "cannot turn text into numbers. Download again with the tokenizer's files included."
        )
    tensors = {}
    for shard in shards(folder):
        for name, entry in header(shard).items():
            tensors[name] = Tensor(entry["dtype"], tuple(entry["shape"]), shard)
    return Checkpoint(folder, config, tensors)


def shards(folder: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint, or raise CheckpointError naming what is missing."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(_read_json(index)["weight_map"].values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(
                f"{len(missing)} of {len(names)} weight files are missing from {folder.name}: "
                f"{', '.join(missing)}. The download stopped early. Download again; files that are "
                "complete are not fetched twice."
            )
        return [folder / name for name in names]
    found = sorted(folder.glob("*.safetensors"))
    if found:
        return found
    pickles = [p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in sorted(folder.glob(pattern))]
    if pickles:
        raise CheckpointError(
            f"{folder.name} has its weights only as pickles ({pickles[0]}). Loading a pickle runs code "
            "from the internet, so this course refuses. Look for a revision with safetensors, or "
            "convert it in a sandbox with the Hub's safetensors conversion space."
        )
    raise CheckpointError(f"{folder.name} has no weights (*.safetensors). Download it again.")


def header(path: Path) -> dict[str, dict]:
    """Return the header of a whole safetensors file: tensor name → dtype, shape, data_offsets.

    The file starts with the header's length (8 bytes, little-endian) and the header as JSON. Read here and not by
    safetensors, so that the message for a file that was cut names both sizes. Raises CheckpointError.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= 100_000_000 or 8 + length > size:
            raise CheckpointError(
                f"{path.name} is not a whole safetensors file: its header would be {length} bytes long. "
                "The download was cut or a web page was saved instead. Delete it and download again."
            )
        text = file.read(length)
    try:
        tensors = json.loads(text)
        tensors.pop("__metadata__", None)
        ends = [0]
        for name, entry in tensors.items():
            first, last = entry["data_offsets"]
            if not (0 <= first <= last and all(side >= 0 for side in entry["shape"]) and entry["dtype"]):
                raise ValueError(name)
            ends.append(last)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(
            f"{path.name} has a damaged header. The download was cut or altered. Delete it and download again."
        ) from None
    announced = 8 + length + max(ends)
    if size != announced:
        raise CheckpointError(
            f"{path.name} is {size:,} bytes long, its header announces {announced:,}. The download "
            "was cut. Delete the file and download again."
        )
    return tensors


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except ValueError:
        raise CheckpointError(f"{path.name} is not valid JSON. The file is damaged. Download it again.") from None
