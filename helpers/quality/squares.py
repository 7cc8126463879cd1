"""Sums of the squared inputs of each weight matrix over some windows, as llama-imatrix adds them."""

from __future__ import annotations

import numpy as np

from helpers.errors import InputError
from helpers.quality.ggml_tensor import MUL_MAT_ID, Tensor, array


class Squares:
    """Adds up what `watching.watched` shows while it reads some windows."""

    def __init__(self):
        self._clear()

    def _clear(self) -> None:
        self.sums: dict[str, np.ndarray] = {}
        self.counts: dict[str, np.ndarray] = {}
        self._last: tuple = (None, None)

    def add(self, name: str, node: Tensor) -> None:
        """Add the inputs of one product: `show` of `watching.watched`."""
        # Query, key and value read the same inputs one after the other, and so do gate and up: squared once.
        matrix = node.source(0).ne
        key = (node.op, node.src[1], node.src[2], *matrix[2:])
        if key != self._last[0]:
            squared = _of_experts(node) if node.op == MUL_MAT_ID else _of_matrix(node)
            self._last = (key, squared)
        sums, counts = self._last[1]
        if name in self.sums:  # layers that share their weights
            sums, counts = self.sums[name] + sums, self.counts[name] + counts
        self.sums[name], self.counts[name] = sums, counts

    def taken(self, model: str, tokens: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return (sums, counts) of what was read, so many tokens, and begin anew.

        Raises InputError if some inputs are not finite, or of some tokens were not seen.
        """
        sums, counts = self.sums, self.counts
        self._clear()
        for name in sums:
            if not np.isfinite(sums[name]).all():
                raise InputError(
                    f"The inputs of {name} in {model} are NaN or infinite. Its weights are damaged, or overflow in "
                    "this format. Make the file again, from BF16 or FP32 weights."
                )
            if not counts[name].sum() or counts[name].sum() % tokens:
                raise InputError(
                    f"{name} saw {counts[name].sum():,} inputs of {tokens} tokens. llama.cpp left some tokens of "
                    "this architecture out, so the sums would mean nothing. Record another model."
                )
        if not sums:
            raise InputError(
                f"llama.cpp multiplied no inputs with the weights of {model}. Its operations have other names than the "
                "course knows. Install the pinned version: `python -m helpers.install`."
            )
        return sums, counts


def _of_matrix(node: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return (sums, counts) of inputs (…, rows, columns): (1, columns), of several matrices side by side in one row."""
    x, matrices = array(node.source(1)), node.source(0).ne[2:]
    outer, inner, rows, columns = x.shape
    if matrices[0] * matrices[1] == 1:
        x = x.reshape(-1, columns)
        return np.einsum("rc,rc->c", x, x)[None], np.array([len(x)])
    x = x.reshape(outer // matrices[1], matrices[1], inner // matrices[0], matrices[0], rows, columns)
    sums = np.einsum("obimrc,obimrc->bmc", x, x)
    return sums.reshape(1, -1), np.array([x.size // sums.size])


def _of_experts(node: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return sums (experts, columns) and counts (experts,) of inputs (tokens, chosen or 1, columns)."""
    x, chosen = array(node.source(1))[0], array(node.source(2))[0, 0]  # chosen (tokens, experts chosen) ids
    experts = node.source(0).ne[2]
    order = np.argsort(chosen, axis=None, kind="stable")
    tokens, places = np.unravel_index(order, chosen.shape)
    rows = x[tokens, places % x.shape[1]]
    counts = np.bincount(chosen.ravel(), minlength=experts)
    present = np.flatnonzero(counts)
    sums = np.zeros((experts, rows.shape[1]), np.float32)
    starts = np.cumsum(counts)[present] - counts[present]
    sums[present] = np.add.reduceat(np.square(rows, out=rows), starts, axis=0)
    return sums, counts
