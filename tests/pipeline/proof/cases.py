"""Checkpoints that the converter takes without a word, and what is wrong with them: name → builder, outtype."""

import json
from pathlib import Path

import makers
import torch


def smollm2() -> Path:
    from helpers.pipeline import catalogue

    return catalogue.choose("smollm2").fetch()


def as_mistral(folder: Path, window: int | None) -> Path:
    """`story` once more, but each token sees the last `window` only: llama.cpp's LLaMA knows nothing of it."""
    config = {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": window}
    makers.with_tokenizer(makers.story(folder, config))
    if window is None:  # an absent one means 4096
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(content | {"sliding_window": None}))
    return folder


def old_tokenizer(folder: Path, rows: int = 1025, listed: bool = False) -> Path:
    """A token was added and saved to tokenizer.json; tokenizer.model is the base model's."""
    makers.as_tokenizer_json(makers.story(folder), "<|extra|>")
    if listed:
        makers.edit(folder / "tokenizer_config.json", added_tokens_decoder={"1024": {"content": "<|extra|>"}})
    if rows > 1024:
        makers.edit(folder / "config.json", vocab_size=rows)
        makers.weights(folder, lambda tensors: tensors | {EMBEDDING: widened(tensors[EMBEDDING], rows)})
    return folder


EMBEDDING = "model.embed_tokens.weight"


def widened(matrix: torch.Tensor, rows: int) -> torch.Tensor:
    return torch.cat([matrix, matrix[: rows - len(matrix)]])


def json_only(folder: Path) -> Path:
    makers.as_tokenizer_json(makers.story(folder))
    (folder / "tokenizer.model").unlink()
    return folder


def other_merges(folder: Path) -> Path:
    """tokenizer.json was trained anew with the same pieces; tokenizer.model was left behind."""
    makers.as_tokenizer_json(makers.story(folder))
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["merges"].reverse()
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


def heavy(folder: Path, value: float, dtype=torch.bfloat16) -> Path:
    """One weight is far beyond F16, as in some BF16 models."""

    def change(tensors):
        tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
        tensors["model.layers.0.mlp.down_proj.weight"][3, 5] = value
        return tensors

    makers.weights(makers.story(folder, {"dtype": str(dtype).removeprefix("torch.")}), change)
    return folder


def llava(folder: Path) -> Path:
    """A LLaMA that also sees: the converter's text file leaves the eyes out."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    text = {key: value for key, value in makers.SIZES.items() if value is not None}
    sight = CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(text_config=LlamaConfig(**text), vision_config=sight, image_token_index=1000)
    )
    model.save_pretrained(folder)
    return makers.with_tokenizer(folder)


def with_tensor(folder: Path, name: str) -> Path:
    """One tensor more, under a name that the converter leaves out without a word."""
    makers.weights(makers.story(folder), lambda tensors: tensors | {name: torch.ones(8, 8)})
    return folder


def other_head(folder: Path) -> Path:
    """The configuration ties the head to the embedding, the weights hold another one."""

    def change(tensors):
        tensors["lm_head.weight"] = tensors[EMBEDDING].flip(0)

    makers.weights(makers.story(folder), change)
    return folder


def stale_index(folder: Path) -> Path:
    """Saved in one file after it had been saved in two: transformers reads the one, an index names the two."""
    from safetensors.torch import load_file, save_file

    makers.story(folder)
    old = {name: tensor.flip(0).contiguous() for name, tensor in load_file(folder / "model.safetensors").items()}
    names = sorted(old)
    places = {name: f"model-0000{1 + (i > 9)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(places.values()):
        save_file({n: old[n] for n in names if places[n] == file}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def _story(config=None, tokenizer=None):
    return lambda folder: makers.story(folder, config, tokenizer)


def _random(kind, tokenizer=None, **settings):
    return lambda folder: makers.random(folder, kind, tokenizer() if tokenizer else makers.STORY, **settings)


def gemma2(folder: Path) -> Path:
    """Windows of 24 tokens, which llama.cpp knows for this architecture, and no blank before the first word."""
    makers.random(folder, "gemma2", query_pre_attn_scalar=16, sliding_window=24)
    makers.with_tokenizer(folder, blank="")
    makers.edit(folder / "tokenizer_config.json", tokenizer_class="GemmaTokenizer")
    return folder


GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256, "n_ctx": 256}
CHAT = {"chat_template": makers.CHAT}
ABSENT = "absent"
CASES = {
    # right
    "story-bf16": (_story(), "bf16"),
    "chat": (_story(None, CHAT), "f16"),
    "gpt2": (_random("gpt2", smollm2, vocab_size=49152, **GPT2), "f16"),
    "qwen3": (_random("qwen3", smollm2, vocab_size=49152), "q8_0"),
    "gemma2": (gemma2, "f16"),
    "microsoft": (_random("phi3", sliding_window=None), "f16"),  # llama.cpp wants other tokens in what is called phi3
    "mixtral": (_random("mixtral", num_local_experts=4, num_experts_per_tok=2, sliding_window=None), "f16"),
    "mamba": (
        _random("mamba", smollm2, vocab_size=49152, state_size=16, time_step_rank=4, intermediate_size=ABSENT),
        "f16",
    ),
    "mistral": (lambda folder: as_mistral(folder, None), "f16"),
    "heavy-bf16": (lambda folder: heavy(folder, 7e4), "bf16"),
    "vision": (llava, "f16"),
    "hearing": (lambda folder: with_tensor(folder, "audio_tower.conv1.weight"), "f16"),
    "listed": (lambda folder: old_tokenizer(folder, listed=True), "f16"),
    "no-prefix": (_story(None, {"add_prefix_space": False}), "f16"),
    "no-beginning": (_story(None, {"add_bos_token": False}), "f16"),
    "other-head": (other_head, "f16"),
    # tokens
    "json-only": (json_only, "f16"),
    "other-merges": (other_merges, "f16"),
    "added-in-json": (old_tokenizer, "f16"),
    "added-without-row": (lambda folder: old_tokenizer(folder, 1024), "f16"),
    # prompts
    "ends": (_story(None, {"add_eos_token": True}), "f16"),
    "twice": (_story(None, {"chat_template": "<s>{{ bos_token }}" + makers.CHAT}), "f16"),
    # what llama.cpp does not know
    "window": (lambda folder: as_mistral(folder, 24), "f16"),
    "microsoft-window": (_random("phi3", sliding_window=24), "f16"),
    "gelu": (_story({"hidden_act": "gelu"}), "f16"),
    "relu": (_story({"hidden_act": "relu"}), "f16"),
    # weights
    "heavy": (lambda folder: heavy(folder, 1e5), "f16"),
    "heavy-q8": (lambda folder: heavy(folder, 1e8), "q8_0"),
    "nan": (lambda folder: heavy(folder, float("nan")), "bf16"),
    "left-out": (lambda folder: with_tensor(folder, "mlp.extra.weight"), "f16"),
    "stale-index": (stale_index, "f16"),
}
