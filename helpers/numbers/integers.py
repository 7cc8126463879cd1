"""Integer quantization: floats become small whole numbers and a scale.

    absmax      symmetric:  code = round(x / scale),         0 is always code 0
    zero_point  affine:     code = round(x / scale) + zero,  the range is that of the data, widened to hold 0
    ternary     three levels −1, 0, 1 with a scale

Each works per tensor, per index of an axis (`axis=0`: one scale for each row of a matrix), or per block
of neighbours along the last axis (`block=32`). "Affine" and "zero-point" name the same scheme.
References: arXiv 1712.05877 (affine), arXiv 2402.17764 (ternary), arXiv 1603.05279 (binary).
"""

from collections.abc import Callable

import numpy as np

from helpers.errors import InputError
from helpers.numbers.grid import Grid, Quantized, finite


def absmax(
    x, bits: int = 8, axis: int | None = None, block: int | None = None, *, signed: bool = True, clip=None
) -> Quantized:
    """Quantize symmetrically: the largest |x| of each group becomes the largest code.

    Codes run from −(2^(bits−1) − 1) to 2^(bits−1) − 1, for 8 bits from −127 to 127; with `signed=False` the
    same are stored as unsigned numbers around the zero point 2^(bits−1). One bit means the two codes −1 and 1
    times the mean of |x|. A group of zeros gets scale 1 (with one bit 0) and comes back as zeros. `clip` is None,
    the largest |x| to keep (larger ones become that), or "mse": for each group the limit, out of 75 between 1 % and
    100 % of its range, with the smallest mean squared error.
    Raises InputError for inf, NaN, empty or non-real arrays, bits outside 1 to 8, a block that does not divide.
    """
    x = finite(x)
    _check_bits(bits)
    groups, axes = _groups(x, axis, block)
    largest = np.abs(groups).max(axis=axes, keepdims=True).astype(np.float64)
    if bits == 1:
        if clip is not None or not signed:
            raise InputError(
                "One symmetric bit has no clipping and no unsigned form. Its two levels are ± the mean of |x|. "
                "Leave clip and signed as they are."
            )
        scale = _scale(np.abs(groups).mean(axis=axes, keepdims=True, dtype=np.float64), 1)
        scale = np.where(largest > 0, scale, np.float32(0))  # neither −1 nor 1 stands for zero
        return Grid(scale, np.zeros(scale.shape, np.int32), 1, -1, 1, block).encode(x)

    def grid(limit: np.ndarray) -> Grid:
        return _symmetric_grid(limit, bits, 0 if signed else 2 ** (bits - 1), block)

    if isinstance(clip, str):
        limit = largest * _best_share(x, axes, clip, lambda share: grid(largest * share))
    else:
        limit = largest if clip is None else np.minimum(largest, _limit(clip))
    return grid(limit).encode(x)


def zero_point(
    x, bits: int = 8, axis: int | None = None, block: int | None = None, *, signed: bool = True, clip=None
) -> Quantized:
    """Quantize affinely: the smallest number of each group becomes the lowest code, the largest the highest.

    The range is widened to hold 0 where it does not, so that real zero has an exact code, the zero point:
    padding and pruned weights stay 0. Codes run from −2^(bits−1) to 2^(bits−1) − 1, with `signed=False` from 0
    to 2^bits − 1. Groups of one value come back, up to the rounding of the scale. `clip` as in `absmax`, or a pair
    (lowest, highest); "mse" shrinks both ends by one factor.
    Raises InputError as `absmax` does, and for a range wider than float32 can express in one scale.
    """
    x = finite(x)
    _check_bits(bits)
    groups, axes = _groups(x, axis, block)
    lowest = np.minimum(groups.min(axis=axes, keepdims=True), 0).astype(np.float64)
    highest = np.maximum(groups.max(axis=axes, keepdims=True), 0).astype(np.float64)

    def grid(lowest: np.ndarray, highest: np.ndarray) -> Grid:
        return _affine_grid(lowest, highest, bits, -(2 ** (bits - 1)) if signed else 0, block)

    if isinstance(clip, str):
        share = _best_share(x, axes, clip, lambda share: grid(lowest * share, highest * share))
        lowest, highest = lowest * share, highest * share
    elif clip is not None:
        below, above = map(float, clip) if np.size(clip) == 2 else (-_limit(clip), _limit(clip))
        if not below <= 0 <= above or below == above or not np.isfinite(above - below):
            raise InputError(
                f"The range {below} to {above} cannot be used for clipping. It has to hold 0 and more. "
                "Pass one positive limit or a pair (lowest, highest) around 0."
            )
        lowest, highest = np.maximum(lowest, below), np.minimum(highest, above)
    return grid(lowest, highest).encode(x)


def ternary(x, axis: int | None = None, block: int | None = None) -> Quantized:
    """Quantize to −1, 0 and 1 times the mean of |x| of each group, as BitNet b1.58 does.

    Three levels carry log2(3) = 1.58 bits; they are counted as 2 bits, one code each. Raises as `absmax`.
    """
    x = finite(x)
    groups, axes = _groups(x, axis, block)
    scale = _scale(np.abs(groups).mean(axis=axes, keepdims=True, dtype=np.float64), 1)
    return Grid(scale, np.zeros(scale.shape, np.int32), 2, -1, 1, block).encode(x)


def mse(x, y) -> float:
    """Return the mean squared difference of two arrays of one shape."""
    x, y = _pair(x, y)
    return float(np.mean((x - y) ** 2))


def max_error(x, y) -> float:
    """Return the largest absolute difference of two arrays of one shape."""
    x, y = _pair(x, y)
    return float(np.abs(x - y).max())


def sqnr_db(x, y) -> float:
    """Return the signal-to-quantization-noise ratio 10·log10(Σx² ÷ Σ(x − y)²) in decibels; inf if equal."""
    x, y = _pair(x, y)
    noise = float(np.sum((x - y) ** 2))
    signal = float(np.sum(x**2))
    if noise == 0:
        return float("inf")
    return 10 * float(np.log10(signal / noise)) if signal else float("-inf")


def _symmetric_grid(largest: np.ndarray, bits: int, zero: int, block: int | None) -> Grid:
    """Return the grid whose last code stands for `largest`, an array of the shape of the scales."""
    high = 2 ** (bits - 1) - 1
    scale = _scale(largest, high)
    return Grid(scale, np.full(scale.shape, zero, np.int32), bits, zero - high, zero + high, block)


def _affine_grid(lowest: np.ndarray, highest: np.ndarray, bits: int, low: int, block: int | None) -> Grid:
    """Return the grid from `lowest` to `highest`, arrays of the shape of the scales, in codes from `low` on."""
    steps = 2**bits - 1
    width = highest - lowest
    # From the exact width: a scale rounded to float32 would tip a tie such as 127.5 for [−1, 1].
    zero = np.rint(low - lowest * steps / np.where(width == 0, 1, width))
    zero = np.clip(zero, low, low + steps).astype(np.int32)
    return Grid(_scale(width, steps), zero, bits, low, low + steps, block)


def _scale(width: np.ndarray, steps: int) -> np.ndarray:
    """Return the float32 step for a range of `width` in `steps` steps; 1 for a range of nothing.

    Not below the smallest normal number: a subnormal scale has too few bits of its own, and may be 0.
    """
    with np.errstate(over="ignore"):
        scale = np.maximum(width / steps, np.finfo(np.float32).tiny).astype(np.float32)
    if not np.isfinite(scale).all():
        raise InputError(
            f"A range of {float(width.max()):.3g} in {steps} steps needs a step beyond float32. The numbers are too "
            "far apart. Scale the data down first."
        )
    return np.where(width == 0, np.float32(1), scale)


def _best_share(x: np.ndarray, axes: tuple[int, ...], name: str, grid: Callable[[np.ndarray], Grid]) -> np.ndarray:
    """Return, in the shape of the scales, the share of each group's full range with the smallest squared error.

    `grid` makes the grid for given shares. First 60 of them are tried, then 15 around the best of each group.
    """
    if name != "mse":
        raise InputError(f"clip={name!r} is unknown. The only search there is looks at squared errors. Use clip='mse'.")

    def error(share: np.ndarray) -> np.ndarray:
        tried = grid(share)
        values = tried.grouped(tried.encode(x).dequantize()).astype(np.float64)
        return np.mean((values - tried.grouped(x)) ** 2, axis=axes, keepdims=True)

    smallest = error(np.float64(1))
    best = np.ones_like(smallest)
    for factors in (np.geomspace(1, 0.01, 60), np.geomspace(0.93, 1.07, 15)):  # steps of 8 %, then of 1 %
        centre = best
        for factor in factors:
            share = np.minimum(centre * factor, 1.0)
            found = error(share)
            best = np.where(found < smallest, share, best)
            smallest = np.minimum(found, smallest)
    return best


def _groups(x: np.ndarray, axis: int | None, block: int | None) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return x shaped so that each group spans the returned axes."""
    if axis is not None and block is not None:
        raise InputError(
            f"Both axis={axis} and block={block} are given. Blocks lie along the last axis, finer than any axis. "
            "Choose one of the two."
        )
    if block is not None:
        if not isinstance(block, int | np.integer) or block < 1 or x.ndim == 0 or x.shape[-1] % block:
            raise InputError(
                f"Blocks of {block} do not fit rows of {x.shape[-1] if x.ndim else 1}. Every row is cut into whole "
                "blocks. Choose a block size that divides the last axis."
            )
        return x.reshape(*x.shape[:-1], -1, block), (-1,)
    if axis is None:
        return x, tuple(range(x.ndim))
    if not isinstance(axis, int | np.integer) or not -x.ndim <= axis < x.ndim:
        raise InputError(
            f"There is no axis {axis} in an array of shape {x.shape}. One scale is made for each index of an axis. "
            f"Choose a number from 0 to {x.ndim - 1}, or None."
        )
    return x, tuple(i for i in range(x.ndim) if i != axis % x.ndim)


def _pair(x, y) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape != y.shape or x.size == 0:
        raise InputError(
            f"The shapes {x.shape} and {y.shape} cannot be compared. Errors are taken number by number. "
            "Pass two arrays of the same shape, not empty."
        )
    return x, y


def _check_bits(bits: int) -> None:
    if not isinstance(bits, int | np.integer) or not 1 <= bits <= 8:
        raise InputError(f"bits={bits!r} is not possible. Codes of 1 to 8 bits are made here. Pass a whole number.")


def _limit(clip: float) -> float:
    if not np.isscalar(clip) or not np.isfinite(clip) or clip <= 0:
        raise InputError(
            f"clip={clip!r} cannot be a limit. It is the largest magnitude to keep. Pass a positive number or 'mse'."
        )
    return float(clip)
