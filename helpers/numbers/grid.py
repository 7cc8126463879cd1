"""The grid that quantized numbers stand on: evenly spaced values, and codes that say which of them is meant.

A `Grid` has the spacing and the place of zero, a `Quantized` the codes of some data on a grid. `integers` makes grids.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from helpers.errors import InputError


@dataclass(frozen=True)
class Grid:
    """The values (code − zero) × scale, for whole codes from `low` to `high`.

    `scale` (float32) and `zero` (int32) have one entry for each group of numbers that share them: shape (1, …, 1)
    per tensor, (rows, 1) for axis=0 of a matrix, (…, columns ÷ block, 1) per block.
    """

    scale: np.ndarray
    zero: np.ndarray
    bits: int
    low: int  # the smallest code allowed
    high: int  # the largest
    block: int | None = None

    def encode(self, x: np.ndarray) -> Quantized:
        """Give each number its nearest value of the grid, beyond the ends the nearer end.

        x: finite floats in the shape that the scales were made for, of any shape if there is only one scale.
        """
        groups = self.grouped(x)
        if self.bits == 1 and self.high - self.low == 2:  # −1 and 1 without a 0
            codes = np.where(groups < 0, -1, 1)
        else:
            codes = np.clip(np.rint(groups / self.scale) + self.zero, self.low, self.high)
        return Quantized(codes.astype(np.int8 if self.low < 0 else np.uint8).reshape(x.shape), self)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the float32 values that the codes stand for, in the shape of the codes."""
        values = (self.grouped(codes).astype(np.int32) - self.zero) * self.scale.astype(np.float64)
        largest = np.finfo(np.float32).max  # a scale rounded up can lead beyond it
        return np.clip(values, -largest, largest).astype(np.float32).reshape(codes.shape)

    def grouped(self, array: np.ndarray) -> np.ndarray:
        """Return the array in the shape that goes with `scale`: its own, with blocks (…, columns ÷ block, block)."""
        return array if self.block is None else array.reshape(*array.shape[:-1], -1, self.block)


@dataclass(frozen=True)
class Quantized:
    """Codes with the grid that gives them their meaning; `codes` has the shape of the data, int8 or uint8."""

    codes: np.ndarray
    grid: Grid

    def dequantize(self) -> np.ndarray:
        """Return the float32 numbers that the codes stand for, in the shape of the codes."""
        return self.grid.decode(self.codes)

    def encode(self, x) -> Quantized:
        """Quantize other data of a fitting shape on the same grid (static quantization).

        Raises InputError for a shape that the scales do not fit, and for data that cannot be quantized.
        """
        x = finite(x)
        if x.shape != self.codes.shape and (self.scale.size > 1 or self.block is not None):
            raise InputError(
                f"The shape {x.shape} does not fit the scales made for {self.codes.shape}. Each scale belongs to one "
                "part of that array. Quantize per tensor to reuse a scale for any shape."
            )
        return self.grid.encode(x)

    scale, zero, bits, low, high, block = (
        property(attrgetter(f"grid.{name}")) for name in ("scale", "zero", "bits", "low", "high", "block")
    )

    @property
    def nbytes(self) -> int:
        """Bytes when packed: `bits` for each code, 4 bytes for each scale, in affine schemes 1 for each zero point."""
        affine = self.high - self.low == 2**self.bits - 1  # symmetric schemes leave a code out, their zero is implied
        return -(-self.codes.size * self.bits // 8) + 4 * self.scale.size + affine * self.zero.size

    @property
    def bits_per_weight(self) -> float:
        """Bits for each weight, scales and zero points included."""
        return 8 * self.nbytes / self.codes.size


def finite(x) -> np.ndarray:
    """Return x as float32, or float64 if it was; raises InputError for what cannot be quantized."""
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
