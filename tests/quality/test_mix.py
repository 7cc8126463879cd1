"""Mixes: prices of single tensors, and who gets which type."""

import itertools

import numpy as np
import pytest

from helpers import machine
from helpers.errors import InputError
from helpers.pipeline import convert
from helpers.quality import evaluate, importance, mix, plan
from helpers.quality.costs import Costs, between
from helpers.training import stories

KINDS = ("F16", "Q8_0", "Q4_K", "Q2_K")
SOME = {"kinds": KINDS, "most": 2, "window": 64, "threads": 1}
EVERY = SOME | {"measured": None}


@pytest.fixture(scope="session")
def seen(story_f16) -> importance.Importance:
    return importance.collect(story_f16, list(stories.stories("importance of a mix", 20)), most=8, name="stories")


@pytest.fixture(scope="session")
def text() -> list[str]:
    return list(stories.stories("prices of a mix", 10))


@pytest.fixture(scope="session")
def costs(story_f16, text, seen) -> Costs:
    return mix.sensitivity(story_f16, text, seen, **EVERY)


def test_each_tensor_has_a_price_in_each_type(costs):
    assert len(costs.kl) == 29 and all(set(kl) == set(KINDS) for kl in costs.kl.values())
    assert costs.base == 0 and costs.predicted(costs.around) == 0
    for name, kl in costs.kl.items():
        assert kl["F16"] == 0 and 0 <= kl["Q8_0"] < kl["Q2_K"], name
    mean = {kind: np.mean([kl[kind] for kl in costs.kl.values()]) for kind in KINDS}
    assert 0 == mean["F16"] < 30 * mean["Q8_0"] < mean["Q4_K"] < mean["Q2_K"]


def test_the_file_is_as_large_as_said_and_about_as_good(costs, story_f16, text, seen):
    chosen = mix.choose(costs, budget=1.6e6)
    path = convert.requantize(story_f16, "Q4_K_M", importance=seen, types=chosen.types)
    assert path.stat().st_size == chosen.bytes <= 1.6e6
    assert {tensor.name: tensor.type for tensor in convert.summary(path).tensors}.items() >= chosen.types.items()
    swapped = mix.measure(story_f16, text, seen, chosen.types, most=10, window=64, threads=1).mean()
    made = evaluate.compare(story_f16, path, text, window=64, threads=1).kl
    assert 0.6 < swapped / made < 1.8, "llama.cpp rounds the inputs of products, too"


def test_what_was_measured_is_not_measured_again(costs, story_f16, text, seen, monkeypatch):
    monkeypatch.setattr(mix.Exchange, "put", None)
    again = mix.sensitivity(story_f16, text, seen, **EVERY)
    for name in costs.kl:
        assert again.kl[name] == pytest.approx(costs.kl[name], rel=1e-6)


def test_groups_share_what_was_measured(story_f16, text, seen, costs, monkeypatch):
    monkeypatch.setattr(plan, "OPERATIONS", 1e6 * 2 / machine.cores())  # a slow machine
    grouped = mix.sensitivity(story_f16, text, seen, minutes=60, **SOME)
    assert {label for label, _ in grouped.measured} - {""} == {
        "token_embd",
        *(f"{role} 0 to 3" for role in "attn_q attn_k attn_v attn_output ffn_gate ffn_up ffn_down".split()),
    }
    of_group = sum(grouped.kl[f"blk.{i}.ffn_up.weight"]["Q4_K"] for i in range(4))
    assert of_group == pytest.approx(grouped.measured["ffn_up 0 to 3", "Q4_K"].mean())
    assert 0.3 < of_group / sum(costs.kl[f"blk.{i}.ffn_up.weight"]["Q4_K"] for i in range(4)) < 3
    for kl in grouped.kl.values():
        assert 0 == kl["F16"] < kl["Q8_0"] < kl["Q4_K"] < kl["Q2_K"]


def test_prices_around_a_mix(story_f16, text, seen, costs):
    chosen = mix.choose(costs, budget=0.3 * story_f16.stat().st_size)
    around = mix.sensitivity(story_f16, text, seen, around=chosen.types, **SOME)
    whole = mix.measure(story_f16, text, seen, chosen.types, most=2, window=64, threads=1).mean()
    assert around.predicted(chosen.types) == pytest.approx(whole, rel=1e-6)
    assert 0.4 < whole / chosen.predicted < 2.5, "single prices nearly add up"
    without = chosen.types | {"blk.3.ffn_down.weight": "F16"}
    back = mix.measure(story_f16, text, seen, without, most=2, window=64, threads=1).mean()
    assert around.predicted(without) == pytest.approx(back, rel=1e-6), "what was measured is predicted exactly"
    for name, kl in around.kl.items():
        if chosen.types[name] != "F16" and kl["Q8_0"]:
            assert 0 == kl["F16"] < kl["Q8_0"] < kl["Q4_K"] < kl["Q2_K"], name


def test_a_tensor_left_alone_by_a_mix_keeps_its_price(costs, story_f16, text, seen):
    inside = mix.sensitivity(story_f16, text, seen, around={"blk.0.attn_q.weight": "Q2_K"}, **SOME)
    both = between(costs, inside)
    assert both.kl["blk.1.attn_q.weight"] == costs.kl["blk.1.attn_q.weight"]
    assert both.kl["blk.0.attn_q.weight"]["Q2_K"] == pytest.approx(costs.kl["blk.0.attn_q.weight"]["Q2_K"], rel=1e-5)


def test_refining_is_never_worse_where_it_is_measured(story_f16, text, seen, costs):
    budget = 0.25 * story_f16.stat().st_size
    *others, best = mix.refine(story_f16, text, seen, costs, budget, rounds=2, **SOME)
    assert all(best.predicted <= other.predicted and other.bytes <= budget for other in [*others, best])
    assert best.types == mix.choose(costs, budget).types or others


def test_only_floats_can_be_exchanged(story_f16, text):
    with pytest.raises(InputError, match="Tensors are exchanged in a model of F16"):
        mix.sensitivity(convert.requantize(story_f16, "Q4_0"), text)


def test_unknown_names_and_types(story_f16, text):
    with pytest.raises(InputError, match="There is no type 'Q7_K'"):
        mix.sensitivity(story_f16, text, kinds=["Q7_K"], most=1, window=64)
    with pytest.raises(InputError, match="There is no matrix 'output.weight'"):
        with mix.Exchange(story_f16, text, 64, 1) as model:
            model.put("output.weight", "Q4_K")


# The knapsack


def made_up(tensors: int, kinds: int, seed: int = 0) -> Costs:
    random = np.random.default_rng(seed)
    bits = np.linspace(16, 1.5, kinds)
    names = [f"tensor {i}" for i in range(tensors)]
    sizes = {name: {f"{b:.2f}": int(b * 4096) * random.integers(1, 4) for b in bits} for name in names}
    kl = {
        name: {f"{b:.2f}": scale * 4.0**-b * random.lognormal(0, 0.3) for b in bits}
        for name, scale in zip(names, random.lognormal(0, 2, tensors), strict=True)
    }
    return Costs("made up", sizes, kl, 1000, {name: "16.00" for name in names}, 0.0, {})


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_is_close_to_the_best_of_all(seed):
    costs = made_up(5, 5, seed)
    every = [dict(zip(costs.kl, kinds, strict=True)) for kinds in itertools.product(*costs.kl.values())]
    for share in (0.2, 0.4, 0.7):
        budget = costs.bytes(costs.around) * share
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
