"""Speed of the numeric rooms: rounding beside a cast of ml_dtypes, block types beside gguf-py and ggml.

One process, one thread, one array of 4 million weights in the shape of a real matrix. About half a minute.
"""

from __future__ import annotations

from collections.abc import Iterator

import gguf
import ml_dtypes
import numpy as np
from gguf import quants

from benchmarks.report import Row, race
from helpers.numbers import blocks, formats, ggml

GROUP = "Numbers and block types"
UNIT = "million weights/s"
CASTS = {
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "e8m0": ml_dtypes.float8_e8m0fnu,
}


def rows() -> Iterator[Row]:
    """Race every format and every block type against its peers."""
    x = (np.random.default_rng(0).standard_normal((1024, 4096)) * 0.02).astype(np.float32)
    million = x.size / 1e6
    for name, form in formats.FORMATS.items():
        if name in CASTS:
            ours, peer = race(lambda f=form: f.round(x), lambda t=CASTS[name]: x.astype(t))
            cast = f"cast to {np.dtype(CASTS[name])}"
            speeds = (million / ours.best, UNIT, cast, million / peer.best, ours.spread)
            yield Row(GROUP, f"round to {name}", *speeds, "budget 40 million/s" if name != "e8m0" else "")
        else:
            (ours,) = race(lambda f=form: f.round(x))
            yield Row(GROUP, f"round to {name}", million / ours.best, UNIT, spread=ours.spread)

    for name, block in blocks.TYPES.items():
        if block.encode is None or name == "NF4":
            continue
        ways = [lambda n=name: blocks.quantize(x, n), lambda n=name: ggml.quantize(x, n)]
        peers, note = ["ggml"], "budget: ratio 0.2" if name.endswith("_K") else ""
        if not name.endswith("_K"):  # nobody else encodes these in Python
            ways.append(lambda k=gguf.GGMLQuantizationType[name]: quants.quantize(x, k))
            peers.append("gguf-py")
        ours, *others = race(*ways, rounds=4 if name.endswith("_K") else 15)
        for peer, their in zip(peers, others, strict=True):
            speeds = (million / ours.best, UNIT, peer, million / their.best, ours.spread)
            yield Row(GROUP, f"encode {name}", *speeds, note, key="encode")

    for name in blocks.TYPES:
        if name == "NF4":
            continue
        data, kind = ggml.quantize(x, name), gguf.GGMLQuantizationType[name]
        ours, peer = race(
            lambda n=name, d=data: blocks.dequantize(d, n), lambda k=kind, d=data: quants.dequantize(d, k)
        )
        yield Row(GROUP, f"decode {name}", million / ours.best, UNIT, "gguf-py", million / peer.best, ours.spread)
