"""Checkpoints of some kilobytes, written without torch: a LLaMA with the tokenizer of `story`, to be changed."""

import json
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from helpers import artifacts
from helpers.pipeline.checkpoint import Checkpoint, Tensor, header

STORY = artifacts.ROOT / "data" / "story"
VOCABULARY, WIDTH, INNER = 1024, 32, 64
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
BF16 = ml_dtypes.bfloat16


def llama_tensors(dtype=np.float32, layers: int = 1) -> dict[str, np.ndarray]:
    """The tensors of a LLaMA, seeded."""
    rng = np.random.default_rng(0)
    shapes = {"model.embed_tokens": (VOCABULARY, WIDTH), "model.norm": (WIDTH,), "lm_head": (VOCABULARY, WIDTH)}
    for i in range(layers):
        layer = f"model.layers.{i}."
        shapes |= {layer + f"self_attn.{part}_proj": (WIDTH, WIDTH) for part in "qkvo"}
        shapes |= {layer + f"mlp.{part}_proj": (INNER, WIDTH) for part in ("gate", "up")}
        shapes |= {layer + "mlp.down_proj": (WIDTH, INNER)}
        shapes |= {layer + f"{part}_layernorm": (WIDTH,) for part in ("input", "post_attention")}
    return {f"{name}.weight": rng.normal(0, 0.3, shape).astype(dtype) for name, shape in shapes.items()}


def unchecked(folder: Path) -> Checkpoint:
    """Return a folder as it is, without the checks of `checkpoint.read`, which would refuse what the converter does."""
    path = folder / "model.safetensors"
    tensors = {n: Tensor(e["dtype"], tuple(e["shape"]), path) for n, e in header(path).items()}
    return Checkpoint(folder, json.loads((folder / "config.json").read_text()), tensors)


def write(folder: Path, tensors: dict[str, np.ndarray] | None = None, tokenizer: Path = STORY, **changes) -> Path:
    """Write a checkpoint; `changes` replace entries of the configuration, `...` removes one."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {name: value for name, value in (CONFIG | changes).items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.model", "tokenizer.json", "tokenizer_config.json"):
        if (tokenizer / name).is_file():
            shutil.copy(tokenizer / name, folder)
    save_file(llama_tensors() if tensors is None else tensors, folder / "model.safetensors", {"format": "pt"})
    return folder
