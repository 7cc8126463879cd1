"""ggml's own C code, called directly: the reference that our block formats are compared with.

The library comes with llama-cpp-python. `quantize` runs the same function as llama.cpp's quantizer, and refuses before
it what would end the process there: unknown types, missing importance, numbers that overflow.
"""

import ctypes
import functools
from pathlib import Path

import numpy as np

from helpers.errors import InputError

# Others do not exist or end the process when they are asked for (Q8_K, Q8_1, the integers).
TYPES = (
    "F32 F16 BF16 Q8_0 Q5_1 Q5_0 Q4_1 Q4_0 Q6_K Q5_K Q4_K Q3_K Q2_K IQ4_NL IQ4_XS IQ3_S IQ3_XXS IQ2_S IQ1_M "
    "MXFP4 NVFP4 TQ2_0 TQ1_0 Q1_0"
).split()
NEED_IMPORTANCE = ("IQ2_XS", "IQ2_XXS", "IQ1_S")  # an assertion in ggml_quantize_chunk ends the process without
# These search a grid of patterns. Where a sum overflows they find none, and an assertion ends the process.
GRIDS = ("IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S")
LARGEST = 65504  # the largest float16, which every scale of a block is stored as
LARGEST_IMPORTANCE = 1e20  # times LARGEST squared and a block's length it stays in float32
SMALLEST_BLOCK = 32


def quantize(x: np.ndarray, kind: str, importance: np.ndarray | None = None) -> np.ndarray:
    """Return the bytes that ggml's `ggml_quantize_chunk` makes of a matrix, on one thread.

    x: (rows, columns); → uint8 (rows, bytes of a row). `importance` (columns,) weighs the errors of each column when
    scales are searched: a row of llama.cpp's importance matrix. Raises InputError for an unknown type, columns that
    are no multiple of its block, and for numbers or an importance that ggml does not survive or spoils silently.
    """
    import gguf

    if kind not in (*TYPES, *NEED_IMPORTANCE):
        raise InputError(
            f"ggml cannot be asked for {kind!r} here. It may not exist or stop the program. Use {', '.join(TYPES)}, or "
            f"with an importance {', '.join(NEED_IMPORTANCE)}."
        )
    if kind in NEED_IMPORTANCE and importance is None:
        raise InputError(
            f"ggml cannot be asked for {kind!r} without importance. It would stop the program. Pass the mean square of "
            "each input of the matrix."
        )
    number = gguf.GGMLQuantizationType[kind]
    weights, n_bytes = gguf.GGML_QUANT_SIZES[number]
    x = np.ascontiguousarray(x, np.float32)
    if x.ndim != 2 or x.size == 0 or x.shape[1] % weights or not np.isfinite(x).all():
        raise InputError(
            f"A matrix of shape {x.shape} cannot be quantized to {kind}. ggml takes rows of whole blocks of {weights} "
            "finite numbers. Reshape it, or choose a type with smaller blocks."
        )
    if kind in GRIDS and (largest := float(np.abs(x).max())) > LARGEST:
        raise InputError(
            f"A matrix with {largest:.3g} in it cannot be quantized to {kind}. Scales are stored as float16, which "
            f"ends at {LARGEST}, and ggml would stop the program. Divide the matrix, or choose another type."
        )
    out = np.empty((len(x), x.shape[1] // weights * n_bytes), np.uint8)
    weights_of_columns = None
    if importance is not None:
        importance = np.ascontiguousarray(importance, np.float32)
        if importance.shape != x.shape[1:] or (fault := fault_of(importance)):
            raise InputError(
                f"An importance of shape {importance.shape} does not suit {x.shape[1]} columns: "
                f"{fault if importance.shape == x.shape[1:] else 'it has one number for each'}. Use the mean square of "
                "each input of the matrix."
            )
        weights_of_columns = importance.ctypes.data
    _function()(number, x.ctypes.data, out.ctypes.data, 0, len(x), x.shape[1], weights_of_columns)
    return out


def fault_of(importance: np.ndarray) -> str | None:
    """Return why ggml must not see this importance of columns (its last axis), or None.

    Not finite, negative or huge numbers end the process or make scales infinite. A block in which every column has
    none decodes to zeros, and nothing complains.
    """
    if not np.isfinite(importance).all():
        return "it holds numbers that are not finite"
    if importance.min() < 0:
        return f"it holds the negative number {importance.min():.3g}"
    if importance.max() > LARGEST_IMPORTANCE:
        return (
            f"its largest number, {importance.max():.3g}, lies above {LARGEST_IMPORTANCE:.0e} and sums would overflow"
        )
    columns = importance.shape[-1] // SMALLEST_BLOCK * SMALLEST_BLOCK
    blocks = importance[..., :columns].reshape(-1, SMALLEST_BLOCK)
    if not blocks.any(-1).all():
        return f"{SMALLEST_BLOCK} columns in a row have none, and their weights would become zeros"
    return None


@functools.cache
def _function():
    """Return `size_t ggml_quantize_chunk(type, src, dst, start, nrows, n_per_row, imatrix)`."""
    import llama_cpp

    folder = Path(llama_cpp.__file__).parent / "lib"
    library = next(path for path in sorted(folder.glob("*ggml-base*")) if path.suffix in (".so", ".dylib", ".dll"))
    function = ctypes.CDLL(str(library)).ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    return function
