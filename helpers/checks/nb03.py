"""The exercises of notebook 03."""

import numpy as np

from helpers.checks.verdict import Verdict, check, correct, not_yet, whole_number


@check
def pack_block(answer) -> Verdict:
    """A function from 32 floats to the 18 bytes of a Q4_0 block."""
    from helpers.numbers import blocks

    cases = [
        np.linspace(-1, 0.8, 32),
        np.linspace(-0.5, 2, 32),
        np.sin(np.arange(32.0)),
        np.zeros(32),
        np.concatenate([[-4.0], np.arange(31) / 4 - 3.75]),  # codes in the middle between two
        np.concatenate([[3.0, -3.0], np.linspace(-2, 2, 30)]),  # two numbers of largest magnitude
        np.random.default_rng(72).standard_normal(32),  # the scale before and after rounding differ in effect
    ]
    for x in cases:
        expected = blocks.quantize(x, "Q4_0").tobytes()
        found = answer([float(v) for v in x.astype(np.float32)])
        found = found if isinstance(found, bytes) else np.asarray(found).astype(np.uint8).tobytes()
        if len(found) != 18:
            return not_yet(f"a block has 18 bytes, 2 of scale and 16 of codes; yours has {len(found)}.")
        if found == expected or (not any(x) and found[2:] == expected[2:]):
            continue
        if not any(x):
            return not_yet("a block of zeros should get the code 8 everywhere, as in C: mind the division by zero.")
        largest = float(max(x, key=abs))
        if found[:2] != expected[:2]:
            return not_yet(
                f"the scale is wrong: the (first) largest magnitude with its sign, {largest:.3g}, ÷ −8, as FP16."
            )
        if found[2:] == bytes((byte & 15) << 4 | byte >> 4 for byte in expected[2:]):
            return not_yet("the halves are swapped: weight j belongs into the low half of byte j.")
        return not_yet(
            "codes are wrong: x ÷ d (before d becomes FP16) + 8.5, cut off, at most 15; j and j + 16 share a byte."
        )
    return correct("the same 18 bytes that llama.cpp would write.")


@check
def q6_k_bytes(answer) -> Verdict:
    """The bytes of TinyLlama's tensors in Q6_K with FP32 norms."""
    number = whole_number(answer)
    expected = 1_099_956_224 // 256 * 210 + 92_160 * 4
    if number == expected:
        return correct(f"{expected:,} bytes, 6.56 bits for each weight. The file adds a megabyte or two of metadata.")
    hints = {
        1_099_956_224 // 256 * 210: "the norm vectors are missing: 4 bytes for each of their 92,160 numbers.",
        1_099_956_224 * 6 // 8 + 92_160 * 4: "6 bits are the codes alone. A block of 256 takes 210 bytes.",
        1_100_048_384 // 256 * 210: "the norm vectors are FP32, not Q6_K.",
    }
    return not_yet(hints.get(number, "matrix weights ÷ 256 × 210, plus 4 bytes for each norm weight."))


@check
def read_header(answer) -> Verdict:
    """A function from 24 bytes to (version, tensors, entries)."""
    import struct

    for numbers in ((3, 201, 23), (2, 0, 2**40)):
        found = tuple(answer(struct.pack("<4sIQQ", b"GGUF", *numbers)))
        if found != numbers:
            return not_yet(f"for {numbers} you return {found}. After the magic come 4, 8 and 8 bytes, little-endian.")
    for wrong in (b"<!doctype html><html>...", b"GGML" + bytes(20), b"GGUF\x03\x00", b""):
        try:
            answer(wrong)
        except ValueError:
            continue
        return not_yet(f"{wrong[:10]!r} is no GGUF header and should raise ValueError.")
    return correct("magic, version and two counts: enough to tell a GGUF from a web page.")


@check
def layer_types(answer) -> Verdict:
    """A dict from the seven matrices of a layer to block types: at most 5 bits per weight, the least error."""
    from safetensors.numpy import load_file

    from helpers import artifacts
    from helpers.numbers import blocks, ggml

    kinds, parts = ("Q3_K", "Q4_K", "Q5_K", "Q6_K"), ("q", "k", "v", "o", "gate", "up", "down")
    if set(answer) != set(parts) or not set(answer.values()) <= set(kinds):
        return not_yet(f"name a type of {', '.join(kinds)} for each of {', '.join(parts)}.")
    stored = load_file(artifacts.ROOT / "data" / "story" / "model.safetensors")
    places = {part: f"self_attn.{part}_proj" if part in "qkvo" else f"mlp.{part}_proj" for part in parts}
    layer = {part: stored[f"model.layers.1.{place}.weight"] for part, place in places.items()}
    sizes = np.array([layer[part].size for part in parts])
    widths = np.array([blocks.BITS_PER_WEIGHT[kind] for kind in kinds])
    lost = np.array(
        [
            [np.sum((blocks.dequantize(ggml.quantize(layer[part], kind), kind) - layer[part]) ** 2) for kind in kinds]
            for part in parts
        ]
    )
    total = sum(float(np.sum(matrix**2)) for matrix in layer.values())
    chosen = np.array([kinds.index(answer[part]) for part in parts])
    bits = float(np.sum(sizes * widths[chosen]) / sizes.sum())
    if bits > 5:
        return not_yet(f"that is {bits:.2f} bits per weight; 5 are allowed.")
    every = np.stack(np.meshgrid(*[range(len(kinds))] * len(parts), indexing="ij")).reshape(len(parts), -1)
    affordable = (sizes[:, None] * widths[every]).sum(axis=0) / sizes.sum() <= 5
    errors = lost[np.arange(len(parts))[:, None], every].sum(axis=0)[affordable]
    found, best = (float(np.sqrt(value / total)) for value in (lost[np.arange(len(parts)), chosen].sum(), errors.min()))
    if found <= 1.01 * best:
        return correct(f"error {found:.2%} at {bits:.2f} bits; the best of all 16,384 choices has {best:.2%}.")
    return not_yet(f"error {found:.2%} at {bits:.2f} bits. {best:.2%} is possible: spend all of the bits.")
