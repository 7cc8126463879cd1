"""Number formats, bit by bit: `FORMATS["bf16"].round(x)` gives what a library would store for x.

The formats themselves stand in `floats` (sign, exponent and fraction) and `integers` (whole numbers). The results
equal NumPy's and ml_dtypes' casts in every bit. TF32 has no storage type in any library: it is how a tensor core
reads FP32, kept here as 19 bits and rounded to nearest even.
"""

from helpers.numbers.formats.floats import FloatFormat
from helpers.numbers.formats.integers import IntegerFormat

FORMATS: dict[str, FloatFormat | IntegerFormat] = {
    "fp32": FloatFormat("FP32", 8, 23),
    "tf32": FloatFormat("TF32", 8, 10),
    "fp16": FloatFormat("FP16", 5, 10),
    "bf16": FloatFormat("BF16", 8, 7),
    "fp8_e4m3": FloatFormat("FP8 E4M3", 4, 3, specials="nan"),
    "fp8_e5m2": FloatFormat("FP8 E5M2", 5, 2),
    "fp4_e2m1": FloatFormat("FP4 E2M1", 2, 1, specials="none"),
    "e8m0": FloatFormat("E8M0", 8, 0, specials="nan", signed=False),
    "int8": IntegerFormat("INT8", 8),
    "uint8": IntegerFormat("UINT8", 8, signed=False),
    "int4": IntegerFormat("INT4", 4),
}
