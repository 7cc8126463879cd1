"""Perplexity against independent implementations, its windows, and what must be refused."""

import math

import llama_cpp
import numpy as np
import pytest
import tiny_gguf
import torch
from tiny_gguf import FLAG, LONG

from helpers import artifacts
from helpers.errors import InputError, ResourceError
from helpers.pipeline import catalogue
from helpers.quality import scoring
from helpers.training import stories

TEXT = (artifacts.ROOT / "data" / "lighthouse.txt").read_text()
STORIES = list(stories.stories(2, 60))


def test_equals_a_straightforward_implementation(story_f16, run):
    """llama-cpp-python's usual way: all logits of every window, softmax in float64, token by token."""
    llm = llama_cpp.Llama(str(story_f16), n_ctx=128, n_batch=128, logits_all=True, verbose=False)
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
    torch_run = scoring.checkpoint_perplexity(catalogue.CATALOGUE["story"].fetch(), run)
    assert run.value / torch_run.value == pytest.approx(1, abs=1e-3)
    assert run.bytes == torch_run.bytes


def test_memory_of_a_reference_is_two_bytes_a_logit(run):
    assert run.codes.nbytes == 2 * run.losses.size * 1024


def test_bits_per_byte_and_standard_error(run):
    assert run.bits_per_byte == pytest.approx(run.losses.sum() / math.log(2) / run.bytes)
    assert 2 < run.bytes / run.losses.size < 6, "bytes for each token of English"
    means = run.losses.mean(axis=1)
    assert run.standard_error == pytest.approx(run.value * means.std(ddof=1) / math.sqrt(len(means)))


def test_bytes_of_long_tokens_count(tmp_path):
    """llama-cpp-python gives nothing for a token of more than 32 bytes: bits per byte were too high."""
    text = f"ab{LONG}c{FLAG}" * 12
    run = scoring.perplexity(tiny_gguf.llama(tmp_path / "tiny.gguf"), text, window=16)
    scored = run.windows[:, 9:]
    words = [word for word, _ in tiny_gguf.words()]
    assert run.bytes == sum(len(words[i].replace("▁", " ").encode()) for i in scored.ravel())
    assert np.isin(scored, [words.index(LONG), words.index(FLAG)]).sum() > 4


def test_a_tokenizer_that_asks_for_end_tokens_scores_the_same_text(tmp_path):
    plain = tiny_gguf.llama(tmp_path / "plain.gguf")
    ends = tiny_gguf.llama(tmp_path / "ends.gguf", tokenizer__ggml__add_eos_token=True)
    for text in ("ab " * 40, ["ab " * 20, "cd " * 20]):
        windows = [scoring.perplexity(path, text, window=16).windows for path in (plain, ends)]
        assert np.array_equal(*windows)


def test_paths_as_text_and_documents_from_a_generator(story_f16, run):
    again = scoring.perplexity(str(story_f16), (story for story in STORIES), window=128)
    assert np.array_equal(again.windows, run.windows) and again.name == "story-F16"
    from_text = scoring.checkpoint_perplexity(str(catalogue.CATALOGUE["story"].fetch()), again)
    assert from_text.value == pytest.approx(again.value, rel=1e-3)


@pytest.mark.parametrize(
    "text, what",
    [(None, "NoneType"), (b"text", "decode"), (7, "int"), (["a", None], "NoneType"), ("half \ud83d", "surrogate")],
)
def test_what_is_no_text(story_f16, text, what):
    with pytest.raises(InputError, match=what):
        scoring.perplexity(story_f16, text)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_logits_of_torch(kind):
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).to(kind).requires_grad_()
    expected = torch.nn.functional.cross_entropy(logits.double(), torch.tensor([1, 2, 3]), reduction="none")
    assert np.allclose(scoring.losses_of(logits, torch.tensor([1, 2, 3])), expected.detach().numpy(), atol=1e-5)
    codes = np.empty((2, 3, 50), np.uint16)
    scoring.encode(logits, codes[0])
    scoring.encode(logits.detach().float().numpy(), codes[1])
    assert np.array_equal(*codes)


def test_windows_follow_the_text(story_f16):
    whole, part = scoring.perplexity(story_f16, TEXT, window=64), scoring.perplexity(story_f16, TEXT, window=64, most=3)
    assert np.array_equal(whole.windows[:3], part.windows) and len(part.windows) == 3
    assert np.allclose(whole.losses[:3], part.losses, atol=1e-3)
    assert (whole.windows[:, 0] == 1).all(), "each window begins with the start token"


@pytest.mark.parametrize("text", ["", "  \n", []])
def test_empty_text(story_f16, text):
    with pytest.raises(InputError, match="empty"):
        scoring.perplexity(story_f16, text)


def test_text_shorter_than_a_window(story_f16):
    with pytest.raises(InputError, match=r"has \d tokens, a window takes 512"):
        scoring.perplexity(story_f16, "A short one.")


@pytest.mark.parametrize("window", [0, 2, 63, -4, 64.0, "64", None])
def test_impossible_windows(story_f16, window):
    with pytest.raises(InputError, match="window of"):
        scoring.perplexity(story_f16, TEXT, window=window)


def test_a_window_that_llama_cpp_cannot_run(story_f16, monkeypatch):
    monkeypatch.setattr(llama_cpp, "llama_decode", lambda *a: 1)
    with pytest.raises(InputError, match="could not run story-F16.gguf on a window of 128 tokens"):
        scoring.perplexity(story_f16, STORIES, window=128)


def test_window_beyond_what_the_model_was_trained_for(story_f16):
    with pytest.raises(InputError, match="trained for 512"):
        scoring.perplexity(story_f16, TEXT * 10, window=1024)


def test_nan_logits_name_the_file(story_f16, tmp_path):
    """A scale of the output norm overwritten by NaN: the file opens and scores nothing but NaN."""
    import gguf

    reader = gguf.GGUFReader(story_f16)
    tensor = next(t for t in reader.tensors if t.name == "output_norm.weight")
    data = bytearray(story_f16.read_bytes())
    data[tensor.data_offset : tensor.data_offset + 4] = np.float32(np.nan).tobytes()
    path = tmp_path / "damaged.gguf"
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged.gguf gives NaN"):
        scoring.perplexity(path, TEXT, window=64)


def test_too_little_memory_is_known_before(story_f16, monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"available": 10_000_000})())
    with pytest.raises(ResourceError, match="memory"):
        scoring.reference(story_f16, STORIES, window=128)
