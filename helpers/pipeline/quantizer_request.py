"""What is asked of llama.cpp's quantizer, and everything that must be refused before it is called.

Some requests end the process, notebook and all (an i-quant without importance, an infinite sum); others are ignored
(a name that does not exist, a matrix of another model). Here all of them are an InputError.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import json
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from helpers import artifacts
from helpers.errors import InputError
from helpers.numbers import ggml
from helpers.pipeline import quantizer_layout
from helpers.pipeline.gguf_file import Summary
from helpers.pipeline.gguf_header import Tensor

# The file types that llama_model_quantize can write: for any model, without importance; then for special ones (experts,
# ternary and binary weights) or rather with it; then those that need it.
TYPES = ("Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S Q4_1 Q4_0 IQ4_NL IQ4_XS Q3_K_L Q3_K_M Q3_K_S Q2_K").split()
SPECIAL_TYPES = "IQ3_M IQ3_S MXFP4_MOE TQ2_0 TQ1_0 Q1_0".split()
STEERED_TYPES = "IQ3_XS IQ3_XXS Q2_K_S IQ2_M IQ2_S IQ2_XS IQ2_XXS IQ1_M IQ1_S".split()
ALL_TYPES = (*TYPES, *SPECIAL_TYPES, *STEERED_TYPES)
TENSOR_TYPES = (*ggml.TYPES, *ggml.NEED_IMPORTANCE)
FLOATS = {"F32", "F16", "BF16"}
# What a tensor may not become without importance: llama.cpp calls the result garbage, or ends.
STEERED = {"IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"}
# What is rounded without a search, so that importance changes nothing.
UNWEIGHTED = FLOATS | {"Q8_0", "MXFP4", "TQ1_0", "TQ2_0", "Q1_0"}
# Recordings of llama-imatrix leave these out, and llama.cpp quantizes them without.
MAY_LACK = {"token_embd.weight", "per_layer_token_embd.weight", "output.weight"}
MOST_TEXT = 127  # bytes of a text in the metadata that can be handed over


class Importance(Protocol):
    """What weighs errors: for each tensor the mean square of each of its inputs, recorded on some text."""

    names: tuple[str, ...]
    name: str
    datasets: tuple[str, ...]
    checksum: str

    def weights(self, name: str) -> np.ndarray:
        """Return (experts * columns,) float32, none negative."""


@dataclass(frozen=True)
class Request:
    """A source, a type for all, and for single tensors their own; with or without importance."""

    source: Summary
    type_name: str
    importance: Importance | None = None
    types: dict[str, str] = field(default_factory=dict)

    def weights(self, name: str) -> np.ndarray:
        return np.ascontiguousarray(self.importance.weights(name), np.float32)

    def recipe(self) -> str:
        """Return what the file is made from and how, for its note."""
        parts = self.source.parts or (self.source.path,)
        recipe = ["quantized", artifacts.stamp(*parts), self.type_name, importlib.metadata.version("llama_cpp_python")]
        if self.importance is not None:
            texts = tuple(self.importance.datasets)
            recipe.append(("importance", self.importance.name, self.importance.checksum, texts))
        if self.types:
            recipe.append(("types", *sorted(self.types.items())))
        return repr(tuple(recipe))

    def labels(self) -> list[str]:
        """Return what stands in the file's name beside its type."""
        importance = ["imatrix", self.importance.checksum[:6]] if self.importance is not None else []
        return importance + (["mix", self._types_checksum()[:6]] if self.types else [])

    def metadata(self) -> dict[str, str | int]:
        """Return what the file says of itself: llama-quantize's own keys for importance, and ours.

        A file of a plain type says no more than one of llama-quantize does.
        """
        said: dict[str, str | int] = {}
        if self.importance is not None:
            said["quantize.imatrix.file"] = _short(self.importance.name)
            said["quantize.imatrix.dataset"] = _short(", ".join(self.importance.datasets) or "unknown")
            said["quantize.imatrix.entries_count"] = len(self.importance.names)
            if windows := getattr(self.importance, "windows", 0):
                said["quantize.imatrix.chunks_count"] = int(windows)
            said["quantize.imatrix.sha256"] = _short(self.importance.checksum)
        if self.types:
            said["quantize.types.count"] = len(self.types)
            said["quantize.types.sha256"] = self._types_checksum()
        if said:
            said["quantize.tool"] = f"llama-cpp-python {importlib.metadata.version('llama_cpp_python')}"
        return said

    def _types_checksum(self) -> str:
        return hashlib.sha256(json.dumps(sorted(self.types.items())).encode()).hexdigest()


def _short(text: str) -> str:
    """Return a text that fits into the metadata, cut where a letter ends."""
    data = " ".join(text.replace("\0", " ").split()).encode()
    return data.decode() if len(data) <= MOST_TEXT else data[: MOST_TEXT - 3].decode(errors="ignore") + "…"


def check_request(request: Request) -> None:
    """Raise InputError for what can be told from the request and the source's header alone."""
    source = request.source
    name = source.path.name
    if request.type_name not in ALL_TYPES:
        raise InputError(
            f"Unknown quantization type {request.type_name!r}. Choose one of: "
            f"{', '.join(TYPES + SPECIAL_TYPES)}; or with an importance one of: {', '.join(STEERED_TYPES)}."
        )
    if not set(source.types) <= FLOATS:
        raise InputError(
            f"{name} is quantized already ({source.main_type}). Quantizing twice adds the errors of both. "
            "Start from the F16 file: to_gguf(checkpoint, 'f16')."
        )
    if request.type_name in STEERED_TYPES and request.importance is None:
        raise InputError(
            f"{request.type_name} needs an importance. Without one, so few bits give garbage, and llama.cpp refuses. "
            "Record it with importance.collect(gguf, text) and pass importance=."
        )
    if source.metadata.get("general.alignment", 32) != 32:
        raise InputError(
            f"{name} aligns its tensors to {source.metadata['general.alignment']!r} bytes. llama.cpp's quantizer "
            "copies that number and aligns to 32, so that the result could not be read. Convert the checkpoint again."
        )
    tensors = {tensor.name: tensor for tensor in source.tensors}
    for chosen, kind in request.types.items():
        _check_choice(name, chosen, kind, tensors)
    if request.importance is not None:
        _check_importance(request, tensors)


def _check_choice(file: str, name: str, kind: str, tensors: dict[str, Tensor]) -> None:
    import gguf

    if kind not in TENSOR_TYPES:
        hint = " Q4_K_M and the like are recipes for a whole file." if kind in ALL_TYPES else ""
        raise InputError(f"{name!r:.80} cannot have the type {kind!r:.40}.{hint} Choose of {', '.join(TENSOR_TYPES)}.")
    if name not in tensors:
        near = difflib.get_close_matches(str(name), tensors, 1)
        raise InputError(
            f"{file} has no tensor {name!r:.80}, and llama.cpp would ignore its type. Names are exact, .weight "
            f"included. {f'Did you mean {near[0]}?' if near else 'Look them up in convert.summary(gguf).tensors.'}"
        )
    block = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][0]
    columns = tensors[name].shape[-1]
    if columns % block:
        raise InputError(
            f"{name} cannot be {kind}. It has rows of {columns}, and {kind} packs blocks of {block}. Choose a type "
            "with blocks of 32, such as IQ4_NL or Q4_0, or leave it to llama.cpp's recipe."
        )


def _check_importance(request: Request, tensors: dict[str, Tensor]) -> None:
    importance, file = request.importance, request.source.path.name
    if strangers := [name for name in importance.names if name not in tensors]:
        raise InputError(
            f"{importance.name} does not belong to {file}: it has {strangers[0]!r:.80} and {len(strangers) - 1} other "
            "tensors that the model does not. llama.cpp would ignore them. Record importance on this model."
        )
    for name in importance.names:
        weights, tensor = request.weights(name), tensors[name]
        experts = tensor.elements // tensor.shape[-1] // (tensor.shape[-2] if len(tensor.shape) > 1 else 1)
        if weights.shape != (experts * tensor.shape[-1],):
            raise InputError(
                f"{importance.name} does not belong to {file}: {name} has {experts * tensor.shape[-1]:,} columns (of "
                f"all experts), its importance {weights.size:,}. Record importance on this model."
            )
        if fault := ggml.fault_of(weights.reshape(experts, -1)):
            raise InputError(
                f"{importance.name} cannot be used: of {name}, {fault}. It is damaged, or was recorded on too short a "
                "text. Record it again."
            )


def check_plan(request: Request, plan: dict[str, str]) -> None:
    """Raise InputError if llama.cpp would not do as asked, or could not do as planned.

    plan: the type of every tensor, from a dry run.
    """
    for name, kind in request.types.items():
        if plan[name] != kind:
            raise InputError(
                f"{name} cannot be {kind}: llama.cpp leaves it {plan[name]}. It does not quantize vectors, norms, "
                "routers and other small tensors. Leave it out of types."
            )
    known = set(request.importance.names) if request.importance is not None else set()
    before = {tensor.name: tensor.type for tensor in request.source.tensors}
    for name, kind in plan.items():
        if name in known or kind == before[name]:
            continue
        if kind in STEERED:
            raise InputError(
                f"{name} cannot become {kind} without importance. llama.cpp would end the process, or write garbage. "
                "Record importance for it, or choose another type for this tensor."
            )
        if request.importance is not None and kind not in UNWEIGHTED and name not in MAY_LACK:
            raise InputError(
                f"{request.importance.name} lacks {name}. llama.cpp would quantize it without importance and say "
                "nothing. Record importance on this model, with a text that reaches every layer."
            )


def require_grids_fit(request: Request, plan: dict[str, str]) -> None:
    """Raise InputError for numbers too large for an i-quant: an overflow there ends the process.

    Only F32 and BF16 hold such numbers; llama.cpp itself looks for NaN and infinite ones.
    """
    searched = [t for t in request.source.tensors if t.type in ("F32", "BF16") and plan[t.name] in ggml.GRIDS]
    for tensor, largest in quantizer_layout.largest(request.source, searched):
        if not largest <= ggml.LARGEST:
            raise InputError(
                f"{tensor.name} cannot become {plan[tensor.name]}: it holds {largest:.3g}. Scales are stored as "
                f"float16, which ends at {ggml.LARGEST}, and llama.cpp would end the process. The checkpoint is "
                "damaged or its training diverged; take another, or another type for this tensor."
            )
