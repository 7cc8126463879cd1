"""Whole numbers as formats: two's complement, or unsigned."""

from dataclasses import dataclass

import numpy as np

from helpers.errors import InputError
from helpers.numbers.formats.given import codes_of, one_number, real_numbers


@dataclass(frozen=True)
class IntegerFormat:
    """Whole numbers in two's complement, or unsigned. Used with a scale; see `helpers.numbers.integers`."""

    title: str
    width: int
    signed: bool = True

    epsilon = 1.0
    smallest_normal = 1.0
    smallest_subnormal = 1.0  # there are no subnormals: the smallest positive number is 1

    @property
    def max(self) -> int:
        return 2 ** (self.width - self.signed) - 1

    @property
    def min(self) -> int:
        return -(2 ** (self.width - 1)) if self.signed else 0

    def spacing(self, x) -> np.ndarray:
        """Return 1 for every x: integers are evenly spaced."""
        return np.ones_like(real_numbers(x))

    def round(self, x, saturate: bool = True) -> np.ndarray:
        """Round to the nearest integer, ties to even; float32 out.

        Numbers beyond the range become the nearest end of it; with `saturate=False` they wrap around, as
        keeping the lowest bits does. Raises InputError for NaN, and for infinities that would have to wrap.
        """
        x = real_numbers(x)
        if np.isnan(x).any() or (not saturate and np.isinf(x).any()):
            raise InputError(
                f"{self.title} cannot hold NaN or wrap an infinity. Integers have no special values. "
                "Remove them first, for instance with numpy.nan_to_num."
            )
        rounded = np.rint(x)
        if saturate:
            rounded = np.clip(rounded, self.min, self.max)
        else:
            rounded = np.mod(rounded - self.min, 2**self.width) + self.min
        return np.asarray(rounded + 0.0, np.float32)  # + 0 turns −0 into 0

    def encode(self, x, saturate: bool = True) -> np.ndarray:
        """Round and return the codes as uint8; negative numbers in two's complement."""
        return (self.round(x, saturate).astype(np.int64) & (2**self.width - 1)).astype(np.uint8)

    def decode(self, codes) -> np.ndarray:
        """Return the float32 numbers that the codes stand for; raises InputError for codes too wide."""
        codes = codes_of(codes, self.title, self.width)
        return np.where(codes > self.max, codes - 2**self.width, codes).astype(np.float32)

    def bits(self, x: float) -> str:
        """Return the bits of one number, for instance `FORMATS["int8"].bits(-1)` → "11111111"."""
        return format(int(self.encode(one_number(x))), f"0{self.width}b")

    def values(self) -> np.ndarray:
        """Return the number for every code, in order of the codes."""
        return self.decode(np.arange(2**self.width))
