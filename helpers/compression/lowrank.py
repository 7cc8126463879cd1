"""Low rank: a matrix (outputs × inputs) as the product of a tall and a wide one, by its singular values."""

import torch

from helpers.compression.prune import finite
from helpers.errors import InputError


def truncated(w: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return u (outputs, rank) and v (rank, inputs) with the product nearest to w (Eckart and Young).

    The squared error is the sum of the squares of the singular values that were left out.
    """
    check_rank(w, rank)
    u, s, v = torch.linalg.svd(w, full_matrices=False)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * v[:rank]


def activation_aware(
    w: torch.Tensor, rank: int, moments: torch.Tensor, damping: float = 1e-4
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return u and v as `truncated` does, but nearest in the layer's *output* on inputs with these second moments.

    moments: xᵀx over the calibration tokens, (inputs, inputs), any scale. With moments = L Lᵀ the output error is
    ‖(w − uv) L‖, so that w L is cut and L undone (as SVD-LLM does, arXiv 2403.07378). damping keeps L invertible.
    Column i of u and row i of v get the same norm, so that one learning rate suits both.
    """
    check_rank(w, rank)
    finite(moments, "The second moments")
    if moments.shape != (w.shape[1], w.shape[1]):
        raise InputError(
            f"Second moments of {tuple(moments.shape)} do not fit {w.shape[1]} inputs. "
            "Collect the inputs of this very matrix."
        )
    identity = torch.eye(len(moments), dtype=moments.dtype)
    factor = torch.linalg.cholesky(moments + damping * moments.diag().mean() * identity)
    u, v = truncated(w @ factor, rank)
    v = torch.linalg.solve_triangular(factor, v, upper=False, left=False)
    scale = (u.norm(dim=0) / v.norm(dim=1).clamp(min=1e-30)).sqrt().clamp(min=1e-30)
    return u / scale, v * scale[:, None]


def as_layers(u: torch.Tensor, v: torch.Tensor) -> torch.nn.Sequential:
    """Return two linear layers in a row, inputs → rank → outputs, without bias."""
    first = torch.nn.Linear(v.shape[1], v.shape[0], bias=False)
    second = torch.nn.Linear(u.shape[1], u.shape[0], bias=False)
    first.weight, second.weight = torch.nn.Parameter(v.contiguous()), torch.nn.Parameter(u.contiguous())
    return torch.nn.Sequential(first, second)


def rank_for(outputs: int, inputs: int, parameters: float) -> int:
    """Return the largest rank whose two factors have at most this many parameters, at least 1."""
    return max(1, min(outputs, inputs, int(parameters // (outputs + inputs))))


def check_rank(w: torch.Tensor, rank: int) -> None:
    """Raise InputError unless w is a finite matrix that has this rank."""
    finite(w)
    if not 1 <= rank <= min(w.shape):
        raise InputError(
            f"Rank {rank} is not possible for a matrix of {w.shape[0]} × {w.shape[1]}. Choose 1 to {min(w.shape)}."
        )
