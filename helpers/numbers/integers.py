"""Integer quantization: floats become small whole numbers and a scale.

    absmax      symmetric:  code = round(x / scale),         0 is always code 0
    zero_point  affine:     code = round(x / scale) + zero,  the range is that of the data, widened to hold 0
    ternary     three levels −1, 0, 1 with a scale

Each works per tensor, per index of an axis (`axis=0`: one scale for each row of a matrix), or per block
of neighbours along the last axis (`block=32`). "Affine" and "zero-point" name the same scheme.
References: arXiv 1712.05877 (affine), arXiv 2402.17764 (ternary), arXiv 1603.05279 (binary).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from helpers.errors import InputError


@dataclass(frozen=True)
class Quantized:
    """Codes with what is needed to read them: x ≈ (codes − zero) × scale.

    `codes` has the shape of x; int8 or uint8. `scale` (float32) and `zero` (int32) have one entry for each
    group: shape (1, …, 1) per tensor, (rows, 1) for axis=0 of a matrix, (…, columns ÷ block, 1) per block.
    """

    codes: np.ndarray
    scale: np.ndarray
    zero: np.ndarray
    bits: int
    low: int  # the smallest code allowed
    high: int  # the largest
    block: int | None = None

    def dequantize(self) -> np.ndarray:
        """Return the float32 numbers that the codes stand for, in the shape of the codes."""
        codes = self._grouped(self.codes)
        values = (codes.astype(np.int32) - self.zero) * self.scale.astype(np.float64)
        largest = np.finfo(np.float32).max  # a scale rounded up can lead beyond it
        return np.clip(values, -largest, largest).astype(np.float32).reshape(self.codes.shape)

    def encode(self, x) -> Quantized:
        """Quantize other data of a fitting shape with this scale and zero point (static quantization)."""
        x = _checked(x)
        if x.shape != self.codes.shape and (self.scale.size > 1 or self.block is not None):
            raise InputError(
                f"The shape {x.shape} does not fit the scales made for {self.codes.shape}. Each scale belongs to one "
                "part of that array. Quantize per tensor to reuse a scale for any shape."
            )
        return replace(self, codes=_encode(self._grouped(x), self).reshape(x.shape))

    @property
    def nbytes(self) -> int:
        """Bytes when packed: `bits` for each code, 4 bytes for each scale, in affine schemes 1 for each zero point."""
        affine = self.high - self.low == 2**self.bits - 1  # symmetric schemes leave a code out, their zero is implied
        return -(-self.codes.size * self.bits // 8) + 4 * self.scale.size + affine * self.zero.size

    @property
    def bits_per_weight(self) -> float:
        """Bits for each weight, scales and zero points included."""
        return 8 * self.nbytes / self.codes.size

    def _grouped(self, array: np.ndarray) -> np.ndarray:
        return array if self.block is None else array.reshape(*array.shape[:-1], -1, self.block)


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
    x = _checked(x)
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
        grid = Quantized(x, scale, np.zeros(scale.shape, np.int32), 1, -1, 1, block)
        return replace(grid, codes=_encode(groups, grid).reshape(x.shape))
    high = 2 ** (bits - 1) - 1
    zero = 0 if signed else 2 ** (bits - 1)

    def made(limit: np.ndarray) -> Quantized:
        scale = _scale(limit, high)
        grid = Quantized(x, scale, np.full(scale.shape, zero, np.int32), bits, zero - high, zero + high, block)
        return replace(grid, codes=_encode(groups, grid).reshape(x.shape))

    if isinstance(clip, str):
        return _best_clip(x, groups, axes, clip, lambda share: made(largest * share))
    return made(largest if clip is None else np.minimum(largest, _limit(clip)))


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
    x = _checked(x)
    _check_bits(bits)
    groups, axes = _groups(x, axis, block)
    lowest = np.minimum(groups.min(axis=axes, keepdims=True), 0).astype(np.float64)
    highest = np.maximum(groups.max(axis=axes, keepdims=True), 0).astype(np.float64)
    low = -(2 ** (bits - 1)) if signed else 0
    high = low + 2**bits - 1

    def made(lowest: np.ndarray, highest: np.ndarray) -> Quantized:
        width = highest - lowest
        scale = _scale(width, high - low)
        # From the exact width: a scale rounded to float32 would tip a tie such as 127.5 for [−1, 1].
        zero = np.rint(low - lowest * (high - low) / np.where(width == 0, 1, width))
        zero = np.clip(zero, low, high).astype(np.int32)
        grid = Quantized(x, scale, zero, bits, low, high, block)
        return replace(grid, codes=_encode(groups, grid).reshape(x.shape))

    if isinstance(clip, str):
        return _best_clip(x, groups, axes, clip, lambda share: made(lowest * share, highest * share))
    if clip is not None:
        below, above = map(float, clip) if np.size(clip) == 2 else (-_limit(clip), _limit(clip))
        if not below <= 0 <= above or below == above or not np.isfinite(above - below):
            raise InputError(
                f"The range {below} to {above} cannot be used for clipping. It has to hold 0 and more. "
                "Pass one positive limit or a pair (lowest, highest) around 0."
            )
        lowest, highest = np.maximum(lowest, below), np.minimum(highest, above)
    return made(lowest, highest)


def ternary(x, axis: int | None = None, block: int | None = None) -> Quantized:
    """Quantize to −1, 0 and 1 times the mean of |x| of each group, as BitNet b1.58 does.

    Three levels carry log2(3) = 1.58 bits; they are counted as 2 bits, one code each. Raises as `absmax`.
    """
    x = _checked(x)
    groups, axes = _groups(x, axis, block)
    scale = _scale(np.abs(groups).mean(axis=axes, keepdims=True, dtype=np.float64), 1)
    grid = Quantized(x, scale, np.zeros(scale.shape, np.int32), 2, -1, 1, block)
    return replace(grid, codes=_encode(groups, grid).reshape(x.shape))


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


def _encode(groups: np.ndarray, grid: Quantized) -> np.ndarray:
    """Return the codes of values shaped like the groups of a grid; what lies outside becomes its nearest end."""
    if grid.bits == 1 and grid.high - grid.low == 2:  # −1 and 1 without a 0
        return np.where(groups < 0, -1, 1).astype(np.int8)
    codes = np.rint(groups / grid.scale) + grid.zero
    return np.clip(codes, grid.low, grid.high).astype(np.int8 if grid.low < 0 else np.uint8)


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


def _best_clip(x, groups, axes, name: str, made: Callable[[np.ndarray], Quantized]) -> Quantized:
    """Try shares of the full range, first coarsely, then finely around the best of each group."""
    if name != "mse":
        raise InputError(f"clip={name!r} is unknown. The only search there is looks at squared errors. Use clip='mse'.")
    best_share, best_error = np.float64(1.0), None

    def attempt(share: np.ndarray) -> None:
        nonlocal best_share, best_error
        approximation = made(share).dequantize().reshape(groups.shape)
        error = np.mean((approximation.astype(np.float64) - groups) ** 2, axis=axes, keepdims=True)
        better = True if best_error is None else error < best_error
        best_share = np.where(better, share, best_share)
        best_error = np.where(better, error, np.inf if best_error is None else best_error)

    for share in np.geomspace(1, 0.01, 60):  # steps of 8 %
        attempt(share)
    centre = best_share
    for factor in np.geomspace(0.93, 1.07, 15):  # steps of 1 %
        attempt(np.minimum(centre * factor, 1.0))
    return made(best_share)


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


def _checked(x) -> np.ndarray:
    """Return x as float32, or float64 if it was; refuse what cannot be quantized."""
    array = np.asarray(x)
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise InputError(
            f"Real numbers are needed, these are of type {array.dtype}. Quantization maps real numbers to integers. "
            "Convert them first, for instance with numpy.asarray(x, dtype=numpy.float32)."
        )
    if array.size == 0:
        raise InputError(
            f"The array is empty, its shape is {array.shape}. There is no largest value to take a scale from. "
            "Pass at least one number."
        )
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{int(bad.sum())} of {array.size:,} values are not finite, the first is {array[where]} at {where}. No "
            "scale can hold inf or NaN. Find out where they come from; numpy.nan_to_num replaces them."
        )
    array = array.astype(np.float64 if array.dtype == np.float64 or array.dtype.kind in "iu" else np.float32)
    if np.abs(array).max() > np.finfo(np.float32).max:
        raise InputError(
            f"The largest magnitude is {np.abs(array).max():.3g}, beyond float32. Scales are float32. "
            "Scale the data down first."
        )
    return array


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
