"""Functions defined in notebooks 01 to 03 are taken out of them and compared with helpers and references."""

import math

import gguf
import numpy as np
import pytest
import torch
from notebook_functions import functions, hand_made

from helpers import artifacts
from helpers.numbers import blocks, ggml, integers
from helpers.numbers.formats import FORMATS
from helpers.pipeline import gguf_file, runtime

NOTEBOOKS = artifacts.ROOT / "notebooks"


def random_floats(n: int) -> np.ndarray:
    x = np.random.default_rng(0).integers(0, 2**32, n, dtype=np.uint32).view(np.float32)
    return x[np.isfinite(x)]


@pytest.mark.parametrize("name", ["fp16", "bf16", "fp8_e5m2", "tf32"])
def test_round_to_equals_the_helper(name):
    form, x = FORMATS[name], random_floats(1_000_000)
    ours = functions("01")["round_to"](x, form.exponent_bits, form.fraction_bits)
    assert np.array_equal(ours, form.round(x)) and np.array_equal(np.signbit(ours), np.signbit(form.round(x)))


def test_memory_of_a_model():
    space = functions("01", math=math, PARAMETERS={"m": 1e9}, SHAPES={"m": (10, 2, 64)})
    assert space["needed"]("m", 16, tokens=1000) == pytest.approx(2 + 2 * 10 * 2 * 64 * 1000 * 2 / 1e9 + 1)
    assert space["cards"](24.0, 24) == "1 × 24 GB" and space["cards"](24.1, 24) == "2 × 24 GB"


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_absmax_and_affine_equal_the_helper(scale):
    space, random = functions("02"), np.random.default_rng(1)
    for x in (random.standard_normal(1000), random.exponential(1, 1000), -random.exponential(1, 1000)):
        codes, step = space["absmax"](x * scale)
        expected = integers.absmax(x * scale)
        assert step == pytest.approx(expected.scale.item()) and np.abs(codes - expected.codes.astype(int)).max() <= 1
        codes, step, zero = space["affine"](x * scale)
        expected = integers.zero_point(x * scale)
        assert zero == expected.zero.item() and step == pytest.approx(expected.scale.item())
        assert np.mean(codes != expected.codes) < 0.001, "float64 and float32 scales part at ties only"


def test_int8_linear_is_exact_for_whole_numbers():
    space = functions("02", integers=integers)
    x = np.random.default_rng(0).integers(-127, 128, (4, 512)).astype(np.float32)
    w = np.random.default_rng(1).integers(-127, 128, (3, 512)).astype(np.float32)
    x[:, 0] = w[:, 0] = 127  # so that every scale is 1
    assert np.array_equal(space["int8_linear"](x, w), x.astype(np.int64) @ w.T.astype(np.int64))


@pytest.mark.parametrize("name", ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1"])
def test_packing_equals_the_helper_and_ggml(name):
    random = np.random.default_rng(0)
    for x in (random.standard_normal((64, 32)), random.standard_t(3, (64, 32)), np.zeros((2, 32)), -np.ones((2, 32))):
        x = x.astype(np.float32)
        ours = functions("03")[name](x)
        assert np.array_equal(ours, blocks.quantize(x, name.upper()))
        assert np.array_equal(ours, ggml.quantize(x, name.upper())), "ties aside, the same on every processor"


@pytest.mark.parametrize("name", ["Q4_K", "Q6_K"])
def test_decoding_equals_gguf_py(name):
    data = np.random.default_rng(0).integers(0, 256, (64, blocks.TYPES[name].n_bytes), dtype=np.uint8)
    kind = gguf.GGMLQuantizationType[name]
    with np.errstate(all="ignore"):
        expected = gguf.quants.dequantize(data, kind)
        assert np.array_equal(functions("03")[f"decode_{name.lower()}"](data), expected, equal_nan=True)


def test_search_never_does_worse_than_the_vectorised_one_by_much():
    """The notebook fits one sub-block with lstsq, the helper all at once from the best minimum so far."""
    from helpers.numbers.blocks.k_quants import fit_with_minimum

    best_fits, x = functions("03")["best_fits"], np.random.default_rng(0).standard_normal((30, 32)).astype(np.float32)
    scale, minimum = fit_with_minimum(x, 15)
    codes = np.clip(np.rint((x + minimum[:, None]) / scale[:, None]), 0, 15)
    weight = np.abs(x) + np.sqrt(np.mean(x**2, axis=1, keepdims=True))
    helper = np.sum(weight * (codes * scale[:, None] - minimum[:, None] - x) ** 2, axis=1)
    notebook = [best_fits(row.astype(float), np.linspace(-1, 1, 21))[1].min() for row in x]
    assert np.sum(helper) <= 1.02 * np.sum(notebook)


def test_the_mix_of_q4_k_m_is_llama_cpps(story_f16):
    from helpers.pipeline import convert

    space = functions("03")
    file = convert.summary(convert.requantize(story_f16, "Q4_K_M"))
    for tensor in file.tensors:
        if len(tensor.shape) == 2:
            assert tensor.type == space["type_in_q4_k_m"](tensor.name, 4, True)
    assert sum(space["more_bits"](layer, 22) for layer in range(22)) == 10


def test_a_gguf_written_by_hand_is_read_by_everyone(tmp_path):
    path = hand_made(tmp_path)
    file = gguf_file.summary(path)
    reader = gguf.GGUFReader(path)
    assert [t.name for t in file.tensors] == [t.name for t in reader.tensors] and len(file.tensors) == 11
    assert file.metadata["tokenizer.ggml.tokens"][31] == "t31"
    llm = runtime.load(path, n_ctx=32)
    assert llm.n_vocab() == 32 and llm.create_completion([1, 3], max_tokens=3, temperature=0)["choices"]
    llm.close()


def test_a_model_without_its_numbers_is_refused_clearly(tmp_path):
    with pytest.raises(
        gguf_file.InputError, match="does not say its attention.head_count .*no complete language model"
    ):
        runtime.load(hand_made(tmp_path, **{"llama.attention.head_count": None}))
    with pytest.raises(gguf_file.InputError, match="does not say its context_length"):
        runtime.load(hand_made(tmp_path, **{"llama.context_length": "long"}))


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 1.0])
def test_masks_of_notebook_11_are_the_helpers(sparsity):
    from helpers.compression import prune

    space, w = functions("11"), torch.randn(12, 20, generator=torch.Generator().manual_seed(0))
    norms = torch.linspace(0.1, 3, 20)
    assert torch.equal(space["magnitude"](w, sparsity), prune.magnitude(w, sparsity))
    assert torch.equal(space["wanda"](w, norms, sparsity), prune.wanda(w, norms, sparsity))


def test_sizes_of_notebook_11_are_what_held_counts():
    from helpers.compression import compress
    from helpers.training import llama

    model = compress.masked(llama.tiny(0), lambda _, w: functions("11")["magnitude"](w, 0.5))
    held = compress.held(model)
    share = held.zeros / held.parameters
    expected = functions("11")["bits_per_weight"](share, 16, "a bit mask") * held.parameters / 8e6
    assert held.megabytes(16, sparse=True) == pytest.approx(expected)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_kronecker_factors_of_notebook_12_are_the_helpers(rank):
    from helpers.compression import kronecker

    space, w = functions("12", GPT2LMHeadModel=None), torch.randn(24, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(space["rearranged"](w, 2, 4), kronecker.rearrange(w, (2, 4)))
    ours = kronecker.product(*space["nearest"](w, 2, 4, rank))
    assert torch.allclose(ours, kronecker.product(*kronecker.nearest(w, (2, 4), rank)), atol=1e-4)


def test_assignment_of_notebook_12_never_makes_it_worse():
    from scipy.optimize import linear_sum_assignment

    from helpers.compression import kronecker

    space = functions("12", linear_sum_assignment=linear_sum_assignment, GPT2LMHeadModel=None)
    for seed in range(5):
        w = torch.randn(16, 12, generator=torch.Generator().manual_seed(seed))
        order = space["assign_rows"](w, 4, 2, 2)
        assert sorted(order) == list(range(16))
        assert kronecker.tail(w[order], (4, 2), 2) <= kronecker.tail(w, (4, 2), 2) + 1e-6


@pytest.mark.parametrize("temperature, alpha", [(1.0, 0.5), (3.0, 1.0), (2.0, 0.0)])
def test_hinton_of_notebook_13_is_the_helper(temperature, alpha):
    from torch.nn import functional

    from helpers.compression import distill

    g = torch.Generator().manual_seed(0)
    student, teacher, labels = torch.randn(9, 7, generator=g), torch.randn(9, 7, generator=g), torch.arange(9) % 7
    ours = functions("13", functional=functional)["hinton"](student, teacher, labels, temperature, alpha)
    assert float(ours) == pytest.approx(float(distill.hinton(student, teacher, labels, temperature, alpha)), rel=1e-5)


def test_counts_of_notebook_14_are_transformers():
    from helpers.training import llama

    count = functions("14")["parameters"]
    for shape in ((2, 48, 4, 2, 128), (3, 32, 4, 4, 96)):
        layers, hidden, heads, kv_heads, ffn = shape
        model = llama.small_llama(100, hidden, layers, heads, kv_heads, ffn)
        assert sum(count(*shape, vocabulary=100).values()) == model.num_parameters()
