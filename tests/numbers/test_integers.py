"""The laws of quantization as property tests, the article's examples, and everything that must be refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers.errors import InputError
from helpers.numbers import integers

floats = st.floats(-1e6, 1e6, width=32)
matrices = arrays.arrays(np.float32, arrays.array_shapes(min_dims=1, max_dims=3, max_side=12), elements=floats)
blocked = arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.sampled_from([8, 16, 24])), elements=floats)
bits = st.integers(2, 8)
SCHEMES = [integers.absmax, integers.zero_point]


def spread(quantized: integers.Quantized) -> np.ndarray:
    """The scale of every single element."""
    codes = quantized.codes
    shape = codes.shape if quantized.block is None else (*codes.shape[:-1], -1, quantized.block)
    return np.broadcast_to(quantized.scale, codes.reshape(shape).shape).reshape(codes.shape)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(x=matrices, bits=bits, signed=st.booleans())
def test_error_is_at_most_half_a_step(scheme, x, bits, signed):
    for axis in (None, 0, x.ndim - 1):
        result = scheme(x, bits, axis=axis, signed=signed)
        error = np.abs(result.dequantize().astype(np.float64) - x)
        assert np.all(error <= spread(result) * (0.5 + 1e-4))
        assert result.codes.min() >= result.low and result.codes.max() <= result.high
        assert result.codes.dtype == (np.int8 if signed else np.uint8)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(x=blocked, bits=bits, block=st.sampled_from([1, 2, 4, 8]))
def test_error_is_at_most_half_a_step_in_blocks(scheme, x, bits, block):
    result = scheme(x, bits, block=block)
    assert np.all(np.abs(result.dequantize() - x) <= spread(result) * (0.5 + 1e-4))
    assert result.scale.shape == (len(x), x.shape[1] // block, 1)


@given(x=matrices, bits=bits)
def test_absmax_twice_is_absmax_once(x, bits):
    once = integers.absmax(x, bits)
    again = integers.absmax(once.dequantize(), bits)
    assert np.array_equal(once.codes, again.codes)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(x=matrices, bits=bits)
def test_what_was_quantized_keeps_its_codes_on_the_same_grid(scheme, x, bits):
    result = scheme(x, bits)
    assert np.array_equal(result.encode(result.dequantize()).codes, result.codes)
    assert np.array_equal(result.encode(x).codes, result.codes)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(x=matrices, bits=bits, signed=st.booleans())
def test_zero_stays_exactly_zero(scheme, x, bits, signed):
    x = x.copy()
    x.flat[0] = 0
    assert scheme(x, bits, signed=signed).dequantize().flat[0] == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@given(x=matrices, bits=bits, power=st.integers(-20, 20))
def test_scaling_the_data_scales_the_result(scheme, x, bits, power):
    factor = np.float32(2.0**power)
    x = np.where(np.abs(x) < 1e-6, 0, x)  # stay clear of subnormal scales
    assert np.array_equal(scheme(x * factor, bits).dequantize(), scheme(x, bits).dequantize() * factor)


@given(x=matrices, bits=bits)
def test_absmax_treats_both_signs_alike(x, bits):
    assert np.array_equal(integers.absmax(-x, bits).codes, -integers.absmax(x, bits).codes)


@given(x=matrices, bits=bits)
def test_signed_and_unsigned_say_the_same(x, bits):
    for scheme in SCHEMES:
        one, other = scheme(x, bits), scheme(x, bits, signed=False)
        assert np.allclose(one.dequantize(), other.dequantize(), rtol=0, atol=float(one.scale.max()) * 0.51)
        if scheme is integers.absmax:
            assert np.array_equal(one.codes.astype(int) + 2 ** (bits - 1), other.codes)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("clip", [None, "mse"])
def test_more_bits_and_smaller_blocks_lose_less(scheme, clip):
    x = np.random.default_rng(0).standard_t(4, (64, 256)).astype(np.float32)
    by_bits = [integers.mse(x, scheme(x, b, clip=clip).dequantize()) for b in range(2, 9)]
    assert by_bits == sorted(by_bits, reverse=True)
    by_block = [integers.mse(x, scheme(x, 4, block=b, clip=clip).dequantize()) for b in (8, 16, 32, 64, 128, 256)]
    assert by_block == sorted(by_block)
    tensor, row = (integers.mse(x, scheme(x, 4, axis=axis, clip=clip).dequantize()) for axis in (None, 0))
    assert by_block[-1] == row < tensor


def test_affine_and_absmax_agree_on_symmetric_data():
    x = np.linspace(-1, 1, 1001)
    one, other = integers.absmax(x), integers.zero_point(x)
    assert abs(int(other.zero.item())) <= 1
    assert integers.mse(x, one.dequantize()) == pytest.approx(integers.mse(x, other.dequantize()), rel=0.05)


def test_the_examples_of_the_article():
    one = integers.absmax([0.3, 1.0, -1.0])
    assert one.codes[0] == 38 and abs(one.dequantize()[0] - 0.3) == pytest.approx(0.00079, abs=5e-6)
    x = [1.2, -0.5, -4.3, 1.2, -3.1, 0.8, 2.4, 5.4]
    symmetric, affine = integers.absmax(x), integers.zero_point(x)
    assert symmetric.codes.tolist() == [28, -12, -101, 28, -73, 19, 56, 127]
    assert integers.max_error(x, symmetric.dequantize()) == pytest.approx(0.0189, abs=5e-5)
    assert affine.codes.tolist() == [17, -28, -128, 17, -96, 6, 48, 127]
    assert (affine.zero.item(), affine.scale.item()) == (-15, pytest.approx(0.038039, abs=5e-7))
    assert integers.mse(x, affine.dequantize()) == pytest.approx(1.25e-4, rel=0.005)
    assert integers.mse(x, symmetric.dequantize()) == pytest.approx(9.35e-5, rel=0.005)
    unsigned = integers.zero_point([-1, 0.3, 1], signed=False)
    assert (unsigned.zero.item(), unsigned.codes[1]) == (128, 166)
    assert unsigned.dequantize()[1] == pytest.approx(0.29804, abs=5e-6)


def test_sqnr_gains_6_dB_for_each_bit():
    x = np.random.default_rng(0).uniform(-1, 1, 200_000)
    ratios = np.array([integers.sqnr_db(x, integers.absmax(x, b).dequantize()) for b in range(5, 9)])
    assert np.allclose(np.diff(ratios), 6.02, atol=0.3)
    assert ratios[-1] == pytest.approx(6.02 * 8, abs=0.3), "a uniform signal: 6.02 dB for each bit"


def test_clipping_search_is_at_least_as_good_as_any_value_tried():
    x = np.random.default_rng(3).standard_t(3, (32, 128)).astype(np.float32)
    for scheme in SCHEMES:
        found = integers.mse(x, scheme(x, 3, clip="mse").dequantize())
        tried = [integers.mse(x, scheme(x, 3, clip=c).dequantize()) for c in np.linspace(0.5, 60, 120)]
        assert found <= min(tried) * 1.01 and found < integers.mse(x, scheme(x, 3).dequantize()) / 2
        rows = scheme(x, 3, axis=0, clip="mse")
        assert integers.mse(x, rows.dequantize()) < integers.mse(x, scheme(x, 3, axis=0).dequantize())


def test_clipping_by_value_limits_the_range():
    x = np.float32([-1, 0.5, 100])
    assert integers.absmax(x, clip=2.0).dequantize().max() == pytest.approx(2)
    assert integers.zero_point(x, clip=(-1, 3)).dequantize().max() == pytest.approx(3, abs=0.02)
    assert integers.absmax(x, clip=1e9).scale == integers.absmax(x).scale, "a limit never widens the range"


def test_one_bit_and_ternary():
    x = np.float32([[-3, 1, 2, 0.1], [1, 1, 1, 1]])
    binary = integers.absmax(x, 1, axis=0)
    assert binary.codes.tolist() == [[-1, 1, 1, 1], [1, 1, 1, 1]]
    assert binary.scale.ravel().tolist() == pytest.approx([6.1 / 4, 1])
    assert integers.ternary(x, axis=0).codes.tolist() == [[-1, 1, 1, 0], [1, 1, 1, 1]]
    assert integers.zero_point(np.float32([0, 3, 3]), 1).dequantize().tolist() == [0, 3, 3]
    assert integers.absmax(x, 2).codes.tolist() == [[-1, 0, 1, 0], [0, 0, 0, 0]], "two symmetric bits are ternary"


def test_zeros_constants_and_subnormals_are_defined():
    for scheme in (*SCHEMES, integers.ternary):
        zeros = scheme(np.zeros((2, 3)))
        assert not zeros.dequantize().any() and zeros.scale == 1
    assert not integers.absmax(np.zeros((2, 3)), 1).dequantize().any()
    edge = np.float32([np.finfo(np.float32).max, 0, 1])
    for scheme in SCHEMES:
        assert np.isfinite(scheme(edge).dequantize()).all() and np.isfinite(scheme(-edge).dequantize()).all()
    for value in (5.0, -0.3, 1e30, -7e-30):
        for scheme in SCHEMES:
            assert scheme(np.full(5, value)).dequantize() == pytest.approx(np.full(5, value), rel=1e-6)
    for tiny in (1e-45, 1e-40, 1e-37):
        for scheme in SCHEMES:
            result = scheme(np.float32([tiny, -tiny / 2]))
            assert (
                np.isfinite(result.dequantize()).all()
                and integers.max_error(result.dequantize(), [tiny, -tiny / 2]) <= tiny
            )
    one_sided = integers.zero_point(np.float32([10, 11, 12]))
    assert one_sided.zero == -128, "the range is widened to hold 0"


def test_bits_per_weight_counts_the_scales():
    x = np.ones((4, 64), np.float32)
    assert integers.absmax(x, 8, block=32).bits_per_weight == 8 + 32 / 32
    assert integers.absmax(x, 4, axis=0).bits_per_weight == 4 + 32 / 64
    assert integers.absmax(x, 4, axis=0).nbytes == 4 * 64 // 2 + 4 * 4
    assert integers.absmax(x, 4, block=32, signed=False).nbytes == integers.absmax(x, 4, block=32).nbytes
    shifted = integers.zero_point(x - 3, 4, block=32, signed=False)
    assert shifted.nbytes == 4 * 64 // 2 + 8 * 4 + 8


def test_a_grid_gives_its_own_values_back():
    """Every code of a grid stands for a number whose code it is; beyond the ends lie the ends."""
    for made in (integers.absmax([-3, 1]), integers.zero_point([-1, 3], 4), integers.ternary([2, -1, 0.1])):
        codes = np.arange(made.low, made.high + 1).astype(made.codes.dtype)
        assert made.grid.encode(made.grid.decode(codes)).codes.tolist() == codes.tolist()
        assert made.grid.encode(np.float32([-1e9, 1e9])).codes.tolist() == [made.low, made.high]


def test_groups_lie_beside_their_scales():
    x = np.arange(24, dtype=np.float32).reshape(2, 12)
    assert integers.absmax(x, block=4).grid.grouped(x).shape == (2, 3, 4)
    assert integers.absmax(x, axis=0).grid.grouped(x) is x


def test_the_search_for_a_limit_ends_at_the_best_of_its_75_tries():
    """By brute force, each row alone: the 60 coarse shares, then the 15 fine ones around the best of them."""
    x = np.random.default_rng(4).standard_t(3, (5, 64)).astype(np.float32)
    for row, scale in zip(x, integers.absmax(x, 4, axis=0, clip="mse").scale.ravel(), strict=True):
        largest = float(np.abs(row).max())
        tried = {}
        for factors in (np.geomspace(1, 0.01, 60), np.geomspace(0.93, 1.07, 15)):
            centre = min(tried, key=tried.get, default=1.0)
            for share in np.minimum(centre * factors, 1):
                tried.setdefault(share, integers.mse(row, integers.absmax(row, 4, clip=share * largest).dequantize()))
        assert scale == np.float32(min(tried, key=tried.get) * largest / 7)


def test_static_quantization_uses_the_old_range():
    grid = integers.absmax(np.float32([-1, 1]))
    assert grid.encode(np.float32([2, 0.5, -9, 0])).codes.tolist() == [127, 64, -127, 0]
    with pytest.raises(InputError, match="does not fit the scales"):
        integers.absmax(np.ones((4, 8)), axis=0).encode(np.ones((2, 8)))
    with pytest.raises(InputError, match="does not fit the scales"):
        integers.absmax(np.ones(32), block=32).encode(np.ones(33))


def test_measures():
    assert integers.mse([1, 2], [1, 4]) == 2 and integers.max_error([1, 2], [1, 4]) == 2
    assert integers.sqnr_db([3, 4], [3, 4]) == np.inf and integers.sqnr_db([0, 0], [1, 0]) == -np.inf
    assert integers.sqnr_db([10, 0], [9, 0]) == pytest.approx(20)
    for measure in (integers.mse, integers.max_error, integers.sqnr_db):
        with pytest.raises(InputError, match="cannot be compared"):
            measure([1, 2], [1, 2, 3])


ONES = np.ones((4, 8), np.float32)


@pytest.mark.parametrize("scheme", [*SCHEMES, integers.ternary])
@pytest.mark.parametrize(
    "x, options, message",
    [
        (np.float32([1, np.nan, np.inf]), {}, r"2 of 3 values are not finite, the first is nan at \(1,\)"),
        (np.float32([[1, 2], [-np.inf, 4]]), {}, r"first is -inf at \(1, 0\)"),
        (np.zeros((0, 4)), {}, "empty"),
        (np.array(["a"]), {}, "Real numbers are needed"),
        (np.array([1j]), {}, "Real numbers are needed"),
        (np.array([True]), {}, "Real numbers are needed"),
        (np.array([1e39]), {}, "beyond float32"),
        (ONES, {"block": 3}, "Blocks of 3 do not fit rows of 8"),
        (ONES, {"block": 0}, "do not fit"),
        (ONES, {"block": 2.0}, "do not fit"),
        (np.float32(1), {"block": 1}, "do not fit"),
        (ONES, {"axis": 2}, "no axis 2"),
        (ONES, {"axis": "rows"}, "no axis rows"),
        (ONES, {"axis": 0, "block": 4}, "Choose one of the two"),
    ],
)
def test_bad_input_is_refused(scheme, x, options, message):
    with pytest.raises(InputError, match=message):
        scheme(x, **options)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [0, 9, -1, 2.5, "8", None])
def test_bits_out_of_range_are_refused(scheme, bits):
    with pytest.raises(InputError, match="Codes of 1 to 8 bits"):
        scheme(ONES, bits)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("clip", [0, -1, np.nan, np.inf, "best", [5]])
def test_impossible_clipping_is_refused(scheme, clip):
    with pytest.raises(InputError, match="clip=|range"):
        scheme(ONES, clip=clip)


def test_ranges_that_no_float32_step_can_span_are_refused():
    with pytest.raises(InputError, match="beyond float32"):
        integers.zero_point(np.float32([-3.4e38, 3.4e38]), 1)
    with pytest.raises(InputError, match="has to hold 0"):
        integers.zero_point(ONES, clip=(1, 2))
    with pytest.raises(InputError, match="One symmetric bit"):
        integers.absmax(ONES, 1, clip=1.0)


def test_non_contiguous_input():
    x = np.random.default_rng(0).standard_normal((8, 12)).astype(np.float32)
    for scheme in SCHEMES:
        assert np.array_equal(scheme(x.T, axis=0).codes, scheme(x, axis=1).codes.T)
        assert np.array_equal(scheme(x[:, ::-1], block=4).codes[:, ::-1], scheme(x, block=4).codes)
