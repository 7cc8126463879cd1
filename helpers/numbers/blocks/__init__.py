"""The block formats inside a GGUF, from scratch: `quantize(x, "Q4_0")` → bytes, `dequantize(data, "Q4_0")` → floats.

A row is cut into blocks; each block stores its codes and the scale that belongs to them. The formats
themselves stand in `simple` (one scale for 32 weights) and `k_quants` (256 weights, two levels of scales).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers.errors import InputError
from helpers.numbers.blocks import k_quants, simple


@dataclass(frozen=True)
class BlockType:
    """A block of `weights` neighbouring weights takes `n_bytes` bytes."""

    weights: int
    n_bytes: int
    decode: Callable[[np.ndarray], np.ndarray]
    encode: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.n_bytes / self.weights


TYPES = {
    "Q8_0": BlockType(32, 34, simple.decode_q8_0, simple.encode_q8_0),
    "Q5_1": BlockType(32, 24, simple.decode_q5_1, simple.encode_q5_1),
    "Q5_0": BlockType(32, 22, simple.decode_q5_0, simple.encode_q5_0),
    "Q4_1": BlockType(32, 20, simple.decode_q4_1, simple.encode_q4_1),
    "Q4_0": BlockType(32, 18, simple.decode_q4_0, simple.encode_q4_0),
    "Q6_K": BlockType(256, 210, k_quants.decode_q6_k, k_quants.encode_q6_k),
    "Q5_K": BlockType(256, 176, k_quants.decode_q5_k),
    "Q4_K": BlockType(256, 144, k_quants.decode_q4_k, k_quants.encode_q4_k),
    "Q3_K": BlockType(256, 110, k_quants.decode_q3_k),
    "Q2_K": BlockType(256, 84, k_quants.decode_q2_k),
    "IQ4_NL": BlockType(32, 18, simple.decode_iq4_nl),
    "MXFP4": BlockType(32, 17, simple.decode_mxfp4, simple.encode_mxfp4),
    "NF4": BlockType(64, 36, simple.decode_nf4, simple.encode_nf4),
}
BITS_PER_WEIGHT = {name: kind.bits_per_weight for name, kind in TYPES.items()}

_LARGEST = 1e9  # more than any FP16 scale and code can express
_CHUNK = 1 << 15  # weights worked on at a time, so that what lies between two steps stays in the cache


def quantize(x, kind: str) -> np.ndarray:
    """Quantize to a block format: shape (…, columns) → uint8 (…, columns ÷ weights of a block × bytes of a block).

    Blocks lie along the last axis. Real numbers of any type and memory layout are taken, as float32.
    Raises InputError for an unknown type or one without an encoder here, rows that are no whole number of
    blocks, empty arrays, inf and NaN, and weights so large that the scale does not fit its FP16 field.
    """
    block = _type(kind)
    if block.encode is None:
        raise InputError(
            f"{kind} can be decoded here, not encoded. Its search is long and teaches nothing new. "
            f"Use {', '.join(name for name, b in TYPES.items() if b.encode)}, or ggml.quantize for ggml's own."
        )
    x = np.asarray(x)
    if x.dtype.kind not in "fiu" or x.dtype.itemsize > 8:
        raise InputError(
            f"Real numbers are needed, these are of type {x.dtype}. A block holds rounded real numbers. "
            "Convert them first, for instance with numpy.asarray(x, dtype=numpy.float32)."
        )
    if x.ndim == 0 or x.size == 0 or x.shape[-1] % block.weights:
        raise InputError(
            f"An array of shape {x.shape} cannot be cut into blocks of {block.weights}. {kind} stores whole blocks "
            f"along the last axis. Its length has to be a multiple of {block.weights}, and not 0."
        )
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(x, dtype=np.float32).reshape(-1, block.weights)
    out = np.empty((len(rows), block.n_bytes), np.uint8)
    step = _CHUNK // block.weights
    largest = np.float32(0)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        low, high = part.min(), part.max()  # NaN and inf reach at least one of the two
        if not (np.isfinite(low) and np.isfinite(high)):
            raise _not_finite(x)
        largest = max(largest, high, -low)
        if largest > _LARGEST and kind not in ("MXFP4", "NF4"):
            raise _too_large(largest, kind)
        out[start : start + step] = block.encode(part)
    if largest > 65504 and not np.isfinite(dequantize(out, kind)).all():
        raise _too_large(largest, kind)
    return out.reshape(*x.shape[:-1], -1)


def dequantize(data, kind: str) -> np.ndarray:
    """Return the float32 weights: uint8 (…, bytes) → (…, columns).

    Raises InputError for an unknown type, anything but bytes, and rows that are no whole number of blocks.
    """
    block = _type(kind)
    data = np.frombuffer(data, np.uint8) if isinstance(data, bytes | bytearray | memoryview) else np.asarray(data)
    if data.dtype != np.uint8:
        raise InputError(
            f"Bytes are needed, these are of type {data.dtype}. Blocks are read byte by byte. "
            "Pass what quantize() returned, or numpy.frombuffer(…, dtype=numpy.uint8)."
        )
    if data.ndim == 0 or data.size == 0 or data.shape[-1] % block.n_bytes:
        raise InputError(
            f"Data of shape {data.shape} is no whole number of {kind} blocks. Each takes {block.n_bytes} bytes. "
            "Check the type, and whether the data is complete."
        )
    rows = np.ascontiguousarray(data).reshape(-1, block.n_bytes)
    out = np.empty((len(rows), block.weights), np.float32)
    step = _CHUNK // block.weights
    with np.errstate(over="ignore", invalid="ignore"):  # foreign bytes may hold a scale of inf or NaN
        for start in range(0, len(rows), step):
            out[start : start + step] = block.decode(rows[start : start + step])
    return out.reshape(*data.shape[:-1], -1)


def _not_finite(x: np.ndarray) -> InputError:
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(np.asarray(x, np.float32)))
    where = tuple(int(i) for i in np.unravel_index(bad[0], x.shape))
    return InputError(
        f"{len(bad):,} of {x.size:,} weights are not finite in float32, the first is {x[where]} at {where}. No scale "
        "can hold inf or NaN. The model may be damaged: look at this tensor before quantizing it."
    )


def _too_large(largest: np.float32, kind: str) -> InputError:
    return InputError(
        f"The largest weight, {largest:.3g}, is too large for {kind}. The scale of a block is FP16 and ends at 65504. "
        "Scale the weights down first."
    )


def _type(kind: str) -> BlockType:
    if kind not in TYPES:
        raise InputError(
            f"There is no block type {kind!r} here. Names are written as llama.cpp does: {', '.join(TYPES)}."
        )
    return TYPES[kind]
