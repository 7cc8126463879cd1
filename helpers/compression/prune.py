"""Pruning: which weights to drop, by magnitude or by Wanda's score, one by one, in N:M groups, or whole parts.

The first functions return masks, True where a weight stays. Zeros in a dense matrix save nothing. `remove_neurons`,
`remove_channels` and `remove_layers` make a model that is smaller on disk and in every program; Minitron
(arXiv 2407.14679) does all three, and trains afterwards with the whole model as teacher.
"""

import contextlib
import copy
from collections.abc import Iterable, Iterator

import torch
from torch.nn.utils import parametrize
from transformers import LlamaForCausalLM

from helpers.errors import InputError


def magnitude(w: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Return the mask that drops the share `sparsity` of smallest |weights| of the whole matrix."""
    _check(w, sparsity)
    return _largest(w.abs().flatten()[None], sparsity).view_as(w)


def wanda(w: torch.Tensor, norms: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Return the mask that drops, in every row, the weights with the smallest |w| · ‖x‖₂ (arXiv 2306.11695).

    w: (outputs, inputs); norms: (inputs,), the norm of each input over the calibration tokens. Comparing within each
    row leaves every output the same number of weights.
    """
    _check(w, sparsity)
    return _largest(w.abs() * _norms(w, norms), sparsity)


def n_of_m(w: torch.Tensor, n: int = 2, m: int = 4, norms: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mask that keeps the n best of every m neighbours in a row: NVIDIA's sparse cores want 2 of 4.

    Scores are |w|, or Wanda's if `norms` are given. Raises InputError if m does not divide the row or n > m.
    """
    _check(w, 0)
    if not 0 < n <= m:
        raise InputError(f"{n} of {m} cannot be kept. N must be at least 1 and at most M.")
    if w.shape[1] % m:
        raise InputError(
            f"Rows of {w.shape[1]} weights cannot be cut into groups of {m}. Choose an M that divides {w.shape[1]}."
        )
    scores = w.abs() if norms is None else w.abs() * _norms(w, norms)
    return _largest(scores.reshape(-1, m), 1 - n / m).view_as(w)


def rows(w: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Return the mask that drops whole rows, those of smallest norm."""
    _check(w, sparsity)
    return _largest(w.norm(dim=1)[None], sparsity).view(-1, 1).expand_as(w)


def remove_neurons(model: LlamaForCausalLM, ffn: int, scores: list[torch.Tensor] | None = None) -> LlamaForCausalLM:
    """Return a smaller copy of a LLaMA that keeps the `ffn` best neurons of every feed-forward layer.

    A neuron is a row of gate and up and the column of down that it feeds. Score: the product of the three norms, or
    `scores`, one (neurons,) tensor for each layer. What is left is an ordinary LLaMA, which converts to GGUF.
    """
    width = model.config.intermediate_size
    if not 1 <= ffn <= width:
        raise InputError(f"{ffn} neurons cannot be kept of {width}. Choose 1 to {width}.")
    small = copy.deepcopy(model)
    for index, layer in enumerate(small.model.layers):
        gate, up, down = layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj
        with torch.no_grad():
            score = (
                scores[index] if scores else gate.weight.norm(dim=1) * up.weight.norm(dim=1) * down.weight.norm(dim=0)
            )
            keep = score.topk(ffn).indices.sort().values
            for module, dim in ((gate, 0), (up, 0), (down, 1)):
                module.weight = torch.nn.Parameter(module.weight.index_select(dim, keep).contiguous())
        gate.out_features = up.out_features = down.in_features = layer.mlp.intermediate_size = ffn
    small.config.intermediate_size = ffn
    return small


def remove_layers(model: LlamaForCausalLM, drop: Iterable[int]) -> LlamaForCausalLM:
    """Return a copy without some layers; raises InputError if none would be left."""
    small, drop = copy.deepcopy(model), set(drop)
    kept = [layer for index, layer in enumerate(small.model.layers) if index not in drop]
    if not kept or not drop <= set(range(len(model.model.layers))):
        raise InputError(
            f"Layers {sorted(drop)} cannot be removed of {len(model.model.layers)}, which are numbered from 0. "
            "At least one has to stay."
        )
    for index, layer in enumerate(kept):
        layer.self_attn.layer_idx = index
    small.model.layers = torch.nn.ModuleList(kept)
    small.config.num_hidden_layers = len(kept)
    return small


def remove_channels(model: LlamaForCausalLM, width: int, scores: torch.Tensor) -> LlamaForCausalLM:
    """Return a narrower copy: the `width` best channels of the residual stream stay, by scores (channels,).

    Everything that reads from the stream or writes into it loses the others; the heads keep their size.
    """
    if not 1 <= width <= model.config.hidden_size:
        most = model.config.hidden_size
        raise InputError(f"{width} channels cannot be kept of {most}. Choose 1 to {most}.")
    small, keep = copy.deepcopy(model), scores.topk(width).indices.sort().values
    small.config.head_dim = model.model.layers[0].self_attn.head_dim

    def cut(module: torch.nn.Module, dim: int) -> None:
        module.weight = torch.nn.Parameter(module.weight.detach().index_select(dim, keep).contiguous())

    cut(small.model.embed_tokens, 1)
    cut(small.model.norm, 0)
    for layer in small.model.layers:
        attention, ffn = layer.self_attn, layer.mlp
        for reader in (attention.q_proj, attention.k_proj, attention.v_proj, ffn.gate_proj, ffn.up_proj):
            cut(reader, 1)
            reader.in_features = width
        for writer in (attention.o_proj, ffn.down_proj):
            cut(writer, 0)
            writer.out_features = width
        cut(layer.input_layernorm, 0)
        cut(layer.post_attention_layernorm, 0)
    small.config.hidden_size = small.model.embed_tokens.embedding_dim = small.lm_head.in_features = width
    small.lm_head.weight = small.model.embed_tokens.weight
    return small


@contextlib.contextmanager
def zeros_stay(model: torch.nn.Module) -> Iterator[None]:
    """Inside the block the zeros of every matrix of a model stay zeros, whatever trains it."""

    class Masked(torch.nn.Module):
        def __init__(self, mask: torch.Tensor):
            super().__init__()
            self.register_buffer("mask", mask)

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight * self.mask

    linear = [m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "lm_head" not in n]
    for module in linear:
        parametrize.register_parametrization(module, "weight", Masked(module.weight.detach() != 0))
    try:
        yield
    finally:
        for module in linear:
            parametrize.remove_parametrizations(module, "weight")


def _largest(scores: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Keep the best of each row of scores (rows, n); ties fall to the left, so that the count is exact."""
    drop = round(sparsity * scores.shape[1])
    mask = torch.ones_like(scores, dtype=torch.bool)
    order = scores.argsort(dim=1, stable=True, descending=True)
    return mask.scatter(1, order[:, scores.shape[1] - drop :], False)


def _check(w: torch.Tensor, sparsity: float) -> None:
    if not 0 <= sparsity <= 1:
        raise InputError(f"A sparsity of {sparsity} is not possible. It is the share of weights to drop: 0 to 1.")
    finite(w)


def finite(w: torch.Tensor, name: str = "The matrix") -> None:
    """Raise InputError unless w is a matrix of finite numbers."""
    if w.ndim != 2:
        raise InputError(f"{name} has {w.ndim} axes. A matrix (outputs, inputs) is needed. Reshape it first.")
    if not w.isfinite().all():
        raise InputError(
            f"{name} holds {int((~w.isfinite()).sum())} numbers that are NaN or infinite, to which nothing can be "
            "fitted. Check how the model was trained or stored."
        )


def _norms(w: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
    if norms.shape != (w.shape[1],) or not norms.isfinite().all():
        raise InputError(
            f"Wanda needs one finite norm for each of the {w.shape[1]} inputs; these are {tuple(norms.shape)}. "
            "Collect the inputs of this very matrix."
        )
    return norms
