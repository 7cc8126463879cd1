"""A GGUF at a glance: parts that belong together, files without weights, names and row order."""

import shutil

import numpy as np
import pytest
import tiny_gguf
import torch

from helpers.errors import InputError
from helpers.pipeline import gguf_file, runtime


@pytest.fixture
def parts(tmp_path):
    """A model in parts of eight tensors, and the same in one file."""
    whole = tiny_gguf.llama(tmp_path / "whole.gguf")
    first = tiny_gguf.llama(tmp_path / "model.gguf", most=8)
    files = sorted(tmp_path.glob("model-*.gguf"))
    assert len(files) == 3 and files[0] == first
    return whole, files


def test_parts_are_one_model(parts):
    whole, files = parts
    expected = gguf_file.summary(whole)
    for given in files:
        file = gguf_file.summary(str(given))
        assert file.path == files[0] and file.parts == tuple(files)
        assert file.file_bytes == sum(part.stat().st_size for part in files)
        assert (file.tensors, file.main_type) == (expected.tensors, "F32")
        assert file.metadata["tokenizer.ggml.tokens"] == expected.metadata["tokenizer.ggml.tokens"]


def test_any_part_opens_the_whole(parts):
    whole, files = parts
    answers = set()
    for path in (whole, files[0], files[1]):
        llm = runtime.load(path, n_ctx=64)
        answers.add(runtime.ask(llm, "abc", max_tokens=8))
        llm.close()
    assert len(answers) == 1


def test_the_served_model_may_be_in_parts(parts):
    with runtime.serve(parts[1][2], n_ctx=64):
        pass


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_missing_parts_are_named(parts, missing):
    _, files = parts
    files[missing].unlink()
    for given in set(files) - {files[missing]}:
        with pytest.raises(InputError, match=f"one part of 3, 1 of them not beside it: {files[missing].name}"):
            gguf_file.summary(given)
    assert not gguf_file.is_whole(files[(missing + 1) % 3])


def test_renamed_parts(parts):
    _, files = parts
    renamed = files[1].rename(files[1].with_name("second.gguf"))
    with pytest.raises(InputError, match="second.gguf is one part of 3, and parts are found by their names"):
        gguf_file.summary(renamed)


def test_parts_in_the_wrong_order(parts):
    _, files = parts
    shutil.copy(files[2], files[1])
    with pytest.raises(InputError, match=r"says that it is part 2 \(from 0\) of 3"):
        gguf_file.summary(files[0])


def test_parts_of_two_models(parts, tmp_path):
    _, files = parts
    (tmp_path / "other").mkdir()
    tiny_gguf.llama(tmp_path / "other" / "model.gguf", most=9)
    shutil.copy(tmp_path / "other" / files[1].name, files[1])
    with pytest.raises(InputError, match="come from two models"):
        gguf_file.summary(files[0])


def test_a_cut_part(parts):
    _, files = parts
    files[1].write_bytes(files[1].read_bytes()[:-100])
    with pytest.raises(InputError, match=f"{files[1].name} is cut short"):
        gguf_file.summary(files[0])


def test_a_file_without_tensors(tmp_path):
    path = tiny_gguf.write(tmp_path / "vocabulary.gguf", "llama", {}, tiny_gguf.common("llama", 4))
    file = gguf_file.summary(path)
    assert file.main_type == "none" and file.parameters == 0
    with pytest.raises(InputError, match="holds no tensors"):
        file.bits_per_weight
    with pytest.raises(InputError, match="holds no tensors"):
        runtime.load(path)


@pytest.mark.parametrize("kind", [np.float32, torch.float16, torch.bfloat16, torch.float64])
def test_row_order_can_be_undone(kind):
    weight = np.arange(32).reshape(16, 2)
    there = weight.reshape(2, 2, 4, 2).swapaxes(1, 2).reshape(16, 2)
    there = there.astype(kind) if kind is np.float32 else torch.tensor(there, dtype=kind)
    assert np.array_equal(np.array(gguf_file.undo_permutation(there, 2).tolist()), weight)


@pytest.mark.parametrize("heads", [0, -2, 3, 16])
def test_rows_that_do_not_divide(heads):
    with pytest.raises(InputError, match="16 rows cannot be divided"):
        gguf_file.undo_permutation(np.zeros((16, 2)), heads)


@pytest.mark.parametrize("name", ["blk.0.ssm_in.weight", "blk.x.attn_q.weight", "mm.0.weight", "", "blk.0.attn_q"])
def test_names_of_other_architectures(name):
    with pytest.raises(InputError, match="no tensor of a LLaMA"):
        gguf_file.checkpoint_name(name)
