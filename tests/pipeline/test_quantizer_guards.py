"""What ends the process inside llama.cpp's quantizer, or spoils a file in silence: provoked in a process of its own,
refused before it in ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import tiny_gguf
from stand_in import StandIn

from helpers.errors import InputError
from helpers.numbers import ggml
from helpers.pipeline import convert, runtime

# llama_model_quantize as it is: source, result, then types by pattern, threads, and one importance for all tensors.
RAW = """
import ctypes, json, sys
import llama_cpp
source, out, ftype, types, threads, weights = json.loads(sys.argv[1])
p = llama_cpp.llama_model_quantize_default_params()
p.ftype, p.nthread = getattr(llama_cpp, "LLAMA_FTYPE_MOSTLY_" + ftype), threads
if types:
    p.tt_overrides = (llama_cpp.llama_model_tensor_override * (len(types) + 1))()
    for entry, (pattern, number) in zip(p.tt_overrides, types.items()):
        entry.pattern, entry.type = pattern.encode(), number
if weights:
    names = [f"blk.{i}.{n}.weight" for i in range(4) for n in "attn_q attn_k attn_v attn_output".split()]
    data = (ctypes.c_float * 256)(*[weights] * 256)
    p.imatrix = (llama_cpp.llama_model_imatrix_data * (len(names) + 1))()
    for entry, name in zip(p.imatrix, names):
        entry.name, entry.data, entry.size = name.encode(), data, 256
sys.exit(llama_cpp.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(p)))
"""


def raw(source, ftype="Q4_0", types=None, threads=1, weights=0.0) -> int:
    """Return how a process ends that calls llama.cpp without our guards: 0, 1 for a refusal, below 0 for a signal."""
    asked = json.dumps([str(source), str(Path(source).with_name("raw.gguf")), ftype, types or {}, threads, weights])
    quiet = os.environ | {"GGML_NO_BACKTRACE": "1"}
    return subprocess.run([sys.executable, "-c", RAW, asked], capture_output=True, env=quiet).returncode


def odd(path, name="blk.0.odd.weight", shape=(32, 32), value=None, alignment=32, kind="F32", **pairs) -> Path:
    """Write a GGUF of an embedding and one odd tensor, with one of its numbers replaced."""
    numbers = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    if value is not None:
        numbers.flat[5] = value
    number = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(alignment)
    for key, item in (tiny_gguf.common("llama", 4) | {k.replace("__", "."): v for k, v in pairs.items()}).items():
        tiny_gguf.add(writer, key, item)
    for each, data in {"token_embd.weight": np.ones((64, shape[-1] or 32), np.float32), name: numbers}.items():
        writer.add_tensor(each, gguf.quantize(data, number), raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def f16(story_f16, tmp_path) -> Path:
    path = tmp_path / "story-F16.gguf"
    path.symlink_to(story_f16)
    return path


def refused(match: str, *args, **options) -> None:
    """Neither makes a file nor plans one."""
    for call in (convert.requantize, convert.planned_size):
        with pytest.raises(InputError, match=match):
            call(*args, **options)


# What ends the process


@pytest.mark.parametrize("kind", ["IQ2_XXS", "IQ2_XS", "IQ1_S"])
def test_an_embedding_without_importance(f16, kind):
    assert raw(f16, types={"token_embd": gguf.GGMLQuantizationType[kind]}) < 0
    refused(
        f"token_embd.weight cannot become {kind} without importance", f16, "Q4_0", types={"token_embd.weight": kind}
    )
    lacks = StandIn(f16, lacks="token_embd.weight")
    refused("without importance", f16, "Q4_0", importance=lacks, types={"token_embd.weight": kind})


@pytest.mark.parametrize(
    "number, name", [(4, "Q4_2"), (9, "Q8_1"), (15, "Q8_K"), (24, "I8"), (28, "F64"), (31, "Q4_0_4_4")]
)
def test_types_that_no_tensor_can_have(f16, number, name):
    assert raw(f16, types={"blk.0.attn_q": number}) < 0
    refused(f"'blk.0.attn_q.weight' cannot have the type '{name}'", f16, "Q4_0", types={"blk.0.attn_q.weight": name})


@pytest.mark.parametrize(
    "weights, what", [(-1.0, "negative number -1"), (1e38, "lies above 1e.20"), (np.inf, "not finite")]
)
def test_importance_that_overflows(f16, weights, what):
    if np.isfinite(weights):  # llama.cpp itself looks for the others
        assert raw(f16, "IQ3_S", weights=weights) < 0
    name = "blk.0.attn_q.weight"
    broken = StandIn(f16, change={name: np.full(256, weights, np.float32)})
    refused(f"stand-in cannot be used: of {name}, .*{what}", f16, "IQ3_S", importance=broken)


@pytest.mark.parametrize("kind, stored", [("IQ3_S", "F32"), ("IQ3_S", "BF16"), ("IQ2_S", "F32")])
def test_weights_that_overflow(tmp_path, kind, stored):
    path = odd(tmp_path / "huge.gguf", "blk.0.attn_q.weight", (64, 256), value=1e20, kind=stored)
    number = int(gguf.GGMLQuantizationType[kind])
    assert raw(path, "Q4_0", {"attn_q": number}, weights=1.0) < 0
    steer = StandIn(path)
    with pytest.raises(InputError, match=rf"blk.0.attn_q.weight cannot become {kind}: it holds (1e\+20|9.97e\+19)"):
        convert.requantize(path, "Q4_0", importance=steer, types={"blk.0.attn_q.weight": kind})


@pytest.mark.parametrize("shape", [(2, 2, 32, 32), (32, 0), (0,)])
def test_tensors_of_shapes_that_it_does_not_survive(tmp_path, shape):
    path = odd(tmp_path / "odd.gguf", shape=shape)
    assert raw(path) < 0
    refused(f"blk.0.odd.weight in odd.gguf has the shape {str(shape)[:-1]}".replace("(", r"\("), path, "Q4_0")


@pytest.mark.parametrize(
    "pairs",
    [
        {"llama__block_count": 600},
        {"llama__block_count": 0},
        {"llama__expert_count": 5000, "llama__expert_used_count": 2},
        {"llama__expert_count": 4, "llama__expert_used_count": 7},
        {"llama__expert_count": 4},
    ],
)
def test_numbers_of_layers_and_experts(tmp_path, pairs):
    path = tiny_gguf.llama(tmp_path / "odd.gguf", **pairs)
    assert raw(path) < 0
    refused("odd.gguf announces .* layers and .* experts", path, "Q4_0")
    with pytest.raises(InputError, match="odd.gguf announces"):
        runtime.load(path)


def test_numbers_of_layers_and_experts_that_work(tmp_path):
    for n, pairs in enumerate(({}, {"llama__expert_count": 4, "llama__expert_used_count": 2})):
        path = tiny_gguf.llama(tmp_path / f"fine-{n}.gguf", **pairs)
        assert raw(path) == 0 and convert.requantize(path, "Q4_0").is_file()


def test_more_threads_than_the_system_has(f16):
    if sys.platform == "linux":  # elsewhere a process may have other numbers of them
        assert raw(f16, threads=100_000) < 0
    for threads in (100_000, 0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match="threads=.* is impossible"):
            convert.requantize(f16, "Q4_0", threads=threads)


# What llama.cpp ignores, or spoils in silence


def test_weights_that_become_zeros(tmp_path):
    """A sum overflows, no scale is found, and the number and those beside it are nothing."""
    path = odd(tmp_path / "huge.gguf", shape=(64, 256), value=1e30)
    assert raw(path, "Q6_K") == 0
    made = next(t for t in gguf.GGUFReader(tmp_path / "raw.gguf").tensors if "odd" in t.name)
    assert not gguf.dequantize(made.data, made.tensor_type)[0, :16].any()
    with pytest.raises(InputError, match=r"blk.0.odd.weight cannot become Q6_K: it holds 1e\+30.*write zeros"):
        convert.requantize(path, "Q6_K")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("stored", ["F32", "F16", "BF16"])
def test_weights_that_are_no_numbers(tmp_path, value, stored):
    path = odd(tmp_path / "broken.gguf", value=value, kind=stored)
    with pytest.raises(InputError, match=r"blk.0.odd.weight .*(holds nan|holds inf|holds NaN or infinite numbers)"):
        convert.requantize(path, "Q4_0")
    assert {item.suffix for item in tmp_path.iterdir() if not item.name.startswith(".")} == {".gguf"}
    assert [item.name for item in tmp_path.glob("*.gguf")] == ["broken.gguf"]


def test_another_alignment(tmp_path):
    path = odd(tmp_path / "aligned.gguf", shape=(33, 32), alignment=64)
    assert raw(path) == 0 and not convert.gguf_file.is_whole(tmp_path / "raw.gguf")
    refused("aligned.gguf aligns its tensors to 64 bytes", path, "Q4_0")


def test_names_that_do_not_exist(f16):
    assert raw(f16, types={"^blk.9.attn_q.weight$": 8}) == 0, "ignored"
    refused(
        r"no tensor 'blk.0.attn_q', .*Did you mean blk.0.attn_q.weight\?", f16, "Q4_0", types={"blk.0.attn_q": "Q8_0"}
    )
    refused("no tensor 'nonsense'.*Look them up", f16, "Q4_0", types={"nonsense": "Q8_0"})
    refused("no tensor 7", f16, "Q4_0", types={7: "Q8_0"})


@pytest.mark.parametrize("name, kept", [("output_norm.weight", "F32"), ("blk.0.attn_norm.weight", "F32")])
def test_tensors_that_stay_as_they_are(f16, name, kept):
    refused(f"{name} cannot be Q8_0: llama.cpp leaves it {kept}", f16, "Q4_0", types={name: "Q8_0"})


def test_types_that_do_not_fit_the_rows(tmp_path):
    path = tiny_gguf.llama(tmp_path / "narrow.gguf")
    refused(
        "blk.0.attn_q.weight cannot be Q4_K. It has rows of 32", path, "Q4_0", types={"blk.0.attn_q.weight": "Q4_K"}
    )
    refused("narrow.gguf cannot become Q1_0: its rows are no multiples of q1_0's blocks", path, "Q1_0")


def test_types_that_are_none(f16):
    refused(
        "cannot have the type 'Q4_K_M'. Q4_K_M and the like are recipes", f16, types={"blk.0.attn_q.weight": "Q4_K_M"}
    )
    refused("cannot have the type None", f16, types={"blk.0.attn_q.weight": None})
    refused("is no dictionary", f16, types=["blk.0.attn_q.weight"])
    refused("Unknown quantization type 'NVFP4'", f16, "NVFP4")
    refused("has no experts", f16, "MXFP4_MOE")
    for kind in ("IQ1_S", "IQ2_M", "IQ3_XXS", "Q2_K_S"):
        refused(f"{kind} needs an importance", f16, kind)


@pytest.mark.parametrize("columns", [slice(None), slice(64, 96)])
@pytest.mark.parametrize("kind", ["Q4_0", "IQ4_NL", "IQ4_XS", "Q3_K", "Q6_K"])
def test_a_block_without_importance_becomes_zeros(f16, kind, columns):
    """What was never seen would be lost for every other text: shown in ggml, refused by both."""
    weights = np.ones(256, np.float32)
    weights[columns] = 0
    x = np.random.default_rng(0).standard_normal((1, 256)).astype(np.float32)
    number = gguf.GGMLQuantizationType[kind]
    out = np.empty(256 * gguf.GGML_QUANT_SIZES[number][1] // gguf.GGML_QUANT_SIZES[number][0], np.uint8)
    ggml._function()(number, x.ctypes.data, out.ctypes.data, 0, 1, 256, weights.ctypes.data)
    assert not gguf.dequantize(out, number)[columns].any()
    with pytest.raises(InputError, match="32 columns in a row have none"):
        ggml.quantize(x, kind, weights)
    broken = StandIn(f16, change={"blk.0.attn_q.weight": weights})
    refused("of blk.0.attn_q.weight, 32 columns in a row have none", f16, "Q4_0", importance=broken)


def test_an_importance_of_another_model(f16, tmp_path):
    refused("lacks blk.1.ffn_up.weight", f16, "Q4_K_M", importance=StandIn(f16, lacks="blk.1.ffn_up.weight"))
    convert.planned_size(f16, "Q8_0", importance=StandIn(f16, lacks="blk.1.ffn_up.weight"))  # Q8_0 has no use for it
    convert.planned_size(f16, "Q4_K_M", importance=StandIn(f16, lacks="token_embd.weight"))  # as llama-imatrix has it
    more = StandIn(f16, change={"blk.7.ffn_up.weight": np.ones(256, np.float32)})
    refused("does not belong to story-F16.gguf: it has 'blk.7.ffn_up.weight'", f16, "Q4_K_M", importance=more)
    longer = StandIn(f16, change={"blk.1.ffn_up.weight": np.ones(512, np.float32)})
    refused("blk.1.ffn_up.weight has 256 columns .* its importance 512", f16, "Q4_K_M", importance=longer)
    matrix = StandIn(f16, change={"blk.1.ffn_up.weight": np.ones((1, 256), np.float32)})
    refused("its importance", f16, "Q4_K_M", importance=matrix)
    refused("'story.imatrix' is no importance", f16, "Q4_K_M", importance="story.imatrix")


def test_files_that_are_no_models(tmp_path):
    path = tiny_gguf.write(tmp_path / "matrix.gguf", "llama", {"a": (1, 4)}, {"general.type": "imatrix"}, [])
    refused("matrix.gguf is no model of its own. It is an importance matrix", path, "Q4_0")
    path = tiny_gguf.write(tmp_path / "words.gguf", "llama", {}, tiny_gguf.common("llama", 4))
    refused("words.gguf holds no tensors", path, "Q4_0")


# ggml's function itself

CHUNK = """
import sys
import gguf, numpy as np
from helpers.numbers import ggml
kind, columns, value, weight = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
x, weights = np.ones((2, columns), np.float32), np.full(columns, weight, np.float32)
x[0, 3] = value
out = np.zeros(1 << 16, np.uint8)
steer = None if np.isnan(weight) else weights.ctypes.data
ggml._function()(gguf.GGMLQuantizationType[kind], x.ctypes.data, out.ctypes.data, 0, 2, columns, steer)
"""


@pytest.mark.parametrize(
    "kind, columns, value, weight, message",
    [
        ("IQ2_XXS", 256, 1, None, "'IQ2_XXS' without importance"),
        ("IQ2_XS", 256, 1, None, "'IQ2_XS' without importance"),
        ("IQ1_S", 256, 1, None, "'IQ1_S' without importance"),
        ("Q8_K", 256, 1, None, "cannot be asked for 'Q8_K'"),
        ("Q8_1", 256, 1, None, "cannot be asked for 'Q8_1'"),
        ("I8", 256, 1, None, "cannot be asked for 'I8'"),
        ("IQ4_XS", 255, 1, None, r"shape \(2, 255\) cannot be quantized to IQ4_XS"),
        ("IQ3_XXS", 256, np.inf, 1.0, "finite numbers"),
        ("IQ3_S", 256, 1e20, None, r"1e\+20 in it cannot be quantized to IQ3_S"),
        ("IQ3_S", 256, 1, -1.0, "negative number -1"),
        ("IQ3_S", 256, 1, np.inf, "not finite"),
    ],
)
def test_what_ends_ggml(kind, columns, value, weight, message):
    """One process each."""
    arguments = [kind, str(columns), str(value), str(np.nan if weight is None else weight)]
    child = subprocess.run(
        [sys.executable, "-c", CHUNK, *arguments], capture_output=True, env=os.environ | {"GGML_NO_BACKTRACE": "1"}
    )
    assert child.returncode < 0, child.stderr
    x = np.ones((2, columns), np.float32)
    x[0, 3] = value
    with pytest.raises(InputError, match=message):
        ggml.quantize(x, kind, None if weight is None else np.full(columns, weight, np.float32))


def test_with_importance_ggml_makes_all_types():
    x = np.random.default_rng(0).standard_normal((4, 256)).astype(np.float32)
    for kind in (*ggml.TYPES, *ggml.NEED_IMPORTANCE):
        data = ggml.quantize(x, kind, np.ones(256, np.float32))
        if kind != "Q1_0":  # gguf-py writes and reads all but this one
            back = gguf.dequantize(data, gguf.GGMLQuantizationType[kind])
            assert np.sqrt(np.mean((back - x) ** 2)) < 0.8, kind
