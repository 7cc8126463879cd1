"""From a Hugging Face checkpoint to GGUF files, with llama.cpp's own converter and quantizer.

    f16 = convert.sixteen_bits(folder)               # F16, or BF16 for weights that F16 cannot hold
    q8_0 = convert.to_gguf(folder, "q8_0")           # or "auto", "f16", "bf16", "f32"
    small = convert.requantize(f16, "Q4_K_M")

The converter writes F32, F16, BF16 and Q8_0; every smaller type is made from one of those files. What is made lies in
artifacts/gguf, named by where it came from (`artifacts.key`), and is made again when anything it was made from changes:
the checkpoint, what is asked for, or the converter.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from helpers import artifacts, machine
from helpers.errors import CheckpointError, ConversionError, InputError, ResourceError
from helpers.pipeline import architectures, converter, gguf_file, llama_tools, origin, quantizer, view, weights
from helpers.pipeline.checkpoint import Checkpoint, read

summary = gguf_file.summary  # convert.summary(path) is the name the notebooks use
requantize, planned_size, TYPES = quantizer.requantize, quantizer.planned_size, quantizer.TYPES

# What convert_hf_to_gguf.py can write, and its bits per weight for matrices (one-row tensors stay F32).
OUTTYPES = {"f32": 32.0, "f16": 16.0, "bf16": 16.0, "q8_0": 8.5}
# Quantized checkpoints whose weights the converter can turn back into floats.
REVERSIBLE = ("fp8", "gptq", "compressed-tensors", "modelopt", "bitnet")


def to_gguf(
    checkpoint: Path | str | Checkpoint,
    outtype: str = "q8_0",
    *,
    dequantize: bool = False,
    split_bytes: int | None = None,
    metadata: dict | None = None,
) -> Path:
    """Convert a checkpoint and return the GGUF, made once and reused until something it was made from changes.

    `outtype` is f32, f16, bf16, q8_0 or auto: BF16 for BF16 weights and for those beyond F16's range, else F16.
    `dequantize` turns an FP8, GPTQ, compressed-tensors or ModelOpt checkpoint back into floats, with the loss that it
    has. `split_bytes` writes parts of at most so many bytes; the first one is returned. `metadata` adds to what the
    file says of itself, by GGUF's names: {"general.author": "Ada"}. What the converter remarks becomes a
    ConverterWarning. Raises InputError, CheckpointError, ResourceError or ConversionError; whatever happens, no
    half-written file carries the final name.
    """
    outtype = outtype.lower()
    if outtype not in (*OUTTYPES, "auto"):
        raise InputError(
            f"The converter cannot write {outtype!r}. It knows {', '.join(OUTTYPES)} and auto; smaller types are "
            "made from one of its files. Use requantize(gguf, type) for those."
        )
    if split_bytes is not None and split_bytes < 1_000_000:
        raise InputError(
            f"split_bytes is {split_bytes:,}. Parts so small would be thousands, and a tensor is never divided. Choose "
            "some gigabytes, for example 4_000_000_000, or leave it out."
        )
    source = _open(checkpoint, dequantize)
    outtype = _automatic(source) if outtype == "auto" else outtype
    options = ("--split-max-size", str(split_bytes)) if split_bytes else ()
    return _made(source, outtype, outtype.upper(), (*options, *_without_guessing(source)), metadata)


def sixteen_bits(checkpoint: Path | str | Checkpoint, *, dequantize: bool = False) -> Path:
    """Return the GGUF from which all others are made: F16, or BF16 for a checkpoint with a weight beyond F16's range.

    F16 has 3 binary digits more than BF16 and keeps every BF16 weight that it can hold, but for the smallest; and most
    processors compute with it faster. `dequantize` and what is raised: as in `to_gguf`.
    """
    source = checkpoint if isinstance(checkpoint, Checkpoint) else read(Path(checkpoint))
    with contextlib.suppress(CheckpointError):  # what is wrong beside the range is wrong for BF16, too
        return to_gguf(source, "f16", dequantize=dequantize)
    return to_gguf(source, "bf16", dequantize=dequantize)


def mmproj(checkpoint: Path | str | Checkpoint, outtype: str = "f16") -> Path:
    """Convert the part of a vision model that turns pictures into embeddings; llama.cpp takes it as a second file.

    `outtype` is f32, f16, bf16 or q8_0. Raises what `to_gguf` raises, ConversionError for a model without such a part.
    """
    outtype = outtype.lower()
    if outtype not in OUTTYPES:
        raise InputError(f"The converter cannot write {outtype!r}. It knows {', '.join(OUTTYPES)}. Choose one of them.")
    return _made(_open(checkpoint, False), outtype, f"mmproj-{outtype.upper()}", ("--mmproj",), None)


def _open(checkpoint: Path | str | Checkpoint, dequantize: bool) -> Checkpoint:
    """Return a checkpoint that the converter is to see, or raise CheckpointError."""
    source = checkpoint if isinstance(checkpoint, Checkpoint) else read(Path(checkpoint))
    name, kind = source.folder.name, getattr(source, "kind", "causal")
    if kind == "adapter":
        raise CheckpointError(
            f"{name} is an adapter: it holds changes to a model, not the model. Merge it into its base first, "
            "adapters.merge(adapter_folder, base_folder), and convert the folder that this returns."
        )
    method = (source.config.get("quantization_config") or {}).get("quant_method")
    if method and method not in REVERSIBLE and method != "mxfp4":  # the converter copies MXFP4 as it is
        base = " ".join(origin.bases(source.folder)) or "its model card names it"
        raise CheckpointError(
            f"{name} is quantized already ({method}), in a way that the converter cannot read. GGUF needs the weights "
            f"as they were before. Download the base model instead: {base}."
        )
    if method in REVERSIBLE and not dequantize:
        raise CheckpointError(
            f"{name} is quantized already ({method}). Its weights can be turned back into floats, but what they lost "
            "stays lost, and the GGUF's own rounding is added. Convert the base model if you can, or ask for it by "
            "dequantize=True, in to_gguf and in sixteen_bits."
        )
    if method in REVERSIBLE:
        converter.warn(name, [f"the weights were {method} once: the GGUF keeps that loss and adds its own"])
    if kind == "vision":
        converter.warn(name, ["the text part only; mmproj(checkpoint) makes the file for pictures"])
    return source


def _without_guessing(source: Checkpoint) -> tuple[str, ...]:
    """Return the converter's option for models whose layers that guess ahead (`mtp.*`) were not saved.

    transformers drops them; the converter expects them of these architectures and stops with an assertion.
    """
    there = any(re.match(r"(model\.)?mtp\.", name) for name in source.tensors)
    name = architectures.name_of(source.config) or ""
    return ("--no-nextn",) if name.startswith(("Qwen3Next", "Qwen3_5")) and not there else ()


def _automatic(source: Checkpoint) -> str:
    matrices = [tensor for tensor in source.tensors.values() if len(tensor.shape) > 1]
    bf16 = sum(tensor.elements for tensor in matrices if tensor.dtype == "BF16")
    # 1 % may be something else: routers and the like are kept in F32. More is meant to be more exact than BF16.
    if bf16 >= 0.99 * sum(tensor.elements for tensor in matrices):
        return "bf16"
    if all(tensor.dtype == "F16" for tensor in matrices):
        return "f16"
    return "bf16" if weights.beyond(source, weights.largest(source), "f16") else "f16"


@dataclass(frozen=True)
class _Request:
    """What to convert, how, and into which file; `place` is where the lock and the note lie."""

    source: Checkpoint
    outtype: str
    options: tuple[str, ...]
    about: origin.Origin
    tools: Path
    path: Path
    place: Path

    def recipe(self, fingerprint: str) -> str:
        """Return all that the result depends on; a file made by another recipe is made anew."""
        files = [*view.small_files(self.source.folder), *view.weight_files(self.source)]
        return repr(("converted", artifacts.stamp(*files), fingerprint, self.outtype, self.options, self.about))


def _made(source: Checkpoint, outtype: str, label: str, options: tuple[str, ...], metadata: dict | None) -> Path:
    """Return the first file of what the converter makes, from artifacts or anew."""
    tools = llama_tools.tools()
    fingerprint = llama_tools.fingerprint(tools)
    key = artifacts.key(source.folder)
    if fingerprint != llama_tools.SHA256:  # another converter may do better or worse: its files lie beside the others
        key = f"{key}-llama.{fingerprint[:6]}"
    path = artifacts.folder("gguf") / f"{key}-{label}.gguf"
    place = path.with_stem(f"{path.stem}-parts") if "--split-max-size" in options else path
    request = _Request(source, outtype, options, origin.of(source, metadata), tools, path, place)
    with artifacts.locked(place):
        recipe = request.recipe(fingerprint)
        note = artifacts.Note.read(place, recipe)
        if not (note and gguf_file.is_whole(note.files[0])):
            artifacts.Note.forget(place)
            note = artifacts.Note.write(place, recipe, *_convert(request))
    converter.warn(note.files[0].name, note.remarks)
    return note.files[0]


def _convert(request: _Request) -> tuple[list[Path], list[str]]:
    """Run the converter; return the files it made under their final names, and its remarks."""
    source, about, path = request.source, request.about, request.path
    # Of a quantized checkpoint, eight weights of 4 bits are packed into one number of 32.
    sizes = [tensor.elements * (8 if tensor.dtype == "I32" else 1) for tensor in source.tensors.values()]
    machine.require_memory(0.6e9 + 10 * max(sizes), f"converting {source.folder.name}")
    machine.require_disk(sum(sizes) * OUTTYPES[request.outtype] / 8, path.parent, path.name)
    weights.check(source, request.outtype)
    with artifacts.partial(request.place) as workspace:
        # The converter takes the output's name for a template, and metadata from the folder's: both get plain ones.
        model, out = workspace / "model" / about.id, workspace / "out"
        try:
            view.make(source, model, about)
            out.mkdir()
            (workspace / "metadata.json").write_text(json.dumps(about.metadata), encoding="utf-8")
        except OSError as error:
            raise ResourceError(
                f"The files of {source.folder.name} could not be copied for the converter: {error.strerror}. The disk "
                "is full, or a file or folder is not accessible. Free some space, check the rights, or set "
                "COURSE_ARTIFACTS to another folder."
            ) from None
        arguments = [str(model), "--outfile", str(out / "model.gguf"), "--outtype", request.outtype]
        arguments += ["--model-name", about.title, "--metadata", "metadata.json", *request.options]
        remarks = run_converter(request.tools / "convert_hf_to_gguf.py", arguments, path.name, workspace)
        made = sorted(out.iterdir())
        if not made:
            raise ConversionError(
                f"The converter ended without an error and without writing {path.name}. It may have written elsewhere, "
                "or be another version than the pinned one. Remove LLAMA_CPP_DIR if it is set, and try again."
            )
        if request.place != path:  # there may have been more parts before
            for old in path.parent.glob(f"{glob.escape(path.stem)}-?????-of-?????.gguf"):
                artifacts.remove(old)
        files = [path.with_stem(path.stem + file.stem.removeprefix("model")) for file in made]
        for file, final in reversed([*zip(made, files, strict=True)]):  # the part that names the whole comes last
            os.replace(file, final)
    return files, remarks


run_converter = converter.run  # tests put another one here
