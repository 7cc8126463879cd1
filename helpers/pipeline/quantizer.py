"""Smaller types from a GGUF of floats, by `llama_model_quantize`: the function behind llama.cpp's `llama-quantize`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from helpers import artifacts, machine
from helpers.errors import ConversionError, InputError, ResourceError
from helpers.pipeline import gguf_file
from helpers.pipeline.failures import DISK_FULL

# What llama_model_quantize can write without an importance matrix.
TYPES = ("Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S Q4_1 Q4_0 IQ4_NL IQ4_XS Q3_K_L Q3_K_M Q3_K_S Q2_K").split()
FLOATS = {"F32", "F16", "BF16"}
PART = r"-\d{5}-of-\d{5}$"  # how llama.cpp names the parts of a file: model-00001-of-00003.gguf


def requantize(gguf: Path | str, type_name: str = "Q4_K_M", threads: int | None = None) -> Path:
    """Quantize an F32, F16 or BF16 GGUF to a smaller type and return the new file, made once.

    The new file lies beside the source and is called like it: `model-F16.gguf` gives `model-Q4_K_M.gguf`. Any other
    source keeps its whole name, `model-BF16-Q4_K_M.gguf`, and so does what the converter writes too,
    `model-F16-Q8_0.gguf`: two sources do not share a file. A source in parts becomes one file. Runs llama.cpp's
    quantizer in this process. Raises InputError for an unknown type or a source that is quantized already (a second
    rounding adds to the first), ConversionError if llama.cpp refuses.
    """
    import llama_cpp

    if type_name not in TYPES:
        raise InputError(f"Unknown quantization type {type_name!r}. Choose one of: {', '.join(TYPES)}.")
    source = gguf_file.summary(gguf)
    gguf = source.path  # the first part, whichever was given
    if not set(source.types) <= FLOATS:
        raise InputError(
            f"{gguf.name} is quantized already ({source.main_type}). Quantizing twice adds the errors of both. "
            "Start from the F16 file: to_gguf(checkpoint, 'f16')."
        )
    stem = re.sub(PART, "", gguf.stem)
    stem = stem if type_name == "Q8_0" else re.sub(r"-F16$", "", stem)
    path = gguf.with_name(f"{stem}-{type_name}.gguf")
    with artifacts.locked(path):
        recipe = repr(
            ("quantized", artifacts.stamp(*(getattr(source, "parts", ()) or (gguf,))), type_name, llama_cpp.__version__)
        )
        if not (artifacts.Note.read(path, recipe) and gguf_file.is_whole(path)):
            artifacts.Note.forget(path)
            _requantize(gguf, source, type_name, path, threads)
            artifacts.Note.write(path, recipe)
    return path


def _requantize(gguf: Path, source: gguf_file.Summary, type_name: str, path: Path, threads: int | None) -> None:
    import ctypes

    import llama_cpp
    from tqdm.auto import tqdm

    from helpers.pipeline import runtime

    machine.require_disk(source.file_bytes * 0.55, path.parent, path.name)
    largest = max(tensor.elements for tensor in source.tensors)
    machine.require_memory(0.3e9 + 8 * largest, f"quantizing {gguf.name}")

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{type_name}")
    parameters.nthread = threads or machine.cores()
    with artifacts.making(path) as temporary:
        with tqdm(total=len(source.tensors), desc=f"quantizing to {type_name}", unit="tensor") as bar:

            def on_line(text: str) -> None:
                if done := re.search(r"\[\s*(\d+)/\s*\d+\]", text):
                    bar.update(int(done[1]) - bar.n)

            with runtime.log_to(on_line) as log:
                failed = llama_cpp.llama_model_quantize(
                    os.fsencode(gguf), os.fsencode(temporary), ctypes.byref(parameters)
                )
        if failed and re.search(DISK_FULL, "".join(log)):
            raise ResourceError(
                f"The disk filled up while quantizing {gguf.name}. The unfinished file was deleted. Free some space or "
                "set COURSE_ARTIFACTS to a folder on a larger disk."
            )
        if failed:
            last = next((line.strip() for line in reversed(log) if line.strip()), "nothing")
            raise ConversionError(
                f"llama.cpp could not quantize {gguf.name} to {type_name}. It said: {last}. "
                "Convert the checkpoint again and retry."
            )
