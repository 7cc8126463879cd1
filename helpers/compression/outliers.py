"""The outlier lab (notebook 09): outlier channels planted in a trained model that computes the same, and repairs.

Between a norm and the matrices that read it, channels can be scaled for free: γⱼ · s, and column j of those ÷ s.
Large language models have such channels by themselves, and they ruin activations that share a scale
(arXiv 2208.07339). The repairs change nothing in exact arithmetic either:

    smooth    divides each channel by √(size of its inputs ÷ size of its weights) (SmoothQuant, arXiv 2211.10438)
    rotate    folds the norms, which already removes what was planted behind them, and turns two spaces, so that a large
              channel is spread over others (QuaRot, arXiv 2404.00456): that of the residual stream, and the inside of
              each feed-forward layer while it computes
"""

import copy

import torch
from transformers import LlamaForCausalLM

from helpers.compression import compress
from helpers.training.lowprecision import LowPrecisionLinear, Precision


def readers(model: LlamaForCausalLM) -> list[tuple[torch.nn.Module, list[torch.nn.Linear]]]:
    """Return each norm with the matrices that read what it gives, two for every layer."""
    pairs = []
    for layer in model.model.layers:
        attention, ffn = layer.self_attn, layer.mlp
        pairs.append((layer.input_layernorm, [attention.q_proj, attention.k_proj, attention.v_proj]))
        pairs.append((layer.post_attention_layernorm, [ffn.gate_proj, ffn.up_proj]))
    return pairs


def plant(model: LlamaForCausalLM, size: float, channels: int = 2, seed: int = 0) -> LlamaForCausalLM:
    """Return a copy in which `channels` channels behind every norm are `size` times as large, and no output differs."""
    changed, random = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    for norm, matrices in readers(changed):
        chosen = torch.randperm(len(norm.weight), generator=random)[:channels]
        factors = torch.ones_like(norm.weight)
        factors[chosen] = size
        _scale(norm, matrices, factors)
    return changed


def smooth(
    model: LlamaForCausalLM, moments: dict[str, torch.Tensor], tokens: int, strength: float = 0.5
) -> LlamaForCausalLM:
    """Return a copy whose channels are divided by f = (size of x)^strength ÷ (size of w)^(1 − strength).

    moments: `compress.inputs_of` over `tokens` tokens; sizes are root mean squares of x and largest magnitudes of w.
    """
    changed = copy.deepcopy(model)
    names = {module: name for name, module in compress.matrices(changed).items()}
    for norm, matrices in readers(changed):
        x = (moments[names[matrices[0]]].diag() / tokens).sqrt().clamp(min=1e-8)
        w = torch.stack([matrix.weight.detach().abs().amax(dim=0) for matrix in matrices]).amax(dim=0).clamp(min=1e-8)
        _scale(norm, matrices, w ** (1 - strength) / x**strength)
    return changed


def _scale(norm: torch.nn.Module, matrices: list[torch.nn.Linear], factors: torch.Tensor) -> None:
    with torch.no_grad():
        norm.weight.mul_(factors)
        for matrix in matrices:
            matrix.weight.div_(factors)


def rotate(model: LlamaForCausalLM, seed: int = 0, stream: bool = True, inside: bool = True) -> LlamaForCausalLM:
    """Return a copy with the residual stream and the feed-forward layers' insides turned: same output.

    Norm weights are folded into the matrices behind them first (a bare norm does not see a rotation). stream: what
    writes into the stream is turned by a random orthogonal matrix, what reads it is turned back. inside: a rotation is
    folded into down; `Turned` turns its input while the model computes. Without either the norms are folded, no more.
    The output head is no longer the embedding.
    """
    changed = copy.deepcopy(model)
    changed.lm_head.weight = torch.nn.Parameter(changed.lm_head.weight.detach().clone())
    changed.config.tie_word_embeddings = False
    width = changed.config.hidden_size
    q = orthogonal(width, seed) if stream else torch.eye(width)
    norms = [*readers(changed), (changed.model.norm, [changed.lm_head])]
    with torch.no_grad():
        for norm, matrices in norms:
            for matrix in matrices:
                matrix.weight.copy_((matrix.weight * norm.weight) @ q)
            norm.weight.fill_(1.0)
        changed.model.embed_tokens.weight.copy_(changed.model.embed_tokens.weight @ q)
        for layer in changed.model.layers:
            layer.self_attn.o_proj.weight.copy_(q.T @ layer.self_attn.o_proj.weight)
            down = layer.mlp.down_proj
            down.weight.copy_(q.T @ down.weight)
            if inside:
                turn = orthogonal(down.in_features, seed + 1)
                down.weight.copy_(down.weight @ turn)
                layer.mlp.down_proj = Turned(down, turn)
    return changed


class Turned(torch.nn.Linear):
    """A linear layer whose input is turned first; its weight was turned back."""

    def __init__(self, layer: torch.nn.Linear, turn: torch.Tensor):
        super().__init__(layer.in_features, layer.out_features, bias=False, device="meta")
        self.weight = layer.weight
        self.register_buffer("turn", turn, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x @ self.turn)


def orthogonal(n: int, seed: int) -> torch.Tensor:
    """Return an orthogonal (n, n) matrix: Hadamard matrices with random signs, one if n is a power of two."""
    block = n & -n  # the largest power of two that divides n
    h = torch.ones(1, 1)
    while len(h) < block:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    signs = torch.randint(0, 2, (n,), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1
    return signs[:, None] * torch.block_diag(*[h / block**0.5] * (n // block))


def with_activations_in(model: LlamaForCausalLM, kind: str) -> LlamaForCausalLM:
    """Return a copy whose matrices see their inputs rounded: `int8` or `int4`, one scale for each token."""
    changed = copy.deepcopy(model)
    for name, module in list(changed.named_modules()):
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            rounded = LowPrecisionLinear(module, Precision(activations=kind))
            if isinstance(module, Turned):
                rounded = torch.nn.Sequential(_Turn(module.turn), rounded)
            compress.replace(changed, name, rounded)
    return changed


class _Turn(torch.nn.Module):
    def __init__(self, turn: torch.Tensor):
        super().__init__()
        self.register_buffer("turn", turn, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.turn
