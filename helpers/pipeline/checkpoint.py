"""What is in a model folder: is it whole, and which tensors does it hold?"""

from __future__ import annotations

import json
from pathlib import Path

from helpers.errors import CheckpointError

# Never pickles (*.bin, *.pt): unpickling runs whatever code its author put there.
PATTERNS = ("*.json", "*.safetensors", "tokenizer.model", "*.txt", "README.md", "LICENSE*")


def verify(folder: Path) -> None:
    """Raise CheckpointError unless `folder` is a whole checkpoint that the converter can read.

    Checks the configuration, the tokenizer, that weights are safetensors and not already quantized,
    and that every shard is there with the size its own header announces. Reads headers only.
    """
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise CheckpointError(
            f"{folder.name}/config.json is missing. Either this is not a model folder or the download "
            "stopped early. Check the path or download again."
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
    for shard in shards(folder):
        _verify_shard(shard)


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


def header(path: Path) -> dict:
    """Return the header of a safetensors file: tensor name → dtype, shape, data_offsets.

    The file starts with the header's length (8 bytes, little-endian) and the header as JSON.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= 100_000_000 or 8 + length > path.stat().st_size:
            raise CheckpointError(
                f"{path.name} is not a whole safetensors file: its header would be {length} bytes long. "
                "The download was cut or a web page was saved instead. Delete it and download again."
            )
        try:
            tensors = json.loads(file.read(length))
            for name, entry in tensors.items():
                if name != "__metadata__":
                    first, last = entry["data_offsets"]
                    if not (0 <= first <= last and all(size >= 0 for size in entry["shape"]) and entry["dtype"]):
                        raise ValueError(name)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CheckpointError(
                f"{path.name} has a damaged header. The download was cut or altered. Delete it and download again."
            ) from None
        return tensors


def _verify_shard(path: Path) -> None:
    tensors = header(path)
    end = max((t["data_offsets"][1] for name, t in tensors.items() if name != "__metadata__"), default=0)
    with open(path, "rb") as file:
        announced = 8 + int.from_bytes(file.read(8), "little") + end
    size = path.stat().st_size
    if size != announced:
        raise CheckpointError(
            f"{path.name} is {size:,} bytes long, its header announces {announced:,}. The download "
            "was cut. Delete the file and download again."
        )


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except ValueError:
        raise CheckpointError(f"{path.name} is not valid JSON. The file is damaged. Download it again.") from None
