"""Fake quantization in PyTorch: matrices rounded per row, once after training or in every forward pass of it."""

import copy
from collections.abc import Callable

import torch
from torch.nn.utils import parametrize
from transformers import LlamaForCausalLM


def round_rows(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Fake quantization, round to nearest: symmetric codes of `bits` bits, one scale per row.

    The codes run from −(2^(bits−1) − 1) to 2^(bits−1) − 1; the result has the dtype of `weight`.
    """
    largest = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) / largest  # (rows, 1)
    return (weight / scale).round() * scale


def rounded_copy(model: LlamaForCausalLM, bits: int) -> LlamaForCausalLM:
    """Return a copy whose attention and FFN matrices went through `round_rows`; embeddings stay."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in copied.named_parameters():
            if parameter.ndim == 2 and "embed" not in name and "lm_head" not in name:
                parameter.copy_(round_rows(parameter, bits))
    return copied


class FakeQuantize(torch.nn.Module):
    """A parametrization that rounds a tensor with a function on its way into the forward pass.

    Rounding is flat almost everywhere, so its gradient is replaced by that of the identity: the straight-through
    estimator (arXiv 1308.3432).
    """

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__()
        self.function = function

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.function(weight) - weight).detach()


def fake_quantize(model: LlamaForCausalLM, bits: int) -> None:
    """Make every attention and FFN matrix pass through `round_rows` on its way into each forward pass."""
    fake_quantize_by(model, lambda weight: lambda changed: round_rows(changed, bits))


def fake_quantize_by(model: LlamaForCausalLM, rounder: Callable[[torch.Tensor], Callable]) -> None:
    """Make every attention and FFN matrix pass through rounder(weight as it is now) in each forward pass.

    There is one copy of the weights, in floats; the optimizer moves it.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            parametrize.register_parametrization(module, "weight", FakeQuantize(rounder(module.weight.detach())))
