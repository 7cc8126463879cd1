"""Training, and the shipped `story` model: what its card claims is measured again."""

import itertools
import json
import re

import numpy as np
import pytest
import torch

from helpers import artifacts
from helpers.errors import InputError
from helpers.pipeline import catalogue
from helpers.pipeline.checkpoint import read
from helpers.training import corpus, fit, llama, rounding, stories
from helpers.training import shipped as shipped_models

FOLDER = artifacts.ROOT / "data" / "story"


@pytest.fixture(scope="module")
def shipped():
    import sentencepiece
    from transformers import LlamaForCausalLM

    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(FOLDER / "tokenizer.model"))
    model = LlamaForCausalLM.from_pretrained(FOLDER, dtype=torch.float32, local_files_only=True).eval()
    return model, tokenizer


@pytest.fixture(scope="module")
def held_out(shipped):
    return corpus.held_out_tokens(shipped[1], count=150)


@pytest.fixture(scope="module")
def loss(shipped, held_out):
    return fit.mean_loss(shipped[0], held_out)


def card_number(pattern: str) -> float:
    return float(re.search(pattern, (FOLDER / "README.md").read_text())[1].replace(",", ""))


def test_shape_of_the_shipped_model(shipped):
    model, _ = shipped
    assert model.num_parameters() == catalogue.CATALOGUE["story"].parameters == card_number(r"A LLaMA of ([\d,]+)")
    assert 2_500_000 < model.num_parameters() < 3_500_000
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32
        assert all(size % 256 == 0 for size in parameter.shape), name


def test_it_is_small_enough_to_commit():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 16 * 2**20


def test_held_out_loss_is_what_the_card_says(loss):
    assert loss == pytest.approx(card_number(r"held-out loss \| ([\d.]+)"), abs=0.03)


def test_quantization_bites(shipped, held_out, loss):
    """Rounding every matrix per row costs at least 0.05 nats at 3 bits and 0.5 at 2 bits."""
    cost = {bits: fit.mean_loss(rounding.rounded_copy(shipped[0], bits), held_out) - loss for bits in (2, 3, 4, 8)}
    assert cost[2] >= 0.5 and cost[3] >= 0.05
    assert cost[2] > cost[3] > cost[4] > abs(cost[8])


def test_facts_are_recalled_and_forgotten(shipped):
    model, tokenizer = shipped
    probes = stories.probes(count=80)
    whole = fit.recall(model, tokenizer, probes)
    assert whole == pytest.approx(card_number(r"facts recalled \| ([\d.]+)%") / 100, abs=0.12)
    assert fit.recall(rounding.rounded_copy(model, 2), tokenizer, probes) < whole / 2


def test_it_writes_stories(shipped):
    model, tokenizer = shipped
    ids = torch.tensor([[1, *tokenizer.encode("There once was a")]])
    out = model.generate(ids, max_new_tokens=200, do_sample=False, pad_token_id=2)[0].tolist()
    assert out[-1] == 2, "the story comes to its end"
    text = tokenizer.decode(out[1:-1])
    names = {character.name for character in stories.world()}
    assert len(text.split()) > 25 and any(word.strip('.,"?!') in names for word in text.split())


def test_round_rows_is_nearest_and_keeps_the_largest():
    weight = torch.tensor([[3.0, -1.4, 0.6, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert rounding.round_rows(weight, 3).tolist() == [[3.0, -1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    assert rounding.round_rows(weight, 2).tolist()[0] == [3.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_rounding_error_is_at_most_half_a_step(bits):
    weight = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))
    step = weight.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((rounding.round_rows(weight, bits) - weight).abs() <= step / 2 * 1.0001).all()


def test_rounding_leaves_the_original_and_the_embedding_alone(shipped):
    model, _ = shipped
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    copy = rounding.rounded_copy(model, 2)
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
    assert torch.equal(copy.model.embed_tokens.weight, model.model.embed_tokens.weight)
    assert not torch.equal(copy.model.layers[0].mlp.up_proj.weight, model.model.layers[0].mlp.up_proj.weight)


def test_schedules():
    rates = [fit.learning_rate(step, 1000, 1.0) for step in range(1000)]
    assert rates[0] < 0.05 and max(rates) == pytest.approx(1.0) and rates[-1] < 0.02
    assert all(a >= b for a, b in itertools.pairwise(rates[50:]))
    assert {fit.learning_rate(step, 1000, 1.0, "constant") for step in range(50, 1000)} == {1.0}
    with pytest.raises(InputError, match="cosine"):
        fit.learning_rate(0, 10, 1.0, "linear")


def test_training_is_deterministic_and_learns():
    def once() -> list[float]:
        model = llama.small_llama(
            vocabulary=64, hidden=32, layers=1, heads=2, kv_heads=1, ffn=64, seed=3, initializer_range=0.02
        )
        pattern = np.tile(np.arange(3, 35), 9)[: 2 * corpus.CONTEXT].reshape(2, -1)
        return fit.fit(model, iter([pattern] * 30), 30, peak_rate=1e-2)

    first, second = once(), once()
    assert first == second
    assert first[-1] < first[0] / 2


def test_the_whole_recipe_runs(tmp_path, monkeypatch):
    """`python -m helpers.training.shipped story` with two steps: tokenizer, training, saving, measuring, card."""
    monkeypatch.setattr(corpus, "held_out_tokens", lambda tokenizer: corpus.encode(stories.stories(2, 20), tokenizer))
    monkeypatch.setattr(stories, "probes", lambda: [stories.Probe("A", "home", "A lived in", "nest")])
    figures = shipped_models.train_story(tmp_path / "m", steps=2)
    assert figures["loss"] > 5 and json.loads((tmp_path / "m" / "config.json").read_text())["hidden_size"] == 256
    assert "2 steps" in (tmp_path / "m" / "README.md").read_text()
    read(tmp_path / "m")
    assert (tmp_path / "m" / "tokenizer.model").read_bytes() == (FOLDER / "tokenizer.model").read_bytes()
