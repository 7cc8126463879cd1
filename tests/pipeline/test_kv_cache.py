"""The size of what a model remembers, beside what llama.cpp says that it allocates."""

import re
from pathlib import Path

import llama_cpp
import pytest
import tiny_gguf

from helpers.errors import InputError
from helpers.pipeline import gguf_file, kv_cache, runtime


def allocated(path: Path, n_ctx: int) -> tuple[float, float]:
    """Return the bytes of llama.cpp's cache and states, as its log says: in hundredths of a MiB."""
    with runtime.log_to() as log:
        llama_cpp.Llama(str(path), n_ctx=n_ctx, verbose=True).close()
    text = "".join(log)
    assert "compute buffer size" in text
    return tuple(
        sum(map(float, re.findall(rf"{kind} buffer size =\s+([\d.]+) MiB", text))) * 2**20 for kind in ("KV", "RS")
    )


@pytest.mark.parametrize("kind", ["llama", "wide_heads", "openelm", "lfm2", "mamba"])
def test_sizes_are_what_llama_cpp_allocates(tmp_path, kind):
    """Heads by layer, keys longer than an equal share of the embedding, layers without attention, none with it."""
    n_ctx, path = tiny_gguf.CONTEXT, tmp_path / "tiny.gguf"
    tiny_gguf.llama(path, head=32) if kind == "wide_heads" else getattr(tiny_gguf, kind)(path)
    file = gguf_file.summary(path)
    cache, states = allocated(path, n_ctx)
    assert kv_cache.kv_cache_bytes(file, n_ctx) == pytest.approx(cache, abs=0.006 * 2**20)
    assert kv_cache.state_bytes(file) == pytest.approx(states, abs=0.006 * 2**20)
    assert (cache == 0) == (kind == "mamba") and (kv_cache.state_bytes(file) > 0) == (kind in ("mamba", "lfm2"))


def summary(tensors: str = "", **numbers) -> gguf_file.Summary:
    """A summary of metadata alone: two layers of an embedding of 64, and tensors by name."""
    known = {"block_count": 2, "embedding_length": 64, "attention.head_count": 4} | {
        name.replace("__", "."): value for name, value in numbers.items()
    }
    metadata = {"general.architecture": "x"} | {f"x.{name}": value for name, value in known.items()}
    listed = [gguf_file.Tensor(name, (1,), "F32", 1, 4) for name in tensors.split()]
    return gguf_file.Summary(Path("x.gguf"), metadata, listed, 0)


@pytest.mark.parametrize(
    "numbers, values",
    [
        ({}, 2 * (64 + 64)),
        ({"attention__head_count_kv": 2}, 2 * (32 + 32)),
        ({"attention__head_count_kv": [1, 2]}, (16 + 32) + (32 + 32)),  # values as wide as in the widest layer
        ({"attention__head_count_kv": [0, 2]}, 32 + 32),
        ({"attention__head_count": [2, 4], "attention__head_count_kv": [2, 4]}, (32 + 64) + (64 + 64)),
        ({"attention__key_length": 64, "attention__value_length": 32}, 2 * (256 + 128)),
        ({"attention__key_length": 24, "attention__key_length_mla": 20, "attention__value_length_mla": 20}, 2 * 96),
        ({"attention__shared_kv_layers": 1}, 64 + 64),
        (
            {
                "attention__sliding_window_pattern": [True, False],
                "attention__key_length_swa": 8,
                "attention__value_length_swa": 8,
            },
            (32 + 64) + (64 + 64),
        ),
        ({"attention__head_count": 0}, 0),
    ],
)
def test_values_for_each_token(numbers, values):
    """Counted by hand, in 16-bit values; Gemma 4's and DeepSeek's own lengths are among them."""
    assert kv_cache.kv_cache_bytes(summary(**numbers), 10) == values * 10 * 2


def test_a_hybrid_that_gives_its_heads_for_all_layers():
    """Jamba and Qwen3-Next: the tensors say which layer has attention."""
    assert kv_cache.kv_cache_bytes(summary("blk.0.ssm_in.weight blk.1.attn_k.weight"), 10) == (64 + 64) * 10 * 2


@pytest.mark.parametrize(
    "tensor, numbers, values",
    [
        ("blk.0.time_mix_w1.weight", {"wkv__head_size": 16, "token_shift_count": 2}, 64 * (2 + 16)),
        ("blk.0.shortconv.conv.weight", {"shortconv__l_cache": 3}, 64 * 2),
        ("blk.0.ssm_conv1d.weight", {"ssm__inner_size": 128, "ssm__state_size": 16, "ssm__conv_kernel": 4}, 128 * 19),
        ("blk.0.ssm_conv1d_q.weight", {"kda__head_dim": 16, "ssm__conv_kernel": 4}, 3 * 3 * 64 + 16 * 16 * 4),
    ],
)
def test_states(tensor, numbers, values):
    assert kv_cache.state_bytes(summary(tensor, **numbers)) == values * 4


def test_an_incomplete_file_says_what_is_missing():
    with pytest.raises(InputError, match="does not say its block_count"):
        kv_cache.kv_cache_bytes(summary(block_count=0), 10)
    for heads in (None, "4", [4]):
        with pytest.raises(InputError, match="does not say its attention.head_count"):
            kv_cache.kv_cache_bytes(summary(attention__head_count=heads), 10)
    with pytest.raises(InputError, match="does not say its ssm.inner_size"):
        kv_cache.state_bytes(summary("blk.0.ssm_in.weight"))


def test_an_estimate_refuses_nothing(tmp_path, monkeypatch):
    """Whatever the formula does not know, llama.cpp decides."""

    def unknown(*_):
        raise InputError("This file does not say it.")

    monkeypatch.setattr(runtime, "kv_cache_bytes", unknown)
    runtime.load(tiny_gguf.llama(tmp_path / "tiny.gguf"), n_ctx=64).close()
