"""A plain LLaMA: what notebooks 04 and 05 count and compare by hand. Other models have parts of their own.

A lesson about LLaMA is taught on your model if it is one, and on `story` if it is not; `proof` is for every model.
"""

from __future__ import annotations

from helpers.pipeline.checkpoint import Checkpoint, read
from helpers.pipeline.gguf_file import LAYER, TOP
from helpers.pipeline.models import STORY

FLOATS = ("F32", "F16", "BF16")


def is_one(checkpoint: Checkpoint) -> bool:
    """Tell whether these are the tensors of a LLaMA and no others: no biases, nothing that is quantized already.

    Rows must be whole blocks of 32, or the converter stores some tensors otherwise than it was asked to.
    """
    config, tensors = checkpoint.config, checkpoint.tensors
    if config.get("model_type") != "llama" or set(tensors) != _names(config):
        return False
    if tensors["model.embed_tokens.weight"].shape[0] != config.get("vocab_size"):
        return False
    matrices = [tensor for tensor in tensors.values() if len(tensor.shape) > 1]
    return all(tensor.dtype in FLOATS and tensor.shape[-1] % 32 == 0 for tensor in matrices)


def taught_on(checkpoint: Checkpoint | None) -> Checkpoint:
    """Return the checkpoint itself if it is a plain LLaMA, else that of `story`, which lies in the course's folder."""
    return checkpoint if checkpoint is not None and is_one(checkpoint) else read(STORY)


def _names(config: dict) -> set[str]:
    """Return the names of the tensors that a LLaMA of this configuration has."""
    layers = config.get("num_hidden_layers")
    count = layers if isinstance(layers, int) else 0
    names = {f"model.layers.{i}.{part}.weight" for i in range(count) for part in LAYER.values()}
    tied = config.get("tie_word_embeddings", False)
    return names | {name for name in TOP.values() if not (tied and name == TOP["output.weight"])}
