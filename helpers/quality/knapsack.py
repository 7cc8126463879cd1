"""Who gets which type, if all together may take so many bytes, or may cost so much: a knapsack.

`table[b]` is the least KL that some tensors can have together in b units of bytes. One more tensor makes a new table
out of the old one: in each of its types it takes some units and leaves the rest to the others. When every tensor was
there, the best mix of every size can be read off, backwards, from who took how many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from helpers.artifacts import size_text
from helpers.errors import InputError
from helpers.quality.costs import Costs

UNITS = 8192  # sizes are told apart this finely


@dataclass(frozen=True)
class Mix:
    """A type for each tensor, by its name; the file's bytes; and the KL in nats that single prices add up to."""

    types: dict[str, str]
    bytes: int
    predicted: float


def choose(costs: Costs, budget: float | None = None, target: float | None = None) -> Mix:
    """Return the mix with the least predicted KL in at most `budget` bytes, or the smallest with at most `target` nats.

    Raises InputError if the budget is too small for any mix, the target too low, or not exactly one of both is given.
    """
    if (budget is None) == (target is None):
        raise InputError(
            "A mix has one limit. It is the best of its size or the smallest of its KL. Pass either budget or target."
        )
    smallest, largest = (costs.rest + sum(f(s.values()) for s in costs.sizes.values()) for f in (min, max))
    if budget is not None and budget < smallest:
        raise InputError(
            f"No mix of {costs.model} fits into {size_text(budget)}. In its smallest types it takes "
            f"{size_text(smallest)}. Allow more bytes, or measure smaller types."
        )
    table = _Table(costs, smallest, largest if budget is None else min(budget, largest))
    if budget is not None:
        return next(mix for mix in map(table.mix, reversed(range(table.units))) if mix.bytes <= budget)
    reached = np.flatnonzero(table.least <= target)
    if not len(reached):
        raise InputError(
            f"No mix of {costs.model} has a KL of at most {target:.3g} nats. Its best types give "
            f"{table.least[-1]:.3g}. Allow more, or measure larger types."
        )
    return table.mix(int(reached[0]))


def pareto(costs: Costs, points: int = 60) -> list[Mix]:
    """Return the best mixes of about `points` sizes, from the smallest file to the largest."""
    smallest, largest = (costs.rest + sum(f(s.values()) for s in costs.sizes.values()) for f in (min, max))
    table = _Table(costs, smallest, largest)
    curve = []
    for i in np.linspace(0, table.units - 1, points).round().astype(int):
        mix = table.mix(int(i))
        if not curve or (mix.bytes > curve[-1].bytes and mix.predicted < curve[-1].predicted):
            curve.append(mix)
    return curve


class _Table:
    """The least KL for every number of units between the smallest file and `largest` bytes: `least`, (units,).

    Sizes are rounded to units, up or down, so that over many tensors nothing is lost or won.
    """

    def __init__(self, costs: Costs, smallest: int, largest: float):
        self.costs = costs
        extra = {n: {k: size - min(sizes.values()) for k, size in sizes.items()} for n, sizes in costs.sizes.items()}
        unit = math.gcd(*(int(size) for sizes in extra.values() for size in sizes.values())) or 1
        unit = max(unit, (largest - smallest) / UNITS)
        self.units = int((largest - smallest) / unit) + 1
        self._taken = {n: {k: round(size / unit) for k, size in sizes.items()} for n, sizes in extra.items()}
        self._chosen: dict[str, np.ndarray] = {}
        self.least = np.zeros(self.units)
        for name, taken in self._taken.items():
            least, chosen = np.full(self.units, np.inf), np.zeros(self.units, np.int8)
            for number, (kind, units) in enumerate(taken.items()):
                if units < self.units:
                    kl = self.least[: self.units - units] + costs.kl[name][kind]
                    better = kl < least[units:]
                    least[units:][better], chosen[units:][better] = kl[better], number
            self.least, self._chosen[name] = least, chosen

    def mix(self, units: int) -> Mix:
        """Return the best mix of so many units: the last tensor's type first, the rest is the others'."""
        types = {}
        for name in reversed(self._chosen):
            kinds = tuple(self._taken[name])
            types[name] = kinds[self._chosen[name][units]]
            units -= self._taken[name][types[name]]
        types = {name: types[name] for name in self._chosen}
        return Mix(types, self.costs.bytes(types), self.costs.predicted(types))
