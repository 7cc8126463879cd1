"""Who gets which type, if all together may take so many bytes, or may cost so much: a knapsack.

A price λ in nats per byte decides each tensor alone: it takes the type with the least KL + λ · bytes. Going down with λ,
one tensor after the other moves to its next larger type on the lower convex hull of its (bytes, KL) points, the one
that saves most KL for each byte first. So one sort gives the mixes of every λ. Between two of them some bytes stay
unused; single steps that still fit use them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers.artifacts import size_text
from helpers.errors import InputError
from helpers.quality.costs import Costs


@dataclass(frozen=True)
class Mix:
    """A type for each tensor, by its name; the file's bytes; and the KL in nats that single prices add up to."""

    types: dict[str, str]
    bytes: int
    predicted: float


@dataclass(frozen=True)
class _Step:
    """A tensor goes to a larger type: what that takes, and what it saves."""

    name: str
    kind: str
    bytes: int
    saved: float


def choose(costs: Costs, budget: float | None = None, target: float | None = None) -> Mix:
    """Return the mix with the least predicted KL in at most `budget` bytes, or the smallest with at most `target` nats.

    Raises InputError if the budget is too small for any mix, the target too low, or not exactly one of both is given.
    """
    if (budget is None) == (target is None):
        raise InputError("A mix needs one limit. It is the best of a size or the smallest of a KL. Pass budget or target.")
    types, steps = _start(costs), _steps(costs)
    n_bytes, kl = costs.bytes(types), costs.predicted(types)
    if budget is not None and n_bytes > budget:
        raise InputError(
            f"No mix of {costs.model} fits into {size_text(budget)}. In the smallest types it takes "
            f"{size_text(n_bytes)}. Allow more bytes, or measure smaller types."
        )
    full: set[str] = set()  # tensors whose next step did not fit: the ones after it must wait
    for step in steps:
        if target is not None and kl <= target:
            break
        if step.name in full:
            continue
        if budget is not None and n_bytes + step.bytes > budget:
            full.add(step.name)
            continue
        types[step.name], n_bytes, kl = step.kind, n_bytes + step.bytes, kl - step.saved
    if target is not None and kl > target:
        raise InputError(
            f"No mix of {costs.model} has a KL of at most {target:.3g} nats. The largest types give {kl:.3g}. "
            "Allow more, or measure larger types."
        )
    types = _filled(costs, types, budget) if budget is not None else _trimmed(costs, types, target)
    return Mix(types, costs.bytes(types), costs.predicted(types))


def pareto(costs: Costs, points: int = 60) -> list[Mix]:
    """Return the best mixes of about `points` sizes, from the smallest file to the largest."""
    types, steps = _start(costs), _steps(costs)
    n_bytes, kl = costs.bytes(types), costs.predicted(types)
    last = n_bytes + sum(step.bytes for step in steps)
    curve, apart = [Mix(dict(types), n_bytes, kl)], (last - n_bytes) / max(1, points - 1)
    for i, step in enumerate(steps):
        types[step.name], n_bytes, kl = step.kind, n_bytes + step.bytes, kl - step.saved
        if n_bytes - curve[-1].bytes >= apart or i == len(steps) - 1:
            curve.append(Mix(dict(types), n_bytes, kl))
    return curve


def _start(costs: Costs) -> dict[str, str]:
    """Return each tensor's smallest type, the better of two that are equally small."""
    return {n: min(sizes, key=lambda k: (sizes[k], costs.kl[n][k])) for n, sizes in costs.sizes.items()}  # noqa: B023


def _steps(costs: Costs) -> list[_Step]:
    """Return all steps along the tensors' lower convex hulls, the best saving for each byte first."""
    steps = []
    for name, sizes in costs.sizes.items():
        kl = costs.kl[name]
        hull: list[str] = []
        for kind in sorted(sizes, key=lambda k: (sizes[k], kl[k])):  # noqa: B023
            if hull and kl[kind] >= kl[hull[-1]]:
                continue
            while len(hull) > 1 and _slope(sizes, kl, hull[-2], hull[-1]) <= _slope(sizes, kl, hull[-1], kind):
                hull.pop()
            hull.append(kind)
        steps += [
            _Step(name, after, sizes[after] - sizes[before], kl[before] - kl[after])
            for before, after in zip(hull, hull[1:], strict=False)
        ]
    return sorted(steps, key=lambda step: -step.saved / step.bytes)  # stable: a tensor's own steps keep their order


def _slope(sizes: dict[str, int], kl: dict[str, float], before: str, after: str) -> float:
    return (kl[before] - kl[after]) / (sizes[after] - sizes[before])


def _filled(costs: Costs, types: dict[str, str], budget: float) -> dict[str, str]:
    """Spend what is left: the single change that saves most and fits, again and again."""
    left = budget - costs.bytes(types)
    while True:
        best, saved = None, 0.0
        for name, kind in types.items():
            sizes, kl = costs.sizes[name], costs.kl[name]
            for other in sizes:
                if sizes[other] - sizes[kind] <= left and kl[kind] - kl[other] > saved:
                    best, saved = (name, other), kl[kind] - kl[other]
        if best is None:
            return types
        left -= costs.sizes[best[0]][best[1]] - costs.sizes[best[0]][types[best[0]]]
        types = types | {best[0]: best[1]}


def _trimmed(costs: Costs, types: dict[str, str], target: float) -> dict[str, str]:
    """Save what may be saved: the single change that frees most bytes within the target, again and again."""
    allowed = target - costs.predicted(types)
    while True:
        best, freed = None, 0
        for name, kind in types.items():
            sizes, kl = costs.sizes[name], costs.kl[name]
            for other in sizes:
                if kl[other] - kl[kind] <= allowed and sizes[kind] - sizes[other] > freed:
                    best, freed = (name, other), sizes[kind] - sizes[other]
        if best is None:
            return types
        allowed -= costs.kl[best[0]][best[1]] - costs.kl[best[0]][types[best[0]]]
        types = types | {best[0]: best[1]}
