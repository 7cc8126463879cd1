"""Importance and types by name: what lands in the file, what the file says of itself, what it is called."""

import shutil
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import pytest
import tiny_gguf
from stand_in import StandIn

from helpers.errors import ConversionError
from helpers.pipeline import convert, quantizer, quantizer_call, quantizer_layout
from helpers.pipeline.proof import stored
from helpers.pipeline.quantizer_request import ALL_TYPES, MOST_TEXT, STEERED_TYPES, Request

MIX = {"blk.0.attn_v.weight": "Q8_0", "blk.1.ffn_down.weight": "IQ2_XXS", "token_embd.weight": "IQ4_XS"}


@pytest.fixture
def f16(story_f16, tmp_path) -> Path:
    return Path(shutil.copy(story_f16, tmp_path / "story-F16.gguf"))


@pytest.fixture(scope="module")
def made(story_f16, tmp_path_factory) -> dict[str, tuple[int, Path]]:
    """What planned_size said, and the file, for all types of the pinned llama.cpp that fit a model without experts."""
    f16 = Path(shutil.copy(story_f16, tmp_path_factory.mktemp("all") / "story-F16.gguf"))
    steer = StandIn(f16)
    return {
        kind: (convert.planned_size(f16, kind, importance=steer), convert.requantize(f16, kind, importance=steer))
        for kind in ALL_TYPES
        if kind != "MXFP4_MOE"
    }


def test_every_type_with_importance(made):
    for kind, (planned, path) in made.items():
        file = convert.summary(path)
        assert (planned, kind) == (path.stat().st_size, file.file_type)
        ours = {tensor.name: (tensor.type, tensor.shape) for tensor in file.tensors}
        theirs = gguf.GGUFReader(path).tensors
        assert ours == {t.name: (t.tensor_type.name, tuple(map(int, reversed(t.shape)))) for t in theirs}, kind
    bits = [convert.summary(made[kind][1]).bits_per_weight for kind in STEERED_TYPES]
    assert bits == sorted(bits, reverse=True) and bits[0] < 3.7 and bits[-1] < 2.2


@pytest.mark.parametrize("kind", ["Q4_K_M", "IQ3_XXS", "IQ2_M", "IQ1_S", "TQ1_0", "Q1_0"])
def test_llama_cpp_opens_them(made, kind):
    llm = llama_cpp.Llama(str(made[kind][1]), n_ctx=64, verbose=False)
    assert llm.create_completion("Once", max_tokens=4, temperature=0)["usage"]["completion_tokens"] > 0
    llm.close()


def test_a_mix_is_read_by_gguf_and_decodes_to_what_it_was_made_from(f16):
    path = convert.requantize(f16, "Q4_K_M", importance=StandIn(f16), types=MIX)
    before = {tensor.name: tensor for tensor in tensors(f16)}
    assert {t.name: t.tensor_type.name for t in tensors(path) if t.name in MIX} == MIX
    for tensor in tensors(path):
        original = before[tensor.name].data.astype(np.float32)
        off = gguf.dequantize(tensor.data, tensor.tensor_type) - original
        assert np.square(off).sum() < 0.25 * np.square(original).sum(), tensor.name


def test_importance_changes_the_numbers_it_should(f16):
    """The matrices, not the norms; and with what is rounded without a search, nothing."""
    plain, other = convert.requantize(f16, "Q4_K_M"), convert.requantize(f16, "Q4_K_M", importance=StandIn(f16))
    changed = {
        t.name for t, u in zip(tensors(plain), tensors(other), strict=True) if not np.array_equal(t.data, u.data)
    }
    assert changed == {t.name for t in tensors(plain) if len(t.shape) > 1}
    plain, other = convert.requantize(f16, "Q8_0"), convert.requantize(f16, "Q8_0", importance=StandIn(f16))
    assert all(np.array_equal(t.data, u.data) for t, u in zip(tensors(plain), tensors(other), strict=True))


def tensors(path) -> list:
    return sorted(gguf.GGUFReader(path).tensors, key=lambda tensor: tensor.name)


def test_types_by_exact_names(f16):
    planned = convert.planned_size(f16, "Q3_K_M", importance=StandIn(f16), types=MIX)
    path = convert.requantize(f16, "Q3_K_M", importance=StandIn(f16), types=MIX)
    assert planned == path.stat().st_size
    recipe = {t.name: t.type for t in convert.summary(convert.requantize(f16, "Q3_K_M")).tensors}
    assert {t.name: t.type for t in convert.summary(path).tensors} == recipe | MIX


def test_names_are_names_and_not_patterns(tmp_path):
    """`.` matches any letter in a pattern, and a pattern is searched, not matched: one name stands in another."""
    shapes = {"token_embd.weight": (300, 32), "blk.0.x.weight": (32, 32), "blk.0.x.weightsweight": (32, 32)}
    shapes |= {"blk.0.xxweight": (32, 32), "blk.0.(a+b)$.weight": (32, 32)}
    path = tiny_gguf.write(tmp_path / "odd.gguf", "llama", shapes, tiny_gguf.common("llama", 4))
    chosen = {"blk.0.x.weight": "Q5_1", "blk.0.(a+b)$.weight": "Q5_0"}
    types = {t.name: t.type for t in convert.summary(convert.requantize(path, "Q4_0", types=chosen)).tensors}
    assert types == dict.fromkeys(shapes, "Q4_0") | chosen | {"token_embd.weight": types["token_embd.weight"]}


def test_floats_can_stay_floats(f16):
    chosen = {"blk.0.attn_q.weight": "F16", "blk.0.attn_k.weight": "F32", "blk.1.attn_k.weight": "BF16"}
    path = convert.requantize(f16, "Q4_0", types=chosen)
    assert chosen.items() <= {t.name: t.type for t in convert.summary(path).tensors}.items()
    assert convert.planned_size(f16, "Q4_0", types=chosen) == path.stat().st_size


def test_what_the_file_says(f16):
    steer = StandIn(f16)
    said = convert.summary(convert.requantize(f16, "Q4_K_M", importance=steer, types=MIX)).metadata
    assert said["quantize.imatrix.file"] == "stand-in" and said["quantize.imatrix.dataset"] == "numbers 1a2b3c4d"
    assert said["quantize.imatrix.entries_count"] == len(steer.names) and said["quantize.imatrix.chunks_count"] == 12
    assert said["quantize.imatrix.sha256"] == steer.checksum
    assert said["quantize.types.count"] == 3 and len(said["quantize.types.sha256"]) == 64
    assert said["quantize.tool"] == f"llama-cpp-python {llama_cpp.__version__}"
    assert said["general.name"] == convert.summary(f16).metadata["general.name"]
    plain = convert.summary(convert.requantize(f16, "Q4_K_M")).metadata
    assert not [key for key in plain if key.startswith("quantize.")]


@pytest.mark.parametrize("text", ["x" * 128, "ö" * 64, "𝄞" * 40, "a\0b\nc " + "y" * 500, ""])
def test_long_and_odd_texts_fit_into_the_metadata(f16, text):
    """A text of 128 bytes has no room for its end: llama.cpp would read on behind it."""
    steer = StandIn(f16)
    steer.name, steer.datasets = text, (text, text)
    path = convert.requantize(f16, "Q8_0", importance=steer)
    said = convert.summary(path).metadata
    for key in ("quantize.imatrix.file", "quantize.imatrix.dataset"):
        assert len(said[key].encode()) <= MOST_TEXT and "\0" not in said[key] and "\ufffd" not in said[key]
    assert convert.planned_size(f16, "Q8_0", importance=steer) == path.stat().st_size


def test_every_choice_has_its_own_file(f16):
    """Calls without importance keep the names that they had."""
    a, b = StandIn(f16), StandIn(f16, seed=1)
    ways = [{}, {"importance": a}, {"importance": b}, {"types": MIX | {"blk.1.ffn_down.weight": "Q2_K"}}]
    ways.append({"importance": a, "types": MIX})
    paths = [convert.requantize(f16, "Q4_K_M", **way) for way in ways]
    assert paths[0].name == "story-Q4_K_M.gguf" and len({*paths}) == len({p.read_bytes() for p in paths}) == len(ways)
    assert paths[1].name == f"story-imatrix-{a.checksum[:6]}-Q4_K_M.gguf"
    assert paths[4].name.startswith(f"story-imatrix-{a.checksum[:6]}-mix-")
    before = [path.stat().st_mtime_ns for path in paths]
    assert [convert.requantize(f16, "Q4_K_M", **way).stat().st_mtime_ns for way in ways] == before
    a.datasets = ("another text",)  # the numbers are the same, what the file says is not
    assert convert.requantize(f16, "Q4_K_M", importance=a) == paths[1] and paths[1].stat().st_mtime_ns != before[1]


def test_a_model_in_parts(tmp_path):
    whole = tiny_gguf.llama(tmp_path / "whole.gguf")
    part = tiny_gguf.llama(tmp_path / "parts.gguf", most=5)
    made = [convert.requantize(path, "Q4_0", importance=StandIn(path)) for path in (whole, part)]
    assert made[1].name.startswith("parts-imatrix-")
    assert convert.summary(made[0]).tensors == convert.summary(made[1]).tensors
    for path, of in zip(made, (whole, part), strict=True):
        assert convert.planned_size(of, "Q4_0", importance=StandIn(of)) == path.stat().st_size


def test_experts_have_importance_of_their_own(tmp_path):
    shapes = {"token_embd.weight": (300, 256), "blk.0.ffn_down_exps.weight": (3, 64, 256)}
    path = tiny_gguf.write(tmp_path / "experts.gguf", "llama", shapes, tiny_gguf.common("llama", 4))
    name = "blk.0.ffn_down_exps.weight"
    rows = StandIn(path).rows[name].reshape(3, 256)
    assert rows.shape == (3, 256)
    first = convert.requantize(path, "Q3_K_S", importance=StandIn(path))
    rows[2] = rows[2][::-1]
    second = convert.requantize(path, "Q3_K_S", importance=StandIn(path, change={name: rows.ravel()}))
    data = [next(t.data for t in tensors(p) if t.name == name) for p in (first, second)]
    assert [np.array_equal(*both) for both in zip(*data, strict=True)] == [True, True, False]
    file = convert.summary(convert.requantize(path, "MXFP4_MOE"))
    assert {t.name: t.type for t in file.tensors}[name] == "MXFP4"


def test_planning_writes_nothing(f16):
    convert.planned_size(f16, "Q2_K")
    assert [path.name for path in f16.parent.iterdir()] == [f16.name]


def test_a_file_with_other_types_than_planned_is_not_kept(f16, monkeypatch):
    said = quantizer_call.planned_types
    monkeypatch.setattr(quantizer_call, "planned_types", lambda log: said(log) | {"blk.2.attn_q.weight": "Q5_1"})
    with pytest.raises(ConversionError, match=r"blk.2.attn_q.weight is Q4_K, not Q5_1"):
        convert.requantize(f16, "Q4_K_M")
    assert not [path for path in f16.parent.iterdir() if "Q4_K" in path.name and not path.name.startswith(".")]


def test_a_plan_that_is_not_understood(f16, monkeypatch):
    monkeypatch.setattr(quantizer_call, "planned_types", lambda log: {})
    with pytest.raises(ConversionError, match=r"lists 0 tensors, the file has 38"):
        convert.planned_size(f16, "Q4_K_M")


def test_largest_numbers_are_found_in_both_types(tmp_path, monkeypatch):
    """Also when a tensor is read in several pieces."""
    monkeypatch.setattr(stored, "AT_ONCE", 1000)
    numbers = np.linspace(-3, 2, 4096, dtype=np.float32).reshape(64, 64)
    writer = gguf.GGUFWriter(tmp_path / "both.gguf", "llama")
    writer.add_tensor("a", numbers)
    writer.add_tensor(
        "b", gguf.quantize(numbers, gguf.GGMLQuantizationType.BF16), raw_dtype=gguf.GGMLQuantizationType.BF16
    )
    writer.add_tensor("c", np.full((2, 2), np.nan, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = convert.summary(tmp_path / "both.gguf")
    found = {tensor.name: largest for tensor, largest in quantizer_layout.largest(file, file.tensors)}
    assert found["a"] == found["b"] == 3 and np.isnan(found["c"])


def test_the_recipe_names_everything(f16):
    request = Request(convert.summary(f16), "Q4_K_M", StandIn(f16), MIX)
    for part in ("stand-in", request.importance.checksum, "numbers 1a2b3c4d", "IQ2_XXS", llama_cpp.__version__):
        assert part in request.recipe()
    assert quantizer.TYPES == convert.TYPES
