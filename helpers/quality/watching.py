"""Look on while a model reads: every product of a weight matrix with its inputs, through llama.cpp's own callback.

    with watched(llm, names, show) as read:       # show(name, node) for each product with a tensor of these names
        read(windows)                             # (windows, tokens) ids, logits asked for of every token

The logits of every token matter: in its last layer llama.cpp computes only the rows that somebody asked for, and a
watcher would see one row of each window there, without a word.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from helpers.errors import InputError
from helpers.pipeline import runtime
from helpers.quality import ggml_tensor
from helpers.quality.ggml_tensor import MUL_MAT, MUL_MAT_ID, Tensor

if TYPE_CHECKING:
    from llama_cpp import Llama


@contextlib.contextmanager
def watched(
    llm: Llama, names: Collection[str], show: Callable[[str, Tensor], None], at_once: int = 1
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that runs up to `at_once` windows of ids (int32) through an open model, each without the others.

    While it runs, `show(name, node)` gets every product with a weight of these names: `node.source(0)` is the weight,
    `node.source(1)` the inputs in F32, and of MUL_MAT_ID `node.source(2)` the experts chosen. What it raises, Ctrl-C
    included, comes out of the function: an exception cannot pass through C.
    """
    ggml_tensor.library()
    raised: list[BaseException] = []

    def look(address: int, ask: bool, _) -> bool:
        """Tell whether this node is wanted (`ask`), or show it once it is computed and its inputs are still there."""
        try:
            node = Tensor.from_address(address)
            if raised or node.op not in (MUL_MAT, MUL_MAT_ID) or node.source(1).type != ggml_tensor.F32:
                return False
            name = node.source(0).text
            if name in names and not ask:
                show(name, node)
            return name in names
        except BaseException as error:
            raised.append(error)
            return False

    with reader(llm, look, at_once) as read:

        def read_or_raise(windows: np.ndarray) -> None:
            try:
                read(windows)
            finally:
                if raised:
                    raise raised.pop()

        yield read_or_raise


@contextlib.contextmanager
def reader(
    llm: Llama, look: Callable[[int, bool, int], bool] | None = None, at_once: int = 1
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield the function of `watched`, with llama.cpp's own callback or none.

    The open model's context gives the size of a window. It gets a second context beside it, because the callback is
    chosen when one is made. Raises InputError if llama.cpp cannot make it, or cannot run a window.
    """
    import llama_cpp

    settings = type(llm.context_params).from_buffer_copy(llm.context_params)
    settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO  # as in llama.cpp's tools; saves up to a quarter
    if look:
        settings.cb_eval = llama_cpp.ggml_backend_sched_eval_callback(look)
    window, settings.n_seq_max, settings.kv_unified = settings.n_ctx, at_once, False
    room = settings.n_ctx = settings.n_batch = settings.n_ubatch = at_once * window
    batch = context = None

    def read(windows: np.ndarray) -> None:
        batch.n_tokens = windows.size
        np.ctypeslib.as_array(batch.token, (room,))[: windows.size] = windows.ravel()
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        failed = llama_cpp.llama_decode(context, batch)
        llama_cpp.llama_synchronize(context)
        if failed:
            raise InputError(
                f"llama.cpp could not run a window of {window} tokens. Memory may be short. Use a smaller window or "
                "close other programs."
            )

    try:
        with runtime.log_to():
            context = llama_cpp.llama_init_from_model(llm.model, settings)
        if not context:
            raise InputError(
                f"llama.cpp could not make a second context of {room} tokens. Memory may be short. Use a smaller "
                "window or close other programs."
            )
        batch = llama_cpp.llama_batch_init(room, 0, 1)
        np.ctypeslib.as_array(batch.pos, (room,))[:] = np.tile(np.arange(window), at_once)
        np.ctypeslib.as_array(batch.n_seq_id, (room,))[:] = 1
        np.ctypeslib.as_array(batch.logits, (room,))[:] = 1
        for i in range(room):
            batch.seq_id[i][0] = i // window
        yield read
    finally:
        if batch is not None:
            llama_cpp.llama_batch_free(batch)
        if context:
            llama_cpp.llama_free(context)
