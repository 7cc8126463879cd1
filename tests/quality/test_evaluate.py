"""Perplexity and KL divergence against independent implementations, their laws, and what must be refused."""

import math
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_notebook_code import hand_made

from helpers import artifacts
from helpers.errors import InputError, ResourceError
from helpers.pipeline import catalogue, convert
from helpers.quality import evaluate
from helpers.training import stories

TEXT = (artifacts.ROOT / "data" / "lighthouse.txt").read_text()
STORIES = list(stories.stories(2, 60))


@pytest.fixture(scope="module")
def f16(story_f16) -> Path:
    return story_f16


@pytest.fixture(scope="module")
def run(f16) -> evaluate.Reference:
    return evaluate.reference(f16, STORIES, window=128)


def test_equals_a_straightforward_implementation(f16, run):
    """llama-cpp-python's usual way: all logits of every window, softmax in float64, token by token."""
    llm = llama_cpp.Llama(str(f16), n_ctx=128, n_batch=128, logits_all=True, verbose=False)
    ids = []
    for story in STORIES:
        ids += [*llm.tokenize(story.encode(), add_bos=True), llm.token_eos()]
    losses = []
    for start in range(0, len(ids) - 127, 128):
        window = [llm.token_bos(), *ids[start + 1 : start + 128]]
        llm.reset()
        llm.eval(window)
        for position in range(64, 127):  # llama.cpp: the second half, each token predicted by those before it
            scores = llm.scores[position].astype(np.float64)
            log_sum = scores.max() + math.log(np.exp(scores - scores.max()).sum())
            losses.append(log_sum - scores[window[position + 1]])
    llm.close()
    assert run.losses.size == len(losses) and run.losses.shape[1] == 63
    assert np.allclose(run.losses.ravel(), losses, atol=2e-3)
    assert run.value == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)


def test_f16_equals_the_checkpoint_in_torch(run):
    torch_run = evaluate.checkpoint_perplexity(catalogue.CATALOGUE["story"].fetch(), run)
    assert run.value / torch_run.value == pytest.approx(1, abs=1e-3)
    assert run.bytes == torch_run.bytes


def test_a_file_compared_with_itself_differs_by_nothing(f16, run):
    same = evaluate.compare(run, f16, STORIES)
    assert same.kl == 0 and same.divergences.max() == 0 and same.top1 == 1 and same.ratio == 1
    assert same.interval("loss") == (0, 0)


def test_order_of_the_types(f16, run):
    """KL(Q8_0) < KL(Q6_K) < KL(Q4_K_M) < KL(Q2_K) on weights that were never quantized before."""
    files = {"Q8_0": convert.to_gguf(catalogue.CATALOGUE["story"].fetch(), "q8_0")}
    files |= {name: convert.requantize(f16, name) for name in ("Q6_K", "Q4_K_M", "Q2_K")}
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
    evaluate._encode(a, codes[0])
    evaluate._encode(b, codes[1])
    p, q = (x.astype(np.float64) - np.log(np.exp(x.astype(np.float64)).sum(axis=1, keepdims=True)) for x in (a, b))
    assert np.allclose(evaluate._divergence(*codes), (np.exp(p) * (p - q)).sum(axis=1), rtol=1e-3)


@given(st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=50), st.integers(0, 10**6))
def test_divergence_is_never_negative_and_0_for_equals(values, seed):
    a = np.array([values], np.float32)
    b = a + np.random.default_rng(seed).standard_normal(a.shape).astype(np.float32)
    codes = [np.empty(a.shape, np.uint16) for _ in range(2)]
    evaluate._encode(a, codes[0])
    evaluate._encode(b, codes[1])
    assert evaluate._divergence(*codes)[0] >= 0 and evaluate._divergence(codes[0], codes[0])[0] == 0


def test_memory_of_a_reference_is_two_bytes_a_logit(run):
    assert run.codes.nbytes == 2 * run.losses.size * 1024


def test_bits_per_byte_and_standard_error(run):
    assert run.bits_per_byte == pytest.approx(run.losses.sum() / math.log(2) / run.bytes)
    assert 2 < run.bytes / run.losses.size < 6, "bytes for each token of English"
    means = run.losses.mean(axis=1)
    assert run.standard_error == pytest.approx(run.value * means.std(ddof=1) / math.sqrt(len(means)))


def test_bootstrap():
    values = np.random.default_rng(1).normal(3, 1, 400)
    low, high = evaluate.bootstrap(values)
    assert low < values.mean() < high and high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert evaluate.bootstrap(values) == (low, high), "the same every time"


def test_windows_follow_the_text(f16):
    whole, part = evaluate.perplexity(f16, TEXT, window=64), evaluate.perplexity(f16, TEXT, window=64, most=3)
    assert np.array_equal(whole.windows[:3], part.windows) and len(part.windows) == 3
    assert np.allclose(whole.losses[:3], part.losses, atol=1e-3)
    assert (whole.windows[:, 0] == 1).all(), "each window begins with the start token"


def test_different_vocabularies_are_refused(run, tmp_path):
    with pytest.raises(InputError, match="different vocabularies"):
        evaluate.compare(run, hand_made(tmp_path, **{"llama.context_length": 512}), STORIES)


def test_a_reference_of_another_text_is_refused(run, f16):
    with pytest.raises(InputError, match="made from another text"):
        evaluate.compare(run, f16, STORIES[::-1])


@pytest.mark.parametrize("text", ["", "  \n", []])
def test_empty_text(f16, text):
    with pytest.raises(InputError, match="empty"):
        evaluate.perplexity(f16, text)


def test_text_shorter_than_a_window(f16):
    with pytest.raises(InputError, match=r"has \d tokens, a window takes 512"):
        evaluate.perplexity(f16, "A short one.")


@pytest.mark.parametrize("window", [0, 2, 63, -4])
def test_impossible_windows(f16, window):
    with pytest.raises(InputError, match="window of"):
        evaluate.perplexity(f16, TEXT, window=window)


def test_a_window_that_llama_cpp_cannot_run(f16, monkeypatch):
    monkeypatch.setattr(llama_cpp, "llama_decode", lambda *a: 1)
    with pytest.raises(InputError, match="could not run story-F16.gguf on a window of 128 tokens"):
        evaluate.perplexity(f16, STORIES, window=128)


def test_window_beyond_what_the_model_was_trained_for(f16):
    with pytest.raises(InputError, match="trained for 512"):
        evaluate.perplexity(f16, TEXT * 10, window=1024)


def test_nan_logits_name_the_file(f16, tmp_path):
    """A scale of the output norm overwritten by NaN: the file opens and scores nothing but NaN."""
    import gguf

    reader = gguf.GGUFReader(f16)
    tensor = next(t for t in reader.tensors if t.name == "output_norm.weight")
    data = bytearray(f16.read_bytes())
    data[tensor.data_offset : tensor.data_offset + 4] = np.float32(np.nan).tobytes()
    path = tmp_path / "damaged.gguf"
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged.gguf gives NaN"):
        evaluate.perplexity(path, TEXT, window=64)


def test_too_little_memory_is_known_before(f16, monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"available": 10_000_000})())
    with pytest.raises(ResourceError, match="memory"):
        evaluate.reference(f16, STORIES, window=128)


def test_unknown_interval(run, f16):
    with pytest.raises(InputError, match="no interval of 'speed'"):
        evaluate.compare(run, f16, STORIES).interval("speed")
