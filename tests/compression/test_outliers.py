"""The outlier lab: planting and repairing change no output, and do to the activations what they are for."""

import pytest
import torch

from helpers.compression import compress, outliers
from helpers.compression.calibrate import METHODS, Format
from helpers.training import corpus, llama, shipped, stories
from helpers.training.fit import mean_loss


@pytest.fixture(scope="module")
def text():
    return corpus.encode(stories.stories(5, 12), corpus.story_tokenizer())


@pytest.fixture(scope="module")
def models(text):
    """tiny 0 as it is, with outliers, and repaired in both ways."""
    model = shipped.tiny(0)
    planted = outliers.plant(model, 32)
    smoothed = outliers.smooth(planted, compress.inputs_of(planted, text), len(text))
    found = {"model": model, "planted": planted, "smoothed": smoothed, "rotated": outliers.rotate(planted)}
    found |= {"folded": outliers.rotate(planted, stream=False, inside=False)}
    return found | {
        "stream": outliers.rotate(planted, inside=False),
        "inside": outliers.rotate(planted, stream=False),
    }


@pytest.mark.parametrize("name", ["planted", "smoothed", "rotated", "folded", "stream", "inside"])
def test_the_function_is_the_same(models, text, name):
    ids = torch.from_numpy(text[None, :200])
    with torch.inference_mode():
        expected, found = models["model"](ids).logits, models[name](ids).logits
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


def spread(model, text) -> float:
    """The largest channel's root mean square ÷ the median's, of the worst matrix."""
    sizes = [m.diag().clamp(min=0).sqrt() for m in compress.inputs_of(model, text).values()]
    return max(float(size.max() / size.median()) for size in sizes)


def test_outliers_are_planted_and_repaired(models, text):
    found = {name: spread(model, text) for name, model in models.items()}
    assert found["planted"] > 5 * found["model"] and found["smoothed"] < 0.4 * found["planted"]
    assert found["rotated"] < found["model"] and found["folded"] < 0.4 * found["planted"]


def test_folding_the_norms_leaves_nothing_of_what_was_planted(models):
    """Whatever was planted behind the norms, the folded model is the same: so no rotation is needed against it."""
    same = outliers.rotate(models["model"], stream=False, inside=False).state_dict()
    for other in (
        models["folded"],
        outliers.rotate(outliers.plant(models["model"], 100, channels=5, seed=1), 0, False, False),
    ):
        assert all(torch.allclose(tensor, same[name], atol=1e-5) for name, tensor in other.state_dict().items())
    turned = [name for name in ("folded", "stream", "inside", "rotated") if has_turned(models[name])]
    assert turned == ["inside", "rotated"]


def has_turned(model) -> bool:
    return any(isinstance(module, outliers.Turned) for module in model.modules())


def test_activations_that_share_a_scale_break_and_are_mended(models, text):
    loss = {name: mean_loss(outliers.with_activations_in(each, "int4"), text) for name, each in models.items()}
    assert loss["planted"] > loss["model"] + 2
    assert loss["rotated"] < loss["model"] and loss["smoothed"] < loss["model"] + 0.1
    assert abs(loss["folded"] - loss["model"]) < 0.1 and abs(loss["stream"] - loss["folded"]) < 0.1
    assert loss["inside"] < loss["folded"] - 0.05, "this rotation does the work"
    eight = {name: mean_loss(outliers.with_activations_in(each, "int8"), text) for name, each in models.items()}
    whole = mean_loss(models["model"], text)
    assert abs(eight["rotated"] - whole) < 0.01 and abs(eight["model"] - whole) < 0.01


def test_awq_finds_the_planted_columns(models, text):
    """Rounding weights alone: the planted columns hold small weights that matter, and AWQ scales them back."""
    planted, form = models["planted"], Format(4, True)
    moments = compress.inputs_of(planted, text)
    loss = {
        name: mean_loss(compress.changed(planted, lambda n, w, f=METHODS[name]: f(w, moments[n], form)), text)
        for name in ("RTN", "AWQ")
    }
    whole = mean_loss(models["model"], text)
    assert loss["AWQ"] - whole < 0.3 * (loss["RTN"] - whole)


@pytest.mark.parametrize("n", [1, 32, 48, 96, 320, 7])
def test_orthogonal(n):
    q = outliers.orthogonal(n, 3)
    assert torch.allclose(q @ q.T, torch.eye(n), atol=1e-5)
    assert not torch.equal(q, outliers.orthogonal(n, 4)) or n == 1


def test_the_model_that_was_given_stays_as_it_is(text):
    model = llama.SHAPES["32 wide"].model(0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    outliers.plant(model, 9)
    outliers.rotate(model)
    outliers.with_activations_in(model, "int8")
    outliers.smooth(model, compress.inputs_of(model, text), len(text))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.config.tie_word_embeddings
