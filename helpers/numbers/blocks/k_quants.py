"""K-quants: super-blocks of 256 weights, whose sub-blocks have scales that are quantized themselves.

    Q2_K  16 × 16 weights   4-bit scales and minima          Q5_K  8 × 32 weights   6-bit scales and minima
    Q3_K  16 × 16 weights   6-bit scales                     Q6_K  16 × 16 weights  8-bit scales
    Q4_K   8 × 32 weights   6-bit scales and minima

All are decoded; Q4_K and Q6_K are encoded as well, by the search of ggml's `quantize_row_q4_K_ref` and
`quantize_row_q6_K_ref` (ggml-quants.c): try about twenty scales for each sub-block, compute for each the best
fit in closed form, keep the one with the smallest weighted error, then quantize the scales themselves. Bytes may
differ from ggml's where trials fit equally well, and where a scale becomes 0: codes that mean nothing are 0 here.

    encode_…(x)     (blocks, 256) float32   →  (blocks, bytes) uint8
    decode_…(data)  (blocks, bytes) uint8   →  (blocks, 256) float32
"""

import numpy as np

from helpers.numbers.blocks.simple import fp16_bytes, fp16_column

_TINY = 1e-15  # ggml's GROUP_MAX_EPS: sub-blocks below it count as zeros


def encode_q4_k(x: np.ndarray) -> np.ndarray:
    """Layout: d, dmin FP16 | 12 bytes of 6-bit scales and minima | 128 bytes of 4-bit codes."""
    sub_blocks = x.reshape(-1, 32)
    scale, minimum = (column.reshape(-1, 8) for column in fit_with_minimum(sub_blocks, 15))
    # The second level: eight scales share one FP16 number, and so do eight minima.
    d, scale_codes = _six_bits(scale)
    dmin, minimum_codes = _six_bits(minimum)
    step = (fp16_column(d, 0) * scale_codes).reshape(-1, 1)
    offset = (fp16_column(dmin, 0) * minimum_codes).reshape(-1, 1)
    # Codes for the scales as they will be read, not as they were found.
    codes = (sub_blocks + offset) / np.where(step > 0, step, np.float32(np.inf))
    codes = np.clip(np.rint(codes), 0, 15).astype(np.uint8).reshape(-1, 4, 2, 32)
    nibbles = codes[:, :, 0] | codes[:, :, 1] << 4  # (blocks, 4, 32): two sub-blocks share their bytes
    return np.concatenate([d, dmin, _pack_six_bits(scale_codes, minimum_codes), nibbles.reshape(-1, 128)], axis=1)


def fit_with_minimum(x: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Find for each row s ≥ 0 and m ≥ 0 that make Σ w·(s·code − m − x)² small; codes from 0 to `levels`.

    The weight w = |x| + root mean square: large weights matter more. 21 trial scales each give codes; with the
    codes fixed, the best s and m solve a 2 × 2 linear system. Each trial starts from the best m so far.
    Returns (rows,) and (rows,).
    """
    weight = np.abs(x)
    weight += np.sqrt(_dot(x, x) / np.float32(x.shape[1]))[:, None]
    weighted_x = weight * x
    sum_w, sum_x = weight.sum(axis=1), weighted_x.sum(axis=1)
    codes, rest = np.empty_like(x), np.empty_like(x)

    def assign(minimum: np.ndarray, inverse: np.ndarray) -> None:
        np.add(x, minimum[:, None], out=codes)
        np.multiply(codes, inverse[:, None], out=codes)
        np.clip(np.rint(codes, out=codes), 0, levels, out=codes)

    def error_of(scale: np.ndarray, minimum: np.ndarray) -> np.ndarray:
        np.multiply(codes, scale[:, None], out=rest)
        np.subtract(rest, minimum[:, None], out=rest)
        np.subtract(rest, x, out=rest)
        return _dot(np.multiply(weight, rest, out=codes), rest)

    highest, best_minimum = x.max(axis=1), -np.minimum(x.min(axis=1), 0)
    flat = highest + best_minimum <= 0  # a row of equal numbers, none of them positive: the minimum says it all
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # where no fit exists, NaN is never taken
        best_scale = np.where(flat, 0, (highest + best_minimum) / np.float32(levels))
        assign(best_minimum, 1 / best_scale)
        best_error = error_of(best_scale, best_minimum)
        for trial in np.arange(-10, 11, dtype=np.float32) / np.float32(10):
            assign(best_minimum, (levels + trial) / (highest + best_minimum))
            sum_l, sum_lx = _dot(weight, codes), _dot(weighted_x, codes)
            sum_ll = _dot(np.multiply(weight, codes, out=rest), codes)
            determinant = sum_w * sum_ll - sum_l * sum_l
            scale = (sum_w * sum_lx - sum_x * sum_l) / determinant
            minimum = (sum_l * sum_lx - sum_ll * sum_x) / determinant
            without = minimum < 0  # a minimum is only ever subtracted: fit again without one
            scale = np.where(without, sum_lx / sum_ll, scale)
            minimum[without] = 0
            error = error_of(scale, minimum)
            better = (determinant > 0) & (error < best_error) & ~flat
            for best, new in ((best_scale, scale), (best_minimum, minimum), (best_error, error)):
                np.copyto(best, new, where=better)
    return best_scale, best_minimum


def encode_q6_k(x: np.ndarray) -> np.ndarray:
    """Layout: 128 bytes of low halves | 64 bytes of high pairs of bits | 16 scales int8 | d FP16."""
    sub_blocks = x.reshape(-1, 16)
    scale = fit_symmetric(sub_blocks, 32).reshape(-1, 16)
    largest = np.take_along_axis(scale, np.abs(scale).argmax(axis=1, keepdims=True), axis=1)
    empty = np.abs(largest) < _TINY
    inverse = np.where(empty, 0, np.float32(-128) / np.where(empty, 1, largest))
    d = fp16_bytes(largest / np.float32(-128) * ~empty)
    scale_codes = np.minimum(np.rint(inverse * scale), 127).astype(np.int8)
    step = (fp16_column(d, 0) * scale_codes).reshape(-1, 1)
    codes = np.rint(sub_blocks / np.where(step != 0, step, np.float32(np.inf)))
    codes = (np.clip(codes, -32, 31) + 32).astype(np.uint8)
    codes[np.repeat(empty[:, 0], 16)] = 0
    codes = codes.reshape(-1, 2, 4, 32)  # (blocks, half, quarter, 32)
    low, high = codes & 15, codes >> 4
    ql = np.concatenate([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], axis=-1)
    qh = high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6
    return np.concatenate([ql.reshape(-1, 128), qh.reshape(-1, 64), scale_codes.view(np.uint8), d], axis=1)


def fit_symmetric(x: np.ndarray, levels: int) -> np.ndarray:
    """Find for each row the s that makes Σ x²·(s·code − x)² small; codes from −levels to levels − 1.

    For fixed codes the best s is Σ w·x·code ÷ Σ w·code²; 19 trial scales give the codes. s may be negative,
    which puts the number of largest magnitude on the longer side. Returns (rows,).
    """
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1, keepdims=True), axis=1)[:, 0]
    empty = np.abs(largest) < _TINY
    largest[empty] = 1
    weight = x * x
    weighted_x = weight * x
    best_scale, best_gain = np.zeros_like(largest), np.full_like(largest, -np.inf)
    codes, weighted_codes = np.empty_like(x), np.empty_like(x)
    # The plain scale comes first: if others fit as well, it stays.
    for trial in np.array(sorted(range(-9, 10), key=abs), np.float32) / np.float32(10):
        np.multiply(x, (-(levels + trial) / largest)[:, None], out=codes)
        np.rint(codes, out=codes)
        np.clip(codes, -levels, levels - 1, out=codes)
        np.multiply(weight, codes, out=weighted_codes)
        sum_ll, sum_lx = _dot(weighted_codes, codes), _dot(weighted_x, codes)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = sum_lx / sum_ll
        gain = scale * sum_lx
        better = gain > best_gain
        np.copyto(best_scale, scale, where=better)
        np.copyto(best_gain, gain, where=better)
    best_scale[empty] = 0
    return best_scale


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the inner product of each row of a with the same row of b."""
    return np.einsum("ij,ij->i", a, b)


def _six_bits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantize eight numbers ≥ 0 to codes 0 to 63 and one FP16 step; (blocks, 8) → (blocks, 2) bytes, codes."""
    largest = np.maximum(values.max(axis=1, keepdims=True), 0)
    usable = largest > np.finfo(np.float32).tiny * 63  # below, the inverse overflows, and FP16 has 0 anyway
    inverse = np.where(usable, np.float32(63) / np.where(usable, largest, 1), 0)
    codes = np.clip(np.rint(inverse * values), 0, 63).astype(np.uint8)
    return fp16_bytes(largest / np.float32(63)), codes


def _pack_six_bits(scales: np.ndarray, minima: np.ndarray) -> np.ndarray:
    """Pack eight 6-bit scales and eight 6-bit minima into 12 bytes; the last four of each are split 2 + 4 bits."""
    first = scales[:, :4] | (scales[:, 4:] >> 4) << 6
    second = minima[:, :4] | (minima[:, 4:] >> 4) << 6
    third = (scales[:, 4:] & 15) | (minima[:, 4:] & 15) << 4
    return np.concatenate([first, second, third], axis=1)


def _unpack_six_bits(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([first & 63, (third & 15) | (first >> 6) << 4], axis=1)
    minima = np.concatenate([second & 63, third >> 4 | (second >> 6) << 4], axis=1)
    return scales, minima


def decode_q4_k(data: np.ndarray) -> np.ndarray:
    """Code × scale − minimum for each of 8 sub-blocks."""
    codes = np.empty((len(data), 4, 2, 32), np.uint8)
    packed = data[:, 16:].reshape(-1, 4, 32)
    np.bitwise_and(packed, 15, out=codes[:, :, 0])
    np.right_shift(packed, 4, out=codes[:, :, 1])
    return _scaled_minus_minimum(data, codes)


def decode_q5_k(data: np.ndarray) -> np.ndarray:
    """As Q4_K with a fifth bit; layout: d, dmin | 12 bytes of scales | 32 bytes of fifth bits | 128 bytes."""
    codes = np.empty((len(data), 4, 2, 32), np.uint8)
    packed = data[:, 48:].reshape(-1, 4, 32)
    fifth = data[:, 16:48, None].swapaxes(1, 2)  # bit i of byte j belongs to weight j of sub-block i
    np.bitwise_and(packed, 15, out=codes[:, :, 0])
    np.right_shift(packed, 4, out=codes[:, :, 1])
    codes = codes.reshape(-1, 8, 32)
    codes |= (fifth >> _BITS & 1) << 4
    return _scaled_minus_minimum(data, codes)


def _scaled_minus_minimum(data: np.ndarray, codes: np.ndarray) -> np.ndarray:
    scales, minima = _unpack_six_bits(data[:, 4:16])
    out = codes.reshape(-1, 8, 32).astype(np.float32)
    out *= (fp16_column(data, 0) * scales)[:, :, None]
    out -= (fp16_column(data, 2) * minima)[:, :, None]
    return out.reshape(-1, 256)


def decode_q6_k(data: np.ndarray) -> np.ndarray:
    """ql: two weights 64 apart share a byte; qh: four weights 32 apart share a byte, two bits each."""
    ql, qh = data[:, :128].reshape(-1, 2, 1, 64), data[:, 128:192].reshape(-1, 2, 1, 32)
    codes = np.empty((len(data), 2, 2, 64), np.uint8)
    np.bitwise_and(ql[:, :, 0], 15, out=codes[:, :, 0])
    np.right_shift(ql[:, :, 0], 4, out=codes[:, :, 1])
    codes = codes.reshape(-1, 2, 4, 32)
    codes |= (qh >> _PAIRS & 3) << 4
    codes -= 32
    scales = fp16_column(data, 208) * data[:, 192:208].view(np.int8)
    out = codes.view(np.int8).reshape(-1, 16, 16).astype(np.float32)
    out *= scales[:, :, None]
    return out.reshape(-1, 256)


def decode_q2_k(data: np.ndarray) -> np.ndarray:
    """Layout: 16 bytes, scale low and minimum high | 64 bytes of 2-bit codes | d, dmin FP16."""
    codes = data[:, 16:80].reshape(-1, 2, 1, 32) >> _PAIRS & 3
    out = codes.reshape(-1, 16, 16).astype(np.float32)
    out *= (fp16_column(data, 80) * (data[:, :16] & 15))[:, :, None]
    out -= (fp16_column(data, 82) * (data[:, :16] >> 4))[:, :, None]
    return out.reshape(-1, 256)


def decode_q3_k(data: np.ndarray) -> np.ndarray:
    """Layout: 32 bytes of third bits (set: add nothing, clear: subtract 4) | 64 bytes | 12 bytes of scales | d."""
    codes = (data[:, 32:96].reshape(-1, 2, 1, 32) >> _PAIRS & 3).reshape(-1, 8, 32)
    codes |= (data[:, None, :32] >> _BITS & 1) << 2
    codes -= 4
    packed = data[:, 96:108]
    low = np.concatenate([packed[:, :8] & 15, packed[:, :8] >> 4], axis=1)
    high = (packed[:, None, 8:] >> _PAIRS[0] & 3).reshape(-1, 16)
    scales = fp16_column(data, 108) * ((low | high << 4).view(np.int8) - np.int8(32))
    out = codes.view(np.int8).reshape(-1, 16, 16).astype(np.float32)
    out *= scales[:, :, None]
    return out.reshape(-1, 256)


_BITS = np.arange(8, dtype=np.uint8)[:, None]
_PAIRS = np.array([0, 2, 4, 6], np.uint8)[None, :, None]
