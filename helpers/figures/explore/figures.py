"""Numbers, scales and blocks to play with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.errors import InputError
from helpers.figures.explore.page import Explorable, still
from helpers.numbers import integers
from helpers.numbers.blocks import TYPES, quantize
from helpers.numbers.formats import FORMATS, FloatFormat

SHOWN = ("fp32", "tf32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1", "int8", "int4")
PACKED = ("Q8_0", "Q4_0", "Q4_K")
BITS = {"F16": 16.0, "Q8_0": 8.5, "Q4_K_M": 4.85}


def bits(number: float = 0.1, format: str = "fp16", names: Sequence[str] = SHOWN) -> Explorable:
    """Any number in any format: what is stored, bits that flip when they are clicked, and the neighbours."""
    if unknown := {*names, format} - {*SHOWN}:
        raise InputError(
            f"There is no format {', '.join(sorted(unknown))} here. The figure knows those of notebook 01. Choose from "
            f"{', '.join(SHOWN)}."
        )
    lines = [
        f"{FORMATS[name].title:9s} {FORMATS[name].bits(number):34s} {float(FORMATS[name].round(number)):.9g}"
        for name in names
    ]
    data = {"formats": [_described(name) for name in names], "format": format, "number": number}
    return Explorable(
        "bits", data, still([f"{number:g} in {len(names)} formats", *lines]), f"{number:g} in any format, bit by bit"
    )


def _described(name: str) -> dict:
    form = FORMATS[name]
    described = {"name": name, "title": form.title, "width": form.width, "signed": form.signed}
    if not isinstance(form, FloatFormat):
        return described | {"whole": True}
    return described | {"exponent": form.exponent_bits, "fraction": form.fraction_bits, "specials": form.specials}


def affine(values: Sequence[float], bits: int = 3) -> Explorable:
    """The affine map of some numbers: drag the ends of the range, choose bits and scheme, see codes and errors."""
    values = [float(value) for value in np.asarray(values).ravel()]
    result = integers.zero_point(np.array(values), bits)
    lines = [f"{len(values)} numbers in {bits} bits: step {result.scale.item():.4f}, zero point {result.zero.item()}"]
    pairs = zip(values[:12], result.codes[:12], result.dequantize()[:12], strict=True)
    lines += [f"{value:8.3f} → {code:4d} → {back:8.3f}" for value, code, back in pairs]
    return Explorable(
        "affine", {"values": values, "bits": bits}, still(lines), "numbers, their codes, and the range between"
    )


def blocks(
    weights: Sequence[float], kind: str = "Q4_0", types: Sequence[str] = PACKED, drag: bool = True
) -> Explorable:
    """Weights as the bytes of a block, live: drag a weight, point at a byte to see what it holds.

    weights: 32 for the simple types, 256 if Q4_K is among `types`. Raises InputError for another number of them.
    """
    x = np.asarray(weights, np.float32).ravel()
    needed = max(TYPES[name].weights for name in types)
    if x.size != needed or not {kind, *types} <= {*PACKED}:
        raise InputError(
            f"{x.size} weights cannot be packed as {', '.join(types)}. Those blocks have {needed}, and only "
            f"{', '.join(PACKED)} are packed here. Pass {needed} weights."
        )
    packed = quantize(x[: TYPES[kind].weights], kind)
    lines = [f"a block of {kind}: {packed.size} bytes for {TYPES[kind].weights} weights"]
    lines += [packed[i : i + 24].tobytes().hex(" ") for i in range(0, packed.size, 24)]
    data = {"weights": [float(str(value)) for value in x], "type": kind, "types": list(types), "drag": drag}
    return Explorable("blocks", data, still(lines), f"weights as the {packed.size} bytes of {kind}")


def roofline(
    billions: float,
    bandwidth: float,
    gigaflops: float = 100,
    kind: str = "F16",
    measured: Sequence[tuple[str, int, float]] = (),
) -> Explorable:
    """Tokens per second against tokens read at once, under the roofs of memory and arithmetic.

    billions: of weights; bandwidth: in GB/s; measured: (name, tokens at once, tokens per second).
    """
    model = {"billions": billions, "bandwidth": bandwidth, "gigaflops": gigaflops, "bits": BITS[kind]}
    size = billions * BITS[kind] / 8
    lines = [
        f"{size:.3g} GB of weights, {bandwidth:.3g} GB/s: at most {bandwidth / size:.3g} tokens per second one by one"
    ]
    lines += [
        f"measured, {name}: {speed:.3g} tokens per second with {tokens} at once" for name, tokens, speed in measured
    ]
    points = [{"name": name, "tokens": tokens, "speed": speed} for name, tokens, speed in measured]
    data = {"model": model, "bits": BITS, "kind": kind, "measured": points}
    return Explorable("roofline", data, still(lines), "two roofs over the speed: memory and arithmetic")
