"""Methods on equal terms: each in every format stays on its grid, and each does what it is made for."""

import pytest
import torch

from helpers.compression import calibrate
from helpers.compression.calibrate import METHODS, Format
from helpers.training import rounding

FORMATS = [Format(bits, symmetric, group) for bits in (2, 3, 4) for symmetric in (True, False) for group in (None, 16)]


def layer(seed: int, heavy: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix, and the second moments of correlated inputs with a few large channels."""
    random = torch.Generator().manual_seed(seed)
    w = torch.randn(24, 48, generator=random)
    w = w**3 if heavy else w
    x = torch.randn(1500, 48, generator=random) @ torch.randn(48, 48, generator=random)
    x[:, :3] *= 8
    return w, x.T @ x


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_a_group_holds_no_more_values_than_its_bits_allow(name, form):
    w, moments = layer(0)
    rounded = METHODS[name](w, moments, form)
    assert rounded.shape == w.shape and torch.isfinite(rounded).all()
    if name == "AWQ":  # its columns are scaled back: look at them before that
        return
    for part in rounded.split(form.group or 48, dim=1):
        assert max(len(torch.unique((row * 1e5).round())) for row in part) <= form.levels + 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_each_method_makes_its_own_error_smaller(form, seed):
    w, moments = layer(seed, heavy=seed % 2)
    made = {name: method(w, moments, form) for name, method in METHODS.items()}
    plain = {name: float((each - w).square().sum()) for name, each in made.items()}
    outputs = {name: calibrate.output_error(w, each, moments) for name, each in made.items()}
    assert plain["RTN, clipped"] <= plain["RTN"] * 1.0001, "its range of 1.00 is RTN"
    assert outputs["AWQ"] <= outputs["RTN, clipped"] * 1.0001, "its power of 0 is clipped RTN"
    assert outputs["GPTQ"] < outputs["RTN"] and outputs["GPTQ, clipped"] < outputs["RTN, clipped"]


def test_rtn_per_row_is_that_of_the_course():
    w, moments = layer(3)
    for bits in (2, 3, 4, 8):
        ours = calibrate.rtn(w, moments, Format(bits, True))
        assert torch.allclose(ours, rounding.round_rows(w, bits), atol=1e-5)
        part = w[:, 16:32]
        low, step = part.amin(dim=1, keepdim=True), (part.amax(dim=1) - part.amin(dim=1))[:, None] / (2**bits - 1)
        affine = calibrate.rtn(w, moments, Format(bits, False, 16))[:, 16:32]
        assert torch.allclose(affine, ((part - low) / step).round() * step + low, atol=1e-4)


@pytest.mark.parametrize("symmetric", [True, False])
def test_hqq_lets_a_few_weights_be_far_off(symmetric):
    """The sum of |error|^0.7, which it makes small, is smaller than that of the widest grid."""
    w, moments = layer(1, heavy=True)
    form = Format(3, symmetric)
    errors = {name: (METHODS[name](w, moments, form) - w).abs() for name in ("RTN", "HQQ")}
    assert errors["HQQ"].pow(0.7).sum() < errors["RTN"].pow(0.7).sum()


@pytest.mark.parametrize("name", METHODS)
def test_zeros_constants_and_dead_inputs(name):
    """Rows of zeros stay zeros; an input that is always zero must not make a NaN."""
    w, moments = layer(2)
    w[0], w[1] = 0.0, 0.7
    moments[5], moments[:, 5] = 0.0, 0.0
    for form in FORMATS:
        rounded = METHODS[name](w, moments, form)
        assert torch.isfinite(rounded).all() and rounded[0].abs().max() < 1e-6
        if name != "AWQ":  # whose scales part the columns of a constant row
            assert (rounded[1] - 0.7).abs().max() < 0.5


def test_bits_per_weight():
    assert Format(4, True).bits_per_weight(256) == 4 + 16 / 256
    assert Format(3, False, 64).bits_per_weight(128) == 3.5
    assert Format(2, True, 64).bits_per_weight(48) == pytest.approx(2 + 16 / 48)
