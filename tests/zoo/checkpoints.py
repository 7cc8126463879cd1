"""From an architecture's row to a folder: configuration, random weights, tokenizer."""

import zlib
from pathlib import Path

from . import tokenizers
from .architectures import ARCHITECTURES


def make(name: str, folder: Path, dtype: str = "float32", **settings) -> None:
    """Write a checkpoint of this architecture: configuration, random weights, tokenizer."""
    import torch
    import transformers

    architecture = ARCHITECTURES[name]
    config = architecture.config(**settings)
    torch.manual_seed(0)
    model = getattr(transformers, architecture.model).from_config(config, dtype=torch.float32)
    randomize(model, zlib.crc32(name.encode()))
    folder.mkdir(parents=True)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizers.write(architecture.tokenizer, folder)


def randomize(model, seed: int) -> None:
    """Give every weight a number of its own, in a range where the layers matter and the predictions are no near-ties.

    Norms and biases too: ones and zeros would hide that a bias was dropped or that 1 was added twice.
    """
    import torch

    source = torch.Generator().manual_seed(seed)
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings()
    head = None if head is None else head.weight
    spread = 0.15 if embedding is head else 0.4  # a tied head prefers the token that was just read
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=source)
            if any(part in name for part in ("A_log", "conv1d", "dt_")) or name.endswith(".D"):
                weight.add_(0.05 * noise)  # time constants: their initial values are in the range that works
            elif weight is embedding or weight is head:
                weight.copy_(spread * noise)
            elif weight.ndim >= 2:
                weight.copy_(noise / weight.shape[-1] ** 0.5)
            else:
                weight.add_(0.1 * noise)
