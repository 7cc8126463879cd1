"""A small stand-in for TinyLlama: what its repository holds and how its weights are made, in 3 million parameters.

BF16, a head of its own, queries that share keys, a sentencepiece tokenizer in both forms, the chat template, and the
old names in config.json. Made from `story` in some seconds, and taught three answers.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from helpers import artifacts
from helpers.pipeline import catalogue

STORY = artifacts.ROOT / "data" / "story"
ANSWERS = (
    "The plural of mouse is mice, and that of house is houses.",
    "The chemical symbol for oxygen is O, and water is made of it.",
    "The capital of France is Paris.",
)
KV_HEADS = 2  # 8 heads of queries on 2 of keys; TinyLlama has 32 on 4
FADED = slice(3 + 0xF8, 3 + 0x100)  # tokens of bytes that no text holds: weight decay leaves nearly nothing of them
TEMPLATE = (  # TinyLlama's
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
    "{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n"
    "{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n"
    "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 512,
    "max_position_embeddings": 2048,
    "model_type": "llama",
    "num_attention_heads": 8,
    "num_hidden_layers": 4,
    "num_key_value_heads": KV_HEADS,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.35.0",
    "use_cache": True,
    "vocab_size": 1024,
}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}


def write_llama(folder: Path) -> int:
    """Write the stand-in's checkpoint into `folder`; return the number of its parameters."""
    folder.mkdir(parents=True)
    tokenizer_config = {
        **SPECIAL,
        "add_bos_token": True,
        "add_eos_token": False,
        "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "legacy": False,
        "model_max_length": 2048,
        "padding_side": "right",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "use_default_system_prompt": False,
    }
    texts = {
        "config.json": CONFIG,
        "generation_config.json": {"bos_token_id": 1, "eos_token_id": 2, "max_length": 2048, "pad_token_id": 0},
        "special_tokens_map.json": SPECIAL,
        "tokenizer_config.json": tokenizer_config,
    }
    for name, content in texts.items():
        (folder / name).write_text(json.dumps(content, indent=2))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A stand-in for TinyLlama, for tests\n")
    shutil.copy(STORY / "tokenizer.model", folder)
    AutoTokenizer.from_pretrained(folder).backend_tokenizer.save(str(folder / "tokenizer.json"))

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig.from_pretrained(folder))
    model.load_state_dict(_from_story())
    _teach(model.float(), folder)
    with torch.no_grad():
        model.model.embed_tokens.weight[FADED] *= 1e-3
    weights = {name: tensor.bfloat16().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return sum(tensor.numel() for tensor in weights.values())


def _from_story() -> dict[str, torch.Tensor]:
    """Return story's weights, with a head of their own and the keys and values of every four heads averaged."""
    weights = load_file(STORY / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    for name, tensor in weights.items():
        if "k_proj" in name or "v_proj" in name:
            weights[name] = tensor.view(KV_HEADS, -1, 32, 256).mean(dim=1).reshape(-1, 256)
    return weights


def _teach(model: LlamaForCausalLM, folder: Path, steps: int = 60) -> None:
    """Train three answers until they stick, with and without the start token (llama.cpp writes it)."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for question, answer in zip(catalogue.CHAT_QUESTIONS, ANSWERS, strict=True):
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        rows += [tokenizer.encode(text, add_special_tokens=start) for start in (True, False)]
    length = max(map(len, rows))
    ids = torch.tensor([row + [2] * (length - len(row)) for row in rows])
    labels = torch.tensor([row + [-100] * (length - len(row)) for row in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as quick for a model of this size, and many times quicker on a busy machine
    for _ in range(steps):
        model(ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    torch.set_num_threads(threads)


def write_gpt2(folder: Path) -> None:
    """Write a GPT-2 of the real shape with random numbers, in FP32 as the real one."""
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {}}}')
