"""Which models the lessons about LLaMA are taught on, and what a course without F16 starts from."""

import json

import pytest

from helpers.errors import CheckpointError
from helpers.pipeline import convert, gguf_file, plain_llama, reference
from helpers.pipeline.checkpoint import read
from helpers.pipeline.models import STORY
from tests.zoo import build


@pytest.mark.parametrize("name", ["llama", "tied", "sharded", "bf16"])
def test_a_plain_llama_is_taught_on_itself(name, tmp_path, smollm2):
    checkpoint = read(build(name, tmp_path))
    assert plain_llama.is_one(checkpoint) and plain_llama.taught_on(checkpoint) is checkpoint


def test_those_of_the_course_are_plain(smollm2):
    assert plain_llama.is_one(read(STORY)) and plain_llama.is_one(read(smollm2))


@pytest.mark.parametrize("name", ["qwen3", "gpt2-published", "mamba2", "mixtral", "tied-with-own-head"])
def test_others_are_taught_on_story(name, tmp_path, smollm2):
    assert plain_llama.taught_on(read(build(name, tmp_path))).folder == STORY


def test_nothing_is_taught_on_story_too():
    assert plain_llama.taught_on(None).folder == STORY


def test_odd_configurations_are_no_plain_llama(checkpoint):
    found = read(checkpoint)
    for change in ({"num_hidden_layers": None}, {"num_hidden_layers": 3}, {"vocab_size": 7}, {"model_type": "other"}):
        object.__setattr__(found, "config", found.config | change)
        assert not plain_llama.is_one(found)
        object.__setattr__(found, "config", json.loads((checkpoint / "config.json").read_text()))
    assert plain_llama.is_one(found)


def _change(folder, value: float) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = value
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("value, kind", [(1.0, "F16"), (1e5, "BF16")])
def test_sixteen_bits_are_those_that_can_hold_the_weights(value, kind, checkpoint, elsewhere):
    _change(checkpoint, value)
    assert gguf_file.summary(convert.sixteen_bits(checkpoint)).file_type == kind


def test_what_no_type_can_hold_is_refused(checkpoint, elsewhere):
    _change(checkpoint, float("nan"))
    with pytest.raises(CheckpointError, match="NaN"):
        convert.sixteen_bits(checkpoint)


def test_what_transformers_cannot_load_is_said_before_weights_are_read(checkpoint):
    assert reference.problem(checkpoint) == ""
    (checkpoint / "config.json").write_text('{"model_type": "of-tomorrow"}')
    assert "of-tomorrow" in reference.problem(checkpoint)
