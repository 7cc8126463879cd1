"""Train in few bits: matrix products whose weights, activations and gradients are rounded (notebook 10).

Fake quantization throughout: everything is computed in FP32, from numbers that the format could hold. A linear layer
has three products, and each is rounded along the numbers that it adds up, as hardware does:

    y  = x · Wᵀ     forward, over the inputs      x and W are rounded
    dx = dy · W     backward, over the outputs    dy and W are rounded
    dW = dyᵀ · x    backward, over the tokens     dy and x are rounded

Formats: `int8`, `int4` … (one scale for each row of the product), `mxfp8` (E4M3, a power of two for 32 numbers; OCP
Microscaling, arXiv 2310.10537), `mxfp4` and `nvfp4` (E2M1; NVFP4 has an E4M3 scale for 16 and an FP32 scale for the
tensor, arXiv 2509.25149).
"""

from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM

from helpers.errors import InputError

HADAMARD = 16  # numbers that are mixed with one another


@dataclass(frozen=True)
class Precision:
    """The formats of a training; None leaves a part in FP32."""

    weights: str | None = None
    activations: str | None = None
    gradients: str | None = None
    stochastic: bool = False  # gradients are rounded up or down by chance, right on average
    hadamard: bool = False  # dy and x are mixed before dW, which spreads outliers and cancels out


def train_in(model: LlamaForCausalLM, precision: Precision) -> None:
    """Have every attention and feed-forward matrix of a model multiply in `precision`, in place."""
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, LowPrecisionLinear(module, precision))


class LowPrecisionLinear(torch.nn.Linear):
    """A linear layer without bias whose three products are rounded."""

    def __init__(self, layer: torch.nn.Linear, precision: Precision):
        super().__init__(layer.in_features, layer.out_features, bias=False, device="meta")
        self.weight, self.precision = layer.weight, precision

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Product.apply(x, self.weight, self.precision)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, w: torch.Tensor, precision: Precision) -> torch.Tensor:
        ctx.save_for_backward(x, w)
        ctx.precision = precision
        return round_to(x, precision.activations) @ round_to(w, precision.weights).T

    @staticmethod
    def backward(ctx, dy: torch.Tensor):
        (x, w), precision = ctx.saved_tensors, ctx.precision
        rounded = round_to(dy, precision.gradients, precision.stochastic)
        dx = rounded @ round_to(w.T, precision.weights).T
        columns, inputs = dy.flatten(0, -2).T, x.flatten(0, -2).T  # (outputs or inputs, tokens)
        if precision.hadamard:
            columns, inputs = mixed(columns), mixed(inputs)
        columns = round_to(columns, precision.gradients, precision.stochastic)
        return dx, columns @ round_to(inputs, precision.activations).T, None


def round_to(x: torch.Tensor, kind: str | None, stochastic: bool = False) -> torch.Tensor:
    """Return x as a format of this module would hold it, in groups along the last axis.

    kind: None, `int` and a number of bits, mxfp8, mxfp4 or nvfp4; raises InputError for others, and for an axis that
    the format's blocks do not divide. stochastic: up or down with probabilities that make the mean right.
    """
    if kind is None:
        return x
    if kind.startswith("int") and kind[3:].isdigit() and int(kind[3:]) > 1:
        largest = 2 ** (int(kind[3:]) - 1) - 1
        scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-30) / largest
        return _nearest(x / scale, stochastic).clamp(-largest, largest) * scale
    if kind not in BLOCKS:
        raise InputError(
            f"Unknown format {kind!r}. Products can be rounded to int2 … int8, {', '.join(BLOCKS)}. Choose one of them."
        )
    block = BLOCKS[kind]
    if x.shape[-1] % block:
        raise InputError(
            f"{x.shape[-1]} numbers do not fill blocks of {block}, which {kind} has. A product is rounded along the "
            f"numbers that it adds up. Choose widths and a number of tokens that {block} divides."
        )
    parts = x.unflatten(-1, (-1, block))
    peak = parts.abs().amax(dim=-1, keepdim=True).clamp(min=1e-30)
    form = E4M3 if kind == "mxfp8" else E2M1
    if kind == "nvfp4":
        whole = x.abs().max().clamp(min=1e-30) / (E2M1.largest * E4M3.largest)
        scale = form_round(peak / E2M1.largest / whole, E4M3).clamp(min=2.0**-9) * whole
    else:
        scale = torch.exp2(torch.floor(torch.log2(peak)) - form.highest_exponent)
    return (form_round(parts / scale, form, stochastic) * scale).flatten(-2)


@dataclass(frozen=True)
class Form:
    """A small float: fraction bits, the exponents of its smallest and largest normal numbers, the largest number."""

    fraction_bits: int
    lowest_exponent: int
    highest_exponent: int
    largest: float


E4M3, E2M1 = Form(3, -6, 8, 448.0), Form(1, 0, 2, 6.0)
BLOCKS = {"mxfp8": 32, "mxfp4": 32, "nvfp4": 16}


def form_round(x: torch.Tensor, form: Form, stochastic: bool = False) -> torch.Tensor:
    """Round to a small float, ties to even; what is too large becomes the largest number."""
    exponent = torch.floor(torch.log2(x.abs().clamp(min=2.0**form.lowest_exponent)))
    step = torch.exp2(exponent - form.fraction_bits)
    return (_nearest(x / step, stochastic) * step).clamp(-form.largest, form.largest)


def mixed(x: torch.Tensor) -> torch.Tensor:
    """Multiply each HADAMARD neighbours of the last axis by an orthogonal matrix of ± ¼, with signs drawn once.

    Mixing both factors of a product along the axis that it sums over changes nothing but the rounding.
    """
    h = torch.ones(1, 1, dtype=x.dtype, device=x.device)
    while len(h) < HADAMARD:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    signs = torch.randint(0, 2, (HADAMARD,), generator=torch.Generator().manual_seed(0)).to(x) * 2 - 1
    return (x.unflatten(-1, (-1, HADAMARD)) @ (signs[:, None] * h / HADAMARD**0.5)).flatten(-2)


def _nearest(x: torch.Tensor, stochastic: bool) -> torch.Tensor:
    return torch.floor(x + torch.rand_like(x)) if stochastic else torch.round(x)
