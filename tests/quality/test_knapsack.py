"""Choosing types: beside every possible choice, within limits, along the curve."""

import itertools
import math

import numpy as np
import pytest

from helpers.errors import InputError
from helpers.quality import knapsack, mix
from helpers.quality.costs import Costs


def made_up(tensors: int, kinds: int, seed: int = 0) -> Costs:
    random = np.random.default_rng(seed)
    bits = np.linspace(16, 1.5, kinds)
    names = [f"tensor {i}" for i in range(tensors)]
    sizes = {name: {f"{b:.2f}": int(b * 4096) * random.integers(1, 4) for b in bits} for name in names}
    kl = {
        name: {f"{b:.2f}": scale * 4.0**-b * random.lognormal(0, 0.3) for b in bits}
        for name, scale in zip(names, random.lognormal(0, 2, tensors), strict=True)
    }
    return Costs("made up", sizes, kl, 1000, {})


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_is_close_to_the_best_of_all(seed):
    costs = made_up(5, 5, seed)
    every = [dict(zip(costs.kl, kinds, strict=True)) for kinds in itertools.product(*costs.kl.values())]
    for share in (0.2, 0.4, 0.7):
        budget = costs.bytes(dict.fromkeys(costs.kl, "16.00")) * share
        best = min(costs.predicted(types) for types in every if costs.bytes(types) <= budget)
        chosen = mix.choose(costs, budget)
        assert chosen.bytes <= budget and best <= chosen.predicted <= 1.05 * best


def test_a_target_gives_the_smallest_file():
    costs = made_up(20, 8)
    chosen = mix.choose(costs, target=1e-3)
    assert chosen.predicted <= 1e-3
    smaller = mix.choose(costs, budget=chosen.bytes * 0.97)
    assert smaller.predicted > 1e-3


def test_the_curve_goes_down():
    curve = mix.pareto(made_up(30, 10), points=20)
    assert 10 <= len(curve) <= 21
    for before, after in itertools.pairwise(curve):
        assert before.bytes < after.bytes and before.predicted > after.predicted
    costs = made_up(30, 10)
    assert mix.choose(costs, budget=curve[5].bytes).predicted <= curve[5].predicted * (1 + 1e-9)


def test_limits_that_cannot_be_met():
    costs = made_up(3, 3)
    with pytest.raises(InputError, match="one limit"):
        mix.choose(costs)
    with pytest.raises(InputError, match="one limit"):
        mix.choose(costs, budget=1e9, target=1.0)
    with pytest.raises(InputError, match="fits into 1 kB"):
        mix.choose(costs, budget=1000)
    with pytest.raises(InputError, match="at most 1e-30 nats"):
        mix.choose(costs, target=1e-30)


def test_more_bytes_are_never_worse():
    costs = made_up(40, 9)
    last = math.inf
    for budget in np.linspace(0.15, 1.1, 25) * costs.bytes(dict.fromkeys(costs.kl, "16.00")):
        chosen = mix.choose(costs, budget)
        assert chosen.bytes <= budget and chosen.predicted <= last * 1.001
        last = chosen.predicted
    assert chosen.types == {name: min(kl, key=kl.get) for name, kl in costs.kl.items()}, "room for all"


def test_sizes_coarser_than_the_tensors_still_keep_the_budget(monkeypatch):
    """Rounding to units may go either way: what is returned fits all the same."""
    monkeypatch.setattr(knapsack, "UNITS", 50)
    costs = made_up(40, 9)
    for budget in np.linspace(0.15, 0.9, 20) * costs.bytes(dict.fromkeys(costs.kl, "16.00")):
        assert mix.choose(costs, budget).bytes <= budget
