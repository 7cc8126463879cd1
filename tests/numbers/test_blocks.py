"""Block formats: byte-equal to gguf-py and to ggml's C code, K-quants as good as ggml's, bad input refused."""

import platform
from statistics import NormalDist

import gguf
import numpy as np
import pytest
from gguf import quants
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers import artifacts
from helpers.errors import InputError
from helpers.numbers import blocks, ggml
from helpers.numbers.blocks import simple

IN_GGUF = [name for name in blocks.TYPES if name != "NF4"]
EQUAL = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4"]
# On other processors the C compiler may fuse x · s + 8.5 into one rounding, which can move a tie.
SAME_ARITHMETIC = platform.machine() in ("x86_64", "AMD64")


def kind(name: str) -> gguf.GGMLQuantizationType:
    return gguf.GGMLQuantizationType[name]


def real_weights() -> np.ndarray:
    from safetensors.numpy import load_file

    tensors = load_file(artifacts.ROOT / "data" / "story" / "model.safetensors")
    return np.concatenate([tensors[name].reshape(-1, 256) for name in sorted(tensors) if tensors[name].ndim == 2])


SAMPLES = {
    "normal": lambda: np.random.default_rng(0).standard_normal((256, 1024)) * 0.02,
    "heavy-tailed": lambda: np.random.default_rng(1).standard_t(4, (256, 1024)) * 0.02,
    "uniform": lambda: np.random.default_rng(2).uniform(-1, 1, (64, 1024)),
    "one-sided": lambda: np.random.default_rng(3).exponential(1, (64, 1024)),
    "negative": lambda: -np.random.default_rng(4).exponential(1, (64, 1024)) - 1,
    "tiny": lambda: np.random.default_rng(5).standard_normal((64, 1024)) * 1e-6,
    "whole numbers": lambda: np.random.default_rng(6).integers(-8, 9, (64, 1024)),
    "mostly zeros": lambda: np.where(np.random.default_rng(7).random((64, 1024)) < 0.95, 0, -1.5),
    "constant": lambda: np.full((4, 1024), -0.7),
    "zeros": lambda: np.zeros((4, 1024)),
    "real": real_weights,
}


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request) -> np.ndarray:
    return SAMPLES[request.param]().astype(np.float32)


@pytest.mark.parametrize("name", IN_GGUF)
def test_sizes_are_those_of_ggml(name):
    assert (blocks.TYPES[name].weights, blocks.TYPES[name].n_bytes) == gguf.GGML_QUANT_SIZES[kind(name)]


def test_bits_per_weight():
    assert blocks.BITS_PER_WEIGHT == {
        "Q8_0": 8.5, "Q5_1": 6.0, "Q5_0": 5.5, "Q4_1": 5.0, "Q4_0": 4.5, "Q6_K": 6.5625, "Q5_K": 5.5, "Q4_K": 4.5,
        "Q3_K": 3.4375, "Q2_K": 2.625, "IQ4_NL": 4.5, "MXFP4": 4.25, "NF4": 4.5,
    }  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_encoding_is_byte_equal_to_gguf_py(name, sample):
    assert np.array_equal(blocks.quantize(sample, name), quants.quantize(sample, kind(name)))


@pytest.mark.skipif(not SAME_ARITHMETIC, reason="this processor's C code may round once where others round twice")
@pytest.mark.parametrize("name", EQUAL)
def test_encoding_is_byte_equal_to_ggml(name, sample):
    assert np.array_equal(blocks.quantize(sample, name), ggml.quantize(sample, name))


moderate = st.floats(-1000, 1000, width=32).map(lambda v: 0.0 if abs(v) < 1e-30 else v)


@pytest.mark.parametrize("name", EQUAL)
@settings(max_examples=60, deadline=None)
@given(x=arrays.arrays(np.float32, (2, 64), elements=moderate))
def test_encoding_is_byte_equal_for_whatever_hypothesis_finds(name, x):
    with np.errstate(all="ignore"):
        assert np.array_equal(blocks.quantize(x, name), quants.quantize(x, kind(name)))


@pytest.mark.parametrize("name", IN_GGUF)
def test_decoding_equals_gguf_py_on_random_bytes(name):
    random = np.random.default_rng(0)
    data = random.integers(0, 256, (32, blocks.TYPES[name].n_bytes * 8), dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = quants.dequantize(data, kind(name))
    assert np.array_equal(blocks.dequantize(data, name), expected, equal_nan=True)


@pytest.mark.parametrize("name", IN_GGUF)
def test_decoding_equals_gguf_py_on_what_ggml_wrote(name, sample):
    data = ggml.quantize(sample, name)
    assert np.array_equal(blocks.dequantize(data, name), quants.dequantize(data, kind(name)))


def weights_of(name: str, x: np.ndarray) -> np.ndarray:
    """How ggml weighs the error of each weight when it chooses scales without an importance matrix."""
    if name == "Q6_K":
        return x.astype(np.float64) ** 2
    rms = np.sqrt((x.reshape(-1, 32).astype(np.float64) ** 2).mean(axis=1))
    return np.abs(x) + rms.repeat(32).reshape(x.shape)


def errors(name: str, x: np.ndarray, data: np.ndarray) -> tuple[float, float]:
    """The weighted and the plain sum of squared errors."""
    squared = (blocks.dequantize(data, name).astype(np.float64) - x) ** 2
    return float((weights_of(name, x) * squared).sum()), float(squared.sum())


@pytest.mark.parametrize("name", ["Q4_K", "Q6_K"])
def test_k_quants_are_as_good_as_ggmls(name, sample):
    """At most 1.02 times ggml's weighted error, as the issue asks, and no more than that in plain error either."""
    ours, theirs = (
        errors(name, sample, blocks.quantize(sample, name)),
        errors(name, sample, ggml.quantize(sample, name)),
    )
    assert ours[0] <= 1.02 * theirs[0] and ours[1] <= 1.02 * theirs[1]


@pytest.mark.parametrize("name", ["Q4_K", "Q6_K"])
@settings(max_examples=40, deadline=None)
@given(a=arrays.arrays(np.float32, 16, elements=moderate), b=arrays.arrays(np.float32, 16, elements=moderate))
def test_k_quants_cope_with_whatever_hypothesis_finds(name, a, b):
    x = np.stack([np.outer(a, b).ravel(), np.add.outer(a, b).ravel()])
    decoded = blocks.dequantize(blocks.quantize(x, name), name)
    assert np.isfinite(decoded).all()
    width = np.maximum(x.max(axis=1), 0) - np.minimum(x.min(axis=1), 0)
    assert np.all(np.abs(decoded - x).max(axis=1) <= width * 0.15 + 1e-4)


def test_q4_0_puts_the_largest_magnitude_on_code_0():
    """The odd rule: scale = signed maximum ÷ −8, so the largest weight is exact whatever its sign."""
    for sign in (1, -1):
        x = sign * np.linspace(-0.5, 1, 32, dtype=np.float32)[None]
        data = blocks.quantize(x, "Q4_0")
        assert data[0, 2 + 15] >> 4 == 0 and blocks.dequantize(data, "Q4_0")[0, -1] == sign
        assert np.sign(data[0, :2].view(np.float16)) == -sign


def test_nibble_order():
    x = np.zeros((1, 32), np.float32)
    x[0, 3], x[0, 19] = -8, 7
    data = blocks.quantize(x, "Q4_0")[0]
    assert data[:2].view(np.float16) == 1 and data[2 + 3] == 0 | 15 << 4
    assert all(byte == 8 | 8 << 4 for i, byte in enumerate(data[2:]) if i != 3)


def test_nf4_values_are_quantiles_of_the_normal_distribution():
    """As in QLoRA: quantiles of equal areas on both sides of zero, scaled so that the ends are ±1."""
    quantile, end = NormalDist().inv_cdf, 0.9677083
    above = [quantile(p) for p in np.linspace(end, 0.5, 9)[:-1]]
    below = [-quantile(p) for p in np.linspace(end, 0.5, 8)[:-1]]
    expected = np.sort(np.array([*above, 0.0, *below]) / max(above))
    assert np.allclose(simple.NF4_VALUES, expected, atol=1e-6)


def test_nf4_takes_the_nearest_value():
    x = np.random.default_rng(0).standard_normal((16, 128)).astype(np.float32)
    decoded = blocks.dequantize(blocks.quantize(x, "NF4"), "NF4")
    largest = np.abs(x.reshape(-1, 64)).max(axis=1, keepdims=True)
    distance = np.abs(x.reshape(-1, 64, 1) / largest[..., None] - simple.NF4_VALUES).min(axis=-1) * largest
    assert np.allclose(np.abs(decoded - x).reshape(-1, 64), distance, atol=1e-6)
    assert np.array_equal(np.abs(decoded.reshape(-1, 64)).max(axis=1, keepdims=True), largest), "the ends are exact"


def test_errors_of_the_facts():
    """Relative RMS error on a normal distribution, for every type that somebody can encode."""
    x = np.random.default_rng(0).standard_normal((512, 1024)).astype(np.float32)
    expected = {
        "Q8_0": 0.0054, "Q6_K": 0.0178, "Q5_K": 0.036, "Q5_1": 0.038, "Q5_0": 0.043, "Q4_K": 0.071, "IQ4_NL": 0.076,
        "Q4_1": 0.078, "Q4_0": 0.086, "MXFP4": 0.114, "Q3_K": 0.151, "Q2_K": 0.297,
    }  # fmt: skip
    for name, error in expected.items():
        data = blocks.quantize(x, name) if blocks.TYPES[name].encode else ggml.quantize(x, name)
        found = np.sqrt(np.mean((blocks.dequantize(data, name) - x) ** 2))
        assert found == pytest.approx(error, rel=0.02), name


@pytest.mark.parametrize("name", [n for n, t in blocks.TYPES.items() if t.encode])
def test_any_shape_layout_and_type(name):
    n = blocks.TYPES[name].weights
    x = np.random.default_rng(0).standard_normal((3, 2, 2 * n)).astype(np.float32)
    data = blocks.quantize(x, name)
    assert data.shape == (3, 2, 2 * blocks.TYPES[name].n_bytes) and data.dtype == np.uint8
    assert np.array_equal(blocks.quantize(x[::-1], name), data[::-1])
    assert np.array_equal(blocks.quantize(np.asfortranarray(x), name), data)
    assert np.array_equal(blocks.quantize(x.astype(np.float64), name), data)
    assert np.array_equal(blocks.quantize(x[0, 0], name), data[0, 0])
    decoded = blocks.dequantize(data, name)
    assert decoded.shape == x.shape and decoded.dtype == np.float32
    assert np.array_equal(blocks.dequantize(data[:, ::-1], name), decoded[:, ::-1])
    assert np.array_equal(blocks.dequantize(data.tobytes(), name), decoded.ravel())


@pytest.mark.parametrize("name", [n for n, t in blocks.TYPES.items() if t.encode])
def test_numbers_at_the_edge_of_float32(name):
    n = blocks.TYPES[name].weights
    for tiny in (1e-45, 1e-40, 1e-37):
        assert np.abs(blocks.dequantize(blocks.quantize(np.full((1, n), tiny), name), name)).max() <= 2e-37
    huge = np.full((1, n), 3e38, np.float32)
    if name in ("MXFP4", "NF4"):
        assert np.isfinite(blocks.dequantize(blocks.quantize(huge, name), name)).all()
    else:
        with pytest.raises(InputError, match="too large for"):
            blocks.quantize(huge, name)


@pytest.mark.parametrize("name", [n for n, t in blocks.TYPES.items() if t.encode])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_inf_and_nan_are_refused_wherever_they_stand(name, value):
    x = np.ones((300, 512), np.float32)
    x[299, 100] = value
    with pytest.raises(InputError, match=r"1 of 153,600 weights are not finite in float32.*\(299, 100\)"):
        blocks.quantize(x, name)


@pytest.mark.parametrize(
    "x, name, message",
    [
        (np.ones((2, 33)), "Q4_0", "blocks of 32"),
        (np.ones((2, 128)), "Q4_K", "blocks of 256"),
        (np.ones((0, 32)), "Q8_0", "cannot be cut"),
        (np.ones((2, 0)), "Q8_0", "cannot be cut"),
        (np.float32(1), "Q8_0", "cannot be cut"),
        (np.ones((2, 32), complex), "Q8_0", "Real numbers"),
        (np.ones((2, 32), bool), "Q8_0", "Real numbers"),
        (np.full((2, 32), "x"), "Q8_0", "Real numbers"),
        (np.full((2, 32), 1e39), "Q8_0", "not finite in float32"),
        (np.ones((2, 32)), "Q4_X", "no block type 'Q4_X' here.*Q8_0, .*NF4"),
        (np.ones((2, 32)), "q4_0", "no block type"),
        (np.ones((2, 256)), "Q3_K", "decoded here, not encoded.*Q6_K"),
        (np.ones((2, 32)), None, "no block type"),
    ],
)
def test_bad_input_to_quantize(x, name, message):
    with pytest.raises(InputError, match=message):
        blocks.quantize(x, name)


@pytest.mark.parametrize(
    "data, name, message",
    [
        (np.zeros(33, np.uint8), "Q8_0", "whole number of Q8_0 blocks.*34 bytes"),
        (np.zeros((2, 143), np.uint8), "Q4_K", "144 bytes"),
        (np.zeros(0, np.uint8), "Q4_0", "whole number"),
        (np.zeros(34, np.int8), "Q8_0", "Bytes are needed.*int8"),
        (np.zeros(34), "Q8_0", "Bytes are needed.*float64"),
        (b"123", "Q8_0", "whole number"),
        (np.zeros(34, np.uint8), "F8", "no block type 'F8'"),
    ],
)
def test_bad_input_to_dequantize(data, name, message):
    with pytest.raises(InputError, match=message):
        blocks.dequantize(data, name)


def test_bad_input_to_ggml():
    for x, name in ((np.ones((2, 31)), "Q4_0"), (np.ones(32), "Q4_0"), (np.full((1, 32), np.nan), "Q4_0")):
        with pytest.raises(InputError, match="ggml takes rows"):
            ggml.quantize(x, name)
    for name in ("Q9", "IQ2_XXS", "Q8_K", "I8", "F64", ""):
        with pytest.raises(InputError, match="cannot be asked for"):
            ggml.quantize(np.ones((2, 256)), name)
    for name in ggml.TYPES:
        assert ggml.quantize(np.ones((2, 256)), name).dtype == np.uint8


@pytest.mark.parametrize("name", ["Q4_K", "Q3_K", "Q2_K", "IQ4_NL", "Q4_0"])
def test_importance_lowers_the_weighted_error(name):
    x = real_weights()[:512]
    importance = np.random.default_rng(0).exponential(1, 256).astype(np.float32) ** 2

    def weighted(data: np.ndarray) -> float:
        return float((importance * (blocks.dequantize(data, name) - x).astype(np.float64) ** 2).sum())

    assert weighted(ggml.quantize(x, name, importance)) < 0.95 * weighted(ggml.quantize(x, name))
    for wrong in (importance[:-1], -importance, importance * np.nan):
        with pytest.raises(InputError, match="importance of shape"):
            ggml.quantize(x, name, wrong)
