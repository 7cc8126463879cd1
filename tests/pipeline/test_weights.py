"""The numbers of a checkpoint: not finite, or too large for the type that is asked for."""

import ml_dtypes
import numpy as np
import pytest
import tiny_checkpoints as tiny

from helpers.errors import CheckpointError
from helpers.pipeline import convert, weights
from helpers.pipeline.checkpoint import read

MATRIX, VECTOR = "model.layers.0.mlp.up_proj.weight", "model.norm.weight"
TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": tiny.BF16}


def holding(folder, value, dtype=np.float32, name=MATRIX):
    tensors = tiny.llama_tensors(dtype)
    tensors[name].flat[-1] = value
    return tiny.write(folder, tensors)


@pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("value, words", [(np.nan, "NaN"), (np.inf, "an infinite"), (-np.inf, "an infinite")])
def test_what_is_not_finite_is_refused_by_name(elsewhere, tmp_path, monkeypatch, dtype, value, words):
    monkeypatch.setattr(convert, "run_converter", lambda *a: pytest.fail("the converter was started"))
    with pytest.raises(CheckpointError, match=f"model.layers.0.mlp.up_proj.weight in model holds {words}"):
        convert.to_gguf(holding(tmp_path / "model", value, dtype), "f32")


def test_a_vector_counts_too_and_a_buffer_that_is_left_out_does_not(elsewhere, tmp_path):
    with pytest.raises(CheckpointError, match="model.norm.weight"):
        weights.check(read(holding(tmp_path / "a", np.nan, name=VECTOR)), "f16")
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.full(4, np.inf, np.float32)}
    weights.check(read(tiny.write(tmp_path / "b", tiny.llama_tensors() | buffers)), "f16")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, tiny.BF16])
@pytest.mark.parametrize("value, fits", [(1e5, {"bf16", "f32", "q8_0"}), (-1e7, {"bf16", "f32"}), (6e4, set("all"))])
def test_what_becomes_infinite_is_named_and_bf16_offered(tmp_path, dtype, value, fits):
    source = read(holding(tmp_path / "model", value, dtype))
    for outtype in convert.OUTTYPES:
        if outtype in fits or fits == set("all"):
            weights.check(source, outtype)
        else:
            with pytest.raises(CheckpointError, match=r"up_proj.weight in model holds a weight of .*'bf16'"):
                weights.check(source, outtype)


def test_the_limit_is_where_the_rounding_becomes_infinite():
    below = np.nextafter(np.float32(65520), np.float32(0))
    with np.errstate(over="ignore"):
        assert np.isfinite(np.float16(below)) and np.isinf(np.float16(65520))
        assert np.isinf(np.float64(weights.LIMITS["BF16"]).astype(np.float32).astype(ml_dtypes.bfloat16))
        assert np.isinf(np.float32(weights.LIMITS["F32"])) and weights.LIMITS["F16"] == 65520


def test_what_stays_f16_in_a_q8_0_file_has_the_limit_of_f16(tmp_path):
    """Rows that are no multiple of 32 cannot be Q8_0."""
    tensors = tiny.llama_tensors() | {"odd.weight": np.full((4, 20), 1e5, np.float32)}
    with pytest.raises(CheckpointError, match=r"odd.weight .*F16 ends at 6.552e\+04"):
        weights.check(read(tiny.write(tmp_path / "model", tensors)), "q8_0")
    vectors = tiny.llama_tensors()
    vectors[VECTOR][0] = 1e5
    weights.check(read(tiny.write(tmp_path / "vector", vectors)), "q8_0")


@pytest.mark.parametrize("dtype", [*TYPES.values(), ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2])
def test_the_largest_number_of_each_tensor(tmp_path, dtype):
    tensors = {f"t{i}": (np.random.default_rng(i).normal(0, 2.0**i, (7, 65))).astype(dtype) for i in range(3)}
    tensors["negative"] = -abs(tensors["t0"])
    tensors["zeros"] = np.zeros((3, 3), dtype)
    import torch
    from safetensors.torch import save_file  # numpy's cannot write FP8

    kinds = {
        ml_dtypes.float8_e4m3fn: torch.float8_e4m3fn,
        ml_dtypes.float8_e5m2: torch.float8_e5m2,
        tiny.BF16: torch.bfloat16,
    }
    folder = tiny.write(tmp_path / "model")
    as_torch = {
        name: torch.from_numpy(x.astype(np.float32)).to(kinds[dtype]) if dtype in kinds else torch.from_numpy(x)
        for name, x in tensors.items()
    }
    save_file(as_torch, folder / "model.safetensors")
    found = weights.largest(tiny.unchecked(folder))
    assert found == {name: float(abs(x.astype(np.float64)).max()) for name, x in tensors.items()}


def test_auto_is_bf16_for_bf16_and_where_f16_is_too_narrow(elsewhere, tmp_path):
    def chosen(name, tensors):
        return convert._automatic(read(tiny.write(tmp_path / name, tensors)))

    assert chosen("bf16", tiny.llama_tensors(tiny.BF16)) == "bf16"
    assert chosen("f16", tiny.llama_tensors(np.float16)) == "f16"
    assert chosen("f32", tiny.llama_tensors()) == "f16"
    assert chosen("mixed", tiny.llama_tensors(tiny.BF16) | {MATRIX: tiny.llama_tensors()[MATRIX]}) == "f16"
    assert convert._automatic(read(holding(tmp_path / "wide", 1e6))) == "bf16"
    file = convert.summary(convert.to_gguf(tmp_path / "bf16", "auto"))
    assert file.main_type == "BF16" and file.path.name.endswith("-BF16.gguf")
