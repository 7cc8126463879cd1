"""A model whose tensors are exchanged in memory: unchanged it differs by nothing, changed it is what a file is."""

import llama_cpp
import numpy as np
import pytest

from helpers.errors import InputError
from helpers.pipeline import catalogue, convert
from helpers.quality import candidates, evaluate, exchange
from helpers.quality.exchange import Exchange
from helpers.training import stories
from tests.zoo import build

TEXT = list(stories.stories("exchange", 12))
DOWN = "blk.1.ffn_down.weight"


@pytest.fixture(scope="module")
def model(story_f16):
    with Exchange(story_f16, TEXT, window=64, most=4, threads=2) as opened:
        yield opened


def test_an_unchanged_model_differs_by_nothing(model):
    assert model.divergences().tolist() == [0.0] * 4
    assert len(model.exchangeable) == 29 and "output_norm.weight" not in model.exchangeable


@pytest.mark.parametrize("name", [DOWN, "token_embd.weight"])
def test_exchanged_and_back(model, name):
    prices = []
    for kind in ("Q8_0", "Q4_K", "Q2_K"):
        model.put(name, kind)
        prices.append(model.divergences().mean())
    assert 0 < prices[0] < prices[1] < prices[2]
    model.put(name, "F16")
    assert model.divergences().max() == 0


def test_it_computes_what_a_file_with_these_weights_would(story_f16, tmp_path):
    """Whole windows of 64, scored as `evaluate` scores them: the same numbers as of a file that was written."""
    import gguf

    path = tmp_path / "changed.gguf"
    path.write_bytes(story_f16.read_bytes())
    tensor = next(t for t in gguf.GGUFReader(path, "r+").tensors if t.name == DOWN)
    weights = np.array(tensor.data, np.float32)
    tensor.data[:] = candidates.rounded(weights, "Q3_K", None).astype(np.float16)
    tensor.data.flush()
    with Exchange(story_f16, TEXT, 64, None, 1) as model:
        model.put(DOWN, "Q3_K")
        made = [logits[-31:].copy() for logits, _ in model.scored(quiet=True)]
    with Exchange(path, TEXT, 64, None, 1) as model:
        read = [logits[-31:].copy() for logits, _ in model.scored(quiet=True)]
    assert np.array_equal(made, read) and evaluate.compare(story_f16, path, TEXT, window=64).kl > 0


def test_a_model_of_float32(checkpoint):
    with Exchange(convert.to_gguf(checkpoint, "f32"), TEXT, 64, 1, 1) as model:
        model.put(DOWN, "F16")
        assert 0 <= model.divergences().mean() < 1e-6
        model.put(DOWN, "F32")
        assert model.divergences().max() == 0


def test_windows_are_taken_evenly_from_the_text(story_f16):
    with Exchange(story_f16, TEXT, 64, None, 1) as model:
        every = model.windows
    with Exchange(story_f16, TEXT, 64, 3, 1) as model:
        assert np.array_equal(model.windows, every[[0, round((len(every) - 1) / 2), -1]])
    with Exchange(story_f16, TEXT, 64, 10_000, 1) as model:
        assert np.array_equal(model.windows, every)


def test_the_weighted_error_of_a_sample_is_that_of_all(model, monkeypatch):
    importance = np.random.default_rng(0).random(512).astype(np.float32) + 0.1
    monkeypatch.setattr(candidates, "SAMPLE", 1 << 20)
    whole = model.error(DOWN, "Q3_K", importance)
    x = np.concatenate(list(model.originals[DOWN].rows()))
    off = candidates.rounded(x, "Q3_K", importance) - x
    assert whole == pytest.approx((off**2 * importance).sum(), rel=1e-4)
    monkeypatch.setattr(candidates, "SAMPLE", 1 << 14)
    assert model.error(DOWN, "Q3_K", importance) == pytest.approx(whole, rel=0.2)
    assert model.error(DOWN, "F16") == 0


def test_what_cannot_be_exchanged(story_f16):
    with Exchange(story_f16, TEXT, 64, 1, 1) as model:
        with pytest.raises(InputError, match="There is no matrix 'output.weight'"):
            model.put("output.weight", "Q4_K")
        with pytest.raises(InputError, match="There is no matrix 'blk.0.attn_norm.weight'"):
            model.put("blk.0.attn_norm.weight", "Q4_K")
    small = convert.to_gguf(catalogue.CATALOGUE["story"].fetch(), "q8_0")
    with pytest.raises(InputError, match="Tensors are exchanged in a model of F16"):
        Exchange(small, TEXT, 64, 1)


def test_a_file_that_the_quantizer_refuses_is_not_opened(story_f16, monkeypatch):
    monkeypatch.setattr(exchange.quantizer_call, "run", lambda request, types: (1, ["an unknown tensor\n"]))
    with pytest.raises(InputError, match="cannot quantize story.*: an unknown tensor. Convert the checkpoint again"):
        Exchange(story_f16, TEXT, 64, 1, 1)


@pytest.mark.parametrize(
    ("function", "returned", "message"),
    [("llama_init_from_model", None, "second context"), ("llama_decode", 1, "none of the model's matrices was seen")],
)
def test_a_machine_too_small_to_look_at_the_matrices(story_f16, monkeypatch, function, returned, message):
    """The look at the graph fails; the scorer of the same file, which is opened before, gets what it asks for."""
    opened = exchange.Scorer.__init__

    def then_nothing_more(self, *arguments, **options):
        opened(self, *arguments, **options)
        monkeypatch.setattr(llama_cpp, function, lambda *arguments: returned)

    monkeypatch.setattr(exchange.Scorer, "__init__", then_nothing_more)
    with pytest.raises(InputError, match=message):
        Exchange(story_f16, TEXT, 64, 1, 1)


def test_each_expert_has_its_own_importance():
    """Two experts in one tensor: each is rounded with its own part of (experts × columns,)."""
    random = np.random.default_rng(0)
    x = random.standard_normal((6, 256)).astype(np.float32)
    importance = random.random(512).astype(np.float32) + 0.01

    class Tensor:
        shape, columns = (6, 256), 256

        def rows(self):
            yield x[:4]
            yield x[4:]

    slabs = list(candidates.slabs(Tensor(), 2, importance))
    assert [(start, len(rows)) for start, rows, _ in slabs] == [(0, 3), (3, 1), (4, 2)]
    for start, rows, weights in slabs:
        assert np.array_equal(rows, x[start : start + len(rows)])
        assert np.array_equal(weights, importance[:256] if start < 3 else importance[256:])


def test_experts_are_exchanged_and_their_router_is_not(tmp_path, elsewhere):
    with Exchange(convert.to_gguf(build("granitemoe", tmp_path), "f32"), " ".join(TEXT), 64, 2, 1) as model:
        experts = [name for name in model.exchangeable if "_exps" in name]
        assert experts and not [name for name in model.exchangeable if "ffn_gate_inp" in name]
        for name in experts:
            model.put(name, "Q4_0", np.ones(model.tensors[name].shape[0] * model.originals[name].columns))
            assert model.divergences().mean() > 0
            model.put(name, "F32")
            assert model.divergences().max() == 0
