"""What is given to a format: real numbers, codes, a single number; anything else is refused."""

import numpy as np

from helpers.errors import InputError


def real_numbers(x) -> np.ndarray:
    """Return x as a contiguous float32 or float64 array: float64 is rounded once, not by way of float32."""
    array = np.asarray(x)
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise InputError(
            f"Real numbers are needed, these are of type {array.dtype}. Only floats and integers can be rounded to a "
            "format. Convert them first, for instance with numpy.asarray(x, dtype=numpy.float32)."
        )
    kind = np.float32 if array.dtype in (np.float32, np.float16) else np.float64
    return np.ascontiguousarray(array, kind).reshape(array.shape)


def codes_of(codes, title: str, width: int) -> np.ndarray:
    """Return the codes as int64, refusing what is no code of the format."""
    array = np.asarray(codes)
    if array.dtype.kind not in "iu" or (array.size and (array.min() < 0 or array.max() >= 2**width)):
        raise InputError(
            f"Codes of {title} are whole numbers from 0 to 2^{width} − 1. These are of type {array.dtype} "
            "or lie outside. Pass what encode() returned."
        )
    return array.astype(np.int64)


def one_number(x) -> np.ndarray:
    """Return x as a 0-dimensional array, refusing more than one number."""
    array = np.asarray(x)
    if array.size != 1:
        raise InputError(
            f"bits() shows one number at a time, this has {array.size}. It draws the bits as text. "
            "Use encode() for the codes of an array."
        )
    return array.reshape(())
