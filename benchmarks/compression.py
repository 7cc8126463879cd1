"""Speed of Part IV's decompositions beside torch's SVD and torch's dense layer. A quarter of a minute.

GPT-2's feed-forward shape, B of 2 × 4, rank 4, as in TQCompressor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch

from benchmarks.report import Row, race
from helpers.compression import compress, kronecker
from helpers.training import shipped

GROUP = "Compression"
WIDTH, FFN, RANK = 768, 3072, 4


def rows() -> Iterator[Row]:
    """Time decompositions on one thread, and the Kronecker layer on one and on all."""
    torch.manual_seed(0)
    before = torch.get_num_threads()
    up = torch.randn(FFN, WIDTH)

    def all_of_gpt2() -> None:
        for _ in range(12):
            kronecker.nearest(up, (4, 2), RANK)
            kronecker.nearest(up.T, (2, 4), RANK)

    torch.set_num_threads(1)
    (whole,) = race(all_of_gpt2, rounds=3)
    what = "Kronecker, 24 FFN matrices of GPT-2, 1 thread"
    yield Row(GROUP, what, whole.best, "s", spread=whole.spread, note="budget 5 s")
    ours, peer = race(
        lambda: kronecker.nearest(up, (4, 2), RANK),
        lambda: torch.linalg.svd(kronecker.rearrange(up, (4, 2)), full_matrices=False),
        rounds=5,
    )
    yield Row(
        GROUP,
        "Kronecker, one of them",
        ours.best,
        "s",
        "torch.linalg.svd of the rearranged matrix",
        peer.best,
        ours.spread,
    )

    model = shipped.tiny(0)

    def search() -> None:
        for module in compress.matrices(model).values():
            w = compress.weight(module)
            kronecker.search(w, (4, 2) if w.shape[0] > w.shape[1] else (2, 4), RANK)

    (searched,) = race(search, rounds=1)
    yield Row(GROUP, "permutations, 14 matrices of a small model", searched.best, "s", note="budget 60 s")

    layer = kronecker.KroneckerLinear(*kronecker.nearest(up, (4, 2), RANK))
    dense, x = torch.nn.Linear(WIDTH, FFN, bias=False), torch.randn(2048, WIDTH)
    operations = RANK * (FFN // 4) * (WIDTH // 2) * 2 / (FFN * WIDTH)
    for threads in dict.fromkeys((1, os.cpu_count() or 1)):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            ours, peer = race(lambda: layer(x), lambda: dense(x), rounds=9)
        what, note = (
            f"KroneckerLinear, 2,048 tokens, threads: {threads}",
            f"{operations:.2f} of the dense layer's operations, 0.50 of its weights",
        )
        yield Row(GROUP, what, ours.best, "s", "torch.nn.Linear", peer.best, ours.spread, note)
    torch.set_num_threads(before)
