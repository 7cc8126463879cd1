"""Post-training quantization on equal terms: RTN, clipping, AWQ, GPTQ and HQQ, each in any of the same formats.

Notebook 09 writes the methods out for one format; here each takes a `Format` (bits, symmetric or affine, a scale for a
row or for a group of weights), so that methods can be compared and formats can be compared, and not one of each.

    method(w, moments, form) → the rounded w     w (outputs, inputs); moments xᵀx of its inputs x (`compress.inputs_of`)

GPTQ: arXiv 2210.17323. AWQ: arXiv 2306.00978. HQQ: Badri and Shaji, mobiusml blog, 2023.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

SHARES = tuple(share / 50 for share in range(50, 14, -1))  # 1.00, 0.98 … 0.30 of the range


@dataclass(frozen=True)
class Format:
    """How weights are stored: symmetric codes (−L … L) or affine ones (0 … 2^bits − 1), with a scale for each group.

    group: weights of a row that share a scale (and, if affine, a real zero point); None for the whole row.
    """

    bits: int
    symmetric: bool
    group: int | None = None

    @property
    def levels(self) -> int:
        """Steps from the lowest code to the highest."""
        return 2**self.bits - (2 if self.symmetric else 1)

    def bits_per_weight(self, columns: int) -> float:
        """Return bits for each weight of a row, with FP16 scales and zero points."""
        groups = -(-columns // (self.group or columns))
        return self.bits + groups * 16 * (1 if self.symmetric else 2) / columns


@dataclass(frozen=True)
class Grid:
    """The values that codes stand for: (codes − zero) · scale; both (outputs, 1)."""

    scale: torch.Tensor
    zero: torch.Tensor
    levels: int

    def round(self, w: torch.Tensor) -> torch.Tensor:
        return ((w / self.scale + self.zero).round().clamp(0, self.levels) - self.zero) * self.scale


Fit = Callable[[torch.Tensor, "Format"], Grid]


def widest(w: torch.Tensor, form: Format, share: float | torch.Tensor = 1.0) -> Grid:
    """Return the grid of a group w (outputs, group) that spans `share` of its range (of each row); RTN's at 1."""
    if form.symmetric:
        scale = share * w.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) / (form.levels / 2)
        return Grid(scale, torch.full_like(scale, form.levels / 2), form.levels)
    low, high = w.amin(dim=1, keepdim=True), w.amax(dim=1, keepdim=True)
    scale = share * (high - low).clamp(min=1e-30) / form.levels
    return Grid(scale, form.levels / 2 - (low + high) / 2 / scale, form.levels)


def clipped_grid(w: torch.Tensor, form: Format) -> Grid:
    """Return for each row the grid of SHARES with the smallest squared error."""
    grids = [widest(w, form, share) for share in SHARES]
    errors = torch.stack([(grid.round(w) - w).square().sum(dim=1) for grid in grids])  # (shares, outputs)
    best = errors.argmin(dim=0)
    rows = torch.arange(len(w))
    scale, zero = (torch.stack([getattr(grid, name) for grid in grids])[best, rows] for name in ("scale", "zero"))
    return Grid(scale, zero, form.levels)


def hqq_grid(w: torch.Tensor, form: Format, p: float = 0.7, rounds: int = 20) -> Grid:
    """Return the grid that matches most weights well and lets a few be far off: |error|^0.7 is made small.

    Two steps in turns: split off large errors as outliers, then move the zero point (affine), or the scale (symmetric),
    so that the rest is matched best.
    """
    grid, beta = widest(w, form), 10.0
    for _ in range(rounds):
        codes = (w / grid.scale + grid.zero).round().clamp(0, form.levels)
        error = w / grid.scale - (codes - grid.zero)
        outliers = error.sign() * (error.abs() - error.abs().clamp(min=1e-8) ** (p - 1) / beta).clamp(min=0)
        rest = w / grid.scale - outliers
        if form.symmetric:
            steps = codes - grid.zero
            size = steps.square().sum(dim=1, keepdim=True)
            factor = torch.where(size > 0, (rest * steps).sum(dim=1, keepdim=True) / size.clamp(min=1), 1.0)
            grid = Grid(grid.scale * factor.clamp(min=0.1), grid.zero, form.levels)
        else:
            grid = Grid(grid.scale, (codes - rest).mean(dim=1, keepdim=True), form.levels)
        beta *= 1.01
    return grid


def in_groups(w: torch.Tensor, form: Format, fit: Fit) -> torch.Tensor:
    """Round w (outputs, inputs), each group with the grid that `fit` finds for it."""
    return torch.cat([fit(part, form).round(part) for part in w.split(form.group or w.shape[1], dim=1)], dim=1)


def rtn(w: torch.Tensor, _: torch.Tensor, form: Format) -> torch.Tensor:
    """Round to nearest, the grid spans each group."""
    return in_groups(w, form, widest)


def clipped(w: torch.Tensor, _: torch.Tensor, form: Format) -> torch.Tensor:
    """Round to nearest, each group with the range that has the smallest squared error."""
    return in_groups(w, form, clipped_grid)


def hqq(w: torch.Tensor, _: torch.Tensor, form: Format) -> torch.Tensor:
    """Half-quadratic quantization: no data."""
    return in_groups(w, form, hqq_grid)


def awq(w: torch.Tensor, moments: torch.Tensor, form: Format) -> torch.Tensor:
    """Scale columns by a power of their input's root mean square, clip, round, scale back; the best of 11 powers."""
    size = moments.diag().sqrt()
    size = (size / size.mean()).clamp(min=1e-4)
    tried = (in_groups(w * size**power, form, clipped_grid) / size**power for power in (i / 10 for i in range(11)))
    return min(tried, key=lambda attempt: output_error(w, attempt, moments))


def gptq(w: torch.Tensor, moments: torch.Tensor, form: Format, fit: Fit = widest) -> torch.Tensor:
    """Round column by column; those that are not yet rounded make up for the error, as far as their inputs allow.

    The grid of a group is fitted when its first column is reached, to the weights as they then are.
    """
    h = moments / moments.diag().mean()
    h = h + 0.01 * torch.eye(len(h))  # keeps it invertible
    u = torch.linalg.cholesky(torch.linalg.inv(h.double()), upper=True).float()
    w, rounded, group = w.clone(), torch.empty_like(w), form.group or w.shape[1]
    for j in range(w.shape[1]):
        if j % group == 0:
            grid = fit(w[:, j : j + group], form)
        rounded[:, j : j + 1] = grid.round(w[:, j : j + 1])
        error = (w[:, j] - rounded[:, j]) / u[j, j]
        w[:, j + 1 :] -= error[:, None] * u[j, j + 1 :]
    return rounded


def gptq_clipped(w: torch.Tensor, moments: torch.Tensor, form: Format) -> torch.Tensor:
    """GPTQ on the grids of `clipped`."""
    return gptq(w, moments, form, clipped_grid)


def output_error(w: torch.Tensor, approximation: torch.Tensor, moments: torch.Tensor) -> float:
    """Return the squared error of the layer's outputs, summed over the text that `moments` is from."""
    e = w - approximation
    return float(((e @ moments) * e).sum())


METHODS = {
    "RTN": rtn,
    "RTN, clipped": clipped,
    "HQQ": hqq,
    "AWQ": awq,
    "GPTQ": gptq,
    "GPTQ, clipped": gptq_clipped,
}
