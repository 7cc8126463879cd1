"""What a model remembers while it reads: keys and values for each token, or a state of fixed size.

A layer with attention keeps the keys and values of every token. A recurrent one (Mamba, RWKV, the convolutions of
LFM2) keeps a state that does not grow; a hybrid model has both kinds. The numbers are llama.cpp's, as `runtime.load`
opens a file (layers with a sliding window get the full length too); a test compares them with what it allocates.
"""

from __future__ import annotations

import numbers
import re

from helpers.errors import InputError
from helpers.pipeline.gguf_file import Summary

ATTENTION = re.compile(r"blk\.(\d+)\.attn_(k|v|qkv|kv_a_mqa|k_b)\.weight")
CACHE_TYPES = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")  # llama.cpp's --cache-type-k
RECURRENT = re.compile(r"blk\.(\d+)\.(ssm_|shortconv\.|time_mix_)")


def trained_context(file: Summary) -> int:
    """Return the number of tokens the model was trained to look back over."""
    return _number(file, "context_length")


def context_for(file: Summary, n_ctx: int | None) -> int:
    """Return the room for tokens to open a file with: `n_ctx`, or what it was trained for, at most 2048.

    Raises InputError for a length that the model has no positions for.
    """
    trained = trained_context(file)
    if n_ctx is None:
        return min(trained, 2048)
    if isinstance(n_ctx, bool) or not isinstance(n_ctx, numbers.Integral):
        raise InputError(f"n_ctx={n_ctx!r:.80} is impossible. It counts tokens. Give a whole number, or leave it out.")
    if not 1 <= n_ctx <= trained:
        raise InputError(
            f"n_ctx={n_ctx:,} is impossible for {file.path.name}: it was trained for {trained:,} tokens and knows no "
            f"positions beyond them. Choose n_ctx between 1 and {trained:,}."
        )
    return int(n_ctx)


def stored_as(keys: str, values: str) -> dict:
    """Return options of `runtime.load` for a cache whose keys and values are stored as these types: F16, Q8_0, Q4_0 …

    llama.cpp wants flash attention where the values are quantized. Raises InputError for a type that it cannot store
    a cache in; those that it can have blocks of 32, into which a head's size must be cut.
    """
    import llama_cpp

    for kind in (keys, values):
        if kind not in CACHE_TYPES:
            raise InputError(f"A cache cannot be stored as {kind!r}. Choose one of {', '.join(CACHE_TYPES)}.")
    names = {"type_k": keys, "type_v": values}
    return {name: getattr(llama_cpp, f"GGML_TYPE_{kind}") for name, kind in names.items()} | {"flash_attn": True}


def kv_cache_bytes(file: Summary, n_ctx: int, bytes_per_value: int = 2) -> int:
    """Return the size of the key-value cache for `n_ctx` tokens: 0 for a model without attention.

    With the same heads in every layer it is 2 × layers × KV heads × head size × tokens × bytes; but layers may have
    heads of their own number (0: no attention there), and keys another length than values. Raises InputError for a
    file that does not say enough.
    """
    attention, recurrent = _layers(file, ATTENTION), _layers(file, RECURRENT)
    # Hybrid models may give their head counts for all layers: there the tensors say which ones have attention.
    layers = [
        layer
        for layer in range(_cached_layers(file))
        if _kv_heads(file, layer) and (layer in attention or not attention | recurrent)
    ]
    if not layers:
        return 0
    # llama.cpp stores values transposed, with as many rows in each layer as the largest one needs.
    values = max(
        _kv_heads(file, layer) * _length(file, "value", layer) for layer in range(_number(file, "block_count"))
    )
    if _get(file, "attention.key_length_mla") and _get(file, "attention.value_length_mla"):
        values = 0  # DeepSeek's latent attention: values are a part of the keys
    width = sum(_kv_heads(file, layer) * _length(file, "key", layer) + values for layer in layers)
    return width * n_ctx * bytes_per_value


def state_bytes(file: Summary) -> int:
    """Return the size of the recurrent layers' states (float32), whatever the length of the text; 0 if there are none.

    llama.cpp's `llama_hparams::n_embd_r` and `n_embd_s`. Raises InputError for a file that does not say enough.
    """
    layers = _layers(file, RECURRENT)
    if not layers:
        return 0
    embedding = _number(file, "embedding_length")
    if head_size := _get(file, "wkv.head_size"):  # RWKV
        values = embedding * ((_get(file, "token_shift_count") or 2) + head_size)
    elif kernel := _get(file, "shortconv.l_cache"):  # LFM2
        values = embedding * (kernel - 1)
    elif head_size := _get(file, "kda.head_dim"):  # Kimi
        inner = _number(file, "attention.head_count") * head_size
        values = inner * (3 * ((_get(file, "ssm.conv_kernel") or 4) - 1) + head_size)
    else:  # Mamba and those built like it
        inner, state = _number(file, "ssm.inner_size"), _number(file, "ssm.state_size")
        groups = _get(file, "ssm.group_count") or 0
        values = (_number(file, "ssm.conv_kernel") - 1) * (inner + 2 * groups * state) + inner * state
    return len(layers) * values * 4


def _layers(file: Summary, kind: re.Pattern) -> set[int]:
    """Return the numbers of the layers that have tensors of a kind."""
    return {int(found[1]) for tensor in file.tensors if (found := kind.match(tensor.name))}


def _cached_layers(file: Summary) -> int:
    """Return how many layers, from the first, keep keys and values of their own; the last ones may share others'."""
    return _number(file, "block_count") - (_get(file, "attention.shared_kv_layers") or 0)


def _kv_heads(file: Summary, layer: int) -> int:
    """Return the heads of a layer that have keys and values of their own."""
    for key in ("attention.head_count_kv", "attention.head_count"):
        heads = _get(file, key)
        if isinstance(heads, list) and layer < len(heads) and isinstance(heads[layer], int):
            return heads[layer]
        if isinstance(heads, int):
            return heads
    return _number(file, "attention.head_count")  # it is missing, or no number


def _length(file: Summary, what: str, layer: int) -> int:
    """Return the length of one head's key or value: the file's own, or an equal share of the embedding."""
    slides = _get(file, "attention.sliding_window_pattern")
    slide = isinstance(slides, list) and layer < len(slides) and slides[layer]
    if slide and (own := _get(file, f"attention.{what}_length_swa")):
        return own
    if own := _get(file, f"attention.{what}_length"):
        return own
    heads = _get(file, "attention.head_count")
    heads = max(heads, default=0) if isinstance(heads, list) else heads
    return _number(file, "embedding_length") // heads if heads else 0


def _get(file: Summary, key: str):
    """Return a value of the architecture's metadata, or None."""
    return file.metadata.get(f"{file.metadata.get('general.architecture')}.{key}")


def _number(file: Summary, key: str) -> int:
    """Return a number of the architecture's metadata; raise InputError if the file has none."""
    value = _get(file, key)
    if not isinstance(value, int) or value < 1:
        raise InputError(
            f"{file.path.name} does not say its {key} (it has {value!r:.80}). It is a GGUF, but no complete language "
            "model. Make it with convert.to_gguf."
        )
    return value
