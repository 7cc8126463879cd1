"""The reference in FP32: the same numbers as the whole model in FP32, in the memory of the stored one."""

import json
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from helpers.errors import CheckpointError, InputError, ResourceError
from helpers.pipeline import catalogue, reference

TOKENS = [1, 300, 17, 512, 44, 45, 1000, 3, 3, 271]


def stored_as(checkpoint: Path, dtype: torch.dtype, tied: bool) -> Path:
    """Write story's weights in another type; an untied head gets numbers of its own."""
    weights = load_file(checkpoint / "model.safetensors")
    if not tied:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].flip(0).contiguous()
    weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {"tie_word_embeddings": tied, "dtype": str(dtype).removeprefix("torch.")}
    (checkpoint / "config.json").write_text(json.dumps(config))
    return checkpoint


def whole(checkpoint: Path, dtype: torch.dtype = torch.float32) -> np.ndarray:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype, local_files_only=True).eval()
    with torch.inference_mode():
        return model(torch.tensor([TOKENS])).logits[0].float().numpy()


def test_story_is_itself():
    folder = catalogue.choose("story").fetch()
    assert np.array_equal(reference.logits(folder, TOKENS), whole(folder))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_in_pieces_as_in_one(checkpoint, dtype, tied):
    folder = stored_as(checkpoint, dtype, tied)
    found, expected = reference.logits(folder, TOKENS), whole(folder)
    assert found.dtype == np.float32 and found.shape == (len(TOKENS), 1024)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.array_equal(found.argmax(-1), expected.argmax(-1))
    if dtype != torch.float32:
        assert np.abs(whole(folder, dtype) - expected).max() > 1e-3, "in its own type it computes something else"


def test_a_model_of_another_make(tmp_path):
    """Nothing is known of LLaMA: GPT-2 has biases, learned positions and matrices that lie the other way round."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=1024, n_embd=64, n_layer=2, n_head=2)).bfloat16().save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"vocab": {}}}')
    np.testing.assert_allclose(reference.logits(tmp_path, TOKENS), whole(tmp_path), atol=1e-4)


def test_weights_stay_as_they_are_stored(checkpoint):
    model = reference.load(stored_as(checkpoint, torch.bfloat16, tied=False))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    for _ in range(2):
        with torch.inference_mode():
            model(torch.tensor([TOKENS]))
    with pytest.raises(IndexError):
        model(torch.tensor([[99_999]]))  # an error in the middle
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.bfloat16 and torch.equal(parameter, before[name]), name


def test_no_more_than_one_module_is_wide(checkpoint):
    """What makes it fit: the sum of all widened parameters never exceeds the largest."""
    model = reference.load(stored_as(checkpoint, torch.bfloat16, tied=False))
    most = 0

    def look(module, *_):
        nonlocal most
        wide = sum(p.numel() for p in model.parameters() if p.dtype == torch.float32)
        most = max(most, wide)

    for module in model.modules():
        module.register_forward_hook(look, prepend=True)
    with torch.inference_mode():
        model(torch.tensor([TOKENS]))
    assert most == max(p.numel() for p in model.parameters())


def test_too_little_memory(monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: types.SimpleNamespace(available=0.1e9))
    with pytest.raises(ResourceError, match="computing with story in FP32"):
        reference.logits(catalogue.choose("story").fetch(), TOKENS)


def test_what_cannot_be_computed(checkpoint):
    with pytest.raises(InputError, match="no tokens"):
        reference.logits(checkpoint, [])
    (checkpoint / "config.json").unlink()
    with pytest.raises(CheckpointError, match="config.json is missing"):
        reference.logits(checkpoint, TOKENS)


@pytest.mark.parametrize("said", ["float16", "float32", None])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_stored_type_counts_and_not_what_the_configuration_says(checkpoint, dtype, said):
    folder = stored_as(checkpoint, dtype, tied=True)
    config = json.loads((folder / "config.json").read_text())
    config.pop("dtype")
    (folder / "config.json").write_text(json.dumps(config | ({"dtype": said} if said else {})))
    assert {parameter.dtype for parameter in reference.load(folder).parameters()} == {dtype}
    assert np.array_equal(reference.logits(folder, TOKENS), whole(folder))


def test_weights_of_several_types_keep_every_digit(checkpoint):
    weights = load_file(checkpoint / "model.safetensors")
    mixed = {name: t if t.ndim == 1 else t.to(torch.bfloat16) for name, t in weights.items()}
    save_file(mixed, checkpoint / "model.safetensors", metadata={"format": "pt"})
    assert {parameter.dtype for parameter in reference.load(checkpoint).parameters()} == {torch.float32}
    assert np.array_equal(reference.logits(checkpoint, TOKENS), whole(checkpoint))


def test_shards_without_an_index_are_loaded_all(checkpoint):
    expected = reference.logits(checkpoint, TOKENS)
    weights = load_file(checkpoint / "model.safetensors")
    names = sorted(weights)
    for number, part in enumerate((names[:20], names[20:]), 1):
        path = checkpoint / f"model-{number:05}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, path, metadata={"format": "pt"})
    (checkpoint / "model.safetensors").unlink()
    assert np.array_equal(reference.logits(checkpoint, TOKENS), expected)
