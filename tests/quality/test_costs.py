"""Groups of tensors, and prices that follow from measured ones."""

import math

import numpy as np
import pytest

from helpers.quality import plan
from helpers.quality.costs import groups_of, spread
from helpers.quality.journal import Journal

NAMES = ["token_embd.weight", *(f"blk.{i}.{role}.weight" for i in range(7) for role in ("attn_q", "ffn_up"))]


def test_each_tensor_is_a_group_if_there_are_few():
    assert [group.names for group in groups_of(NAMES)] == [(name,) for name in NAMES]
    assert groups_of(NAMES) == groups_of(NAMES, 15)


@pytest.mark.parametrize("most", [3, 5, 9, 14])
def test_groups_are_neighbouring_layers_and_hold_every_tensor_once(most):
    groups = groups_of(NAMES, most)
    assert len(groups) <= most and sorted(name for group in groups for name in group.names) == sorted(NAMES)
    for group in groups[1:]:
        layers = [int(name.split(".")[1]) for name in group.names]
        assert layers == list(range(layers[0], layers[-1] + 1))
        assert group.label.split()[1:] == (
            [str(layers[0]), "to", str(layers[-1])] if len(layers) > 1 else [str(layers[0])]
        )


def test_prices_follow_errors():
    errors = {"a": {"F16": 0, "large": 1.0, "middle": 4.0, "small": 16.0, "tiny": 64.0}}
    one = spread(errors["a"], {"F16": 0, "large": 0.1}, errors)["a"]
    assert one == pytest.approx({"F16": 0, "large": 0.1, "middle": 0.4, "small": 1.6, "tiny": 6.4})
    two = spread(errors["a"], {"F16": 0, "large": 0.1, "small": 3.2}, errors)["a"]
    assert two["middle"] == pytest.approx(math.sqrt(0.1 * 3.2)), "on a line, in logarithms"
    assert two["tiny"] == pytest.approx(4 * 3.2) and two["large"] == 0.1


def test_a_groups_price_is_divided_by_errors():
    errors = {"a": {"x": 1.0, "y": 2.0}, "b": {"x": 3.0, "y": 2.0}}
    assert spread("xy", {"x": 0.8}, errors) == {"a": {"x": 0.2, "y": 0.4}, "b": {"x": pytest.approx(0.6), "y": 0.4}}


def test_a_journal_survives_a_torn_line(tmp_path):
    path = tmp_path / "prices.jsonl"
    Journal(path).add("a", "Q4_K", np.array([0.25, 1 / 3]))
    with open(path, "a") as file:
        file.write('\n["b", "Q2_')
    again = Journal(path)
    assert again["a", "Q4_K"].tolist() == pytest.approx([0.25, 1 / 3]) and ("b", "Q2_K") not in again
    again.add("b", "Q2_K", np.array([1.0]))
    assert Journal(path)["b", "Q2_K"].tolist() == [1.0] and ("a", "Q4_K") in Journal(path)


def test_plans_become_coarser_with_less_time(monkeypatch):
    from benchmarks.mix import llama

    monkeypatch.setattr(plan.machine, "cores", lambda: 2)
    tiny = llama(22, 2048, 5632, 256, 32_000)
    plans = [plan.plan(tiny, minutes=minutes, most=8) for minutes in (None, 60, 20, 5)]
    assert [len(each.groups) for each in plans] == sorted((len(each.groups) for each in plans), reverse=True)
    assert plans[0].prices == 156 and plans[2].seconds <= 20 * 60 < plans[0].seconds
    assert len(plans[2].groups) >= 16, "the same matrix in a few neighbouring layers"
    every = plan.plan(tiny, measured=None)
    assert every.prices == 156 * 15 and set(every.measured["blk.0.attn_q"]) >= {"Q8_0", "Q4_K", "IQ2_XXS"}
    large = plan.plan(llama(32, 4096, 14_336, 1024, 128_256), minutes=20, most=8)
    assert len(large.groups) == 9 and "16.79 GB of memory" in str(large)
