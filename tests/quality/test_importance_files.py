"""llama-imatrix's two formats: what is written reads back, bytes lie where llama.cpp looks, damage is noticed."""

import struct

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import InputError
from helpers.pipeline import guards
from helpers.pipeline.gguf_file import summary
from helpers.quality import importance
from helpers.quality.importance import Importance

DENSE, EXPERTS = "blk.0.ffn_up.weight", "blk.0.ffn_up_exps.weight"


@pytest.fixture
def small() -> Importance:
    sums = {EXPERTS: np.arange(12, dtype=np.float32).reshape(3, 4), DENSE: np.ones((1, 5), np.float32) / 3}
    sums[EXPERTS][2] = 0
    counts = {EXPERTS: np.array([24, 8, 0]), DENSE: np.array([16])}
    return Importance(sums, counts, ("Märchen.txt (SHA-256 01234567)", "letters"), 8, 2)


def same(a: Importance, b: Importance) -> bool:
    return a.checksum == b.checksum and (a.datasets, a.window, a.windows) == (b.datasets, b.window, b.windows)


def test_gguf_round_trip(small, tmp_path):
    path = small.save(tmp_path / "x.gguf")
    read = importance.read(str(path))
    assert same(read, small) and read.name == small.name
    assert all(np.array_equal(read.weights(name), small.weights(name)) for name in small.names)


def test_gguf_is_laid_out_as_llama_cpp_wants_it(small, tmp_path):
    """As `common_imatrix_load` reads it: F32 tensors of these names, and three keys without which it refuses."""
    file = gguf.GGUFReader(small.save(tmp_path / "x.gguf"))
    tensors = {tensor.name: tensor for tensor in file.tensors}
    assert list(tensors) == [f"{name}.{part}" for name in sorted(small.names) for part in ("in_sum2", "counts")]
    assert tensors[f"{EXPERTS}.in_sum2"].shape.tolist() == [4, 3]  # ggml's order
    assert tensors[f"{EXPERTS}.counts"].shape.tolist() == [1, 3]
    assert tensors[f"{EXPERTS}.counts"].data.ravel().tolist() == [24, 8, 0]
    assert {tensor.tensor_type for tensor in file.tensors} == {gguf.GGMLQuantizationType.F32}
    pairs = {key: field.contents() for key, field in file.fields.items() if not key.startswith("GGUF.")}
    assert pairs == {
        "general.type": "imatrix",
        "imatrix.datasets": ["Märchen.txt (SHA-256 01234567)", "letters"],
        "imatrix.chunk_count": 2,
        "imatrix.chunk_size": 8,
    }


def test_it_is_no_model(small, tmp_path):
    with pytest.raises(InputError, match="Pass it to requantize instead"):
        guards.require_a_model(summary(small.save(tmp_path / "x.gguf")))


def test_the_older_format_keeps_means(small, tmp_path):
    """It has no counts of experts; those without inputs get ones, as llama-imatrix writes them."""
    read = importance.read(small.save(tmp_path / "x.dat"))
    assert read.windows == 2 and read.datasets == ("Märchen.txt (SHA-256 01234567)+letters",)
    assert np.allclose(read.weights(DENSE), small.weights(DENSE))
    assert np.allclose(read.weights(EXPERTS)[1:8], small.weights(EXPERTS)[1:8])  # the first one is a zero with a floor
    assert read.weights(EXPERTS)[8:].tolist() == [1, 1, 1, 1]


def test_the_older_format_byte_by_byte(small, tmp_path):
    """Number of records; of each the length of the name, the name, calls, values, means × calls; windows; a name."""
    data = small.save(tmp_path / "x.dat").read_bytes()
    name = DENSE.encode()
    first = struct.pack("<ii", 2, len(name)) + name + struct.pack("<ii", 2, 5)
    assert data.startswith(first + np.full(5, 2 * (1 / 3) / 16, "<f4").tobytes())
    text = "Märchen.txt (SHA-256 01234567)+letters".encode()
    assert data.endswith(struct.pack("<ii", 2, len(text)) + text)


def test_the_older_format_without_its_end(small, tmp_path):
    """The oldest files stop after the records, and a model without layers has one count of 0."""
    name = b"output.weight"
    path = tmp_path / "old.dat"
    path.write_bytes(struct.pack("<ii", 1, len(name)) + name + struct.pack("<iifff", 0, 3, 1, 2, 3))
    read = importance.read(path)
    assert read.weights("output.weight").tolist() == [1, 2, 3] and read.datasets == () and read.windows == 0


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=40).map("blk.{}".format),
        st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 10**6)),
        min_size=1,
        max_size=4,
    )
)
def test_anything_that_was_counted_comes_back(tmp_path_factory, tensors):
    random = np.random.default_rng(0)
    sums = {name: random.random((rows, columns), np.float32) for name, (rows, columns, _) in tensors.items()}
    counts = {name: np.full(rows, count) for name, (rows, _, count) in tensors.items()}
    seen = Importance(sums, counts, (), 8, 3)
    folder = tmp_path_factory.mktemp("files")
    assert same(importance.read(seen.save(folder / "x.gguf")), seen)


def test_nothing_to_save(tmp_path):
    with pytest.raises(InputError, match="This importance is empty"):
        Importance({}, {}, (), 8, 0).save(tmp_path / "x.gguf")


def test_a_file_is_whole_or_not_there(small, tmp_path, monkeypatch):
    path = small.save(tmp_path / "x.gguf")
    before = path.read_bytes()
    monkeypatch.setattr(gguf.GGUFWriter, "write_tensors_to_file", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Importance(small.sums, small.counts, (), 8, 99).save(path)
    assert path.read_bytes() == before and not list(tmp_path.glob("*.partial"))


def test_another_gguf_is_no_importance(story_f16):
    with pytest.raises(InputError, match=r"story-F16\.gguf is no importance matrix: its type is 'model'"):
        importance.read(story_f16)


@pytest.mark.parametrize("cut", [3, 6, 20, 40, 100])
def test_the_older_format_cut_short(small, tmp_path, cut):
    path = small.save(tmp_path / "x.dat")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"x\.dat is no importance matrix, or is cut short"):
        importance.read(path)


def test_files_that_are_something_else(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Some notes about quantization, and more of them.")
    with pytest.raises(InputError, match=r"notes\.txt is no importance matrix, or is cut short"):
        importance.read(path)
    path.write_bytes(struct.pack("<i", 0))
    with pytest.raises(InputError, match="it names no tensor"):
        importance.read(path)
    with pytest.raises(InputError, match="There is no file"):
        importance.read(tmp_path / "nothing.gguf")


def broken(path, tensors: dict[str, np.ndarray]):
    """Write a file of type imatrix with any tensors."""
    writer = gguf.GGUFWriter(path, "imatrix")
    writer.add_type("imatrix")
    for name, data in tensors.items():
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


ONES = np.ones((2, 6), np.float32)


@pytest.mark.parametrize(
    "tensors, said",
    [
        ({"a.in_sum2": ONES}, "sums and counts of 'a' do not belong together"),
        ({"a.counts": ONES}, "sums and counts of 'a' do not belong together"),
        ({"a.in_sum2": ONES, "a.counts": np.ones(5, np.float32)}, "sums and counts of 'a' do not belong together"),
        ({"a.in_sum2": ONES, "a.counts": np.ones(2, np.float16)}, "sums and counts of 'a' do not belong together"),
        ({"a.in_sum2": -ONES, "a.counts": np.ones(2, np.float32)}, "negative or infinite sums of squares for 'a'"),
        (
            {"a.in_sum2": ONES * np.inf, "a.counts": np.ones(2, np.float32)},
            "negative or infinite sums of squares for 'a'",
        ),
        ({"a.in_sum2": ONES * np.nan, "a.counts": np.ones(2, np.float32)}, "negative or infinite sums"),
    ],
)
def test_sums_that_make_no_sense(tmp_path, tensors, said):
    with pytest.raises(InputError, match=said):
        importance.read(broken(tmp_path / "x.gguf", tensors))


def test_tensors_of_other_tools_are_passed_over(tmp_path):
    """Forks keep more than two tensors of each matrix."""
    counts = np.array([3, 4], np.float32)
    read = importance.read(broken(tmp_path / "x.gguf", {"a.in_sum2": ONES, "a.in_sum": ONES, "a.counts": counts}))
    assert read.names == ("a",) and read.counts["a"].tolist() == [3, 4]
    assert importance.merge(read, read).counts["a"].tolist() == [6, 8], "how long its windows were is not said there"
