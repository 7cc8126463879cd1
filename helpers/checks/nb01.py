"""The exercises of notebook 01."""

import math

import numpy as np

from helpers.checks.verdict import Verdict, check, correct, not_yet


@check
def decode_fp16(answer) -> Verdict:
    """A function from 16 bits, as text, to the FP16 number they stand for."""
    cases = [
        ("0011110000000000", 1.0, "exponent 15 minus bias 15, fraction 0"),
        ("1100000000000000", -2.0, "the first bit is the sign"),
        ("0100000010100001", 2.314453125, "a fraction counts in 1024ths and has a hidden 1 before it"),
        ("0111101111111111", 65504.0, "this is the largest number"),
        ("0000000000000001", 2.0**-24, "with exponent 0 there is no hidden 1, and the exponent counts as 1"),
        ("0000001000000000", 2.0**-15, "with exponent 0 there is no hidden 1, and the exponent counts as 1"),
        ("1111110000000000", -math.inf, "exponent 31 and fraction 0 mean infinity"),
        ("0111111000000000", math.nan, "exponent 31 and any other fraction mean NaN"),
        ("0000000000000000", 0.0, "all zeros is zero"),
    ]
    for bits, expected, why in cases:
        found = float(answer(bits))
        if found != expected and not (math.isnan(found) and math.isnan(expected)):
            return not_yet(f"for {bits} you return {found}, it should be {expected}: {why}.")
    for code, expected in enumerate(np.arange(2**16, dtype=np.uint16).view(np.float16).tolist()):
        found = float(answer(f"{code:016b}"))
        if math.isnan(expected) != math.isnan(found) or (
            not math.isnan(expected) and (found != expected or math.copysign(1, found) != math.copysign(1, expected))
        ):
            return not_yet(f"for {code:016b} you return {found}, it should be {expected}.")
    return correct("normal, subnormal, infinite and NaN: all 65,536 patterns follow these four rules.")


@check
def largest_number(answer) -> Verdict:
    """A function (exponent bits, fraction bits) → the largest number of a format with E4M3's rule."""
    for exponent_bits, fraction_bits in ((4, 3), (5, 2), (3, 4), (2, 3)):
        bias, top = 2 ** (exponent_bits - 1) - 1, 2**exponent_bits - 1
        step = 2.0**-fraction_bits
        found = float(answer(exponent_bits, fraction_bits))
        if found == (2 - 2 * step) * 2.0 ** (top - bias):
            continue
        hints = {
            (2 - step)
            * 2.0 ** (top - bias): "exponent and fraction all ones is NaN, so the last fraction is not available.",
            (2 - step)
            * 2.0 ** (top - 1 - bias): "that reserves the whole top exponent, as IEEE does. Here one code is lost.",
            (2 - 2 * step) * 2.0**top: "subtract the bias from the exponent.",
            2.0 ** (top - bias): "that is the power of two. Multiply by the largest fraction that is no NaN.",
        }
        hint = hints.get(found, "(1 + fraction) × 2^(exponent − bias), both as large as allowed.")
        return not_yet(f"for {exponent_bits} and {fraction_bits} bits you return {found:g}: {hint}")
    return correct("448 for E4M3. Reserving one code instead of a whole exponent nearly doubles the range.")


@check
def chosen_formats(answer) -> Verdict:
    """One format for each of four needs."""
    from helpers.numbers.formats import FORMATS

    needs = {"A": (16, 2e5, "bf16"), "B": (16, 2, "fp16"), "C": (8, 1e4, "fp8_e5m2"), "D": (8, 400, "fp8_e4m3")}
    for need, (width, largest, right) in needs.items():
        name = answer.get(need, ...)
        if name is ...:
            return not_yet(f"replace the three dots of {need} by the name of a format.")
        form = FORMATS.get(str(name).lower())
        if form is None:
            return not_yet(f"{need}: {name!r} is none of fp16, bf16, fp8_e4m3, fp8_e5m2.")
        if form.width != width:
            return not_yet(f"{need} allows {width} bits, {form.title} has {form.width}.")
        if form.max < largest:
            return not_yet(f"{need}: {form.title} ends at {form.max:,.0f}.")
        if str(name).lower() != right:
            return not_yet(f"{need}: both formats of {width} bits reach far enough, so take the longer fraction.")
    return correct("width, range, then digits: that is the order in which to choose.")


@check
def six_bit_format(answer) -> Verdict:
    """A pair (exponent bits, fraction bits) of a 6-bit float for real activations, each token with its own scale."""
    from safetensors.numpy import load_file

    from helpers import artifacts
    from helpers.numbers.formats import FloatFormat

    exponent, fraction = (int(part) for part in answer)
    if exponent + fraction != 5 or exponent < 1 or fraction < 0:
        return not_yet("one of the six bits is the sign: exponent and fraction share five, and the exponent needs one.")
    x = load_file(artifacts.ROOT / "data" / "activations" / "smollm2.safetensors")["activations"].astype(np.float32)
    lost = {}
    for bits in range(1, 6):
        form = FloatFormat("", bits, 5 - bits, specials="none")
        scale = np.abs(x).max(axis=1, keepdims=True) / np.float32(form.max)
        lost[bits] = float(np.linalg.norm(form.round(x / scale) * scale - x) / np.linalg.norm(x))
    found, best = lost[exponent], min(lost.values())
    table = ", ".join(f"E{bits}M{5 - bits} {error:.1%}" for bits, error in lost.items())
    if found <= 1.02 * best:
        return correct(f"error of SmolLM2's activations: {table}. One channel is huge: range is worth a digit here.")
    return not_yet(f"it loses {found:.1%} of these activations. Most of them are far below the largest of their token.")
