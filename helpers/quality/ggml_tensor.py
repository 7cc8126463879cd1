"""ggml's tensors in the memory of a running model, read (and written) through ctypes.

    node = Tensor.from_address(address)           # an address that llama.cpp gave, see watching.py
    node.text, OPERATIONS.get(node.op), node.source(0).text
    numbers = array(node.source(1))               # valid as long as llama.cpp does not compute on

The struct is not part of llama.cpp's promises. `require_known_layout` builds tensors with ggml's own functions and
compares every field that is used here, so that a newer llama.cpp gives an error and not wrong numbers.
"""

from __future__ import annotations

import ctypes
import functools

import numpy as np

from helpers.errors import InstallError

MUL_MAT, MUL_MAT_ID = 29, 30  # ggml_op: a product with one matrix, and with the matrices of some experts
F32, I32 = 0, 26  # ggml_type
NUMPY = {F32: np.dtype(np.float32), I32: np.dtype(np.int32)}


class Tensor(ctypes.Structure):
    """`struct ggml_tensor` of ggml.h. `ne` and `nb` are lengths and strides in bytes, the fastest dimension first."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )

    @property
    def address(self) -> int:
        return ctypes.addressof(self)

    @property
    def text(self) -> str:
        """The name, without what llama.cpp puts around that of a copy on another device: `CUDA0#blk.0.attn_q#0`."""
        name = self.name.decode(errors="replace")
        return name.split("#")[1] if name.count("#") >= 2 else name

    def source(self, number: int) -> Tensor:
        """Return one of the tensors that this one is computed from."""
        return Tensor.from_address(self.src[number])


def array(tensor: Tensor) -> np.ndarray:
    """Return the numbers of an F32 or I32 tensor, four dimensions in numpy's order: `ne` and `nb` reversed.

    In ordinary memory it is a view of llama.cpp's own, which the next operation may overwrite; of a graphics card's
    it is a copy.
    """
    ggml = library()
    n_bytes = ggml.ggml_nbytes(tensor.address)
    if ggml.ggml_backend_buffer_is_host(tensor.buffer):
        memory = (ctypes.c_char * n_bytes).from_address(tensor.data)
    else:
        memory = ctypes.create_string_buffer(n_bytes)
        ggml.ggml_backend_tensor_get(tensor.address, memory, 0, n_bytes)
    return np.ndarray(tensor.ne[::-1], NUMPY[tensor.type], memory, strides=tensor.nb[::-1])


FUNCTIONS = {  # what they return, what they take
    "ggml_nbytes": (ctypes.c_size_t, [ctypes.c_void_p]),
    "ggml_tensor_overhead": (ctypes.c_size_t, []),
    "ggml_op_name": (ctypes.c_char_p, [ctypes.c_int]),
    "ggml_type_name": (ctypes.c_char_p, [ctypes.c_int]),
    "ggml_get_name": (ctypes.c_char_p, [ctypes.c_void_p]),
    "ggml_set_name": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]),
    "ggml_get_data": (ctypes.c_void_p, [ctypes.c_void_p]),
    "ggml_new_tensor_2d": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]),
    "ggml_mul_mat": (ctypes.c_void_p, [ctypes.c_void_p] * 3),
    "ggml_transpose": (ctypes.c_void_p, [ctypes.c_void_p] * 2),
    "ggml_free": (None, [ctypes.c_void_p]),
    "ggml_backend_buffer_is_host": (ctypes.c_bool, [ctypes.c_void_p]),
    "ggml_backend_tensor_get": (None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]),
    "ggml_backend_tensor_set": (None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]),
}


class _Settings(ctypes.Structure):
    """`struct ggml_init_params`."""

    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


@functools.cache
def library() -> ctypes.CDLL:
    """Return the ggml that llama.cpp uses in this process, its functions declared and the struct compared.

    It is found through libllama: opening libggml-base by its path would load a second copy with memory of its own.
    Raises InstallError if the functions are not there or the struct is another.
    """
    from llama_cpp import llama_cpp

    ggml = llama_cpp._lib
    try:
        for name, (returned, taken) in FUNCTIONS.items():
            function = getattr(ggml, name)
            function.restype, function.argtypes = returned, taken
        ggml.ggml_init.restype, ggml.ggml_init.argtypes = ctypes.c_void_p, [_Settings]
    except AttributeError as error:
        raise InstallError(
            f"This build of llama-cpp-python hides a function of ggml ({error}). The tensors of a running model are "
            "read with it. Install the pinned version: `python -m helpers.install`."
        ) from error
    require_known_layout(ggml)
    return ggml


def require_known_layout(ggml: ctypes.CDLL) -> None:
    """Raise InstallError unless tensors that ggml makes look as `Tensor` says, field by field."""
    wrong = None
    if ggml.ggml_tensor_overhead() != 32 + ctypes.sizeof(Tensor):  # an object's head, and the tensor
        wrong = f"a tensor takes {ggml.ggml_tensor_overhead() - 32} bytes, not {ctypes.sizeof(Tensor)}"
    elif [ggml.ggml_op_name(number) for number in (MUL_MAT, MUL_MAT_ID)] != [b"MUL_MAT", b"MUL_MAT_ID"]:
        wrong = "its operations have other numbers"
    elif [ggml.ggml_type_name(number) for number in (F32, I32)] != [b"f32", b"i32"]:
        wrong = "its types have other numbers"
    else:
        context = ggml.ggml_init(_Settings(1 << 16, None, False))
        try:
            wrong = _differing_field(ggml, context)
        finally:
            ggml.ggml_free(context)
    if wrong:
        raise InstallError(
            f"This llama.cpp has another layout of tensors: {wrong}. The course knows that of the pinned version and "
            "would read wrong numbers. Install it: `python -m helpers.install`, then restart the kernel."
        )


def _differing_field(ggml: ctypes.CDLL, context: int) -> str | None:
    """Return which field differs in a product of two tensors that ggml makes here, or None."""
    weight, x = (ggml.ggml_new_tensor_2d(context, F32, 5, rows) for rows in (3, 7))
    ggml.ggml_set_name(weight, b"a weight")
    product, turned = ggml.ggml_mul_mat(context, weight, x), ggml.ggml_transpose(context, x)
    first, node, view = (Tensor.from_address(address) for address in (weight, product, turned))
    seen = {
        "name": (first.text, "a weight"),
        "type": (first.type, F32),
        "buffer": (first.buffer, None),
        "ne": (list(node.ne), [3, 7, 1, 1]),
        "nb": (list(view.nb), [20, 4, 140, 140]),
        "op": (node.op, MUL_MAT),
        "src": (list(node.src), [weight, x, *[None] * 8]),
        "view_src": (view.view_src, x),
        "data": (first.data, ggml.ggml_get_data(weight)),
    }
    return next((f"{field} is {a}, expected {b}" for field, (a, b) in seen.items() if a != b), None)
