"""The types that a tensor could be stored in: which fit it, how many bytes each takes, and what it would become."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from helpers.errors import InputError
from helpers.numbers import ggml
from helpers.pipeline.proof.stored import Stored

# From large to small. Left out are Q4_1 and Q5_1 (some published weights were Q4_1 once and lie on its grid, so that it
# costs nothing there and teaches nothing) and what is below 2 bits.
KINDS = tuple("F16 Q8_0 Q6_K Q5_K Q5_0 Q4_K IQ4_NL Q4_0 IQ4_XS IQ3_S Q3_K IQ3_XXS Q2_K IQ2_S IQ2_XS IQ2_XXS".split())
NEEDS_IMPORTANCE = ("IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S")
SAMPLE = 1 << 16  # weights of a tensor whose error is looked at: enough for a mean


def possible(columns: int, kinds: tuple[str, ...], weighted: bool) -> tuple[str, ...]:
    """Return the kinds that fit a tensor's columns; some need its importance (`weighted`)."""
    fitting = []
    for kind in kinds:
        block, _ = _layout(kind)
        if columns % block == 0 and (weighted or kind not in NEEDS_IMPORTANCE):
            fitting.append(kind)
    return tuple(fitting)


def experts(shape: tuple[int, ...]) -> int:
    """Return how many matrices a tensor holds: those of a mixture's experts lie in one, (experts, rows, columns)."""
    return shape[0] if len(shape) == 3 else 1


def n_bytes(elements: int, kind: str) -> int:
    """Return what a tensor takes in a file, up to the next multiple of 32 where another tensor can begin."""
    block, size = _layout(kind)
    return -(-elements // block * size // 32) * 32


def rounded(x: np.ndarray, kind: str, importance: np.ndarray | None) -> np.ndarray:
    """Return what a model computes with after x (rows, columns) was stored as `kind`: codes, and back to float32."""
    import gguf

    if kind == "F16":
        return x.astype(np.float16).astype(np.float32)
    return gguf.dequantize(ggml.quantize(x, kind, importance), gguf.GGMLQuantizationType[kind])


def error(tensor: Stored, experts: int, kind: str, importance: np.ndarray | None) -> float:
    """Return Σ importance · (w − w′)² over a tensor, estimated from rows evenly spread over it.

    The mean square of each input times the squared error of its weights: what a product's square is off by.
    """
    rows, columns = tensor.shape
    wanted = max(experts, SAMPLE // columns)
    total = seen = 0
    for start, x, weights in slabs(tensor, experts, importance):
        keep = (
            np.arange(start, start + len(x)) * wanted // rows
            != np.arange(start - 1, start + len(x) - 1) * wanted // rows
        )
        if not (keep := keep if wanted < rows else np.ones(len(x), bool)).any():
            continue
        x = np.ascontiguousarray(x[keep])
        squares = np.square(rounded(x, kind, weights) - x)
        total += float((squares.sum(axis=0, dtype=np.float64) * (1 if weights is None else weights)).sum())
        seen += len(x)
    return total * rows / seen


def slabs(
    tensor: Stored, experts: int, importance: np.ndarray | None
) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
    """Yield (first row, rows of float32, their columns' importance) through a tensor, each of one expert only."""
    per_expert = tensor.shape[0] // experts
    weights = None if importance is None else np.asarray(importance, np.float32).reshape(experts, tensor.columns)
    start = 0
    for rows in tensor.rows():
        done = 0
        while done < len(rows):
            expert, inside = divmod(start, per_expert)
            part = rows[done : done + per_expert - inside]
            yield start, part, None if weights is None else weights[expert]
            done, start = done + len(part), start + len(part)


def _layout(kind: str) -> tuple[int, int]:
    """Return (weights, bytes) of a type's block; raises InputError for a type that does not exist."""
    import gguf

    try:
        return gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    except KeyError:
        raise InputError(
            f"There is no type {kind!r}. A tensor is stored in one of llama.cpp's types. Choose from "
            f"{', '.join(KINDS)}."
        ) from None
