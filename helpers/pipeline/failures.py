"""Why llama.cpp's converter stopped: its exit code and last words as what happened, why, and what to do.

Only the last exception counts. Python prints a chain of them when one is raised while another is handled, and the
converter tries several ways to read a tokenizer: what the earlier ones could not find says nothing about the end.
"""

from __future__ import annotations

import re

from helpers.errors import ConversionError, ResourceError
from helpers.pipeline import llama_tools

# How a full disk sounds: from Python, from numpy's tofile (the converter) and from C++ (the quantizer).
DISK_FULL = r"No space left on device|Disk quota exceeded|File too large|requested and \d+ written|iostream error"
# The versions this course was tested with, named when the converter fails for unknown reasons.
TESTED = "transformers 5.15 to 5.23, sentencepiece 0.2, protobuf 5"
NEWER = f"the course pins llama.cpp at {llama_tools.COMMIT[:9]}; set LLAMA_CPP_DIR to a newer tree"

# What the converter's last exception looks like → what happened, why, what to do. The first that matches counts.
KNOWN = {
    r"No module named '(conversion|gguf)": "The converter's own packages are missing. The script was "
    "taken without the folders beside it. Delete artifacts/llama.cpp and run the cell again.",
    r"pre-tokenizer was not recognized": "llama.cpp does not know how this model's tokenizer splits text: it goes by a "
    "list of checksums, and this one is not on it. Either somebody made a tokenizer of their own, which no version "
    f"knows, or the model is newer than the converter ({NEWER}). If the model was tuned from another one and kept its "
    "vocabulary, convert it with the tokenizer's files of that one.",
    r"Model (\S+) is not supported|Architecture .* not supported": "The converter does not know this architecture. It "
    f"is not in llama.cpp, or newer than the pinned version ({NEWER}).",
    r"Failed to detect model architecture": "config.json does not say which architecture this is: `architectures` is "
    "missing or empty. The file was written by another program, or belongs to a part of a model. Add the line that the "
    'base model\'s config.json has, for example "architectures": ["LlamaForCausalLM"].',
    r"AssertionError.* max\((tokenizer\.vocab|vocab|.*tokens.*)\.values\(\)\) <": "The tokenizer has more tokens than "
    "the model has rows in its embedding. Tokens were added and the embedding was not resized, or the tokenizer "
    "belongs to another model. Take the base model's tokenizer, or call resize_token_embeddings and save the model.",
    r"(FileNotFoundError|File not found).*(tokenizer\.model|spiece\.model)": "The converter reads this architecture's "
    "tokenizer from a sentencepiece file, and the folder has none; a tokenizer.json does not replace it. It was left "
    "out when the model was saved or downloaded. Put the tokenizer.model of the base model beside the weights.",
    r"(FileNotFoundError|File not found|OSError).*(tokenizer|vocab|merges)": "The tokenizer's files are missing. The "
    "download was incomplete. Download the checkpoint again with tokenizer.model or tokenizer.json.",
    r"untagged enum|Couldn't instantiate the backend tokenizer|JSONDecodeError": "A file of the model, most likely "
    "its tokenizer, cannot be read. It is damaged, or written for another version of the packages "
    f"({TESTED}). Download the tokenizer's files again, or take those of the base model.",
    r"trust_remote_code|does not appear to have a file named \S+\.py|custom code": "The model's tokenizer or "
    "configuration is a program in its repository. This course runs no program that comes with a model. Look for a "
    "version of the model that transformers knows by itself.",
    r"^KeyError": "config.json lacks something that the converter needs. The file is incomplete, or written by a "
    "version whose names differ. Compare it with the base model's config.json and add the missing key.",
    r"shape '.*' is invalid for input of size|size mismatch|must match the size": "A tensor does not have the shape "
    "that config.json announces. Configuration and weights belong to different models. Download both again, from one "
    "revision.",
    r"Bias tensor .* is not zero|Unprocessed|NotImplementedError": "llama.cpp has no place for something that this "
    f"model does. It is a variant that the converter does not know ({NEWER}), or cannot know. Look for a GGUF by the "
    "model's authors.",
    r"^(Import|ModuleNotFound)Error": "The converter could not import a package. The environment differs from "
    f"the tested one ({TESTED}). Install the course's versions: python -m helpers.install.",
}
# Tensors that no language model's GGUF has a place for, by a piece of their name: what they are, and what to do.
UNPLACED = {
    r"\.(qweight|qzeros|g_idx|SCB|weight_format|absmax|quant_map|nested_|weight_packed|quant_state)": "The checkpoint "
    "is quantized already. Convert the original model instead.",
    r"lora_|base_layer|modules_to_save": "It is part of a LoRA adapter that was saved without being merged. Merge it "
    "(merge_and_unload in peft, or adapters.merge for an adapter's folder) and save the model again.",
    r"_orig_mod\.|^module\.|_fsdp_wrapped": "A prefix of a wrapper (torch.compile, DataParallel) is part of the names. "
    "Save the model that is inside the wrapper.",
    r"v_head|value_head|score|classifier|reward": "It is the head of a reward or value model, trained to judge text, "
    "not to write it. Save the language model alone, without that head.",
}
ELSE_UNPLACED = (
    "It belongs to a part that llama.cpp's version of this architecture does not have. Look whether the authors of the "
    "model offer a GGUF."
)


def explain_failure(code: int, log: list[str]) -> ConversionError | ResourceError:
    """Translate the converter's exit code and what it wrote to stderr."""
    said = last_exception(log)
    if code in (-9, 137) or said.startswith(("MemoryError", "numpy._core._exceptions._ArrayMemoryError")):
        return ResourceError(
            "The converter was killed. The system had too little memory. Close other notebooks, choose a "
            "smaller model (COURSE_MODEL), or run the converter by hand with --use-temp-file."
        )
    if re.search(DISK_FULL, said):
        return ResourceError(
            "The disk filled up while converting. The unfinished file was deleted. Free some space or "
            "set COURSE_ARTIFACTS to a folder on a larger disk."
        )
    words = said.split(" [in: ")[0]
    if unplaced := re.search(r"Can ?not map tensor '(.+?)'", said):
        return ConversionError(f"{_unplaced(unplaced[1])} (It said: {words})")
    for pattern, message in KNOWN.items():
        if re.search(pattern, said, re.DOTALL):
            return ConversionError(f"{message} (It said: {words})")
    return ConversionError(
        f"The converter stopped with exit code {code}. It said: {words}. This course was tested with {TESTED}; "
        "if yours differ, install those and run the cell again."
    )


def _unplaced(name: str) -> str:
    what = next((text for piece, text in UNPLACED.items() if re.search(piece, name)), ELSE_UNPLACED)
    return f"The converter met a tensor it cannot place: {name}. {what}"


def last_exception(log: list[str]) -> str:
    """Return the last exception as `Type: message [in: the line of code that raised it]`, else the last line.

    The line of code is all that an assertion without a message tells.
    """
    lines = [line.rstrip() for line in log if line.strip()]
    starts = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if not starts:
        return lines[-1].strip() if lines else "nothing"
    block = lines[starts[-1] + 1 :]
    end = next((i for i, line in enumerate(block) if not line.startswith(" ")), len(block))
    code = [line.strip() for line in block[:end] if line.startswith("    ") and not re.fullmatch(r"[\s~^]+", line)]
    message = " ".join(line.strip() for line in block[end:][:6]) or "nothing"
    return f"{message} [in: {code[-1]}]" if code else message
