"""LoRA folders: merged weights against the formula, merged logits against base and adapter side by side."""

import json
import math

import numpy as np
import pytest
import tiny_checkpoints as tiny
from safetensors.numpy import load_file, save_file

from helpers import artifacts
from helpers.errors import CheckpointError
from helpers.pipeline import adapters, convert
from helpers.pipeline.checkpoint import read

Q = "model.layers.0.self_attn.q_proj"
UP = "model.layers.0.mlp.up_proj"
SETTINGS = {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "base_model_name_or_path": "ada/base"}


def pair(module, out, into, rank=2):
    rng = np.random.default_rng(len(module))
    return {
        f"base_model.model.{module}.lora_A.weight": rng.normal(0, 1, (rank, into)).astype(np.float32),
        f"base_model.model.{module}.lora_B.weight": rng.normal(0, 1, (out, rank)).astype(np.float32),
    }


BOTH = pair(Q, tiny.WIDTH, tiny.WIDTH) | pair(UP, tiny.INNER, tiny.WIDTH)


def write_adapter(folder, tensors=BOTH, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(SETTINGS | settings))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def difference(module, scale, tensors=BOTH):
    a, b = (tensors[f"base_model.model.{module}.lora_{part}.weight"] for part in "AB")
    return np.float32(scale) * (b @ a)


@pytest.mark.parametrize(
    "settings, scales",
    [
        ({}, (4, 4)),
        ({"use_rslora": True}, (8 / math.sqrt(2), 8 / math.sqrt(2))),
        ({"alpha_pattern": {"up_proj": 16}}, (4, 8)),
        ({"alpha_pattern": {r"layers\.0\.self_attn\.q_proj": 2}}, (1, 4)),
    ],
)
def test_weights_are_base_plus_scaled_product(elsewhere, tmp_path, settings, scales):
    base = tiny.write(tmp_path / "base", tiny.llama_tensors(tiny.BF16))
    folder = adapters.merge(write_adapter(tmp_path / "adapter", **settings), base)
    before, after = tiny.llama_tensors(tiny.BF16), load_file(folder / "model.safetensors")
    for module, scale in zip((Q, UP), scales, strict=True):
        name = f"{module}.weight"
        assert after[name].dtype == np.float32, "a change may be smaller than a step of BF16"
        assert np.allclose(after[name], before[name].astype(np.float32) + difference(module, scale), rtol=1e-6)
    untouched = set(before) - {f"{Q}.weight", f"{UP}.weight"}
    assert all(np.array_equal(after[name], before[name]) for name in untouched)


def test_logits_equal_base_and_adapter_by_hand_and_it_converts(elsewhere, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    base, tokens = tiny.write(tmp_path / "base"), torch.tensor([[1, 50, 300, 7]])
    folder = adapters.merge(write_adapter(tmp_path / "adapter"), base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    for module in (Q, UP):  # the adapter beside the base, as peft runs it: W x + s B (A x)
        a, b = (torch.from_numpy(BOTH[f"base_model.model.{module}.lora_{part}.weight"]) for part in "AB")
        layer = model.get_submodule(module)
        layer.register_forward_hook(lambda _, x, y, a=a, b=b: y + 4 * (x[0] @ a.T @ b.T))
    expected = model(tokens).logits
    merged = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(tokens).logits
    assert torch.allclose(merged, expected, atol=1e-4)
    assert not torch.allclose(merged, AutoModelForCausalLM.from_pretrained(base)(tokens).logits, atol=1e-2)
    path = convert.to_gguf(folder, "auto")
    assert convert.summary(path).main_type == "F16" and path.name.startswith("adapter-")


def test_it_is_merged_once_until_adapter_or_base_changes(elsewhere, tmp_path):
    base, adapter = tiny.write(tmp_path / "base"), write_adapter(tmp_path / "adapter")
    folder = adapters.merge(adapter, base)
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert adapters.merge(str(adapter), read(base)) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    write_adapter(adapter, lora_alpha=16)
    adapters.merge(adapter, base)
    assert (folder / "model.safetensors").stat().st_mtime_ns != made
    assert adapters.merge(adapter, tiny.write(tmp_path / "other" / "base")) != folder


def test_embeddings_conv1d_whole_tensors_and_names_without_prefix(elsewhere, tmp_path):
    """A matrix that is kept as (in, out): GPT-2's layers, and the embedding of any model."""
    rng = np.random.default_rng(0)
    tensors = {"h.0.attn.c_attn.weight": rng.normal(0, 1, (8, 24)), "h.0.attn.c_proj.weight": rng.normal(0, 1, (8, 8))}
    tensors = {n: x.astype(np.float32) for n, x in (tensors | {"wte.weight": rng.normal(0, 1, (1024, 8))}).items()}
    tensors["ln_f.weight"] = np.ones(8, np.float32)
    gpt2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 8, "n_layer": 1, "n_head": 1}
    gpt2 |= dict.fromkeys((name for name in tiny.CONFIG if name.startswith(("hidden", "intermediate", "num_"))), ...)
    base = tiny.unchecked(tiny.write(tmp_path / "base", tensors, **gpt2))
    a, b = rng.normal(0, 1, (2, 1024)).astype(np.float32), rng.normal(0, 1, (8, 2)).astype(np.float32)
    held = pair("transformer.h.0.attn.c_attn", 24, 8) | pair("transformer.h.0.attn.c_proj", 8, 8)
    held |= {
        "base_model.model.transformer.wte.lora_embedding_A": a,
        "base_model.model.transformer.wte.lora_embedding_B": b,
    }
    held["base_model.model.transformer.ln_f.weight"] = np.full(8, 3, np.float32)
    folder = adapters.merge(write_adapter(tmp_path / "adapter", held, fan_in_fan_out=True), base)
    after = load_file(folder / "model.safetensors")
    for part in ("c_attn", "c_proj"):
        change = difference(f"transformer.h.0.attn.{part}", 4, held).T
        assert np.allclose(after[f"h.0.attn.{part}.weight"], tensors[f"h.0.attn.{part}.weight"] + change, rtol=1e-5)
    assert np.allclose(after["wte.weight"], tensors["wte.weight"] + 4 * (b @ a).T, rtol=1e-5)
    assert np.array_equal(after["ln_f.weight"], held["base_model.model.transformer.ln_f.weight"])


def test_the_adapters_tokenizer_and_template_are_taken_if_it_has_them(elsewhere, tmp_path):
    base, adapter = tiny.write(tmp_path / "base"), write_adapter(tmp_path / "adapter")
    folder = adapters.merge(adapter, base)
    assert (folder / "tokenizer.model").is_file() and not (folder / "chat_template.jinja").exists()
    for name in ("tokenizer.model", "tokenizer_config.json"):
        (adapter / name).write_bytes((base / name).read_bytes())
    (adapter / "chat_template.jinja").write_text("{{ messages[0].content }}")
    folder = adapters.merge(adapter, base)
    assert (folder / "chat_template.jinja").is_file() and not (folder / "adapter_config.json").exists()
    assert "ada/base" in (folder / "README.md").read_text()


REFUSED = {
    "DoRA": (BOTH, {"use_dora": True}, "DoRA"),
    "another method": (BOTH, {"peft_type": "IA3"}, "not LoRA but IA3"),
    "PiSSA": (BOTH, {"init_lora_weights": "pissa_niter_4"}, "begun with pissa_niter_4"),
    "experts": (BOTH, {"target_parameters": ["mlp.experts.up"]}, "experts"),
    "aLoRA": (BOTH, {"alora_invocation_tokens": [5]}, "aLoRA"),
    "half a pair": ({n: x for n, x in BOTH.items() if "lora_B" not in n}, {}, "other half is missing"),
    "the other half": ({n: x for n, x in BOTH.items() if "lora_A" not in n}, {}, "other half is missing"),
    "another shape": (pair(Q, 48, tiny.WIDTH), {}, "does not fit to .*q_proj"),
    "another model": (pair("model.layers.7.mlp.up_proj", 8, 8), {}, "base has no such tensor"),
    "magnitudes": (
        BOTH | {f"base_model.model.{Q}.lora_magnitude_vector": np.ones(tiny.WIDTH, np.float32)},
        {},
        "lora_magnitude_vector cannot be merged",
    ),
    "resized embedding": (
        BOTH | {"base_model.model.model.embed_tokens.weight": np.ones((2000, tiny.WIDTH), np.float32)},
        {"modules_to_save": ["embed_tokens"]},
        "does not fit to model.embed_tokens.weight",
    ),
}


@pytest.mark.parametrize("tensors, settings, words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_merged_is_refused_by_name(elsewhere, tmp_path, tensors, settings, words):
    base = tiny.write(tmp_path / "base")
    with pytest.raises(CheckpointError, match=words):
        adapters.merge(write_adapter(tmp_path / "adapter", tensors, **settings), base)
    assert not [path for path in artifacts.folder("models").iterdir() if not path.name.startswith(".")]


def test_one_matrix_for_embedding_and_output_is_refused(elsewhere, tmp_path):
    tensors = {name: x for name, x in tiny.llama_tensors().items() if name != "lm_head.weight"}
    base = tiny.write(tmp_path / "base", tensors, tie_word_embeddings=True)
    held = {"base_model.model.model.embed_tokens.weight": tensors["model.embed_tokens.weight"]}
    with pytest.raises(CheckpointError, match="one matrix as embedding and output"):
        adapters.merge(write_adapter(tmp_path / "adapter", held), base)


def test_folders_that_are_no_adapter(elsewhere, tmp_path):
    base = tiny.write(tmp_path / "base")
    with pytest.raises(CheckpointError, match="adapter_config.json is missing"):
        adapters.merge(base, base)
    adapter = write_adapter(tmp_path / "adapter")
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="does not load"):
        adapters.merge(adapter, base)
