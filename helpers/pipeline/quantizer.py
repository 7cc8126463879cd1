"""Smaller types from a GGUF of floats, by `llama_model_quantize`: the function behind llama.cpp's `llama-quantize`.

small = requantize(f16, "Q4_K_M")                               # model-Q4_K_M.gguf
better = requantize(f16, "IQ2_M", importance=matrix)            # model-imatrix-3fa29c-IQ2_M.gguf
ours = requantize(f16, "Q3_K_M", importance=matrix, types={"blk.0.attn_v.weight": "Q6_K"})
planned_size(f16, "IQ2_M", importance=matrix)                   # bytes, without making it
"""

from __future__ import annotations

import re
from pathlib import Path

from helpers import artifacts, machine
from helpers.errors import ConversionError, InputError, ResourceError
from helpers.pipeline import gguf_file, guards, quantizer_call, quantizer_guards, quantizer_layout
from helpers.pipeline.failures import DISK_FULL
from helpers.pipeline.quantizer_request import ALL_TYPES, TYPES, Importance, Request

__all__ = ["ALL_TYPES", "TYPES", "Importance", "planned_size", "requantize"]

PART = r"-\d{5}-of-\d{5}$"  # how llama.cpp names the parts of a file: model-00001-of-00003.gguf


def requantize(
    gguf: Path | str,
    type_name: str = "Q4_K_M",
    threads: int | None = None,
    importance: Importance | None = None,
    types: dict[str, str] | None = None,
) -> Path:
    """Quantize an F32, F16 or BF16 GGUF to a smaller type and return the new file, made once.

    importance: what weighs errors in each column (`quality.importance`); IQ3_XS and what is smaller, but Q2_K, need
    it. types: the type of single tensors by their exact names, `{"blk.0.attn_v.weight": "Q6_K"}`; the others keep what
    llama.cpp's recipe for `type_name` gives them (where 256 does not divide a row, a larger type). The file's metadata
    say both (`quantize.…`), and the types in it are compared with the plan.

    The new file lies beside the source and is called like it: `model-F16.gguf` gives `model-Q4_K_M.gguf`. Any other
    source keeps its whole name, `model-BF16-Q4_K_M.gguf`, and so does what the converter writes too,
    `model-F16-Q8_0.gguf`: two sources do not share a file, nor do two importances or choices of types:
    `model-imatrix-3fa29c-mix-0b7c11-Q4_K_M.gguf`. A source in parts becomes one file. Runs llama.cpp's
    quantizer in this process. Raises InputError for an unknown type, a source that is quantized already (a second
    rounding adds to the first), and what would end the process or be ignored; ConversionError if llama.cpp refuses.
    """
    threads = guards.thread_count(threads, machine.cores())
    request = _request(gguf, type_name, importance, types)
    path = _path(request)
    with artifacts.locked(path):
        recipe = request.recipe()
        if not (artifacts.Note.read(path, recipe) and gguf_file.is_whole(path)):
            artifacts.Note.forget(path)
            _make(request, path, threads)
            artifacts.Note.write(path, recipe)
    return path


def planned_size(
    gguf: Path | str,
    type_name: str = "Q4_K_M",
    importance: Importance | None = None,
    types: dict[str, str] | None = None,
) -> int:
    """Return how many bytes the file of `requantize` with these arguments would have, by a dry run of llama.cpp.

    Takes milliseconds for a small model. Raises what `requantize` raises for its arguments.
    """
    request = _request(gguf, type_name, importance, types)
    return quantizer_layout.file_bytes(request.source, _plan(request), request.metadata())


def _request(gguf, type_name, importance, types) -> Request:
    if importance is not None and not hasattr(importance, "weights"):
        raise InputError(
            f"{importance!r:.80} is no importance. A file of one must be read first. Use importance.read(path), or "
            "importance.collect(gguf, text)."
        )
    if not isinstance(types or {}, dict):
        raise InputError(
            f"types={types!r:.80} is no dictionary. It gives a type to tensors by their names. Pass a dict."
        )
    request = Request(gguf_file.summary(gguf), type_name, importance, dict(types or {}))
    quantizer_guards.check_request(request)
    return request


def _path(request: Request) -> Path:
    source = request.source.path  # the first part, whichever was given
    stem = re.sub(PART, "", source.stem)
    stem = stem if request.type_name == "Q8_0" else re.sub(r"-F16$", "", stem)
    return source.with_name("-".join([stem, *request.labels(), request.type_name]) + ".gguf")


def _plan(request: Request) -> dict[str, str]:
    """Return the type that each tensor is going to have, checked against the request."""
    plan = _dry_run(request, {})
    if request.types:
        plan = _dry_run(request, _named(request, plan | request.types))
    quantizer_guards.check_plan(request, plan)
    return plan


def _dry_run(request: Request, types: dict[str, str]) -> dict[str, str]:
    failed, log = quantizer_call.run(request, types)
    if failed:
        raise _refused(request, log)
    plan = quantizer_call.planned_types(log)
    if plan.keys() != {tensor.name for tensor in request.source.tensors}:
        raise ConversionError(
            f"llama.cpp's plan for {request.source.path.name} lists {len(plan):,} tensors, the file has "
            f"{len(request.source.tensors):,}. Its messages are not what this course reads. Install the pinned "
            "llama-cpp-python: python -m helpers.install."
        )
    return plan


def _named(request: Request, plan: dict[str, str]) -> dict[str, str]:
    """Return the types to hand over by name: none if none was asked for, else of all that are not copied."""
    before = {tensor.name: tensor.type for tensor in request.source.tensors}
    chosen = {name: kind for name, kind in plan.items() if kind != before[name] or name in request.types}
    return chosen if request.types else {}


def _make(request: Request, path: Path, threads: int) -> None:
    from tqdm.auto import tqdm

    source = request.source
    plan = _plan(request)
    n_bytes = quantizer_layout.file_bytes(source, plan, request.metadata())
    machine.require_disk(n_bytes, path.parent, path.name)
    largest = max(tensor.elements for tensor in source.tensors)
    machine.require_memory(0.3e9 + 8 * largest, f"quantizing {source.path.name}")
    quantizer_guards.require_scales_fit(request, plan)
    with artifacts.making(path) as temporary:
        with tqdm(total=len(source.tensors), desc=f"quantizing to {request.type_name}", unit="tensor") as bar:

            def on_line(text: str) -> None:
                if done := re.search(r"\[\s*(\d+)/\s*\d+\]", text):
                    bar.update(int(done[1]) - bar.n)

            failed, log = quantizer_call.run(request, _named(request, plan), temporary, threads, on_line)
        if failed:
            raise _refused(request, log)
        made = {tensor.name: tensor.type for tensor in gguf_file.summary(temporary).tensors}
        if other := {name: (kind, made.get(name)) for name, kind in plan.items() if made.get(name) != kind}:
            name, (wanted, found) = next(iter(other.items()))
            raise ConversionError(
                f"{len(other)} tensors of {path.name} have other types than planned: {name} is {found}, not {wanted}. "
                "llama.cpp did something else than it announced, and the file was deleted. Run the cell again."
            )


def _refused(request: Request, log: list[str]) -> ConversionError | InputError | ResourceError:
    """Return the error that llama.cpp's last words mean."""
    name, said = request.source.path.name, "".join(log)
    if re.search(DISK_FULL, said):
        return ResourceError(
            f"The disk filled up while quantizing {name}. The unfinished file was deleted. Free some space or "
            "set COURSE_ARTIFACTS to a folder on a larger disk."
        )
    if damaged := re.search(r"tensor '(.+)' has invalid data", said):
        return InputError(
            f"{damaged[1]} in {name} holds NaN or infinite numbers. The checkpoint is damaged or its training "
            "diverged. Take another one."
        )
    if narrow := re.search(r"no tensor type fallback is defined for type (\w+)", said):
        return InputError(
            f"{name} cannot become {request.type_name}: its rows are no multiples of {narrow[1]}'s blocks, and "
            "llama.cpp has no other type for such rows. Choose another type."
        )
    last = next((line.strip() for line in reversed(log) if line.strip()), "nothing")
    return ConversionError(
        f"llama.cpp could not quantize {name} to {request.type_name}. It said: {last}. "
        "Convert the checkpoint again and retry."
    )
