"""Tiny GGUFs of many kinds, written in milliseconds: small random weights, a vocabulary of bytes and a few words."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

WIDTH, FEED_FORWARD, LAYERS, CONTEXT = 32, 64, 2, 8192
LONG = "=" * 40  # a token longer than llama-cpp-python's buffer
FLAG = "🏳️‍🌈" * 3  # another, 42 bytes
CONTROL, USER, BYTE = gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED, gguf.TokenType.BYTE


def words(extra: list[str] = ()) -> list[tuple[str, gguf.TokenType]]:
    """Return a vocabulary like LLaMA's: <unk>, <s>, </s>, all bytes, then words (▁ is a blank)."""
    special = [("<unk>", gguf.TokenType.UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    single = [(f"<0x{i:02X}>", BYTE) for i in range(256)]
    letters = [(letter, gguf.TokenType.NORMAL) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    return special + single + letters + [(word, USER) for word in (LONG, FLAG, *extra)]


def write(path: Path, architecture: str, tensors: dict, pairs: dict, vocabulary=None, most=0) -> Path:
    """Write a GGUF: tensors by name and shape (rows, columns), `pairs` of metadata, keys with their architecture.

    With `most`, in parts of so many tensors; returns the path of the first one.
    """
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=most)
    for key, value in pairs.items():
        add(writer, key, value)
    vocabulary = words() if vocabulary is None else vocabulary
    if vocabulary and "tokenizer.ggml.model" not in pairs:
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([text for text, _ in vocabulary])
        writer.add_token_scores([-float(i) for i in range(len(vocabulary))])
        writer.add_token_types([kind for _, kind in vocabulary])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
    for name, shape in tensors.items():
        writer.add_tensor(name, random.standard_normal(shape).astype(np.float32) * 0.5)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return min(path.parent.glob(f"{path.stem}-00001-of-*.gguf")) if most else path


def add(writer: gguf.GGUFWriter, key: str, value) -> None:
    kinds = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    (writer.add_array if isinstance(value, list) else kinds[type(value)])(key, value)


def llama(path: Path, kv_heads=2, heads=4, head=8, vocabulary=None, most=0, kind="llama", **pairs) -> Path:
    """Write a LLaMA of two layers, or another `kind` with the same tensors. Further `pairs` are metadata.

    A pair's name has __ for a dot: tokenizer__chat_template="…".
    """
    vocabulary = words() if vocabulary is None else vocabulary
    tensors = {"token_embd.weight": (len(vocabulary), WIDTH), "output_norm.weight": (WIDTH,)}
    for i in range(LAYERS):
        tensors |= feed_forward(i) | {
            f"blk.{i}.attn_norm.weight": (WIDTH,),
            f"blk.{i}.attn_q.weight": (heads * head, WIDTH),
            f"blk.{i}.attn_k.weight": (kv_heads * head, WIDTH),
            f"blk.{i}.attn_v.weight": (kv_heads * head, WIDTH),
            f"blk.{i}.attn_output.weight": (WIDTH, heads * head),
        }
    known = common(kind, heads) | {
        f"{kind}.attention.head_count_kv": kv_heads,
        f"{kind}.attention.key_length": head,
        f"{kind}.attention.value_length": head,
        f"{kind}.rope.dimension_count": head,
    }
    known |= {name.replace("__", "."): value for name, value in pairs.items()}
    return write(path, kind, tensors, known, vocabulary, most)


def common(architecture: str, heads: int) -> dict:
    return {
        f"{architecture}.block_count": LAYERS,
        f"{architecture}.context_length": CONTEXT,
        f"{architecture}.embedding_length": WIDTH,
        f"{architecture}.feed_forward_length": FEED_FORWARD,
        f"{architecture}.attention.head_count": heads,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
    }


def feed_forward(i: int) -> dict[str, tuple[int, ...]]:
    return {
        f"blk.{i}.ffn_norm.weight": (WIDTH,),
        f"blk.{i}.ffn_gate.weight": (FEED_FORWARD, WIDTH),
        f"blk.{i}.ffn_up.weight": (FEED_FORWARD, WIDTH),
        f"blk.{i}.ffn_down.weight": (WIDTH, FEED_FORWARD),
    }


def openelm(path: Path) -> Path:
    """Write an OpenELM: another number of heads in each layer, and queries, keys and values in one matrix."""
    heads, kv_heads, head = [4, 8], [1, 2], 8
    tensors = {"token_embd.weight": (len(words()), WIDTH), "output_norm.weight": (WIDTH,)}
    for i in range(LAYERS):
        tensors |= feed_forward(i) | {
            f"blk.{i}.attn_norm.weight": (WIDTH,),
            f"blk.{i}.attn_qkv.weight": ((heads[i] + 2 * kv_heads[i]) * head, WIDTH),
            f"blk.{i}.attn_q_norm.weight": (head,),
            f"blk.{i}.attn_k_norm.weight": (head,),
            f"blk.{i}.attn_output.weight": (WIDTH, heads[i] * head),
        }
    return write(
        path,
        "openelm",
        tensors,
        common("openelm", 4)
        | {
            "openelm.attention.head_count": heads,
            "openelm.attention.head_count_kv": kv_heads,
            "openelm.feed_forward_length": [FEED_FORWARD] * LAYERS,
            "openelm.attention.key_length": head,
            "openelm.attention.value_length": head,
            "openelm.rope.dimension_count": head,
        },
    )


def mamba(path: Path, context=CONTEXT) -> Path:
    """Write a Mamba: no attention, a state instead of a cache."""
    inner, state, kernel, rank = 2 * WIDTH, 16, 4, 2
    tensors = {"token_embd.weight": (len(words()), WIDTH), "output_norm.weight": (WIDTH,)}
    for i in range(LAYERS):
        tensors |= {
            f"blk.{i}.attn_norm.weight": (WIDTH,),
            f"blk.{i}.ssm_in.weight": (2 * inner, WIDTH),
            f"blk.{i}.ssm_conv1d.weight": (inner, kernel),
            f"blk.{i}.ssm_conv1d.bias": (inner,),
            f"blk.{i}.ssm_x.weight": (rank + 2 * state, inner),
            f"blk.{i}.ssm_dt.weight": (inner, rank),
            f"blk.{i}.ssm_dt.bias": (inner,),
            f"blk.{i}.ssm_a": (inner, state),
            f"blk.{i}.ssm_d": (inner,),
            f"blk.{i}.ssm_out.weight": (WIDTH, inner),
        }
    return write(
        path,
        "mamba",
        tensors,
        common("mamba", 0)
        | {
            "mamba.context_length": context,
            "mamba.feed_forward_length": 0,
            "mamba.ssm.conv_kernel": kernel,
            "mamba.ssm.inner_size": inner,
            "mamba.ssm.state_size": state,
            "mamba.ssm.time_step_rank": rank,
        },
    )


def lfm2(path: Path) -> Path:
    """Write an LFM2: the first layer a convolution, the second attention; head counts as an array with a 0."""
    tensors = {"token_embd.weight": (len(words()), WIDTH), "token_embd_norm.weight": (WIDTH,)}
    tensors |= feed_forward(0) | {
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.shortconv.conv.weight": (WIDTH, 3),
        "blk.0.shortconv.in_proj.weight": (3 * WIDTH, WIDTH),
        "blk.0.shortconv.out_proj.weight": (WIDTH, WIDTH),
    }
    tensors |= feed_forward(1) | {
        "blk.1.attn_norm.weight": (WIDTH,),
        "blk.1.attn_q.weight": (WIDTH, WIDTH),
        "blk.1.attn_k.weight": (WIDTH // 2, WIDTH),
        "blk.1.attn_v.weight": (WIDTH // 2, WIDTH),
        "blk.1.attn_q_norm.weight": (WIDTH // 4,),
        "blk.1.attn_k_norm.weight": (WIDTH // 4,),
        "blk.1.attn_output.weight": (WIDTH, WIDTH),
    }
    known = {"lfm2.attention.head_count_kv": [0, 2], "lfm2.shortconv.l_cache": 3, "lfm2.vocab_size": len(words())}
    return write(path, "lfm2", tensors, common("lfm2", 4) | known)


def t5(path: Path) -> Path:
    """Write an encoder-decoder as the converter writes a T5 (compared once, tensor by tensor)."""
    matrix, row = (WIDTH, WIDTH), (WIDTH,)
    tensors = {"token_embd.weight": (len(words()), WIDTH)}
    for side in ("enc", "dec"):
        tensors[f"{side}.output_norm.weight"] = row
        for i in range(LAYERS):
            tensors |= {f"{side}.blk.{i}.attn_{part}.weight": matrix for part in "qkvo"}
            tensors |= {f"{side}.blk.{i}.{part}_norm.weight": row for part in ("attn", "ffn")}
            tensors |= {f"{side}.blk.{i}.ffn_up.weight": (FEED_FORWARD, WIDTH)}
            tensors |= {f"{side}.blk.{i}.ffn_down.weight": (WIDTH, FEED_FORWARD)}
        tensors[f"{side}.blk.0.attn_rel_b.weight"] = (32, 4)
    for i in range(LAYERS):
        tensors |= {f"dec.blk.{i}.cross_attn_{part}.weight": matrix for part in "qkvo"}
        tensors |= {f"dec.blk.{i}.cross_attn_norm.weight": row}
    known = {"t5.attention.relative_buckets_count": 32, "t5.decoder_start_token_id": 0}
    return write(path, "t5", tensors, common("t5", 4) | known)


def bert(path: Path) -> Path:
    """Write an embedding model."""
    row = (WIDTH,)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"▁{chr(97 + i)}" for i in range(26))]
    tensors = {"token_embd.weight": (len(names), WIDTH), "token_types.weight": (2, WIDTH)}
    tensors |= {"position_embd.weight": (CONTEXT, WIDTH), "token_embd_norm.weight": row, "token_embd_norm.bias": row}
    for i in range(LAYERS):
        tensors |= {f"blk.{i}.attn_{part}.weight": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
        tensors |= {f"blk.{i}.attn_{part}.bias": row for part in ("q", "k", "v", "output")}
        tensors |= {
            f"blk.{i}.{part}_output_norm.{kind}": row for part in ("attn", "layer") for kind in ("weight", "bias")
        }
        tensors |= {f"blk.{i}.ffn_up.weight": (FEED_FORWARD, WIDTH), f"blk.{i}.ffn_up.bias": (FEED_FORWARD,)}
        tensors |= {f"blk.{i}.ffn_down.weight": (WIDTH, FEED_FORWARD), f"blk.{i}.ffn_down.bias": row}
    known = {
        "bert.attention.causal": False,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": names,
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.mask_token_id": 4,
    }
    return write(path, "bert", tensors, common("bert", 4) | known, vocabulary=[])


def llada(path: Path) -> Path:
    """Write a diffusion model: it fills in a whole text and has no cache."""
    return llama(path, kind="llada", kv_heads=4, llada__attention__causal=False)
