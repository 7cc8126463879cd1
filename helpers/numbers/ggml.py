"""ggml's own C code, called directly: the reference that our block formats are compared with.

The library comes with llama-cpp-python. `quantize` runs the same function as llama.cpp's quantizer.
"""

import ctypes
import functools
from pathlib import Path

import numpy as np

from helpers.errors import InputError

# Others either need an importance matrix or end the process when they are asked for.
TYPES = ("F16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "IQ4_NL", "MXFP4")


def quantize(x: np.ndarray, kind: str, importance: np.ndarray | None = None) -> np.ndarray:
    """Return the bytes that ggml's `ggml_quantize_chunk` makes of a matrix, on one thread.

    x: (rows, columns); → uint8 (rows, bytes of a row). `importance` (columns,) weighs the errors of each column when
    scales are searched: a row of llama.cpp's importance matrix. Raises InputError for an unknown type or columns
    that are no multiple of its block.
    """
    import gguf

    if kind not in TYPES:
        raise InputError(
            f"ggml cannot be asked for {kind!r} here. It may not exist or stop the program. Use {', '.join(TYPES)}."
        )
    number = gguf.GGMLQuantizationType[kind]
    weights, n_bytes = gguf.GGML_QUANT_SIZES[number]
    x = np.ascontiguousarray(x, np.float32)
    if x.ndim != 2 or x.size == 0 or x.shape[1] % weights or not np.isfinite(x).all():
        raise InputError(
            f"A matrix of shape {x.shape} cannot be quantized to {kind}. ggml takes rows of whole blocks of {weights} "
            "finite numbers. Reshape it, or choose a type with smaller blocks."
        )
    out = np.empty((len(x), x.shape[1] // weights * n_bytes), np.uint8)
    weights_of_columns = None
    if importance is not None:
        importance = np.ascontiguousarray(importance, np.float32)
        if importance.shape != x.shape[1:] or not np.isfinite(importance).all() or importance.min() < 0:
            raise InputError(
                f"An importance of shape {importance.shape} does not fit {x.shape[1]} columns, or is negative or not "
                "finite. It has one number for each column. Use the mean square of each input of the matrix."
            )
        weights_of_columns = importance.ctypes.data
    _function()(number, x.ctypes.data, out.ctypes.data, 0, len(x), x.shape[1], weights_of_columns)
    return out


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
