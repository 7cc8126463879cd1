"""From a Hugging Face checkpoint to GGUF files, with llama.cpp's own converter and quantizer.

The converter writes F32, F16, BF16 and Q8_0; every smaller type is made from one of those files by
`llama_model_quantize`, the function behind llama.cpp's `llama-quantize`.
"""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

from helpers import artifacts, machine
from helpers.errors import ConversionError, InputError, ResourceError
from helpers.pipeline import gguf_file, llama_tools
from helpers.pipeline.checkpoint import Checkpoint, read

summary = gguf_file.summary  # convert.summary(path) is the name the notebooks use

# What convert_hf_to_gguf.py can write, and its bits per weight for matrices (one-row tensors stay F32).
OUTTYPES = {"f32": 32.0, "f16": 16.0, "bf16": 16.0, "q8_0": 8.5}
# What llama_model_quantize can write without an importance matrix.
TYPES = ("Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S Q4_1 Q4_0 IQ4_NL IQ4_XS Q3_K_L Q3_K_M Q3_K_S Q2_K").split()
# How a full disk sounds: from Python, from numpy's tofile (the converter) and from C++ (the quantizer).
DISK_FULL = r"No space left on device|Disk quota exceeded|File too large|requested and \d+ written|iostream error"
# The versions this course was tested with, named when the converter fails for unknown reasons.
TESTED = "transformers 5.15 to 5.23, sentencepiece 0.2, protobuf 5"


def to_gguf(checkpoint: Path, outtype: str = "q8_0") -> Path:
    """Convert a checkpoint folder and return the GGUF, made once and reused until a file of the folder changes.

    `outtype` is f32, f16, bf16 or q8_0. Raises CheckpointError, ResourceError or ConversionError;
    whatever happens, no half-written file carries the final name.
    """
    outtype = outtype.lower()
    if outtype not in OUTTYPES:
        raise InputError(
            f"The converter cannot write {outtype!r}. It knows {', '.join(OUTTYPES)}; smaller types are "
            "made from one of its files. Use requantize(gguf, type) for those."
        )
    source = read(checkpoint)
    path = artifacts.folder("gguf") / f"{checkpoint.name}-{outtype.upper()}.gguf"
    note = path.with_name(f".{path.name}.source")  # what it was made from: another folder may have the same name
    with artifacts.locked(path):
        stamp = artifacts.stamp(checkpoint)
        if note.is_file() and note.read_text() == stamp and gguf_file.is_whole(path):
            return path
        note.unlink(missing_ok=True)  # it must not vouch for the file that comes now
        _convert(source, outtype, path)
        with contextlib.suppress(OSError):  # without the note the file is made again, no more
            note.write_text(stamp)
    return path


def _convert(source: Checkpoint, outtype: str, path: Path) -> None:
    tools = llama_tools.tools()
    largest = max(tensor.elements for tensor in source.tensors.values())
    machine.require_memory(0.6e9 + 10 * largest, f"converting {source.folder.name}")
    machine.require_disk(source.parameters * OUTTYPES[outtype] / 8, path.parent, path.name)
    with artifacts.making(path) as temporary:
        command = [sys.executable, str(tools / "convert_hf_to_gguf.py"), str(source.folder)]
        run_converter([*command, "--outfile", str(temporary), "--outtype", outtype], path.name)
        if not temporary.exists():
            raise ConversionError(
                f"The converter ended without an error and without writing {path.name}. It may have written elsewhere, "
                "or be another version than the pinned one. Remove LLAMA_CPP_DIR if it is set, and try again."
            )


def run_converter(command: list[str], name: str) -> None:
    """Run the converter as a subprocess with a progress bar; raise ConversionError in plain words."""
    from tqdm.auto import tqdm

    environment = machine.child_environment(HF_HUB_OFFLINE="1", PYTHONUNBUFFERED="1")
    as_text = {"text": True, "encoding": "utf-8", "errors": "replace"}  # a progress bar's \r ends a line, too
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, **as_text)
    log: list[str] = []
    try:
        with tqdm(total=100, desc=f"writing {name}", bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}") as bar:
            for line in process.stderr:
                if percent := re.search(r"Writing:\s+(\d+)%", line):
                    bar.update(int(percent[1]) - bar.n)
                elif line.strip():
                    log = [*log[-200:], line.rstrip()]
            if process.wait() == 0:
                bar.update(100 - bar.n)
    except BaseException:  # interrupted: do not leave the converter running
        process.kill()
        process.wait()
        raise
    if process.returncode != 0:
        raise explain_failure(process.returncode, log)


def explain_failure(code: int, log: list[str]) -> ConversionError | ResourceError:
    """Translate the converter's exit code and last words into what happened, why, and what to do."""
    text = "\n".join(log)
    if code in (-9, 137) or "MemoryError" in text:
        return ResourceError(
            "The converter was killed. The system had too little memory. Close other notebooks, choose a "
            "smaller model (COURSE_MODEL), or run the converter by hand with --use-temp-file."
        )
    if re.search(DISK_FULL, text):
        return ResourceError(
            "The disk filled up while converting. The unfinished file was deleted. Free some space or "
            "set COURSE_ARTIFACTS to a folder on a larger disk."
        )
    known = {
        r"No module named '(conversion|gguf)": "The converter's own packages are missing. The script was "
        "taken without the folders beside it. Delete artifacts/llama.cpp and run the cell again.",
        r"pre-tokenizer was not recognized": "The converter does not know this model's tokenizer. It is older "
        f"than the model: the course pins llama.cpp at {llama_tools.COMMIT[:9]}. Set LLAMA_CPP_DIR to a newer tree.",
        r"Can ?not map tensor": "The converter met a tensor it cannot place. The checkpoint is "
        "probably quantized already. Convert the original model instead.",
        r"Model (\S+) is not supported": "The converter does not know this architecture. It is not in "
        "llama.cpp, or newer than the pinned version. Set LLAMA_CPP_DIR to a newer tree.",
        r"(FileNotFoundError|File not found).*tokenizer": "The tokenizer's files are missing. The download was "
        "incomplete. Download the checkpoint again with tokenizer.model or tokenizer.json.",
        r"(Import|ModuleNotFound)Error": "The converter could not import a package. The environment differs from "
        f"the tested one ({TESTED}). Install the course's versions: python -m helpers.install.",
    }
    last = next((line.strip() for line in reversed(log) if line.strip()), "nothing")
    for pattern, message in known.items():
        if re.search(pattern, text):
            return ConversionError(f"{message} (It said: {last})")
    return ConversionError(
        f"The converter stopped with exit code {code}. It said: {last}. This course was tested with {TESTED}; "
        "if yours differ, install those and run the cell again."
    )


def requantize(gguf: Path, type_name: str = "Q4_K_M", threads: int | None = None) -> Path:
    """Quantize an F32, F16 or BF16 GGUF to a smaller type and return the new file, made once.

    Runs llama.cpp's quantizer in this process. Raises InputError for an unknown type or a source that
    is quantized already (a second rounding adds to the first), ConversionError if llama.cpp refuses.
    """
    if type_name not in TYPES:
        raise InputError(f"Unknown quantization type {type_name!r}. Choose one of: {', '.join(TYPES)}.")
    source = gguf_file.summary(gguf)
    if not set(source.types) <= {"F32", "F16", "BF16"}:
        raise InputError(
            f"{gguf.name} is quantized already ({source.main_type}). Quantizing twice adds the errors of both. "
            "Start from the F16 file: to_gguf(checkpoint, 'f16')."
        )
    stem = re.sub(r"-(F32|F16|BF16)$", "", gguf.stem)
    path = gguf.with_name(f"{stem}-{type_name}.gguf")
    with artifacts.locked(path):
        if not (artifacts.is_current(path, gguf) and gguf_file.is_whole(path)):
            _requantize(gguf, source, type_name, path, threads)
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
