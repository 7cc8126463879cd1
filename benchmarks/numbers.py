"""Speed of the numeric rooms against named peers: `python -m benchmarks.numbers`.

One process, one thread, one array of 4 million weights in the shape of a real matrix. Peer and ours take
turns; the best of each counts, so that a busy moment of the machine hurts neither. About half a minute.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable

import gguf
import ml_dtypes
import numpy as np
from gguf import quants

from helpers import blocks, formats, ggml

ROUNDS = 15
CASTS = {
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "e8m0": ml_dtypes.float8_e8m0fnu,
}


def race(*competitors: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Let the competitors run in turns; return the best seconds of each."""
    best = [float("inf")] * len(competitors)
    for _ in range(rounds):
        for i, run in enumerate(competitors):
            started = time.perf_counter()
            run()
            best[i] = min(best[i], time.perf_counter() - started)
    return best


def main() -> None:
    x = (np.random.default_rng(0).standard_normal((1024, 4096)) * 0.02).astype(np.float32)
    million = x.size / 1e6
    print(f"{platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}; million weights per second\n")

    print(f"{'formats.round':18s} {'ours':>8s} {'cast':>8s}  ratio   (budget: 40 million per second)")
    for name, form in formats.FORMATS.items():
        if name in CASTS:
            ours, peer = race(lambda f=form: f.round(x), lambda t=CASTS[name]: x.astype(t))
            print(f"{name:18s} {million / ours:8.0f} {million / peer:8.0f}  {peer / ours:.2f}")
        else:
            (ours,) = race(lambda f=form: f.round(x))
            print(f"{name:18s} {million / ours:8.0f}")

    print(f"\n{'encode':18s} {'ours':>8s} {'gguf-py':>8s}  ratio {'ggml C':>8s}  ratio")
    for name, block in blocks.TYPES.items():
        if block.encode is None or name == "NF4":
            continue
        kind = gguf.GGMLQuantizationType[name]
        if name.endswith("_K"):  # nobody else encodes these in Python
            ours, c = race(lambda n=name: blocks.quantize(x, n), lambda n=name: ggml.quantize(x, n), rounds=4)
            print(f"{name:18s} {million / ours:8.1f} {'':8s}        {million / c:8.1f}  {c / ours:.2f}  (budget 0.2)")
            continue
        ours, peer, c = race(
            lambda n=name: blocks.quantize(x, n),
            lambda k=kind: quants.quantize(x, k),
            lambda n=name: ggml.quantize(x, n),
        )
        print(f"{name:18s} {million / ours:8.0f} {million / peer:8.0f}  {peer / ours:.2f} ", end="")
        print(f" {million / c:8.0f}  {c / ours:.2f}")

    print(f"\n{'decode':18s} {'ours':>8s} {'gguf-py':>8s}  ratio")
    for name in blocks.TYPES:
        if name == "NF4":
            continue
        data, kind = ggml.quantize(x, name), gguf.GGMLQuantizationType[name]
        ours, peer = race(
            lambda n=name, d=data: blocks.dequantize(d, n), lambda k=kind, d=data: quants.dequantize(d, k)
        )
        print(f"{name:18s} {million / ours:8.0f} {million / peer:8.0f}  {peer / ours:.2f}")


if __name__ == "__main__":
    main()
