"""Is a checkpoint quantized already, by which method, and can the converter turn it back into floats?"""

from __future__ import annotations

from helpers.errors import CheckpointError
from helpers.pipeline import architectures
from helpers.pipeline.shelf import Shelf, json_object

# The converter turns these back into floats, when asked for by name; what they lost stays lost.
REVERSIBLE = ("fp8", "gptq", "compressed-tensors", "modelopt", "bitnet")
COPIED = ("mxfp4",)  # copied into the GGUF as it is, for gpt-oss
PACKED = ("float-quantized", "int-quantized", "naive-quantized", "pack-quantized", "nvfp4-pack-quantized")
INTEGERS = ("U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64")
# Names of tensors that only quantized weights have, and who writes them.
MARKS = {
    ".SCB": "bitsandbytes",
    ".quant_map": "bitsandbytes",
    ".absmax": "bitsandbytes",
    ".qweight": "GPTQ or AWQ",
    ".weight_packed": "compressed-tensors",
    ".weight_scale_inv": "FP8",
}


def settings(shelf: Shelf, config: dict) -> dict:
    """Return the `quantization_config` of a configuration, {} without one. Raises CheckpointError for another form."""
    found = config.get("quantization_config") or architectures.text_part(config).get("quantization_config") or {}
    if not isinstance(found, dict):
        raise CheckpointError(
            f"quantization_config of {shelf.title} has another form: a {type(found).__name__}, where settings with "
            "names are expected. The converter would overlook it. Download the original config.json again."
        )
    if not found and "quantize_config.json" in shelf.files:  # GPTQ and AWQ, before transformers knew them
        kind = str(json_object(shelf, "quantize_config.json").get("quant_method") or "gptq")
        return {"quant_method": kind, "own_file": "quantize_config.json"}
    if not found.get("quant_method") and "hf_quant_config.json" in shelf.files:
        return found | {"quant_method": "modelopt"}
    if found and not found.get("quant_method"):
        bits = found.get("load_in_4bit") or found.get("load_in_8bit")
        return found | {"quant_method": "bitsandbytes" if bits else "an unnamed method"}
    return found


def require_readable(found: dict, where: str, bases: list[str]) -> None:
    """Raise CheckpointError for a method that the converter cannot undo; names the base model, if the card does."""
    method = str(found.get("quant_method", ""))
    if not method or method in COPIED:
        return
    why = ""
    if "own_file" in found:
        why = f"its settings lie in {found['own_file']} only, which the converter does not read"
    elif method not in REVERSIBLE:
        why = "the converter cannot turn its codes back into weights"
    elif method == "gptq" and found.get("bits") not in (2, 4, 8):
        why = f"the converter cannot undo GPTQ with {found.get('bits')} bits"
    elif method == "compressed-tensors" and found.get("format") not in (*PACKED, "mixed-precision"):
        why = f"the converter does not know its format {found.get('format')!r}"
    if why:
        raise CheckpointError(
            f"{where} is already quantized ({method}), and {why}. A GGUF needs the weights as they were before. "
            f"Take the model that this one was made from: {_named(bases)}."
        )


def require_settings(tensors: dict, found: dict, where: str, bases: list[str]) -> None:
    """Raise CheckpointError for weights that are codes although the configuration says nothing of it.

    tensors: name → something with a `dtype`, as in a safetensors header.
    """
    if found.get("quant_method"):
        return
    for name, tensor in tensors.items():
        maker = next((who for mark, who in MARKS.items() if name.endswith(mark) or f"{mark}." in name), None)
        codes = name.endswith("weight") and (tensor.dtype in INTEGERS or tensor.dtype.startswith(("F8_", "F6_", "F4")))
        if maker or codes:
            what = f"a tensor as {maker} writes it" if maker else f"{tensor.dtype}: codes, not weights"
            raise CheckpointError(
                f"{where} is quantized, but config.json has no quantization_config: {name} is {what}. Without the "
                "settings nobody can turn it back. Add them if you have them (config.json of the original "
                f"repository), or take the model that this one was made from: {_named(bases)}."
            )


def _named(bases: list[str]) -> str:
    return " or ".join(bases[:3]) if bases else "its model card should name it as base_model"
