"""Compress a whole model by other means than quantization, and count what is left.

The methods are in rooms of their own: `prune` (masks), `lowrank` (two thin matrices), `kronecker` (products of small
ones). Here they are applied to a model's matrices, and `held` counts what a saved model really holds.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from helpers.compression import kronecker, lowrank, prune
from helpers.training import fit

DENSE = ("Linear", "Conv1D")  # GPT-2 keeps its matrices transposed, in layers called Conv1D


def matrices(model: PreTrainedModel, ending: str = "") -> dict[str, torch.nn.Module]:
    """Return the layers that multiply by a matrix, by name, without the output head; `ending` selects."""
    return {
        name: module
        for name, module in model.named_modules()
        if type(module).__name__ in DENSE and "lm_head" not in name and name.endswith(ending)
    }


def weight(module: torch.nn.Module) -> torch.Tensor:
    """Return a layer's matrix as (outputs, inputs), detached; raises InputError if it is not finite."""
    w = module.weight.detach()
    w = w.T if type(module).__name__ == "Conv1D" else w
    prune.finite(w)
    return w


def replace(model: PreTrainedModel, name: str, module: torch.nn.Module) -> None:
    """Put `module` in the place of the layer `name`."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def inputs_of(model: PreTrainedModel, tokens: np.ndarray) -> dict[str, torch.Tensor]:
    """Return the second moments xᵀx of what each matrix is multiplied with on a text: (inputs, inputs) each.

    Their diagonals are the squared norms that Wanda wants; the whole is what activation-aware SVD wants.
    """
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable:
        def hook(_, given, __):
            x = given[0].flatten(0, -2)
            seen[name] = seen.get(name, 0) + x.T @ x

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in matrices(model).items()]
    try:
        with torch.inference_mode():
            fit.mean_loss(model, tokens)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: moments.clone() for name, moments in seen.items()}


def changed(model: PreTrainedModel, change: Callable[[str, torch.Tensor], torch.Tensor]) -> PreTrainedModel:
    """Return a copy whose matrices went through change(name, w), w as (outputs, inputs)."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for name, module in matrices(copied).items():
            new = change(name, weight(module))
            module.weight.copy_(new.T if type(module).__name__ == "Conv1D" else new)
    return copied


def masked(model: PreTrainedModel, mask: Callable[[str, torch.Tensor], torch.Tensor]) -> PreTrainedModel:
    """Return a copy whose matrices are multiplied by mask(name, w), w as (outputs, inputs). It is no smaller."""
    return changed(model, lambda name, w: w * mask(name, w))


def factorize(
    model: PreTrainedModel, names: Iterable[str], share: float, moments: dict[str, torch.Tensor] | None = None
) -> None:
    """Replace matrices by two thin ones with `share` of their parameters, in place; activation-aware with `moments`."""
    for name in names:
        module = model.get_submodule(name)
        w = weight(module)
        rank = lowrank.rank_for(*w.shape, share * w.numel())
        u, v = lowrank.activation_aware(w, rank, moments[name]) if moments else lowrank.truncated(w, rank)
        layers = lowrank.as_layers(u, v)
        if module.bias is not None:
            layers[1].bias = module.bias
        replace(model, name, layers)


def kroneckerize(
    model: PreTrainedModel,
    names: Iterable[str],
    b_shape: tuple[int, int],
    rank: int = 1,
    permute: bool = False,
    **options: int,
) -> dict[str, float]:
    """Replace matrices by sums of Kronecker products, in place; return the relative error of each.

    b_shape is the shape of B for the matrix as (outputs, inputs). permute: search for an order first
    (`kronecker.search`, which takes `options`); the order is stored with the layer.
    """
    errors = {}
    for name in names:
        module = model.get_submodule(name)
        w = weight(module)
        order = kronecker.search(w, b_shape, rank, **options) if permute else None
        arranged = w[order.rows][:, order.columns] if order else w
        a, b = kronecker.nearest(arranged, b_shape, rank)
        errors[name] = kronecker.tail(arranged, b_shape, rank)
        rows, columns = (order.rows, order.columns) if order else (None, None)
        replace(model, name, kronecker.KroneckerLinear(a, b, rows, columns, module.bias))
    return errors


@dataclass(frozen=True)
class Held:
    """What a saved model holds: numbers (tied ones once), of them zeros, and indices of permutations."""

    parameters: int
    zeros: int
    indices: int
    largest_index: int

    def megabytes(self, bits: float = 16, sparse: bool = False) -> float:
        """Return the size in MB (10⁶ bytes) at `bits` for each number.

        sparse: a bit mask for every number says which are zero, and only the others are stored. Indices take the
        fewest whole bits that their largest one needs.
        """
        numbers = (self.parameters - self.zeros) * bits + self.parameters if sparse else self.parameters * bits
        return (numbers + self.indices * max(1, self.largest_index).bit_length()) / 8e6


def held(model: torch.nn.Module) -> Held:
    """Count what a saved model really holds: a tensor used in two places counts once, an untied head counts in full."""
    parameters = zeros = indices = largest = 0
    seen = set()
    for tensor in model.parameters():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            parameters += tensor.numel()
            zeros += int((tensor == 0).sum())
    for name, tensor in model.named_buffers():
        if name.rpartition(".")[2] in ("rows", "columns"):
            indices += tensor.numel()
            largest = max(largest, int(tensor.max()))
    return Held(parameters, zeros, indices, largest)
