"""Speed of Part IV's decompositions against named peers: `python -m benchmarks.compression`, about a minute.

GPT-2's feed-forward shape, B of 2 × 4, rank 4, as in TQCompressor. The peer of `kronecker.nearest` is torch's SVD of
the rearranged matrix; the peer of the Kronecker layer is torch's dense Linear.
"""

from __future__ import annotations

import os
import platform
import time

import torch

from benchmarks.numbers import race
from helpers import compress, kronecker, sweep

WIDTH, FFN, RANK = 768, 3072, 4


def main() -> None:
    torch.manual_seed(0)
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}\n")
    up = torch.randn(FFN, WIDTH)

    torch.set_num_threads(1)
    started = time.perf_counter()
    for _ in range(12):
        kronecker.nearest(up, (4, 2), RANK)
        kronecker.nearest(up.T, (2, 4), RANK)
    print(f"all 24 feed-forward matrices of GPT-2, one thread: {time.perf_counter() - started:.1f} s (budget 5 s)")
    ours, peer = race(
        lambda: kronecker.nearest(up, (4, 2), RANK),
        lambda: torch.linalg.svd(kronecker.rearrange(up, (4, 2)), full_matrices=False),
        rounds=5,
    )
    print(f"one of them: {1000 * ours:.0f} ms, torch.linalg.svd of R {1000 * peer:.0f} ms, ratio {peer / ours:.1f}")

    started = time.perf_counter()
    model = sweep.trained(0)
    for module in compress.matrices(model).values():
        w = compress.weight(module)
        kronecker.search(w, (4, 2) if w.shape[0] > w.shape[1] else (2, 4), RANK)
    seconds = time.perf_counter() - started
    print(f"search for permutations, all 14 matrices of a small model: {seconds:.1f} s (budget 60 s)")

    layer = kronecker.linear(*kronecker.nearest(up, (4, 2), RANK))
    dense, x = torch.nn.Linear(WIDTH, FFN, bias=False), torch.randn(2048, WIDTH)
    operations = RANK * (FFN // 4) * (WIDTH // 2) * 2 / (FFN * WIDTH)
    for threads in (1, os.cpu_count() or 1):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            ours, peer = race(lambda: layer(x), lambda: dense(x), rounds=9)
        print(
            f"2,048 tokens, {threads} threads: Kronecker {1000 * ours:.0f} ms, dense {1000 * peer:.0f} ms, "
            f"time {ours / peer:.2f}, operations {operations:.2f}, parameters {0.5:.2f} of dense"
        )


if __name__ == "__main__":
    main()
