"""Formats equal NumPy's and ml_dtypes' bit for bit, and have the properties that the notebooks state."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import InputError
from helpers.numbers.formats import FORMATS, FloatFormat, IntegerFormat

REFERENCE = {
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "e8m0": ml_dtypes.float8_e8m0fnu,
}
FLOATS = [name for name, form in FORMATS.items() if isinstance(form, FloatFormat)]
INTEGERS = [name for name, form in FORMATS.items() if isinstance(form, IntegerFormat)]


def test_the_names_are_those_of_the_design():
    assert list(FORMATS) == "fp32 tf32 fp16 bf16 fp8_e4m3 fp8_e5m2 fp4_e2m1 e8m0 int8 uint8 int4".split()


@pytest.mark.parametrize("name", REFERENCE)
def test_every_code_means_the_same(name):
    form = FORMATS[name]
    expected = np.arange(2**form.width, dtype=form.code_type).view(REFERENCE[name]).astype(np.float32)
    assert np.array_equal(form.values(), expected, equal_nan=True)
    number = ~np.isnan(expected)
    assert np.array_equal(np.signbit(form.values()[number]), np.signbit(expected[number]))


def all_kinds_of_floats(count: int) -> np.ndarray:
    """Random bit patterns (every magnitude alike), then ties, subnormals, overflow, inf and NaN in plenty."""
    random = np.random.default_rng(0)
    part = count // 5
    patterns = random.integers(0, 2**32, count, dtype=np.uint32)
    patterns[:part] &= np.uint32(0xFFF80000)  # few bits of fraction: ties of the small formats
    patterns[part : 2 * part] &= np.uint32(0xFFFFF000)  # ties of FP16 and BF16
    patterns[2 * part : 2 * part + part // 2] &= np.uint32(0x807FFFFF)  # float32's own subnormals
    patterns[2 * part + part // 2 : 3 * part] |= np.uint32(0x7F800000)  # inf and NaN
    x = patterns.view(np.float32)
    near = 3 * part
    x[near : near + part] = random.standard_normal(part) * 10.0 ** random.uniform(-8, 6, part)
    x[:8] = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 3.4028235e38, -3.4028235e38]
    return x


@pytest.fixture(scope="module")
def ten_million() -> np.ndarray:
    return all_kinds_of_floats(10_000_000)


@pytest.mark.parametrize("name", REFERENCE)
def test_ten_million_floats_round_as_the_library_does(name, ten_million):
    form = FORMATS[name]
    with np.errstate(all="ignore"):
        expected = ten_million.astype(REFERENCE[name])
    codes, values = expected.view(form.code_type), expected.astype(np.float32)
    number = ~np.isnan(values)
    assert number.sum() > 4_000_000
    found = form.round(ten_million)
    assert np.array_equal(found, values, equal_nan=True)
    assert np.array_equal(np.signbit(found[number]), np.signbit(values[number]))
    encoded = form.encode(ten_million)
    # NumPy keeps part of a NaN's payload in FP16; we write the one quiet NaN, as ml_dtypes does.
    same = number if name == "fp16" else np.ones(len(codes), bool)
    assert np.array_equal(encoded[same], codes[same])


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_neighbourhood_of_every_16_bit_number(name):
    """Each number itself, the tie above it, and the float32 neighbours of that tie."""
    form = FORMATS[name]
    values = np.sort(form.values()[np.isfinite(form.values())]).astype(np.float64)
    ties = ((values[1:] + values[:-1]) / 2).astype(np.float32)
    for x in (values.astype(np.float32), ties, np.nextafter(ties, np.float32(1e38)), np.nextafter(ties, -ties)):
        with np.errstate(over="ignore"):
            assert np.array_equal(form.round(x), x.astype(REFERENCE[name]).astype(np.float32))


def test_torch_agrees_and_saturates_where_it_does():
    import torch

    x = torch.linspace(-70000, 70000, 200_001)
    for name, kind in (("fp16", torch.float16), ("bf16", torch.bfloat16), ("fp8_e5m2", torch.float8_e5m2)):
        assert np.array_equal(FORMATS[name].round(x.numpy()), x.to(kind).float().numpy())
    # What torch does beyond 448 has changed between versions; cut first, and it does not matter.
    saturated = x.clamp(-448, 448).to(torch.float8_e4m3fn).float().numpy()
    assert np.array_equal(FORMATS["fp8_e4m3"].round(x.numpy(), saturate=True), saturated)
    assert np.isnan(FORMATS["fp8_e4m3"].round(465.0)) and saturated.max() == 448


@pytest.mark.parametrize("name", ["fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1"])
def test_extremes_equal_finfo(name):
    form, info = FORMATS[name], ml_dtypes.finfo(REFERENCE[name])
    assert (form.max, form.min) == (float(info.max), float(info.min))
    assert form.epsilon == float(info.eps) and form.smallest_normal == float(info.smallest_normal)
    assert form.smallest_subnormal == float(info.smallest_subnormal)


def test_tf32_has_the_range_of_fp32_and_the_precision_of_fp16():
    tf32 = FORMATS["tf32"]
    assert tf32.width == 19 and tf32.epsilon == FORMATS["fp16"].epsilon
    assert tf32.smallest_normal == FORMATS["fp32"].smallest_normal
    assert tf32.max == pytest.approx(3.4012e38, rel=1e-4) and tf32.smallest_subnormal == pytest.approx(
        1.15e-41, rel=1e-2
    )
    x = np.float32([1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-23])
    assert tf32.round(x).tolist() == [1, 1 + 2**-9, 1 + 2**-10], "ties to even"


def test_fp32_is_left_alone(ten_million):
    part = ten_million[:100_000]
    assert np.array_equal(FORMATS["fp32"].round(part), part, equal_nan=True)
    assert FORMATS["fp32"].bits(-1.5) == "1 01111111 10000000000000000000000"


def test_float64_is_rounded_once():
    x = 1 + 2.0**-11 + 2.0**-40  # float32 would round it to the tie 1 + 2^-11, and then down
    assert FORMATS["fp16"].round(x) == 1 + 2.0**-10 and FORMATS["fp16"].round(np.float32(x)) == 1
    assert np.isinf(FORMATS["bf16"].round(1e300)) and np.isnan(FORMATS["e8m0"].round(1e300))
    assert FORMATS["bf16"].round(-1e300, saturate=True) == -FORMATS["bf16"].max


@pytest.mark.parametrize("name", FLOATS)
def test_codes_survive_a_round_trip(name):
    form = FORMATS[name]
    random = np.random.default_rng(1)
    codes = np.arange(2**form.width) if form.width <= 16 else random.integers(0, 2**form.width, 100_000)
    values = form.decode(codes)
    number = np.isfinite(values)
    assert np.array_equal(form.encode(values[number]), codes[number])
    assert np.array_equal(form.round(values[number]), values[number])


@pytest.mark.parametrize("name", FLOATS)
@given(x=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_no_number_of_the_format_is_nearer(name, x):
    form = FORMATS[name]
    x = abs(x) if not form.signed else x
    if not form.smallest_normal * 2 <= abs(x) <= form.max:
        return
    rounded = float(form.round(np.float32(x)))
    step = float(form.spacing(np.float32(x)))
    assert abs(rounded - x) <= step / 2
    assert form.round(np.float32(rounded)) == rounded


@pytest.mark.parametrize("name", ["fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1"])
def test_spacing_is_the_distance_to_the_next_number(name):
    form = FORMATS[name]
    values = np.unique(form.values()[np.isfinite(form.values())])
    values = values[values >= 0]
    assert np.array_equal(form.spacing(values[:-1]), np.diff(values))


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_equal_numpy_and_ml_dtypes(name):
    form = FORMATS[name]
    reference = {"int8": np.int8, "uint8": np.uint8, "int4": ml_dtypes.int4}[name]
    codes = np.arange(2**form.width, dtype=np.uint8)
    expected = codes.view(np.int8).astype(reference) if name == "int4" else codes.view(reference)
    assert np.array_equal(form.values(), expected.astype(np.float32))
    assert (form.values().min(), form.values().max()) == (form.min, form.max)
    assert np.array_equal(form.encode(form.values()), codes)
    x = np.float32([-300, -0.5, 0.5, 1.5, 2.5, 300, np.inf])
    assert form.round(x).tolist() == np.clip(np.rint(x), form.min, form.max).tolist()
    assert form.round(float(form.max + 1), saturate=False) == form.min, "wraps around"


def test_bits_show_the_fields():
    assert FORMATS["fp16"].bits(2.31384) == "0 10000 0010100001"
    assert FORMATS["bf16"].bits(2.31384) == "0 10000000 0010100"
    assert FORMATS["e8m0"].bits(1.0) == "01111111" and FORMATS["int8"].bits(-1) == "11111111"
    assert FORMATS["fp4_e2m1"].bits(-6) == "1 11 1"


@pytest.mark.parametrize("name", FORMATS)
def test_any_shape_and_layout(name):
    form = FORMATS[name]
    x = np.abs(np.random.default_rng(2).standard_normal((6, 10, 4))) + 1
    assert form.round(x).shape == x.shape and form.round(x).dtype == np.float32
    assert np.array_equal(form.round(x[::2, :, ::-1]), form.round(x)[::2, :, ::-1])
    assert form.round(np.asfortranarray(x)).tolist() == form.round(x).tolist()
    assert form.round(np.zeros((0, 3))).shape == (0, 3) and form.round(2).shape == ()
    before = x.copy()
    form.round(x)
    assert np.array_equal(x, before), "the input is left alone"


@pytest.mark.parametrize("wrong", [np.array(["1"]), np.array([1j]), np.array([True]), np.array([None]), "text"])
def test_anything_but_real_numbers_is_refused(wrong):
    for form in FORMATS.values():
        with pytest.raises(InputError, match="Real numbers are needed"):
            form.round(wrong)


def test_other_bad_input_is_refused():
    with pytest.raises(InputError, match="cannot hold NaN"):
        FORMATS["int8"].round(np.nan)
    with pytest.raises(InputError, match="wrap an infinity"):
        FORMATS["uint8"].round(np.inf, saturate=False)
    with pytest.raises(InputError, match="one number at a time, this has 3"):
        FORMATS["fp16"].bits(np.ones(3))
    with pytest.raises(InputError, match="2\\^32 codes"):
        FORMATS["fp32"].values()
    for form in (FORMATS["fp8_e4m3"], FORMATS["int4"]):
        for codes in ([256], [-1], [1.5]):
            with pytest.raises(InputError, match="whole numbers from 0"):
                form.decode(np.array(codes))
