"""What must not reach llama.cpp's quantizer: each of these is an InputError before the call.

Some requests end the process, notebook and all (an i-quant without importance, sums that overflow, tensors of four
dimensions); others are ignored (a name that does not exist, a matrix of another model) or spoil the file in silence.
"""

from __future__ import annotations

import difflib

from helpers.errors import InputError
from helpers.numbers import ggml
from helpers.pipeline import guards, quantizer_layout
from helpers.pipeline.gguf_file import Summary
from helpers.pipeline.gguf_header import Tensor
from helpers.pipeline.quantizer_request import ALL_TYPES, SPECIAL_TYPES, STEERED_TYPES, TYPES, Request

TENSOR_TYPES = (*ggml.TYPES, *ggml.NEED_IMPORTANCE)
FLOATS = {"F32", "F16", "BF16"}
# What a tensor may not become without importance: llama.cpp calls the result garbage, or ends.
STEERED = {"IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"}
# What is rounded without a search, so that importance changes nothing.
UNWEIGHTED = FLOATS | {"Q8_0", "MXFP4", "NVFP4", "TQ1_0", "TQ2_0"}
# Recordings of llama-imatrix leave these out, and llama.cpp quantizes them without.
MAY_LACK = {"token_embd.weight", "per_layer_token_embd.weight", "output.weight"}


def check_request(request: Request) -> None:
    """Raise InputError for what can be told from the request and the source's header alone."""
    _check_source(request.source)
    tensors = {tensor.name: tensor for tensor in request.source.tensors}
    kind = request.type_name
    if kind not in ALL_TYPES:
        raise InputError(
            f"Unknown quantization type {kind!r:.40}. Choose one of: {', '.join(TYPES + SPECIAL_TYPES)}; or with an "
            f"importance one of: {', '.join(STEERED_TYPES)}."
        )
    if kind in STEERED_TYPES and request.importance is None:
        raise InputError(
            f"{kind} needs an importance. Without one, so few bits give garbage, and llama.cpp refuses. "
            "Record it with importance.collect(gguf, text) and pass importance=."
        )
    if kind == "MXFP4_MOE" and not any(len(tensor.shape) == 3 for tensor in tensors.values()):
        raise InputError(
            f"{request.source.path.name} has no experts. MXFP4_MOE packs those and leaves the rest at Q8_0. Choose "
            "another type."
        )
    for name, chosen in request.types.items():
        _check_choice(request.source.path.name, name, chosen, tensors)
    if request.importance is not None:
        _check_importance(request, tensors)


def _check_source(source: Summary) -> None:
    name = source.path.name
    guards.require_a_model(source)
    if not set(source.types) <= FLOATS:
        raise InputError(
            f"{name} is quantized already ({source.main_type}). Quantizing twice adds the errors of both. "
            "Start from the F16 file: to_gguf(checkpoint, 'f16')."
        )
    if source.metadata.get("general.alignment", 32) != 32:
        raise InputError(
            f"{name} aligns its tensors to {source.metadata['general.alignment']!r} bytes. llama.cpp's quantizer "
            "copies that number and aligns to 32, so that the result could not be read. Convert the checkpoint again."
        )
    for tensor in source.tensors:
        if not tensor.elements or (len(tensor.shape) > 3 and tensor.shape[0] > 1):
            raise InputError(
                f"{tensor.name} in {name} has the shape {tensor.shape}. llama.cpp's quantizer ends the process at "
                "empty tensors and at those of four dimensions. Convert the checkpoint again."
            )


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


def require_scales_fit(request: Request, plan: dict[str, str]) -> None:
    """Raise InputError for weights beyond float16, in which scales are stored.

    Sums overflow: an i-quant ends the process then, Q3_K, Q6_K and IQ4_XS write zeros. Only F32 and BF16 hold such
    numbers; for NaN and infinite ones llama.cpp itself looks. Reads these tensors once.
    """
    rounded = [t for t in request.source.tensors if t.type in ("F32", "BF16") and plan[t.name] not in ("F32", "BF16")]
    for tensor, largest in quantizer_layout.largest(request.source, rounded):
        if not largest <= ggml.LARGEST:
            raise InputError(
                f"{tensor.name} cannot become {plan[tensor.name]}: it holds {largest:.3g}. Scales are stored as "
                f"float16, which ends at {ggml.LARGEST}, and llama.cpp would end the process or write zeros. The "
                "checkpoint is damaged or its training diverged; take another."
            )
