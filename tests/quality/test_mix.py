"""Mixes: prices of single tensors, and who gets which type."""

import numpy as np
import pytest

from helpers import machine
from helpers.errors import InputError
from helpers.pipeline import convert
from helpers.quality import evaluate, importance, mix, plan
from helpers.quality.costs import Costs
from helpers.training import stories

KINDS = ("F16", "Q8_0", "Q4_K", "Q2_K")
OPEN = {"window": 64, "most": 2, "threads": 1}
SOME = OPEN | {"kinds": KINDS}
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
    assert costs.predicted(dict.fromkeys(costs.kl, "F16")) == 0
    for name, kl in costs.kl.items():
        assert kl["F16"] == 0 and 0 <= kl["Q8_0"] < kl["Q2_K"], name
    mean = {kind: np.mean([kl[kind] for kl in costs.kl.values()]) for kind in KINDS}
    assert 0 == mean["F16"] < 30 * mean["Q8_0"] < mean["Q4_K"] < mean["Q2_K"]


def test_the_file_is_as_large_as_said_and_about_as_good(costs, story_f16, text, seen):
    chosen = mix.choose(costs, budget=1.6e6)
    path = convert.requantize(story_f16, "Q4_K_M", importance=seen, types=chosen.types)
    assert path.stat().st_size == chosen.bytes <= 1.6e6
    assert {tensor.name: tensor.type for tensor in convert.summary(path).tensors}.items() >= chosen.types.items()
    swapped = mix.refine(story_f16, text, seen, costs, 1.6e6, 0, window=256, most=100, threads=1)[0].predicted
    made = evaluate.compare(story_f16, path, text, window=256, threads=1).kl
    assert 0.6 < swapped / made < 1.6, "not the same tokens count, and llama.cpp rounds the inputs of products, too"


def test_what_was_measured_is_not_measured_again(costs, story_f16, text, seen, monkeypatch):
    monkeypatch.setattr(mix.Exchange, "divergences", None)
    again = mix.sensitivity(story_f16, text, seen, **EVERY)
    for name in costs.kl:
        assert again.kl[name] == pytest.approx(costs.kl[name], rel=1e-6)


def test_groups_share_what_was_measured(story_f16, text, seen, costs, monkeypatch):
    monkeypatch.setattr(plan, "OPERATIONS", 1e6 * 2 / machine.cores())  # a slow machine
    grouped = mix.sensitivity(story_f16, text, seen, minutes=60, **SOME)
    assert {label for label, _ in grouped.measured} == {
        "token_embd",
        *(f"{role} 0 to 3" for role in "attn_q attn_k attn_v attn_output ffn_gate ffn_up ffn_down".split()),
    }
    of_group = sum(grouped.kl[f"blk.{i}.ffn_up.weight"]["Q4_K"] for i in range(4))
    assert of_group == pytest.approx(grouped.measured["ffn_up 0 to 3", "Q4_K"].mean())
    assert 0.3 < of_group / sum(costs.kl[f"blk.{i}.ffn_up.weight"]["Q4_K"] for i in range(4)) < 3
    for kl in grouped.kl.values():
        assert 0 == kl["F16"] < kl["Q8_0"] < kl["Q4_K"] < kl["Q2_K"]


def test_prices_nearly_add_up(story_f16, text, seen, costs):
    chosen = mix.choose(costs, budget=0.3 * story_f16.stat().st_size)
    whole = mix.refine(story_f16, text, seen, costs, 0.3 * story_f16.stat().st_size, trials=0, **OPEN)
    assert [mixed.types for mixed in whole] == [chosen.types]
    assert 0.4 < whole[0].predicted / chosen.predicted < 2.5


def test_refining_is_never_worse_where_it_is_measured(story_f16, text, seen, costs):
    budget = 0.25 * story_f16.stat().st_size
    *others, best = mix.refine(story_f16, text, seen, costs, budget, trials=8, **OPEN)
    assert len(others) >= 3 and all(best.predicted <= other.predicted for other in others)
    assert all(other.bytes <= budget for other in [*others, best])
    assert mix.choose(costs, budget).types in [other.types for other in [*others, best]]


def test_the_weighted_error_as_price(story_f16, seen, costs):
    blind = mix.by_error(costs, story_f16, seen)
    assert blind.sizes == costs.sizes and blind.rest == costs.rest
    for name, kl in blind.kl.items():
        assert 0 == kl["F16"] < kl["Q8_0"] < kl["Q4_K"] < kl["Q2_K"], name
    assert mix.choose(blind, 1.5e6).types != mix.choose(costs, 1.5e6).types


def test_the_type_that_is_measured_by_default(story_f16):
    """Notebook 15 names it."""
    assert set(mix.plan(convert.summary(story_f16)).measured.values()) == {("Q4_K",)}


def test_only_floats_can_be_exchanged(story_f16, text):
    with pytest.raises(InputError, match="Tensors are exchanged in a model of F16"):
        mix.sensitivity(convert.requantize(story_f16, "Q4_0"), text)


def test_unknown_names_and_types(story_f16, text):
    with pytest.raises(InputError, match="There is no type 'Q7_K'"):
        mix.sensitivity(story_f16, text, kinds=["Q7_K"], most=1, window=64)
    with pytest.raises(InputError, match="There is no matrix 'output.weight'"):
        with mix.Exchange(story_f16, text, 64, 1) as model:
            model.put("output.weight", "Q4_K")
