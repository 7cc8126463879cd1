"""Comparisons: a file with itself, the order of the types, KL divergence from its definition, the bootstrap."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from notebook_functions import hand_made

from helpers.errors import InputError
from helpers.pipeline import catalogue, convert, kv_cache
from helpers.quality import evaluate, scoring
from helpers.training import stories

STORIES = list(stories.stories(2, 60))


def test_a_file_compared_with_itself_differs_by_nothing(story_f16, run):
    same = evaluate.compare(run, story_f16, STORIES)
    assert same.kl == 0 and same.divergences.max() == 0 and same.top1 == 1 and same.ratio == 1
    assert same.interval("loss") == (0, 0)


def test_texts_from_a_generator_and_paths_as_text(story_f16):
    same = evaluate.compare(str(story_f16), str(story_f16), (story for story in STORIES), window=128)
    assert same.kl == 0 and same.candidate.name == "story-F16"


def test_order_of_the_types(story_f16, run):
    """KL(Q8_0) < KL(Q6_K) < KL(Q4_K_M) < KL(Q2_K) on weights that were never quantized before."""
    files = {"Q8_0": convert.to_gguf(catalogue.CATALOGUE["story"].fetch(), "q8_0")}
    files |= {name: convert.requantize(story_f16, name) for name in ("Q6_K", "Q4_K_M", "Q2_K")}
    comparisons = {name: evaluate.compare(run, path, STORIES) for name, path in files.items()}
    kl = [comparison.kl for comparison in comparisons.values()]
    assert 0 < kl[0] < kl[1] < kl[2] < kl[3]
    for comparison in comparisons.values():
        low, high = comparison.interval()
        assert low <= comparison.kl <= high
        assert comparison.interval("top1")[0] <= comparison.top1 <= comparison.interval("top1")[1]


def test_divergence_against_float64():
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((50, 1000)).astype(np.float32) * 3 for _ in range(2))
    codes = [np.empty((50, 1000), np.uint16) for _ in range(2)]
    scoring.encode(a, codes[0])
    scoring.encode(b, codes[1])
    p, q = (x.astype(np.float64) - np.log(np.exp(x.astype(np.float64)).sum(axis=1, keepdims=True)) for x in (a, b))
    assert np.allclose(evaluate.divergence(*codes), (np.exp(p) * (p - q)).sum(axis=1), rtol=1e-3)


@given(st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=50), st.integers(0, 10**6))
def test_divergence_is_never_negative_and_0_for_equals(values, seed):
    a = np.array([values], np.float32)
    b = a + np.random.default_rng(seed).standard_normal(a.shape).astype(np.float32)
    codes = [np.empty(a.shape, np.uint16) for _ in range(2)]
    scoring.encode(a, codes[0])
    scoring.encode(b, codes[1])
    assert evaluate.divergence(*codes)[0] >= 0 and evaluate.divergence(codes[0], codes[0])[0] == 0


def by_hand(values, rounds=10_000, seed=0) -> tuple[float, float]:
    """The percentile bootstrap in four lines: draw as many with replacement, take means, cut 2.5 % off each end."""
    values = np.asarray(values, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(values), (rounds, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def test_bootstrap():
    values = np.random.default_rng(1).normal(3, 1, 400)
    low, high = evaluate.bootstrap(values)
    assert low < values.mean() < high and high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert evaluate.bootstrap(values) == (low, high), "the same every time"


@pytest.mark.parametrize("n", [2, 3, 17, 100, 700])  # 700: drawn in more than one part
def test_the_bootstrap_of_scipy_draws_as_ours_did(n):
    """Not only alike: the same draws, so that the digits printed in notebooks are those of every version."""
    random = np.random.default_rng(n)
    for values in (random.normal(0.02, 0.01, n), random.random(n) < 0.8, np.full(n, 0.25)):
        assert evaluate.bootstrap(values) == pytest.approx(by_hand(values), rel=1e-12, abs=1e-15)


def test_values_of_torch_are_drawn_like_others():
    values = torch.arange(8, dtype=torch.bfloat16)
    assert evaluate.bootstrap(values) == evaluate.bootstrap(np.arange(8.0))


@pytest.mark.parametrize("values", [[], [0.3]])
def test_one_value_has_no_interval(values):
    with pytest.raises(InputError, match=f"at least two values, not {len(values)}"):
        evaluate.bootstrap(np.array(values))


def test_different_vocabularies_are_refused(run, tmp_path):
    with pytest.raises(InputError, match="different vocabularies"):
        evaluate.compare(run, hand_made(tmp_path, **{"llama.context_length": 512}), STORIES)


def test_a_reference_of_another_text_is_refused(run, story_f16):
    with pytest.raises(InputError, match="made from another text"):
        evaluate.compare(run, story_f16, STORIES[::-1])


def test_unknown_interval(run, story_f16):
    with pytest.raises(InputError, match="no interval of 'speed'"):
        evaluate.compare(run, story_f16, STORIES).interval("speed")


@pytest.mark.parametrize("most, chosen", [(None, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4]), (3, [0, 2, 4]), (1, [0])])
def test_windows_spread_over_the_text(most, chosen):
    assert scoring.evenly(np.arange(5)[:, None], most).ravel().tolist() == chosen


@pytest.mark.parametrize("most", [0, -1])
def test_no_window_at_all(most):
    with pytest.raises(InputError, match="At least one window is read"):
        scoring.evenly(np.arange(5)[:, None], most)


def test_a_cache_in_fewer_bits_costs_something_and_keys_cost_more_than_values(story_f16):
    text = list(stories.stories(2, 40))
    base = scoring.reference(story_f16, text, window=256, most=8)
    kl = {
        pair: evaluate.compare(base, story_f16, text, opened_with=kv_cache.stored_as(*pair)).kl
        for pair in (("F16", "F16"), ("Q8_0", "Q8_0"), ("Q4_0", "F16"), ("F16", "Q4_0"))
    }
    assert kl["F16", "F16"] < 1e-5 and kl["Q8_0", "Q8_0"] < 1e-4
    assert kl["Q4_0", "F16"] > 2 * kl["F16", "Q4_0"] > 2 * kl["Q8_0", "Q8_0"]


@pytest.mark.parametrize("kind", ["Q4_K", "q8_0", ""])
def test_types_that_no_cache_has(kind):
    with pytest.raises(InputError, match="A cache cannot be stored as"):
        kv_cache.stored_as("F16", kind)


def test_whole_groups_are_drawn_again():
    """Values of one text are alike: drawing them apart makes the interval several times too narrow."""
    random = np.random.default_rng(0)
    texts = np.repeat(np.arange(12), 10)
    values = random.normal(size=12)[texts] + 0.1 * random.normal(size=120)
    apart, together = evaluate.bootstrap(values), evaluate.bootstrap(values, groups=texts)
    assert together[1] - together[0] > 2 * (apart[1] - apart[0])
    means = values.reshape(12, 10).mean(axis=1)
    assert together == pytest.approx(evaluate.bootstrap(means)), "equal groups: the means are drawn"
    assert evaluate.bootstrap(values, groups=np.arange(120)[::-1]) != together
    with pytest.raises(InputError, match="at least two values, not 1"):
        evaluate.bootstrap(values, groups=np.zeros(120))


def test_texts_cut_apart_are_what_an_interval_draws(story_f16):
    texts = [" ".join(STORIES[i : i + 6]) for i in range(0, 30, 6)]
    base = scoring.reference(story_f16, texts, window=64, apart=True)
    assert base.texts[:5].tolist() == [0, 1, 2, 3, 4]
    coarse = evaluate.compare(base, convert.requantize(story_f16, "Q2_K"), texts)
    values = (coarse.candidate.losses - base.losses).mean(axis=1)
    assert coarse.interval("loss") == evaluate.bootstrap(values, groups=base.texts) != evaluate.bootstrap(values)
    alone = scoring.perplexity(story_f16, [texts[2]], window=64)
    assert np.allclose(base.losses[base.texts == 2], alone.losses, atol=2e-3), "a window knows nothing of other texts"
    few = scoring.perplexity(story_f16, texts, window=64, most=7, apart=True)
    assert few.texts.tolist() == [0, 1, 2, 3, 4, 0, 1] and np.array_equal(few.windows, base.windows[:7])
    assert 0 < few.standard_error < math.inf
    for none in (0, -1):
        with pytest.raises(InputError, match="At least one whole window is scored"):
            scoring.perplexity(story_f16, texts, window=64, most=none)
