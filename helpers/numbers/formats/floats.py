"""Number formats, bit by bit: `FORMATS["bf16"].round(x)` gives what a library would store for x.

A floating-point format is a sign, an exponent and a fraction:  ± 1.fraction × 2^(exponent − bias).
Whatever the widths, rounding is the same four lines (`FloatFormat.round`): find the power of two below
|x|, multiply it by epsilon to get the spacing of the format's numbers there, round to a multiple of it.

The results equal NumPy's and ml_dtypes' casts in every bit. TF32 has no storage type in any library: it
is how a tensor core reads FP32, kept here as 19 bits and rounded to nearest even.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from helpers.errors import InputError


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
        return self._power_below(_floats(x)) * self.epsilon

    def round(self, x, saturate: bool = False) -> np.ndarray:
        """Round to the nearest number of the format, ties to even; any shape, float32 out.

        Beyond the largest number, IEEE formats give infinity, E4M3 and E8M0 (which have none) NaN, E2M1
        its largest number. `saturate=True` gives ± the largest number everywhere, infinities included.
        Where a format has no answer, ml_dtypes' one is given: NaN in E2M1 becomes a zero, zero and negative
        numbers in E8M0 become NaN, and E8M0 rounds up between its two smallest numbers.
        Raises InputError for anything but real numbers.
        """
        x = _floats(x)
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
        codes = _codes(codes, self)
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
        text = format(int(self.encode(_one(x))), f"0{self.width}b")
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
        return np.ones_like(_floats(x))

    def round(self, x, saturate: bool = True) -> np.ndarray:
        """Round to the nearest integer, ties to even; float32 out.

        Numbers beyond the range become the nearest end of it; with `saturate=False` they wrap around, as
        keeping the lowest bits does. Raises InputError for NaN, and for infinities that would have to wrap.
        """
        x = _floats(x)
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
        codes = _codes(codes, self)
        return np.where(codes > self.max, codes - 2**self.width, codes).astype(np.float32)

    def bits(self, x: float) -> str:
        """Return the bits of one number, for instance `FORMATS["int8"].bits(-1)` → "11111111"."""
        return format(int(self.encode(_one(x))), f"0{self.width}b")

    def values(self) -> np.ndarray:
        """Return the number for every code, in order of the codes."""
        return self.decode(np.arange(2**self.width))


FORMATS: dict[str, FloatFormat | IntegerFormat] = {
    "fp32": FloatFormat("FP32", 8, 23),
    "tf32": FloatFormat("TF32", 8, 10),
    "fp16": FloatFormat("FP16", 5, 10),
    "bf16": FloatFormat("BF16", 8, 7),
    "fp8_e4m3": FloatFormat("FP8 E4M3", 4, 3, specials="nan"),
    "fp8_e5m2": FloatFormat("FP8 E5M2", 5, 2),
    "fp4_e2m1": FloatFormat("FP4 E2M1", 2, 1, specials="none"),
    "e8m0": FloatFormat("E8M0", 8, 0, specials="nan", signed=False),
    "int8": IntegerFormat("INT8", 8),
    "uint8": IntegerFormat("UINT8", 8, signed=False),
    "int4": IntegerFormat("INT4", 4),
}

_CHUNK = 1 << 15  # numbers worked on at a time, so that what lies between two steps stays in the cache
_EXPONENT_FIELD = {
    np.float32: (np.uint32, np.uint32(0x7F800000)),
    np.float64: (np.uint64, np.uint64(0x7FF0000000000000)),
}


def _floats(x) -> np.ndarray:
    """Return x as a contiguous float32 or float64 array: float64 is rounded once, not by way of float32."""
    array = np.asarray(x)
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise InputError(
            f"Real numbers are needed, these are of type {array.dtype}. Only floats and integers can be rounded to a "
            "format. Convert them first, for instance with numpy.asarray(x, dtype=numpy.float32)."
        )
    kind = np.float32 if array.dtype in (np.float32, np.float16) else np.float64
    return np.ascontiguousarray(array, kind).reshape(array.shape)


def _codes(codes, form: FloatFormat | IntegerFormat) -> np.ndarray:
    """Return the codes as int64, refusing what is no code of the format."""
    array = np.asarray(codes)
    if array.dtype.kind not in "iu" or (array.size and (array.min() < 0 or array.max() >= 2**form.width)):
        raise InputError(
            f"Codes of {form.title} are whole numbers from 0 to 2^{form.width} − 1. These are of type {array.dtype} "
            "or lie outside. Pass what encode() returned."
        )
    return array.astype(np.int64)


def _one(x) -> np.ndarray:
    """Return x as a 0-dimensional array, refusing more than one number."""
    array = np.asarray(x)
    if array.size != 1:
        raise InputError(
            f"bits() shows one number at a time, this has {array.size}. It draws the bits as text. "
            "Use encode() for the codes of an array."
        )
    return array.reshape(())
