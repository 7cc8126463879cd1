"""Block formats with one scale for 32 weights (NF4: 64). Each function takes all blocks at once.

    encode_…(x)       (blocks, weights) float32  →  (blocks, bytes) uint8
    decode_…(data)    (blocks, bytes) uint8      →  (blocks, weights) float32

Encoders give the bytes of ggml's `quantize_row_…_ref` (ggml-quants.c), but for NF4, which ggml does not have; a
test compares them. The layouts:

    Q8_0    scale FP16 | 32 × int8                          Q5_0, Q5_1   as Q4_0, Q4_1 with 4 bytes of fifth bits
    Q4_0    scale FP16 | 16 bytes of two 4-bit codes        MXFP4        exponent E8M0 | 16 bytes of two E2M1 codes
    Q4_1    scale, minimum FP16 | 16 bytes                  IQ4_NL       scale FP16 | 16 bytes of two table indices
    NF4     scale FP32 | 32 bytes, nibbles as in bitsandbytes (which keeps its scales in a tensor of their own)

Two 4-bit codes share a byte: weight j in the low half, weight j + 16 in the high half (NF4: neighbours, high first).
"""

import numpy as np

# E2M1's values doubled, so that they are whole numbers; the scale is halved to make up for it.
E2M1_DOUBLED = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)
# ggml's table for normally distributed weights: finer steps around zero (ggml-common.h).
IQ4_NL_VALUES = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
# NormalFloat4: 16 quantiles of a normal distribution, scaled to [−1, 1] and made to hold 0 (arXiv 2305.14314).
NF4_VALUES = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
], np.float32)  # fmt: skip


def encode_q8_0(x: np.ndarray) -> np.ndarray:
    """The largest magnitude of a block becomes ±127."""
    d = _largest(x) / np.float32(127)
    data = np.empty((len(x), 34), np.uint8)
    data[:, :2] = fp16_bytes(d)
    scaled = x * _inverse(d)
    # C's roundf: half away from zero. Adding the largest number below ½ and cutting off gives the same.
    scaled += np.copysign(np.float32(0.49999997), scaled)
    data[:, 2:].view(np.int8)[:] = scaled.astype(np.int32)
    return data


def decode_q8_0(data: np.ndarray) -> np.ndarray:
    """Code × scale."""
    return np.multiply(data[:, 2:].view(np.int8), fp16_column(data, 0), dtype=np.float32)


def encode_q4_0(x: np.ndarray) -> np.ndarray:
    """The number of largest magnitude becomes code 0, whatever its sign: eight steps fit on its side of zero."""
    d = _signed_largest(x) / np.float32(-8)
    return np.concatenate([fp16_bytes(d), _pair_nibbles(_cut_off(x * _inverse(d), 8.5, 15))], axis=1)


def decode_q4_0(data: np.ndarray) -> np.ndarray:
    """(Code − 8) × scale."""
    codes = _unpack_nibbles(data[:, 2:]).view(np.int8) - np.int8(8)
    out = codes.astype(np.float32)
    out *= fp16_column(data, 0)
    return out


def encode_q4_1(x: np.ndarray) -> np.ndarray:
    """The smallest number of a block becomes code 0, the largest code 15."""
    low, high = _extremes(x)
    d = (high - low) / np.float32(15)
    codes = _cut_off((x - low) * _inverse(d), 0.5, 15)
    return np.concatenate([fp16_bytes(d), fp16_bytes(low), _pair_nibbles(codes)], axis=1)


def decode_q4_1(data: np.ndarray) -> np.ndarray:
    """Code × scale + minimum."""
    out = _unpack_nibbles(data[:, 4:]).astype(np.float32)
    out *= fp16_column(data, 0)
    out += fp16_column(data, 2)
    return out


def encode_q5_0(x: np.ndarray) -> np.ndarray:
    """As Q4_0 with 32 codes; the fifth bits of the 32 weights stand together in 4 bytes."""
    d = _signed_largest(x) / np.float32(-16)
    codes = _cut_off(x * _inverse(d), 16.5, 31)
    return np.concatenate([fp16_bytes(d), _fifth_bits(codes), _pair_nibbles(codes & 15)], axis=1)


def decode_q5_0(data: np.ndarray) -> np.ndarray:
    """(Code − 16) × scale, the code made of four low bits and a fifth."""
    codes = _unpack_nibbles(data[:, 6:], data[:, 2:6]).view(np.int8) - np.int8(16)
    out = codes.astype(np.float32)
    out *= fp16_column(data, 0)
    return out


def encode_q5_1(x: np.ndarray) -> np.ndarray:
    """As Q4_1 with 32 codes."""
    low, high = _extremes(x)
    d = (high - low) / np.float32(31)
    codes = _cut_off((x - low) * _inverse(d), 0.5, 31)
    return np.concatenate([fp16_bytes(d), fp16_bytes(low), _fifth_bits(codes), _pair_nibbles(codes & 15)], axis=1)


def decode_q5_1(data: np.ndarray) -> np.ndarray:
    """Code × scale + minimum."""
    out = _unpack_nibbles(data[:, 8:], data[:, 4:8]).astype(np.float32)
    out *= fp16_column(data, 0)
    out += fp16_column(data, 2)
    return out


def encode_mxfp4(x: np.ndarray) -> np.ndarray:
    """The scale is a power of two, chosen so that the largest weight lies between 4 and 8 (E2M1 ends at 6)."""
    largest = _largest(x)
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log2(largest)) - 2 + 127  # log2 in float32, as ggml does
    exponent = np.where(largest > 0, np.clip(exponent, 0, 254), 0).astype(np.uint8)
    scaled = np.abs(x) / _HALF_POWERS[exponent]
    codes = np.zeros(x.shape, np.uint8)
    for midpoint in (0.5, 1.5, 2.5, 3.5, 5, 7, 10):  # between the doubled values 0 1 2 3 4 6 8 12
        codes += scaled > np.float32(midpoint)
    codes += ((x < 0) & (codes > 0)).view(np.uint8) << 3
    return np.concatenate([exponent, _pair_nibbles(codes)], axis=1)


def decode_mxfp4(data: np.ndarray) -> np.ndarray:
    """E2M1 value × power of two."""
    return E2M1_DOUBLED[_unpack_nibbles(data[:, 1:])] * _HALF_POWERS[data[:, :1]]


def decode_iq4_nl(data: np.ndarray) -> np.ndarray:
    """Value of the table × scale."""
    return IQ4_NL_VALUES[_unpack_nibbles(data[:, 2:])] * fp16_column(data, 0)


def encode_nf4(x: np.ndarray) -> np.ndarray:
    """Divide by the largest magnitude and take the nearest value of the table."""
    d = _largest(x)
    middles = (NF4_VALUES[1:] + NF4_VALUES[:-1]) / 2
    codes = np.searchsorted(middles, x * _inverse(d)).astype(np.uint8)
    return np.concatenate([d.view(np.uint8), codes[:, ::2] << 4 | codes[:, 1::2]], axis=1)


def decode_nf4(data: np.ndarray) -> np.ndarray:
    """Value of the table × largest magnitude."""
    high_first = np.stack([NF4_VALUES[data[:, 4:] >> 4], NF4_VALUES[data[:, 4:] & 15]], axis=-1)
    return high_first.reshape(-1, 64) * data[:, :4].copy().view(np.float32)


def fp16_bytes(values: np.ndarray) -> np.ndarray:
    """Return a column (blocks, 1) of scales as FP16, (blocks, 2) uint8."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).view(np.uint8)


def fp16_column(data: np.ndarray, start: int) -> np.ndarray:
    """Return the FP16 number at byte `start` of each block as a float32 column."""
    return data[:, start : start + 2].copy().view(np.float16).astype(np.float32)


def _inverse(d: np.ndarray) -> np.ndarray:
    """Return 1/d, and 0 for blocks of zeros or with a scale too small to be inverted."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / d
    inverse[~np.isfinite(inverse)] = 0
    return inverse


def _extremes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest number of each block as columns."""
    across = np.ascontiguousarray(x.T)  # NumPy reduces long rows much faster than many short ones
    return across.min(axis=0)[:, None], across.max(axis=0)[:, None]


def _largest(x: np.ndarray) -> np.ndarray:
    low, high = _extremes(x)
    return np.maximum(np.abs(low), np.abs(high))


def _signed_largest(x: np.ndarray) -> np.ndarray:
    """Return the number of largest magnitude of each block with its sign; of equals the first, as ggml does."""
    low, high = _extremes(x)
    largest = np.where(high > -low, high, low)
    ties = np.flatnonzero(high == -low)
    first = np.abs(x[ties]).argmax(axis=1)
    largest[ties, 0] = x[ties, first]
    return largest


def _cut_off(scaled: np.ndarray, shift: float, highest: int) -> np.ndarray:
    """Return codes: shift so that no number is negative, cut the fraction off, limit. ggml rounds this way."""
    scaled += np.float32(shift)
    codes = scaled.astype(np.uint8)
    return np.minimum(codes, np.uint8(highest), out=codes)


def _pair_nibbles(codes: np.ndarray) -> np.ndarray:
    """Pack codes below 16: weight j into the low half of byte j, weight j + 16 into the high half."""
    eight = codes.view(np.uint64)  # (blocks, 4): eight codes at a time
    return (eight[:, :2] | eight[:, 2:] << np.uint64(4)).view(np.uint8)


def _unpack_nibbles(packed: np.ndarray, fifth_bits: np.ndarray | None = None) -> np.ndarray:
    """Return the codes of (blocks, 16) bytes, with fifth bits from (blocks, 4) bytes: (blocks, 32) uint8."""
    eight = np.ascontiguousarray(packed).view(np.uint64)  # (blocks, 2): sixteen codes at a time
    codes = np.empty((len(packed), 4), np.uint64)
    np.bitwise_and(eight, _LOW_HALVES, out=codes[:, :2])
    np.bitwise_and(eight >> np.uint64(4), _LOW_HALVES, out=codes[:, 2:])
    if fifth_bits is not None:
        codes |= _FIFTH_BITS.take(fifth_bits)
    return codes.view(np.uint8)


def _fifth_bits(codes: np.ndarray) -> np.ndarray:
    return np.packbits(codes >> 4, axis=1, bitorder="little")


_LOW_HALVES = np.uint64(0x0F0F0F0F0F0F0F0F)
# For each byte of fifth bits, its eight bits spread over eight bytes: 0 or 16 each.
_FIFTH_BITS = (np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little") << 4).view(np.uint64)
# E8M0 halved: 2^(code − 128) for each of the 256 codes; NaN is not handled, as in ggml.
_HALF_POWERS = np.ldexp(np.ones(256), np.arange(256) - 128).astype(np.float32)
