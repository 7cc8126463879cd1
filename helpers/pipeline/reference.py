"""What a checkpoint itself predicts, computed in FP32: what every file made from it is compared with.

A reference in BF16 is not good enough. Its own rounding changes one first choice in forty, and an F16 file, which keeps
every weight, would be blamed for it. Twice the memory is not needed either: weights stay as they are stored, and
each module's are widened for as long as it computes.
"""

from __future__ import annotations

import contextlib
import inspect
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from helpers import machine
from helpers.errors import CheckpointError, InputError
from helpers.pipeline import checkpoint as model_folder
from helpers.pipeline import files, origin, view

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel

OPTIONS = {"local_files_only": True, "trust_remote_code": False}  # nothing from the network, no program of a repository
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def logits(checkpoint: Path, tokens: Sequence[int], keep: Sequence[int] | None = None) -> np.ndarray:
    """Return the scores of every next token, (tokens, vocabulary) float32: row i has read tokens 0 to i.

    With `keep` only those rows, (kept, vocabulary): of a long text all would not fit into memory. They are those of the
    whole model in FP32, in the memory of the stored one and its largest tensor. Raises InputError without tokens,
    CheckpointError for a folder that is not whole or that transformers cannot load, ResourceError if memory is short.
    """
    import torch

    if not len(tokens):
        raise InputError("There are no tokens. Nothing can be predicted from nothing. Pass at least one.")
    model = load(checkpoint)
    rows = list(range(len(tokens)) if keep is None else keep)
    options = {"use_cache": False}
    if len(rows) < len(tokens) and "logits_to_keep" in inspect.signature(model.forward).parameters:
        options["logits_to_keep"] = torch.tensor(rows)
    try:
        with torch.inference_mode():
            found = model(torch.tensor([list(map(int, tokens))]), **options).logits[0]
    except (IndexError, RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise CheckpointError(
            f"transformers could not compute with {checkpoint.name}. It said: {_words(error)}. Without its numbers "
            "nothing can be compared. Look whether the configuration belongs to these weights."
        ) from error
    return (found if len(found) == len(rows) else found[rows]).float().numpy()


def load(checkpoint: Path) -> PreTrainedModel:
    """Return the checkpoint's model, which keeps its weights as they are stored and computes in FP32.

    Raises CheckpointError if transformers cannot load it, or would fill in random numbers for weights that it misses.
    """
    source = model_folder.read(checkpoint)
    tensors, kind = source.tensors.values(), _stored_type(source)
    stored = sum(tensor.elements * (4 if kind == "float32" else BYTES.get(tensor.dtype, 4)) for tensor in tensors)
    largest = max(tensor.elements for tensor in tensors)
    machine.require_memory(stored + 4 * largest + 0.3e9, f"computing with {checkpoint.name} in FP32")
    with _loadable(source) as folder:
        model = _from_folder(folder, kind).eval()
    for module in model.modules():
        if any(True for _ in module.parameters(recurse=False)):
            _widen_while_computing(module)
    return model


def _stored_type(source: model_folder.Checkpoint) -> str:
    """Return the type that holds every weight as it is stored, by its name in torch; config.json may name another one.

    Quantized weights are left to transformers.
    """
    kinds = {tensor.dtype for tensor in source.tensors.values()} - {"I64", "BOOL"}
    if kinds <= {"F16"} or kinds <= {"BF16"}:
        return "float16" if "F16" in kinds else "bfloat16"
    return "float32" if kinds <= {"F64", "F32", "F16", "BF16"} else "auto"


@contextlib.contextmanager
def _loadable(source: model_folder.Checkpoint) -> Iterator[Path]:
    """Yield a folder that transformers loads: this one, or a view of it with an index, where shards have none."""
    if any((source.folder / name).is_file() for name in (files.SINGLE, files.INDEX)):
        yield source.folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / source.folder.name
        view.make(source, folder, origin.Origin(source.folder.name, source.folder.name))
        yield folder


def model_class(checkpoint: Path) -> type:
    """Return transformers' class for a checkpoint: AutoModelForCausalLM, or that of models which also see.

    Raises CheckpointError for a model that transformers does not know, or only with a program from its repository.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    try:
        config = AutoConfig.from_pretrained(checkpoint, **OPTIONS)
    except Exception as error:  # a foreign folder makes transformers fail in a hundred ways
        raise _not_loaded(checkpoint, error) from error
    return AutoModelForCausalLM if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModelForImageTextToText


def problem(checkpoint: Path) -> str:
    """Return why transformers cannot load a checkpoint's model or tokenizer, "" if it can."""
    from transformers import AutoTokenizer

    try:
        model_class(checkpoint)
        AutoTokenizer.from_pretrained(checkpoint, **OPTIONS)
    except CheckpointError as error:
        return str(error)
    except Exception as error:
        return str(_not_loaded(checkpoint, error))
    return ""


def _from_folder(checkpoint: Path, dtype: str) -> PreTrainedModel:
    """Load the model with all its weights; one that also sees is given text alone."""
    kind = model_class(checkpoint)
    try:
        model, found = kind.from_pretrained(checkpoint, dtype=dtype, output_loading_info=True, **OPTIONS)
    except Exception as error:
        raise _not_loaded(checkpoint, error) from error
    if missing := sorted(found["missing_keys"]) + sorted(str(key) for key in found["mismatched_keys"]):
        raise CheckpointError(
            f"transformers does not find {len(missing)} weights of {checkpoint.name}, {missing[0]} first. It would put "
            "random numbers there. Look whether config.json names the architecture that these weights belong to."
        )
    return model


def _not_loaded(checkpoint: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"transformers could not load {checkpoint.name}. It said: {_words(error)}. Without its numbers nothing can "
        "be compared. The model may be newer than the installed transformers, or need code of its own."
    )


def _words(error: Exception) -> str:
    """Return what an exception says, on one line of bearable length."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= 200 else f"{line[:199]}…"


def _widen_while_computing(module) -> None:
    """Turn a module's own parameters to float32 before its forward pass, and back after it."""
    stored = {}

    def widen(module, _inputs) -> None:
        for name, parameter in module.named_parameters(recurse=False):
            stored[name] = parameter.data
            parameter.data = parameter.data.float()  # no copy where it is float32 already

    def narrow(module, _inputs, _output) -> None:
        for name, parameter in module.named_parameters(recurse=False):
            parameter.data = stored.pop(name)

    module.register_forward_pre_hook(widen)
    module.register_forward_hook(narrow, always_call=True)  # also after an error
