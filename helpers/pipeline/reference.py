"""What a checkpoint itself predicts, computed in FP32: what every file made from it is compared with.

A reference in BF16 is not good enough. Its own rounding changes one first choice in forty, and an F16 file, which keeps
every weight, would be blamed for it. Twice the memory is not needed either: weights stay as they are stored, and
each module's are widened for as long as it computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from helpers import machine
from helpers.errors import InputError
from helpers.pipeline import checkpoint as model_folder

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def logits(checkpoint: Path, tokens: Sequence[int]) -> np.ndarray:
    """Return the scores of every next token, (tokens, vocabulary) float32: row i has read tokens 0 to i.

    They are those of the whole model in FP32, in the memory of the stored one and its largest tensor. Raises InputError
    without tokens, CheckpointError for a folder that is not whole, ResourceError if memory is short.
    """
    import torch

    if not len(tokens):
        raise InputError("There are no tokens. Nothing can be predicted from nothing. Pass at least one.")
    model = load(checkpoint)
    with torch.inference_mode():
        return model(torch.tensor([list(map(int, tokens))])).logits[0].numpy()


def load(checkpoint: Path) -> PreTrainedModel:
    """Return the checkpoint's model, which keeps its weights as they are stored and computes in FP32."""
    from transformers import AutoModelForCausalLM

    tensors = model_folder.read(checkpoint).tensors.values()
    stored = sum(tensor.elements * BYTES.get(tensor.dtype, 4) for tensor in tensors)
    largest = max(tensor.elements for tensor in tensors)
    machine.require_memory(stored + 4 * largest + 0.3e9, f"computing with {checkpoint.name} in FP32")
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto", local_files_only=True).eval()
    for module in model.modules():
        if any(True for _ in module.parameters(recurse=False)):
            _widen_while_computing(module)
    return model


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
