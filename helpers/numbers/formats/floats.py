"""Floating-point formats: a sign, an exponent and a fraction:  ± 1.fraction × 2^(exponent − bias).

Whatever the widths, rounding is the same four lines (`FloatFormat.round`): find the power of two below
|x|, multiply it by epsilon to get the spacing of the format's numbers there, round to a multiple of it.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from helpers.errors import InputError
from helpers.numbers.formats.given import codes_of, one_number, real_numbers

_CHUNK = 1 << 15  # numbers worked on at a time, so that what lies between two steps stays in the cache
_EXPONENT_FIELD = {
    np.float32: (np.uint32, np.uint32(0x7F800000)),
    np.float64: (np.uint64, np.uint64(0x7FF0000000000000)),
}


@dataclass(frozen=True)
class FloatFormat:
    """A floating-point format; all properties are derived from its widths and its rule for special values.

    specials: "ieee" the top exponent holds infinity and NaN; "nan" only the topmost code is NaN and there
    is no infinity (E4M3fn, E8M0); "none" every code is a number (E2M1).
    """

    title: str
    exponent_bits: int
    fraction_bits: int
    specials: str = "ieee"
    signed: bool = True

    @property
    def width(self) -> int:
        """Bits of one stored number."""
        return self.signed + self.exponent_bits + self.fraction_bits

    @property
    def bias(self) -> int:
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def epsilon(self) -> float:
        """Distance from 1 to the next larger number."""
        return 2.0**-self.fraction_bits

    @property
    def smallest_normal(self) -> float:
        """Smallest positive number with full precision; E8M0, which has no subnormals, begins with it."""
        return 2.0 ** ((1 if self.has_zero else 0) - self.bias)

    @property
    def smallest_subnormal(self) -> float:
        """Smallest positive number at all."""
        return self.smallest_normal * self.epsilon

    @property
    def max(self) -> float:
        """Largest finite number."""
        top = 2**self.exponent_bits - 1
        if self.specials == "ieee":
            return (2 - self.epsilon) * 2.0 ** (top - 1 - self.bias)
        if self.specials == "none":
            return (2 - self.epsilon) * 2.0 ** (top - self.bias)
        if self.fraction_bits == 0:  # E8M0: the topmost exponent is NaN
            return 2.0 ** (top - 1 - self.bias)
        return (2 - 2 * self.epsilon) * 2.0 ** (top - self.bias)  # E4M3fn: the topmost fraction is NaN

    @property
    def min(self) -> float:
        """Most negative finite number (for E8M0, which has no sign, the smallest number)."""
        return -self.max if self.signed else self.smallest_normal

    @property
    def has_zero(self) -> bool:
        return self.fraction_bits > 0

    def spacing(self, x) -> np.ndarray:
        """Return the distance between neighbouring numbers of the format around each |x| ≤ max."""
        return self._power_below(real_numbers(x)) * self.epsilon

    def round(self, x, saturate: bool = False) -> np.ndarray:
        """Round to the nearest number of the format, ties to even; any shape, float32 out.

        Beyond the largest number, IEEE formats give infinity, E4M3 and E8M0 (which have none) NaN, E2M1
        its largest number. `saturate=True` gives ± the largest number everywhere, infinities included.
        Where a format has no answer, ml_dtypes' one is given: NaN in E2M1 becomes a zero, zero and negative
        numbers in E8M0 become NaN, and E8M0 rounds up between its two smallest numbers.
        Raises InputError for anything but real numbers.
        """
        x = real_numbers(x)
        out = np.empty(x.shape, np.float32)
        flat_in, flat_out = x.reshape(-1), out.reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, x.size, _CHUNK):
                part = slice(start, start + _CHUNK)
                flat_out[part] = self._round(flat_in[part], saturate)
        return out

    def _round(self, x: np.ndarray, saturate: bool) -> np.ndarray:
        spacing = self._power_below(x)
        spacing *= spacing.dtype.type(self.epsilon)
        rounded = np.rint(np.divide(x, spacing))
        rounded *= spacing  # exact: a small integer times a power of two
        if self.width == 32 and x.dtype == np.float32:
            return rounded
        if saturate or self.specials == "none":
            np.clip(rounded, -self.max, self.max, out=rounded)
        elif self.max < 2.0**127:  # else float32's own overflow is the format's
            beyond = np.abs(rounded) > self.max
            if beyond.any():
                overflow = np.float32(np.inf if self.specials == "ieee" else np.nan)
                rounded[beyond] = np.copysign(overflow, rounded[beyond])
        elif self.specials == "nan":  # E8M0
            rounded[rounded > self.max] = np.nan
        if not self.signed:
            low = np.where(x > self.smallest_normal, 2 * self.smallest_normal, self.smallest_normal)
            rounded = np.where(x > 0, np.maximum(rounded, low), np.float32(np.nan))
        if self.specials == "none" and (missing := np.isnan(x)).any():
            rounded[missing] = np.copysign(np.float32(0), -x[missing])
        return rounded.astype(np.float32, copy=False)

    def _power_below(self, x: np.ndarray) -> np.ndarray:
        """Return the power of two at or below |x|, not less than the smallest normal number.

        Clearing sign and fraction of a float leaves exactly that power. Below the smallest normal number
        the spacing no longer shrinks: those are the subnormals.
        """
        integers, exponent_field = _EXPONENT_FIELD[x.dtype.type]
        power = (x.view(integers) & exponent_field).view(x.dtype)
        largest = min(self.max, 2.0**127)  # keeps inf and NaN from making an infinite spacing
        return np.clip(power, x.dtype.type(self.smallest_normal), x.dtype.type(2.0 ** np.floor(np.log2(largest))))

    def encode(self, x, saturate: bool = False) -> np.ndarray:
        """Round and return the codes: uint8, uint16 or uint32 holding the bits of each stored number."""
        value = self.round(x, saturate)
        pattern = value.view(np.uint32)
        magnitude = pattern & np.uint32(0x7FFFFFFF)
        shift, rebias = 23 - self.fraction_bits, (127 - self.bias) << self.fraction_bits
        with np.errstate(invalid="ignore", over="ignore"):
            normal = (magnitude >> np.uint32(shift)).astype(np.int64) - rebias
            subnormal = np.minimum(np.abs(value), np.float32(self.smallest_normal)) / np.float32(
                self.smallest_subnormal
            )
        if self.has_zero:
            code = np.where(np.abs(value) < self.smallest_normal, np.nan_to_num(subnormal).astype(np.int64), normal)
        else:
            code = np.where(value < 2.0**-126, 0, normal)  # float32 itself is subnormal there
        code = np.where(np.isnan(value), self._nan_code, code)
        if self.specials == "ieee":
            code = np.where(np.isinf(value), (2**self.exponent_bits - 1) << self.fraction_bits, code)
        if self.signed:
            code |= (pattern >> np.uint32(31)).astype(np.int64) << (self.width - 1)
        return code.astype(self.code_type)

    def decode(self, codes) -> np.ndarray:
        """Return the float32 numbers that the codes stand for; raises InputError for codes too wide."""
        codes = codes_of(codes, self.title, self.width)
        fraction = codes & (2**self.fraction_bits - 1)
        exponent = (codes >> self.fraction_bits) & (2**self.exponent_bits - 1)
        normal = (exponent > 0) | (not self.has_zero)
        significand = np.where(normal, 1.0, 0.0) + fraction * self.epsilon  # the hidden 1 is never stored
        value = np.ldexp(significand, np.where(normal, exponent, 1) - self.bias)
        if self.signed:
            value = np.where(codes >> (self.width - 1), -value, value)
        if self.specials == "ieee":
            special = exponent == 2**self.exponent_bits - 1
            value = np.where(special, np.where(fraction == 0, np.copysign(np.inf, value), np.nan), value)
        elif self.specials == "nan":
            value = np.where((codes & (2 ** (self.width - self.signed) - 1)) == self._nan_code, np.nan, value)
        return value.astype(np.float32)

    def bits(self, x: float) -> str:
        """Return the bits of one number, its fields apart: `FORMATS["fp16"].bits(1.0)` → "0 01111 0000000000"."""
        text = format(int(self.encode(one_number(x))), f"0{self.width}b")
        cuts = [0, int(self.signed), self.signed + self.exponent_bits, self.width]
        return " ".join(text[a:b] for a, b in itertools.pairwise(cuts) if b > a)

    def values(self) -> np.ndarray:
        """Return the number for every code, in order of the codes; for formats of at most 16 bits."""
        if self.width > 16:
            raise InputError(
                f"{self.title} has 2^{self.width} codes. Listing them all would fill the memory. "
                "Decode the codes you need with decode()."
            )
        return self.decode(np.arange(2**self.width))

    @property
    def code_type(self) -> type:
        return np.uint8 if self.width <= 8 else np.uint16 if self.width <= 16 else np.uint32

    @cached_property
    def _nan_code(self) -> int:
        """The code that ml_dtypes and NumPy write for NaN, without its sign."""
        if self.specials == "ieee":  # top exponent, highest bit of the fraction: a quiet NaN
            return ((2 ** (self.exponent_bits + 1) - 1) << self.fraction_bits) >> 1
        return 2 ** (self.width - self.signed) - 1
