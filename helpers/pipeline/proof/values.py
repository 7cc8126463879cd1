"""Do the GGUF's tensors hold the checkpoint's numbers, at the precision of their types, and only finite ones?

A converter may turn a matrix, reorder rows, add 1 to a norm: known forms are tried. In a form that is not known every
row differs, and the logits have to speak. Where most rows agree and some do not, no form explains it: that is damage.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.pipeline.checkpoint import Checkpoint
from helpers.pipeline.gguf_file import Summary, undo_permutation
from helpers.pipeline.proof.rows import FAILED, OPEN, PASSED, Row, some
from helpers.pipeline.proof.tensors import Accounts

if TYPE_CHECKING:
    import torch

    from helpers.pipeline.proof.stored import Stored

# The largest relative error of a row of weights (root mean square) that each type may leave: about twice what it
# leaves for Gaussian weights, and what outliers make of it. Two unrelated rows have 1.4.
LIMITS = {
    **{"F64": 1e-6, "F32": 1e-6, "F16": 1e-3, "BF16": 6e-3, "Q8_0": 0.03, "Q6_K": 0.06},
    **dict.fromkeys(("Q5_0", "Q5_1", "Q5_K"), 0.12),
    **dict.fromkeys(("Q4_0", "Q4_1", "Q4_K", "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4"), 0.3),
    **dict.fromkeys(("Q3_K", "IQ3_S", "IQ3_XXS"), 0.5),
}
COARSEST = 0.8  # for all others
MOST = 0.9  # of the rows agree: a form is known, and the others are damaged
SMALLEST = 3e-8  # F16 has no step smaller than twice this
MOST_TO_TURN = 1 << 28  # weights for which other forms are tried: they have to be in memory as a whole
NAME = "values"


def compare(checkpoint: Checkpoint, file: Summary, accounts: Accounts) -> Row:
    """Return the row about values; every number of the file is read once."""
    from helpers.pipeline.proof import stored

    sources: dict[str, list[str]] = {}
    for name, target in sorted(accounts.pairs.items(), key=lambda pair: accounts.experts.get(pair[0], 0)):
        sources.setdefault(target, []).append(name)
    architecture = file.metadata.get("general.architecture")
    heads = [file.metadata.get(f"{architecture}.attention.{key}") for key in ("head_count", "head_count_kv")]
    infinite, damaged, shares, ours_too, other_head = [], [], [], False, False
    with _Weights(checkpoint) as weights:
        for tensor in stored.tensors(file.path):
            names = sources.get(tensor.name, [])
            share = _share(tensor, weights.read(names), heads)
            if math.isnan(share):
                infinite.append(tensor.name)
                ours_too |= not all(matrix.isfinite().all() for matrix in weights.read(names))
            elif names:
                shares.append(share)
                if MOST <= share < 1:
                    damaged.append(f"{tensor.name} ({1 - share:.2%} of its rows)")
            if accounts.tied and tensor.name == "token_embd.weight":
                other_head = _share(tensor, weights.read([accounts.tied]), heads) < 1
    if infinite:
        detail = f"infinite or NaN in {len(infinite)} tensor{'s' if len(infinite) > 1 else ''}: {some(infinite)}"
        remedy = "A weight is larger than this type can hold (F16 ends at 65,504). Convert with outtype bf16 or f32."
        if ours_too:
            detail += ", and in the checkpoint"
            remedy = "The checkpoint is damaged, or its training ended so. Take another of its revisions."
        return Row(NAME, FAILED, detail, remedy)
    if not shares:
        return Row(NAME, OPEN, "no tensor of the file has a partner in the checkpoint")
    if other_head:
        detail = f"the file takes the embedding as its head, {accounts.tied} is another matrix"
        remedy = "Set tie_word_embeddings to false in config.json and convert again."
        return Row(NAME, FAILED, detail, remedy)
    if damaged:
        detail = f"part of {len(damaged)} tensors is not the checkpoint's: {some(damaged)}"
        remedy = "The file was damaged, or its weights were changed. Delete it and convert again."
        return Row(NAME, FAILED, detail, remedy)
    detail = f"all finite; {sum(share == 1 for share in shares)} of {len(shares)} tensors hold the checkpoint's numbers"
    if others := sum(share < MOST for share in shares):
        detail += f", {others} a form of them that only the logits can judge"
    return Row(NAME, PASSED, detail)


class _Weights:
    """The tensors of a checkpoint, to be used in a `with` block."""

    def __init__(self, checkpoint: Checkpoint):
        self.tensors, self.files = checkpoint.tensors, contextlib.ExitStack()
        self.opened: dict[Path, object] = {}

    def __enter__(self) -> _Weights:
        return self

    def __exit__(self, *_) -> None:
        self.files.close()

    def read(self, names: list[str]) -> list[torch.Tensor]:
        """Return tensors as they are stored, each as a matrix (rows, columns); a vector becomes a column."""
        from safetensors import safe_open

        found = []
        for name in names:
            path = self.tensors[name].file
            if path not in self.opened:
                self.opened[path] = self.files.enter_context(safe_open(path, framework="pt"))
            tensor = self.opened[path].get_tensor(name)
            found.append(tensor.reshape(-1, 1) if tensor.ndim < 2 else tensor.reshape(-1, tensor.shape[-1]))
        return found


def _share(tensor: Stored, wanted: list[torch.Tensor], heads: list) -> float:
    """Return the share of a tensor's rows that agree with the checkpoint's, in the form in which most do.

    `wanted` lie one after the other, as the experts of a layer do. NaN if the file's numbers are not all finite.
    """
    limit, columns = LIMITS.get(tensor.type, COARSEST), wanted[0].shape[1] if wanted else 0
    straight = tensor.shape == (sum(map(len, wanted)), columns)
    expected = _pieces(wanted) if straight else None
    agree = 0
    for found in tensor.rows():
        if not np.isfinite(found).all():
            return math.nan
        if straight:
            agree += _agreeing(found, expected(len(found)), limit)
    best = agree / tensor.shape[0]
    if best == 1 or not wanted or tensor.shape[0] * tensor.shape[1] > MOST_TO_TURN:
        return best
    target = np.concatenate([matrix.float().numpy() for matrix in wanted])
    for form, other in _forms(np.concatenate(list(tensor.rows())), target, heads):
        if form.shape == other.shape:
            best = max(best, _agreeing(form, other, limit) / len(other))
    return best


def _pieces(matrices: list[torch.Tensor]):
    """Return a function that takes the next n rows of matrices that lie one after the other, as float32."""
    rows = iter(matrices)
    rest = [next(rows)]

    def take(n: int) -> np.ndarray:
        while sum(map(len, rest)) < n:
            rest.append(next(rows))
        parts = []
        while n:
            parts.append(rest[0][:n].float().numpy())
            n -= len(parts[-1])
            rest[0] = rest[0][len(parts[-1]) :]
            if not len(rest[0]) and len(rest) > 1:
                rest.pop(0)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return take


def _forms(found: np.ndarray, wanted: np.ndarray, heads: list) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs that are equal if the converter turned the matrix, reordered its rows, or changed its numbers so."""
    yield found.T, wanted
    for n in heads:
        if isinstance(n, int) and n > 0 and len(found) % (2 * n) == 0:
            yield undo_permutation(found, n), wanted
    yield found, wanted + 1  # Gemma's norms
    with np.errstate(over="ignore"):
        yield found, -np.exp(wanted)  # Mamba's A


def _agreeing(found: np.ndarray, wanted: np.ndarray, limit: float) -> int:
    """Count the rows whose error is within the limit of a type."""
    if found.shape[1] > 1:
        difference = found - wanted
        error, size = (np.sqrt(np.einsum("ij,ij->i", rows, rows)) for rows in (difference, wanted))
    else:
        error, size = np.abs(found - wanted).ravel(), np.abs(wanted).ravel()
    return int((error <= limit * size + SMALLEST * math.sqrt(found.shape[1])).sum())
