"""The numbers in safetensors files, read in pieces: are all of them finite, do they fit into the type to be written?"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from helpers import machine
from helpers.errors import CheckpointError
from helpers.pipeline.checkpoint import Checkpoint

# safetensors' name of a type → its bytes, and the smallest bit pattern (without the sign) that is no finite number.
PATTERNS = {
    "F64": (8, 0x7FF0_0000_0000_0000),
    "F32": (4, 0x7F80_0000),
    "BF16": (2, 0x7F80),
    "F16": (2, 0x7C00),
    "F8_E5M2": (1, 0x7C),
    "F8_E4M3": (1, 0x7F),
}
# From here on a number becomes infinite: it is rounded past the largest one of the type. Q8_0 stores max / 127 as F16.
LIMITS = {"F16": 65520.0, "BF16": 3.3961775292304601e38, "Q8_0": 65520.0 * 127, "F32": 3.4028235677973366e38}
# The converter leaves these out: buffers that old versions of transformers saved with the weights.
LEFT_OUT = (".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq", ".attn.masked_bias", ".attn.bias")
PIECE = 1 << 20  # bytes that stay in a processor's cache while they are looked at twice


def check(source: Checkpoint, outtype: str) -> None:
    """Raise CheckpointError for a weight that is not finite, or that becomes infinite in `outtype`, by tensor name.

    `outtype` is f32, f16, bf16 or q8_0. The converter keeps vectors in F32, so only matrices have a limit below it.
    """
    sizes = largest(source)
    for name, size in sizes.items():
        if not np.isfinite(size):
            what = "NaN" if np.isnan(size) else "an infinite number"
            raise CheckpointError(
                f"{name} in {source.folder.name} holds {what}. Training diverged, or the weights were stored in a type "
                "too narrow for them; every answer of such a model is noise. Take another revision of the model."
            )
    if too_large := beyond(source, sizes, outtype):
        name, limit = too_large
        raise CheckpointError(
            f"{name} in {source.folder.name} holds a weight of {sizes[name]:.4g}. {limit} ends at "
            f"{LIMITS[limit]:.4g}: it would become infinite, and every answer noise. Convert to 'bf16', which has the "
            "range of F32, or to 'f32'."
        )


def beyond(source: Checkpoint, sizes: dict[str, float], outtype: str) -> tuple[str, str] | None:
    """Return the first tensor that does not fit into `outtype`, and the type it would be stored in, or None."""
    for name, size in sizes.items():
        shape = source.tensors[name].shape
        kind = outtype.upper() if len(shape) > 1 else "F32"
        if kind == "Q8_0" and shape[-1] % 32:
            kind = "F16"  # what the converter falls back to
        if size >= LIMITS[kind]:
            return name, kind
    return None


def largest(source: Checkpoint) -> dict[str, float]:
    """Return for each tensor of floats its largest magnitude: inf or nan if there is one. Reads all weights once."""
    files = {tensor.file for tensor in source.tensors.values()}
    found: dict[str, float] = {}
    for file in sorted(files):
        wanted = [name for name, tensor in source.tensors.items() if tensor.file == file and tensor.elements]
        found |= _largest(file, [name for name in wanted if not name.endswith(LEFT_OUT)])
    return found


def _largest(file: Path, names: list[str]) -> dict[str, float]:
    places = entries(file)
    names = [name for name in names if places[name][0] in PATTERNS]
    if not names:
        return {}
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:

        def one(name: str) -> float:
            dtype, _, first, last = places[name]
            width, no_number = PATTERNS[dtype]
            most = 0
            for start in range(first, last, PIECE):
                n = min(PIECE, last - start) // width
                # Two's complement orders floats of one sign by size: the maximum as signed integers is the largest
                # positive number, as unsigned ones the most negative number if there is one. No copy is made.
                piece = np.frombuffer(data, f"i{width}", n, start)
                positive, negative = int(piece.max()), int(piece.view(f"u{width}").max())
                most = max(most, positive, negative & ((1 << (8 * width - 1)) - 1))
            if most >= no_number:
                return float("inf" if most == no_number and dtype != "F8_E4M3" else "nan")
            return float(floats(np.array([most], f"u{width}").view("u1"), dtype)[0])

        with ThreadPoolExecutor(machine.cores()) as pool:
            return dict(zip(names, pool.map(one, names), strict=True))


def entries(file: Path) -> dict[str, tuple[str, tuple[int, ...], int, int]]:
    """Return what a whole safetensors file holds: name → dtype, shape, first byte, byte after the last."""
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
    header.pop("__metadata__", None)
    start = 8 + length
    return {
        name: (entry["dtype"], tuple(entry["shape"]), *(start + offset for offset in entry["data_offsets"]))
        for name, entry in header.items()
    }


def floats(data: np.ndarray, dtype: str) -> np.ndarray:
    """Return bytes of F64, F32, F16, BF16 or FP8 as F32 (F64 stays). Shape (n bytes,) → (n numbers,)."""
    if dtype == "BF16":
        return (data.view("u2").astype("u4") << 16).view("f4")
    if dtype.startswith("F8"):
        import ml_dtypes

        return data.view(ml_dtypes.float8_e5m2 if dtype == "F8_E5M2" else ml_dtypes.float8_e4m3fn).astype("f4")
    number = data.view({"F64": "f8", "F32": "f4", "F16": "f2"}[dtype])
    return number if dtype == "F64" else number.astype("f4", copy=False)


def tensor(file: Path, place: tuple[str, tuple[int, ...], int, int]) -> np.ndarray:
    """Return one tensor of `entries` as F32, in its shape."""
    dtype, shape, first, last = place
    return floats(np.fromfile(file, "u1", last - first, offset=first), dtype).reshape(shape).astype("f4", copy=False)


def pieces(file: Path, first: int, last: int) -> Iterator[bytes]:
    """Yield the bytes of a file from `first` to before `last`, 16 MB at a time."""
    with open(file, "rb") as opened:
        opened.seek(first)
        while first < last:
            piece = opened.read(min(last - first, 16 << 20))
            first += len(piece)
            yield piece
