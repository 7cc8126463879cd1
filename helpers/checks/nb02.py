"""The exercises of notebook 02."""

import math

import numpy as np

from helpers.checks.verdict import Verdict, check, correct, not_yet


@check
def absmax_bits(answer) -> Verdict:
    """A function (x, bits) → (codes, scale), symmetric."""
    for x in ([1.2, -0.5, -4.3, 5.4], [0.1, -0.9, 0.4, 0.2], [-7.0, 2.0, 3.0]):
        for bits in (8, 5, 4, 3, 2):
            codes, scale = answer(np.array(x), bits)
            codes, scale = np.asarray(codes, float), float(np.squeeze(scale))
            largest, levels = max(map(abs, x)), 2 ** (bits - 1) - 1
            if math.isclose(scale, max(x) / levels, rel_tol=1e-6) and max(x) < largest:
                return not_yet("the scale comes from the largest magnitude, not from the largest number.")
            if math.isclose(scale, largest / (levels + 1), rel_tol=1e-6):
                return not_yet(f"for {bits} bits the codes run from {-levels} to {levels}: divide by 2^(bits−1) − 1.")
            if not math.isclose(scale, largest / levels, rel_tol=1e-6):
                return not_yet(
                    f"for {x} at {bits} bits the scale should be {largest / levels:.4g}, yours is {scale:.4g}."
                )
            if not np.array_equal(codes, np.rint(np.array(x) / (largest / levels))):
                return not_yet("the codes should be whole numbers: round x ÷ scale to the nearest.")
    return correct("max |x| gets the code 2^(bits−1) − 1; everything else follows.")


@check
def zero_code(answer) -> Verdict:
    """The zero point of −1 … 3 in UINT8."""
    number = float(answer)
    if number == 64:
        return correct("0 lies a quarter up the range, so its code lies a quarter up from 0 to 255: 63.75, rounded.")
    hints = {
        63.75: "close: a zero point is a code, so it has to be a whole number.",
        63: "round to the nearest whole number.",
        128: "that would be right for a symmetric range.",
        0: "code 0 belongs to the smallest number, −1.",
        -64: "that is the zero point in INT8, whose lowest code is −128 (or a slip of the sign). UINT8 starts at 0.",
    }
    return not_yet(hints.get(number, "z = round(lowest code − lowest number ÷ scale), with scale = 4 ÷ 255."))


@check
def wrapped_value(answer) -> Verdict:
    """What is read back for −1.1 after the broken rule."""
    number = float(answer)
    if abs(number - -93 / 127 * 0.4) < 1e-3:
        return correct("−349 keeps its lowest 8 bits, −93, and comes back as −0.293: a quarter of what it was.")
    if abs(number + 1.1) < 0.01:
        return not_yet("that would be right if −349 could be stored. INT8 ends at −128.")
    if abs(number - -128 / 127 * 0.4) < 1e-3:
        return not_yet("that is what clipping would give. The rule stores the lowest 8 bits.")
    if abs(number - -93) < 1e-3:
        return not_yet("that is the code. Read it back: ÷ 127 × 0.4.")
    return not_yet("−1.1 ÷ 0.4 × 127 = −349.25 → −349; add or subtract 256 until it fits; then ÷ 127 × 0.4.")


@check
def cheapest(answer) -> Verdict:
    """A dict of options for integers.absmax that keeps 20 dB of real activations with the fewest bits."""
    from safetensors.numpy import load_file

    from helpers import artifacts
    from helpers.numbers import integers

    x = load_file(artifacts.ROOT / "data" / "activations" / "smollm2.safetensors")["activations"].astype(np.float32)

    def measured(options: dict) -> tuple[float, float]:
        result = integers.absmax(x, **options)
        return integers.sqnr_db(x, result.dequantize()), result.bits_per_weight

    ratio, bits = measured(dict(answer))
    if ratio < 20:
        return not_yet(f"that keeps {ratio:.1f} dB with {bits:.2f} bits per number. 20 dB are wanted.")
    groups = [{}, {"axis": 0}, {"axis": 1}, *({"block": size} for size in (8, 16, 32, 64, 96, 144, 192, 288))]
    tried = [measured({"bits": width} | group) for width in range(3, 9) for group in groups]
    best = min(cost for kept, cost in tried if kept >= 20)
    if bits <= 1.02 * best:
        return correct(
            f"{ratio:.1f} dB with {bits:.2f} bits per number. One scale for each channel isolates the outlier."
        )
    return not_yet(
        f"{ratio:.1f} dB, but {bits:.2f} bits per number; {best:.2f} are enough. Who shares a scale with whom?"
    )
