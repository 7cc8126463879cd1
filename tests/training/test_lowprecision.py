"""Products in few bits: formats beside the references, gradients, and what mixing and chance may not change."""

import numpy as np
import pytest
import torch

from helpers.errors import InputError
from helpers.numbers import blocks
from helpers.numbers.formats import FORMATS
from helpers.training import corpus, fit, llama, lowprecision
from helpers.training.lowprecision import E2M1, E4M3, Precision, form_round, mixed, round_to, train_in


@pytest.mark.parametrize("form, name", [(E4M3, "fp8_e4m3"), (E2M1, "fp4_e2m1")])
def test_small_floats_round_as_the_formats_do(form, name):
    magnitudes = torch.logspace(-5, 4, 30_000)
    exact = torch.from_numpy(FORMATS[name].values())
    ties = (exact[torch.isfinite(exact)].sort().values.unfold(0, 2, 1)).mean(dim=1)
    x = torch.cat([magnitudes, -magnitudes, ties, torch.zeros(1)])
    assert np.array_equal(form_round(x, form).numpy(), FORMATS[name].round(x.numpy(), saturate=True))


def test_mxfp4_is_that_of_ggml():
    w = torch.randn(64, 96, generator=torch.Generator().manual_seed(0))
    theirs = blocks.dequantize(blocks.quantize(w.numpy(), "MXFP4"), "MXFP4")
    assert np.array_equal(round_to(w, "mxfp4").numpy(), theirs)


@pytest.mark.parametrize(
    "kind, most", [("int8", 0.012), ("int4", 0.16), ("mxfp8", 0.03), ("mxfp4", 0.13), ("nvfp4", 0.11)]
)
def test_the_error_is_that_of_the_bits(kind, most):
    x = torch.randn(128, 64, generator=torch.Generator().manual_seed(1))
    error = float((round_to(x, kind) - x).norm() / x.norm())
    assert most / 3 < error < most
    assert torch.equal(round_to(torch.zeros(4, 32), kind), torch.zeros(4, 32))
    small, large = round_to(x * 1e-6, kind) / 1e-6, round_to(x * 1e6, kind) / 1e6
    for scaled in (small, large):  # scales of powers of two move in steps
        assert float((scaled - x).norm() / x.norm()) < 1.3 * most


@pytest.mark.parametrize("kind", ["int4", "mxfp8", "nvfp4"])
def test_rounding_by_chance_is_right_on_average(kind):
    torch.manual_seed(0)
    x = torch.randn(8, 32)
    mean = torch.stack([round_to(x, kind, stochastic=True) for _ in range(3000)]).mean(dim=0)
    nearest = (round_to(x, kind) - x).abs()
    inside = x.abs() < 0.7 * x.unflatten(1, (2, 16)).abs().amax(dim=2).min(dim=1, keepdim=True).values
    assert inside.sum() > 60, "the largest of a block may be cut off"
    assert ((mean - x).abs()[inside] < 0.1 * nearest.max()).all()


def test_mixing_both_factors_changes_nothing_but_the_rounding():
    torch.manual_seed(0)
    dy, x = torch.randn(24, 128), torch.randn(40, 128)
    assert torch.allclose(mixed(dy) @ mixed(x).T, dy @ x.T, atol=1e-4)
    spike = torch.zeros(1, 16)
    spike[0, 3] = 8.0
    assert torch.allclose(mixed(spike).abs(), torch.full((1, 16), 2.0)), "an outlier is spread evenly"


def test_without_formats_it_is_the_layer_itself():
    model, other = llama.tiny(0), llama.tiny(0)
    train_in(other, Precision())
    tokens = torch.from_numpy(next(corpus.seed_batches(corpus.story_tokenizer(), 0)))
    losses = [each(input_ids=tokens, labels=tokens).loss for each in (model, other)]
    assert torch.allclose(*losses)
    for loss in losses:
        loss.backward()
    pairs = zip(model.named_parameters(), other.named_parameters(), strict=True)
    for (name, ours), (_, theirs) in pairs:
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6), name


def test_gradients_are_those_of_the_rounded_products():
    torch.manual_seed(0)
    x, dy = torch.randn(32, 32, requires_grad=True), torch.randn(32, 64)
    layer = torch.nn.Linear(32, 64, bias=False)
    w = layer.weight.detach()
    rounded = lowprecision.LowPrecisionLinear(layer, Precision("int4", "int8", "mxfp8"))
    y = rounded(x)
    assert torch.equal(y, round_to(x, "int8") @ round_to(w, "int4").T)
    y.backward(dy)
    assert torch.allclose(x.grad, round_to(dy, "mxfp8") @ round_to(w.T, "int4").T)
    expected = round_to(dy.T, "mxfp8") @ round_to(x.detach().T, "int8").T
    assert torch.allclose(layer.weight.grad, expected)


def test_a_model_learns_in_four_bits():
    model = llama.small_llama(hidden=64, layers=1, heads=2, kv_heads=1, ffn=96, initializer_range=0.02)
    train_in(model, Precision("nvfp4", "nvfp4", "nvfp4", stochastic=True, hadamard=True))
    batches = corpus.seed_batches(corpus.story_tokenizer(), 0)
    losses = fit.fit(model, batches, 30, 5e-3, progress=False, warmup=5)
    assert losses[-1] < losses[0] - 1.5 and not any(hasattr(m, "parametrizations") for m in model.modules())


REFUSED = [
    ("fp8", (2, 32), "Unknown format 'fp8'"),
    ("int1", (2, 32), "int2 … int8"),
    ("nvfp4", (2, 40), "40 numbers do not fill blocks of 16"),
]


@pytest.mark.parametrize("kind, shape, words", REFUSED)
def test_what_cannot_be_rounded(kind, shape, words):
    with pytest.raises(InputError, match=words):
        round_to(torch.ones(shape), kind)
