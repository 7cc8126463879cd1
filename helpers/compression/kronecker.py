"""Kronecker products: a matrix as Σ Aᵢ ⊗ Bᵢ, a layer that multiplies by them, and permutations that help.

A ⊗ B repeats B once for every number of A, multiplied by it. `nearest` finds the best factors (Van Loan and
Pitsianis, 1993); `KroneckerLinear` is a layer of them; `search` reorders rows and columns first, so that more of
the matrix has that form.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from helpers.compression.prune import finite
from helpers.errors import InputError


def rearrange(w: torch.Tensor, b_shape: tuple[int, int]) -> torch.Tensor:
    """Return R with a row for each number of A and a column for each number of B, so that A ⊗ B becomes a·bᵀ.

    w: (m1·m2, n1·n2) with b_shape = (m2, n2); R: (m1·n1, m2·n2). Raises InputError if the shapes do not factor.
    """
    m2, n2 = b_shape
    m, n = w.shape
    if m2 < 1 or n2 < 1 or m % m2 or n % n2:
        raise InputError(
            f"A matrix of {m} × {n} has no factor B of {m2} × {n2}. Its rows must divide {m} ({_divisors(m)}) "
            f"and its columns {n} ({_divisors(n)})."
        )
    return w.reshape(m // m2, m2, n // n2, n2).permute(0, 2, 1, 3).reshape(m // m2 * (n // n2), m2 * n2)


def nearest(w: torch.Tensor, b_shape: tuple[int, int], rank: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A (rank, m1, n1) and B (rank, m2, n2) for which Σ Aᵢ ⊗ Bᵢ is nearest to w in the Frobenius norm.

    The squared error is the sum of the squares of R's singular values beyond `rank`. R is long and thin when B is
    small, so its singular vectors come from the small RᵀR, in double precision: a few products, no large SVD.
    """
    finite(w)
    r = rearrange(w, b_shape)
    if not 1 <= rank <= min(r.shape):
        raise InputError(
            f"Rank {rank} is not possible. With B of {b_shape[0]} × {b_shape[1]} there are {min(r.shape)} ranks. "
            f"Choose 1 to {min(r.shape)}."
        )
    m2, n2 = b_shape
    thin = r if r.shape[0] >= r.shape[1] else r.T
    gram = thin.T.double() @ thin.double()
    vectors = torch.linalg.eigh(gram).eigenvectors[:, -rank:].flip(1).to(w.dtype)  # (small side, rank), largest first
    other = thin @ vectors  # (large side, rank): singular value × the other singular vector
    scale = other.norm(dim=0).clamp(min=1e-30).sqrt()  # both factors get the same norm
    large, small = other / scale, vectors * scale
    a, b = (large, small) if r.shape[0] >= r.shape[1] else (small, large)
    return a.T.reshape(rank, w.shape[0] // m2, w.shape[1] // n2), b.T.reshape(rank, m2, n2)


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the dense matrix Σ Aᵢ ⊗ Bᵢ of a (rank, m1, n1) and b (rank, m2, n2)."""
    dense = torch.einsum("rij,rkl->ikjl", a, b)
    return dense.reshape(a.shape[1] * b.shape[1], a.shape[2] * b.shape[2])


def tail(w: torch.Tensor, b_shape: tuple[int, int], rank: int) -> float:
    """Return the relative Frobenius error of the nearest product of this rank, without computing the factors."""
    r = rearrange(w, b_shape).double()
    gram = r.T @ r if r.shape[0] >= r.shape[1] else r @ r.T
    energy = torch.linalg.eigvalsh(gram).clamp(min=0)
    return float((energy[: len(energy) - rank].sum() / energy.sum().clamp(min=1e-300)).sqrt())


class KroneckerLinear(nn.Module):
    """A layer y = Σ (Aᵢ ⊗ Bᵢ) x, computed as Σ Aᵢ X Bᵢᵀ without ever building the large matrix.

    For a token that takes about 2 · rank · m1 · n1 · min(m2, n2) operations, against 2 · m1 · m2 · n1 · n2 of the dense
    matrix: with B of 2 × 4 and rank 4, no fewer at all.

    a: (rank, m1, n1); b: (rank, m2, n2); bias: (m1·m2,). rows, columns: the permutations of `search`; the layer then
    equals the matrix in its original order. They are kept as index buffers, and counted by `compress.held`. Factors
    and bias learn.
    """

    def __init__(
        self,
        a: torch.Tensor,
        b: torch.Tensor,
        rows: np.ndarray | None = None,
        columns: np.ndarray | None = None,
        bias: torch.Tensor | None = None,
    ):
        super().__init__()
        self.a, self.b = nn.Parameter(a.contiguous()), nn.Parameter(b.contiguous())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self.in_features, self.out_features = a.shape[2] * b.shape[2], a.shape[1] * b.shape[1]
        undo = None if rows is None else torch.as_tensor(np.argsort(rows))
        self.register_buffer("rows", undo)
        self.register_buffer("columns", None if columns is None else torch.as_tensor(np.array(columns)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply: (..., n1·n2) → (..., m1·m2)."""
        (rank, m1, n1), (_, m2, n2) = self.a.shape, self.b.shape
        if self.columns is not None:
            x = x.index_select(-1, self.columns)
        x = x.unflatten(-1, (n1, n2))
        # Either factor may come first; the large one is then multiplied by n2 or by m2 columns.
        if n2 <= m2:
            inner = x.transpose(-1, -2) @ self.a.reshape(rank * m1, n1).T  # (..., n2, rank·m1)
            y = torch.einsum("...lri,rkl->...ik", inner.unflatten(-1, (rank, m1)), self.b)
        else:
            inner = torch.einsum("...jl,rkl->...krj", x, self.b).flatten(-2)  # (..., m2, rank·n1)
            y = (inner @ self.a.transpose(1, 2).reshape(rank * n1, m1)).transpose(-1, -2)
        y = y.flatten(-2)
        if self.rows is not None:
            y = y.index_select(-1, self.rows)
        return y if self.bias is None else y + self.bias


class KroneckerEmbedding(nn.Module):
    """A table of vectors as A ⊗ B, with B one row of `columns` numbers: the vector of token i is A[i] ⊗ B.

    table: (tokens, width), which `columns` divides. As in KnGPT-2 and TQCompressor (arXiv 2110.08152, 2401.16367).
    """

    def __init__(self, table: torch.Tensor, columns: int):
        super().__init__()
        a, b = nearest(table, (1, columns), rank=1)
        self.a, self.b = nn.Parameter(a[0]), nn.Parameter(b[0, 0])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the vectors (…, width) of token ids (…)."""
        return (self.a[ids][..., None] * self.b).flatten(-2)


@dataclass(frozen=True)
class Permuted:
    """A found order, in which w[rows][:, columns] is nearer to a product; the relative error after each step."""

    rows: np.ndarray  # (outputs,), for each place the row of w that stands there
    columns: np.ndarray  # (inputs,)
    errors: list[float]


def search(
    w: torch.Tensor, b_shape: tuple[int, int], rank: int = 1, restarts: int = 40, swaps: int = 2, seed: int = 0
) -> Permuted:
    """Search for an order of rows and columns in which the nearest Kronecker product is nearer; never worse than none.

    Assignment: with the factors fixed, the best order of all rows (then of all columns) is a linear assignment problem,
    solved exactly; then the factors are fitted again, in turns until nothing is gained. Restarts: shuffle half of the
    lines of the best order and do it again. Swaps: exchange two rows (columns) whenever that lowers the error, up to
    `swaps` rounds over all of them. No step increases the error: each picks from a set that contains doing nothing.
    (TQCompressor's own search is not published; this one is ours.)
    """
    finite(w)
    random = np.random.default_rng(seed)
    best = _assign(w, b_shape, rank, np.arange(w.shape[0]), np.arange(w.shape[1]))
    for _ in range(restarts):
        shuffled = []
        for lines in (best.rows, best.columns):
            some = random.choice(len(lines), (len(lines) + 1) // 2, replace=False)
            shuffled.append(lines.copy())
            shuffled[-1][some] = lines[random.permutation(some)]
        found = _assign(w, b_shape, rank, *shuffled)
        if found.errors[-1] < best.errors[-1]:
            best = Permuted(found.rows, found.columns, [*best.errors, found.errors[-1]])
    for _ in range(swaps):
        before = best.errors[-1]
        for axis in (0, 1):
            best = _swap(w, b_shape, rank, best, axis, random)
        found = _assign(w, b_shape, rank, best.rows, best.columns)
        best = Permuted(found.rows, found.columns, best.errors + found.errors[1:])
        if best.errors[-1] > before - 1e-6:
            break
    return best


def _assign(
    w: torch.Tensor, b_shape: tuple[int, int], rank: int, rows: np.ndarray, columns: np.ndarray, rounds: int = 50
) -> Permuted:
    """Alternate: best rows, fit, best columns, fit, until nothing is gained.

    w: (outputs, inputs); rows: (outputs,) and columns: (inputs,), the order to begin with.
    """
    errors = [tail(w[rows][:, columns], b_shape, rank)]
    for _ in range(rounds):
        before = errors[-1]
        for axis in (0, 1):
            current = w[rows][:, columns]
            target = product(*nearest(current, b_shape, rank))
            gain = target @ current.T if axis == 0 else target.T @ current  # [place, line]: how well a line fits there
            order = linear_sum_assignment(gain.numpy(), maximize=True)[1]
            tried = (rows[order], columns) if axis == 0 else (rows, columns[order])
            error = tail(w[tried[0]][:, tried[1]], b_shape, rank)
            if error < errors[-1]:  # a guard against rounding; in exact numbers it could not be larger
                (rows, columns), errors = tried, [*errors, error]
        if errors[-1] > before - 1e-7:
            return Permuted(rows, columns, errors)
    return Permuted(rows, columns, errors)


def _swap(
    w: torch.Tensor, b_shape: tuple[int, int], rank: int, best: Permuted, axis: int, random: np.random.Generator
) -> Permuted:
    """Go once over all lines of an axis in random order; exchange each with the partner that gains most, if any does.

    w: (outputs, inputs); its lines are rows for axis 0, columns for axis 1; b_shape[axis] of them make a block.

    The error needs only RᵀR, and exchanging two lines changes only the blocks they stand in. The products of all pairs
    of lines are computed once; every partner of a line is then tried in one batch of small eigenvalue problems.
    """
    current = w[best.rows][:, best.columns].double()
    size = b_shape[axis]
    lines = current if axis == 0 else current.T
    across = b_shape[1 - axis]
    cut = lines.reshape(len(lines), -1, across)
    pairs = torch.einsum("xkc,ykd->xycd", cut, cut)  # (lines, lines, across, across)
    order = torch.arange(len(lines))
    blocks = order.reshape(-1, size)

    def gram(index: torch.Tensor) -> torch.Tensor:  # (..., size) lines of a block → (..., size·across, size·across)
        part = pairs[index[..., :, None], index[..., None, :]]  # (..., size, size, across, across)
        return part.transpose(-3, -2).flatten(-2).flatten(-3, -2)

    total = gram(blocks).sum(dim=0)
    energy = float(torch.linalg.eigvalsh(total)[-rank:].sum())
    whole, errors = float(current.square().sum()), list(best.errors)
    for place in random.permutation(len(lines)).tolist():
        block, slot = divmod(place, size)
        partners = torch.tensor([p for p in range(len(lines)) if p // size != block])
        here = blocks[block].repeat(len(partners), 1)
        there = blocks[partners // size].clone()
        rest = total - gram(here) - gram(there)
        each = torch.arange(len(partners))
        here[:, slot], there[each, partners % size] = there[each, partners % size], here[:, slot].clone()
        tried = rest + gram(here) + gram(there)
        gains = torch.linalg.eigvalsh(tried)[:, -rank:].sum(dim=1)
        pick = int(gains.argmax())
        if float(gains[pick]) > energy + 1e-12 * whole:
            blocks[block], blocks[partners[pick] // size] = here[pick], there[pick]
            total, energy = tried[pick], float(gains[pick])
            errors.append(max(0.0, 1 - energy / whole) ** 0.5)
    order = blocks.flatten().numpy()
    rows, columns = (best.rows[order], best.columns) if axis == 0 else (best.rows, best.columns[order])
    return Permuted(rows, columns, errors)


def _divisors(n: int) -> str:
    found = [str(d) for d in range(1, min(n, 64) + 1) if n % d == 0]
    return ", ".join(found) + (" …" if n > 64 else "")
