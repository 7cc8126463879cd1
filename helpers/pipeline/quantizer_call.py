"""The call of `llama_model_quantize`: importance, types and metadata as C arrays, and what its log says.

llama.cpp is not asked for what ends the process: `quantizer_request` comes before.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from pathlib import Path

from helpers.pipeline.quantizer_request import Request

# `[   3/  29] blk.0.ffn_down.weight - [  512,   256,     1,     1], type =    f16, size = 0.25 MiB -> 0.10 MiB (q3_K)`
LINE = re.compile(r"\[\s*\d+/\s*\d+\] (.+?)\s+- \[[^\]]*\], type =\s*(\w+), size =[^\n(]*(?:\((\w+)\))?\n")


def run(
    request: Request,
    types: dict[str, str],
    path: Path | None = None,
    threads: int = 1,
    on_line: Callable[[str], None] | None = None,
) -> tuple[bool, list[str]]:
    """Quantize into `path`, or plan only if it is None. Return whether llama.cpp failed, and what it said.

    types: of single tensors. llama.cpp's recipe counts the others alone, so one name changes the types of others:
    hand over all, or none.
    """
    import gguf
    import llama_cpp

    from helpers.pipeline import runtime

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{request.type_name}")
    parameters.nthread = threads
    parameters.dry_run = path is None
    # Each array ends with an empty entry. They, and what they point to, must live until the call is over.
    if request.importance is not None:
        tensors = {t.name for t in request.source.tensors}
        rows = [(name, request.weights(name)) for name in request.importance.names if name in tensors]
        matrix = (llama_cpp.llama_model_imatrix_data * (len(rows) + 1))()
        for entry, (name, weights) in zip(matrix, rows, strict=False):
            entry.name, entry.size = name.encode(), weights.size
            entry.data = weights.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        parameters.imatrix = matrix
    if types:
        overrides = (llama_cpp.llama_model_tensor_override * (len(types) + 1))()
        for entry, (name, kind) in zip(overrides, types.items(), strict=False):
            entry.pattern = f"^{re.escape(name)}$".encode()
            entry.type = gguf.GGMLQuantizationType[kind]
        parameters.tt_overrides = overrides
    if pairs := request.metadata():
        values = (llama_cpp.llama_model_kv_override * (len(pairs) + 1))()
        for entry, (key, value) in zip(values, pairs.items(), strict=False):
            entry.key = key.encode()
            if isinstance(value, int):
                entry.tag, entry.value.val_i64 = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_INT, value
            else:
                entry.tag, entry.value.val_str = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_STR, value.encode()
        parameters.kv_overrides = values
    with runtime.log_to(on_line) as log:
        failed = llama_cpp.llama_model_quantize(
            os.fsencode(request.source.path), os.fsencode(path or os.devnull), ctypes.byref(parameters)
        )
    return bool(failed), log


def planned_types(log: list[str]) -> dict[str, str]:
    """Return the type of each tensor that a dry run announced, as gguf-py spells it: `{"output.weight": "Q6_K"}`."""
    return {name: (after or before).upper() for name, before, after in LINE.findall("".join(log))}
