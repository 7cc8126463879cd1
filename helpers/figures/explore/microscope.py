"""A GGUF under the microscope: the header's fields on their bytes, the types of all tensors, two files side by side."""

from __future__ import annotations

import os
from pathlib import Path

from helpers.figures.explore.page import Explorable, still
from helpers.pipeline import gguf_file

HEAD = 192  # bytes of the header that are shown
LONGEST = 48  # characters of a value
SAMPLES = 16  # weights of a block that are read back


def microscope(*files: str | os.PathLike) -> Explorable:
    """Look at a GGUF, or compare two of one model; raises InputError for a damaged one, as `convert.summary` does."""
    data = {"files": [_seen(file) for file in files]}
    lines = [f"{seen['name']}: {seen['size']:,} bytes, {len(seen['fields'])} fields" for seen in data["files"]]
    lines += [f"{field['at']:9,d}  {field['name']}: {field['value']}" for field in data["files"][0]["fields"][:24]]
    return Explorable("microscope", data, still(lines), "a GGUF's header, its tensors and their types")


def _seen(file: str | os.PathLike) -> dict:
    """Return what is shown of one file."""
    summary = gguf_file.summary(file)
    path = Path(summary.path)
    with open(path, "rb") as opened:
        head = opened.read(HEAD).hex()
    types = sorted({tensor.type for tensor in summary.tensors}, key=[tensor.type for tensor in summary.tensors].index)
    rows: dict[str, dict] = {}
    for tensor in summary.tensors:
        layer, name = 0, tensor.name.removesuffix(".weight")
        parts = name.split(".")
        if len(parts) > 2 and parts[0] == "blk" and parts[1].isdigit():
            layer, name = int(parts[1]), ".".join(parts[2:])
        shape = " × ".join(map(str, tensor.shape))
        row = rows.setdefault(name, {"name": name, "types": [], "shape": shape})
        row["types"] += [-1] * (layer + 1 - len(row["types"]))
        row["types"][layer] = types.index(tensor.type)
    totals = []
    for kind in types:
        alike = [tensor for tensor in summary.tensors if tensor.type == kind]
        n_bytes, weights = (sum(getattr(tensor, name) for tensor in alike) for name in ("n_bytes", "elements"))
        totals.append({"name": kind, "tensors": len(alike), "bytes": n_bytes, "weights": weights})
    return {
        "name": path.name,
        "size": path.stat().st_size,
        "head": head,
        "fields": _fields(path),
        "types": totals,
        "rows": list(rows.values()),
        "blocks": _blocks(path),
    }


def _fields(path: Path) -> list[dict]:
    """Return name, type, value and place of everything in front of the tensors' own entries."""
    import gguf

    reader, found = gguf.GGUFReader(path), []
    for name, field in reader.fields.items():
        at, n_bytes = int(field.offset), sum(part.nbytes for part in field.parts)
        kinds = "/".join(kind.name.lower() for kind in field.types) or "number"
        if name.startswith("GGUF."):
            found.append({"name": name, "kind": kinds, "value": str(field.contents()), "at": at, "bytes": n_bytes})
            continue
        value = field.contents() if len(field.data) == 1 else None
        text = f"{len(field.data):,} of them" if value is None else str(value)
        text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
        found.append({"name": name, "kind": kinds, "value": text, "at": at, "bytes": n_bytes})
    magic = {"name": "GGUF.magic", "kind": "4 letters", "value": "GGUF", "at": 0, "bytes": 4}
    return sorted([magic, *found], key=lambda field: field["at"])


def _blocks(path: Path) -> list[dict]:
    """Return the first block of the first tensor of each type, as bytes and as the weights that they stand for."""
    import gguf

    found: dict[str, dict] = {}
    for tensor in gguf.GGUFReader(path).tensors:
        kind = tensor.tensor_type
        weights, n_bytes = gguf.GGML_QUANT_SIZES[kind]
        if kind.name in found or weights == 1:
            continue
        raw = tensor.data.reshape(-1)[:n_bytes].view("uint8")
        try:
            sample = [float(f"{value:.4g}") for value in gguf.dequantize(raw, kind)[:SAMPLES]]
        except NotImplementedError:  # a type that gguf-py knows by its size only, such as Q1_0
            sample = []
        found[kind.name] = {"type": kind.name, "tensor": tensor.name, "hex": raw.tobytes().hex(), "weights": weights}
        found[kind.name]["values"] = sample
    return list(found.values())
