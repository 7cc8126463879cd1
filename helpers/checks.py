"""Self-check of the exercises: `checks.<name>(answer)` says *not yet* with a hint, or *correct* with the reason.

A check never raises, whatever it is given, so that Run All goes through with every exercise unsolved.
"""

from __future__ import annotations

import fnmatch
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check; the last line of a cell shows it."""

    correct: bool
    text: str

    def __repr__(self) -> str:
        return f"{'✓ Correct' if self.correct else '○ Not yet'}: {self.text}"


def check(function: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """Turn every exception of an answer, and a stub left at `...`, into *not yet*."""

    @functools.wraps(function)
    def guarded(answer: object) -> Verdict:
        if answer is ...:
            return not_yet("replace the three dots by your answer, then run the cell again.")
        try:
            return function(answer)
        except Exception as error:
            return not_yet(f"your answer raised {type(error).__name__}: {error}")

    return guarded


def correct(reason: str) -> Verdict:
    return Verdict(True, reason)


def not_yet(hint: str) -> Verdict:
    return Verdict(False, hint)


def _whole_number(answer: object) -> int | None:
    try:
        number = float(answer)  # accepts numpy numbers too
    except (TypeError, ValueError):
        return None
    return int(number) if number == int(number) else None


# Notebook 01


@check
def decode_fp16(answer) -> Verdict:
    """A function from 16 bits, as text, to the FP16 number they stand for."""
    cases = [
        ("0011110000000000", 1.0, "exponent 15 minus bias 15, fraction 0"),
        ("1100000000000000", -2.0, "the first bit is the sign"),
        ("0100000010100001", 2.314453125, "a fraction counts in 1024ths and has a hidden 1 before it"),
        ("0111101111111111", 65504.0, "this is the largest number"),
        ("0000000000000001", 2.0**-24, "with exponent 0 there is no hidden 1, and the exponent counts as 1"),
        ("0000001000000000", 2.0**-15, "with exponent 0 there is no hidden 1, and the exponent counts as 1"),
        ("1111110000000000", -math.inf, "exponent 31 and fraction 0 mean infinity"),
        ("0111111000000000", math.nan, "exponent 31 and any other fraction mean NaN"),
        ("0000000000000000", 0.0, "all zeros is zero"),
    ]
    for bits, expected, why in cases:
        found = float(answer(bits))
        if found != expected and not (math.isnan(found) and math.isnan(expected)):
            return not_yet(f"for {bits} you return {found}, it should be {expected}: {why}.")
    for code, expected in enumerate(np.arange(2**16, dtype=np.uint16).view(np.float16).tolist()):
        found = float(answer(f"{code:016b}"))
        if math.isnan(expected) != math.isnan(found) or (
            not math.isnan(expected) and (found != expected or math.copysign(1, found) != math.copysign(1, expected))
        ):
            return not_yet(f"for {code:016b} you return {found}, it should be {expected}.")
    return correct("normal, subnormal, infinite and NaN: all 65,536 patterns follow these four rules.")


@check
def largest_number(answer) -> Verdict:
    """A function (exponent bits, fraction bits) → the largest number of a format with E4M3's rule."""
    for exponent_bits, fraction_bits in ((4, 3), (5, 2), (3, 4), (2, 3)):
        bias, top = 2 ** (exponent_bits - 1) - 1, 2**exponent_bits - 1
        step = 2.0**-fraction_bits
        found = float(answer(exponent_bits, fraction_bits))
        if found == (2 - 2 * step) * 2.0 ** (top - bias):
            continue
        hints = {
            (2 - step)
            * 2.0 ** (top - bias): "exponent and fraction all ones is NaN, so the last fraction is not available.",
            (2 - step)
            * 2.0 ** (top - 1 - bias): "that reserves the whole top exponent, as IEEE does. Here one code is lost.",
            (2 - 2 * step) * 2.0**top: "subtract the bias from the exponent.",
            2.0 ** (top - bias): "that is the power of two. Multiply by the largest fraction that is no NaN.",
        }
        hint = hints.get(found, "(1 + fraction) × 2^(exponent − bias), both as large as allowed.")
        return not_yet(f"for {exponent_bits} and {fraction_bits} bits you return {found:g}: {hint}")
    return correct("448 for E4M3. Reserving one code instead of a whole exponent nearly doubles the range.")


@check
def chosen_formats(answer) -> Verdict:
    """One format for each of four needs."""
    from helpers.formats import FORMATS

    needs = {"A": (16, 2e5, "bf16"), "B": (16, 2, "fp16"), "C": (8, 1e4, "fp8_e5m2"), "D": (8, 400, "fp8_e4m3")}
    for need, (width, largest, right) in needs.items():
        name = answer.get(need, ...)
        if name is ...:
            return not_yet(f"replace the three dots of {need} by the name of a format.")
        form = FORMATS.get(str(name).lower())
        if form is None:
            return not_yet(f"{need}: {name!r} is none of fp16, bf16, fp8_e4m3, fp8_e5m2.")
        if form.width != width:
            return not_yet(f"{need} allows {width} bits, {form.title} has {form.width}.")
        if form.max < largest:
            return not_yet(f"{need}: {form.title} ends at {form.max:,.0f}.")
        if str(name).lower() != right:
            return not_yet(f"{need}: both formats of {width} bits reach far enough, so take the longer fraction.")
    return correct("width, range, then digits: that is the order in which to choose.")


# Notebook 02


@check
def absmax_bits(answer) -> Verdict:
    """A function (x, bits) → (codes, scale), symmetric."""
    for x in ([1.2, -0.5, -4.3, 5.4], [0.1, -0.9, 0.4, 0.2], [-7.0, 2.0, 3.0]):
        for bits in (8, 5, 4, 3, 2):
            codes, scale = answer(np.array(x), bits)
            codes, scale = np.asarray(codes, float), float(np.squeeze(scale))
            largest, levels = max(map(abs, x)), 2 ** (bits - 1) - 1
            if math.isclose(scale, max(x) / levels, rel_tol=1e-6) and max(x) < largest:
                return not_yet("the scale comes from the largest magnitude, not from the largest number.")
            if math.isclose(scale, largest / (levels + 1), rel_tol=1e-6):
                return not_yet(f"for {bits} bits the codes run from {-levels} to {levels}: divide by 2^(bits−1) − 1.")
            if not math.isclose(scale, largest / levels, rel_tol=1e-6):
                return not_yet(
                    f"for {x} at {bits} bits the scale should be {largest / levels:.4g}, yours is {scale:.4g}."
                )
            if not np.array_equal(codes, np.rint(np.array(x) / (largest / levels))):
                return not_yet("the codes should be whole numbers: round x ÷ scale to the nearest.")
    return correct("max |x| gets the code 2^(bits−1) − 1; everything else follows.")


@check
def zero_code(answer) -> Verdict:
    """The zero point of −1 … 3 in UINT8."""
    number = float(answer)
    if number == 64:
        return correct("0 lies a quarter up the range, so its code lies a quarter up from 0 to 255: 63.75, rounded.")
    hints = {
        63.75: "close: a zero point is a code, so it has to be a whole number.",
        63: "round to the nearest whole number.",
        128: "that would be right for a symmetric range.",
        0: "code 0 belongs to the smallest number, −1.",
        -64: "that is the zero point in INT8, whose lowest code is −128 (or a slip of the sign). UINT8 starts at 0.",
    }
    return not_yet(hints.get(number, "z = round(lowest code − lowest number ÷ scale), with scale = 4 ÷ 255."))


@check
def wrapped_value(answer) -> Verdict:
    """What is read back for −1.1 after the broken rule."""
    number = float(answer)
    if abs(number - -93 / 127 * 0.4) < 1e-3:
        return correct("−349 keeps its lowest 8 bits, −93, and comes back as −0.293: a quarter of what it was.")
    if abs(number + 1.1) < 0.01:
        return not_yet("that would be right if −349 could be stored. INT8 ends at −128.")
    if abs(number - -128 / 127 * 0.4) < 1e-3:
        return not_yet("that is what clipping would give. The rule stores the lowest 8 bits.")
    if abs(number - -93) < 1e-3:
        return not_yet("that is the code. Read it back: ÷ 127 × 0.4.")
    return not_yet("−1.1 ÷ 0.4 × 127 = −349.25 → −349; add or subtract 256 until it fits; then ÷ 127 × 0.4.")


# Notebook 03


@check
def pack_block(answer) -> Verdict:
    """A function from 32 floats to the 18 bytes of a Q4_0 block."""
    from helpers import blocks

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
    number = _whole_number(answer)
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


# Notebook 04


@check
def parameter_count(answer) -> Verdict:
    """How many parameters has TinyLlama (untied output head)?"""
    number = _whole_number(answer)
    if number is None:
        return not_yet("a whole number is asked for.")
    if number == 1_100_048_384:
        return correct("1,100,048,384, the number that TinyLlama's safetensors header adds up to.")
    if number == 1_100_048_384 - 32_000 * 2048:
        return not_yet("the output head is a matrix of its own here (tie_word_embeddings is false): count it too.")
    if number == 1_100_048_384 + 22 * 2 * (2048 - 256) * 2048:
        return not_yet("keys and values have only 4 heads of 64, not 32: their matrices are 256 × 2048.")
    if abs(number - 1_100_048_384) <= 45 * 2048:
        return not_yet("very close: count the norm vectors, two for each layer and one at the end.")
    return not_yet("add up embedding, 22 × (q + k + v + o + gate + up + down + two norms), last norm, output head.")


@check
def tensor_bytes(answer) -> Verdict:
    """A function from one entry of a safetensors header to its size in bytes."""
    cases = [
        ({"dtype": "F32", "shape": [3, 5]}, 60),
        ({"dtype": "F16", "shape": [2048]}, 4096),
        ({"dtype": "BF16", "shape": [2, 3, 4]}, 48),
        ({"dtype": "I8", "shape": [7, 7]}, 49),
        ({"dtype": "F32", "shape": []}, 4),
    ]
    for entry, expected in cases:
        found = answer(entry)
        if found != expected:
            why = "an empty shape is a single number" if not entry["shape"] else "elements × bytes per element"
            return not_yet(f"for {entry} you return {found}, it should be {expected} ({why}).")
    return correct("the product of the shape times the width of the type; no need to read a single weight.")


@check
def classroom_minutes(answer) -> Verdict:
    """Thirty downloads of 2.2 GB through one line of 100 Mbit/s, in minutes."""
    minutes = float(answer)
    if abs(minutes - 88) <= 1:
        return correct("30 × 2.2e9 bytes × 8 bits ÷ 1e8 bits per second = 5,280 s = 88 minutes: a whole lesson.")
    if abs(minutes - 11) <= 0.5:
        return not_yet("the line carries bits, files are measured in bytes: a factor of 8 is missing.")
    if abs(minutes - 88 / 30) <= 0.2:
        return not_yet("that is one student. All thirty share the line.")
    if abs(minutes - 5280) <= 60:
        return not_yet("that is in seconds; minutes are asked for.")
    return not_yet("bytes × 8 × 30 ÷ (bits per second) ÷ 60.")


@check
def safe_patterns(answer) -> Verdict:
    """Patterns that take all that is needed and nothing that can run code."""
    if isinstance(answer, str):
        return not_yet("a list of patterns is asked for, such as ['*.json'].")
    needed = ["config.json", "tokenizer.json", "tokenizer.model", "model-00001-of-00002.safetensors"]
    needed += ["model.safetensors.index.json"]
    unwanted = ["pytorch_model.bin", "model.pt", "model-Q4_0.gguf", "modeling_custom.py", "flax_model.msgpack"]
    for name in needed:
        if not any(fnmatch.fnmatch(name, pattern) for pattern in answer):
            return not_yet(f"{name} would be left out, and the converter needs it.")
    for name in unwanted:
        if any(fnmatch.fnmatch(name, pattern) for pattern in answer):
            reason = "it can run code when loaded" if not name.endswith((".gguf", ".msgpack")) else "it is not needed"
            return not_yet(f"{name} would be fetched too: {reason}.")
    return correct("weights without code, the configuration and the tokenizer: nothing else has to be trusted.")


# Notebook 05


@check
def q4_0_bytes(answer) -> Verdict:
    """A function from rows and columns to the bytes of the matrix in Q4_0."""
    for rows, columns in ((1, 32), (2048, 2048), (256, 5632)):
        expected, found = rows * columns // 32 * 18, answer(rows, columns)
        if found == rows * columns // 2:
            return not_yet("4 bits each is right for the codes, but every block of 32 also stores an FP16 scale.")
        if found != expected:
            return not_yet(f"for {rows} × {columns} you return {found}, it should be {expected}.")
    return correct("18 bytes for each 32 weights: 16 of codes and 2 of scale, so 4.5 bits per weight and not 4.")


@check
def largest_type(answer) -> Verdict:
    """The best type of a 6.74-billion-weight model that stays below 4.5 GB."""
    bits = {"Q8_0": 8.5, "Q6_K": 6.56, "Q5_K_M": 5.68, "Q4_K_M": 4.85, "Q3_K_M": 3.91, "Q2_K": 3.16}
    if answer not in bits:
        return not_yet(f"one of {', '.join(bits)} is asked for, as a string.")
    size = 6.74e9 * bits[answer] / 8 / 1e9
    if size > 4.5:
        return not_yet(f"{answer} makes a file of {size:.2f} GB, which is too large.")
    if answer != "Q4_K_M":
        return not_yet(f"{answer} fits with {size:.2f} GB, but a larger one fits as well.")
    return correct(f"Q4_K_M takes {size:.2f} GB. Q5_K_M would take {6.74 * 5.68 / 8:.2f} GB.")


@check
def row_order(answer) -> Verdict:
    """The order in which the converter writes the 8 rows of one attention head."""
    order = [int(i) for i in answer]
    if order == [0, 4, 1, 5, 2, 6, 3, 7]:
        return correct("row i of the first half is followed by row i of the second half: the pair RoPE turns.")
    if order == list(range(8)):
        return not_yet("that is the order of the checkpoint. llama.cpp wants the two rows of a pair side by side.")
    if order == [0, 2, 4, 6, 1, 3, 5, 7]:
        return not_yet("that is the way back, from GGUF to the checkpoint.")
    return not_yet("the pairs are (0, 4), (1, 5), (2, 6), (3, 7): write them one after the other.")


# Notebook 06


@check
def cache_bytes(answer) -> Verdict:
    """A function (layers, kv_heads, head_size, tokens) → bytes of an FP16 key-value cache."""
    for case, name in (((32, 32, 128, 4096), "Llama-2-7B"), ((22, 4, 64, 2048), "TinyLlama"), ((1, 1, 1, 1), "one")):
        layers, kv_heads, head_size, tokens = case
        expected, found = 4 * layers * kv_heads * head_size * tokens, answer(*case)
        if found == expected // 2:
            return not_yet(f"{name}: half of what is right. Keys and values are both kept, 2 bytes each.")
        if found != expected:
            return not_yet(f"{name}: you return {found:,}, it should be {expected:,}.")
    return correct("2 (keys, values) × layers × KV heads × head size × tokens × 2 bytes.")


@check
def speed_limit(answer) -> Verdict:
    """Tokens per second at most: 4.08 GB of weights, 50 GB/s of memory bandwidth."""
    speed = float(answer)
    if abs(speed - 50 / 4.08) <= 0.1:
        return correct("50 ÷ 4.08 = 12.3 tokens per second: every weight is read once for every token.")
    if abs(speed - 4.08 / 50) <= 0.01:
        return not_yet("that is the seconds one token takes. Turn it around.")
    return not_yet("each token reads all weights once: bandwidth ÷ size.")


@check
def single_bos(answer) -> Verdict:
    """A function (ids, bos) that leaves exactly one start token at the front."""
    cases = [([1, 1, 306, 626], [1, 306, 626]), ([1, 306], [1, 306]), ([306, 626], [1, 306, 626])]
    cases += [([1, 1, 1, 5, 1], [1, 5, 1]), ([], [1])]
    for ids, expected in cases:
        found = list(answer(list(ids), 1))
        if found != expected:
            return not_yet(f"for {ids} you return {found}, it should be {expected}.")
    return correct("exactly one start token at the front, and those inside the text left alone.")


# Notebook 07


@check
def card_metadata(answer) -> Verdict:
    """The YAML block of a model card for a quantized TinyLlama."""
    import yaml

    text = str(answer).strip()
    if not text.startswith("---") or text.count("---") < 2:
        return not_yet("the block begins and ends with a line of three dashes.")
    fields = yaml.safe_load(text.split("---")[1])
    if not isinstance(fields, dict):
        return not_yet("inside the dashes stand lines of the form `key: value`.")
    wanted = {"license": "apache-2.0", "base_model": "TinyLlama/TinyLlama-1.1B-Chat-v1.0"}
    for key, value in wanted.items():
        found = fields.get(key)
        found = found[0] if isinstance(found, list) and found else found
        if found != value:
            return not_yet(f"{key} should be {value}, yours is {found!r}.")
    if fields.get("base_model_relation") != "quantized":
        return not_yet("say how yours relates to it: `base_model_relation: quantized`.")
    if fields.get("library_name") != "gguf" and "gguf" not in (fields.get("tags") or []):
        return not_yet("people filter by format: add `gguf` to the tags.")
    return correct("licence carried over, base model named, relation and format searchable.")


@check
def leaking_lines(answer) -> Verdict:
    """Which of the lines A to E can show the token to somebody else?"""
    letters = {str(letter).upper() for letter in answer}
    if letters == {"A", "B", "D"}:
        return correct("A ends up in the notebook, B in the process list and the shell's history, D in the output.")
    if missing := {"A", "B", "D"} - letters:
        hints = {
            "A": "a token written into a cell is saved with the notebook",
            "B": "every user of a machine can list the command lines of its processes",
            "D": "outputs are saved with the notebook, too",
        }
        return not_yet(f"{len(missing)} missing; think of this: {hints[min(missing)]}.")
    return not_yet("too many: a vault and a file that only you can read keep the token out of sight.")


@check
def pinned_address(answer) -> Verdict:
    """A function (repo, revision, filename) → the address of exactly that file, for ever."""
    found = answer("ada/tiny-GGUF", "0123abc", "tiny-Q8_0.gguf")
    expected = "https://huggingface.co/ada/tiny-GGUF/resolve/0123abc/tiny-Q8_0.gguf"
    if found == expected:
        return correct("a commit hash names one content for ever; `main` is whatever its owner pushed last.")
    if "main" in str(found):
        return not_yet("`main` moves with every commit. Use the revision.")
    if "blob" in str(found):
        return not_yet("`blob` is the page about the file. The file itself is at `resolve`.")
    return not_yet(f"you return {found!r}; the form is https://huggingface.co/REPO/resolve/REVISION/FILE.")


# Notebook 08


@check
def perplexity_of(answer) -> Verdict:
    """A function from the probabilities of the tokens that came to the perplexity."""
    for p in ([0.5, 0.25, 0.5, 0.125, 0.5], [0.1, 0.1], [1.0], [0.9, 0.01, 0.3]):
        losses = [-math.log(value) for value in p]
        expected, found = math.exp(sum(losses) / len(p)), float(answer(list(p)))
        if math.isclose(found, expected, rel_tol=1e-6):
            continue
        hints = {
            sum(losses) / len(p): "that is the loss. Perplexity is e to that power.",
            math.exp(sum(losses)): "divide the sum by the number of tokens first.",
            len(p) / sum(p): "average the logarithms, not the probabilities.",
        }
        hint = next((text for value, text in hints.items() if math.isclose(found, value, rel_tol=1e-6)), "")
        return not_yet(f"for {p} you return {found:.4g}, it should be {expected:.4g}. {hint}".strip())
    return correct("e to the mean of −log p: the first text seems to be a choice among 2 ^ 1.6 = 3 tokens.")


@check
def kl_divergence(answer) -> Verdict:
    """A function from two lists of probabilities to their KL divergence in nats."""
    cases = [([0.5, 0.5], [0.5, 0.5]), ([0.5, 0.5], [0.9, 0.1]), ([0.9, 0.1], [0.5, 0.5]), ([1.0, 0.0], [0.25, 0.75])]
    for p, q in cases:
        expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a)
        found = float(answer(list(p), list(q)))
        if not math.isclose(found, expected, abs_tol=1e-9):
            swapped = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True) if a and b)
            if math.isclose(found, swapped, abs_tol=1e-9):
                return not_yet("p and q have changed places: the weights of the sum are the reference's, p.")
            return not_yet(f"for {p} and {q} you return {found:.4g}, it should be {expected:.4g}.")
    return correct("0 for equal distributions, positive otherwise, and not the same the other way round.")


@check
def bits_per_byte(answer) -> Verdict:
    """Bits per byte of two models, as a pair."""
    a, b = (float(value) for value in answer)
    right = (1.20 / math.log(2) / 3.9, 1.35 / math.log(2) / 4.8)
    if math.isclose(a, right[0], abs_tol=0.002) and math.isclose(b, right[1], abs_tol=0.002):
        return correct("0.444 against 0.406: B is better, although its loss for each token is higher.")
    if math.isclose(a, 1.2 / 3.9, abs_tol=0.002):
        return not_yet("those are nats per byte. A bit is log 2 = 0.693 nats.")
    if math.isclose(a, 1.2 / math.log(2), abs_tol=0.002):
        return not_yet("those are bits per token. Divide by the bytes of a token.")
    return not_yet("nats ÷ log 2 gives bits; divide by the bytes of a token.")


# Notebook 09


@check
def fake_round(answer) -> Verdict:
    """A function (w, scale) that rounds forward and passes the gradient unchanged."""
    import torch

    w = torch.tensor([0.26, -0.9, 1.3, 0.0], requires_grad=True)
    result = answer(w, 0.5)
    expected = torch.tensor([0.5, -1.0, 1.5, 0.0])
    if not torch.allclose(result.detach(), expected):
        return not_yet(f"forward, {w.tolist()} with scale 0.5 should give {expected.tolist()}, not {result.tolist()}.")
    if not result.requires_grad:
        return not_yet("no gradient reaches w: only the difference between rounded and original may be detached.")
    (result * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    if w.grad is None or not torch.allclose(w.grad, torch.tensor([1.0, 2.0, 3.0, 4.0])):
        return not_yet("the gradient should arrive unchanged. round() has the gradient 0: detach the difference.")
    return correct("forward the staircase, backward the straight line.")


@check
def output_errors(answer) -> Verdict:
    """Which of two roundings has the smaller output error, and both errors."""
    name, a, b = answer
    if not math.isclose(float(a), 0.06, abs_tol=1e-6) or not math.isclose(float(b), 0.5, abs_tol=1e-6):
        return not_yet("the error of the output is |x · (w − ŵ)|: multiply each weight's error by its input and add.")
    if str(name).strip().upper() != "A":
        return not_yet("compare the two errors again.")
    return correct("A is 0.4 off in one weight, but that weight meets 0.1; B's 0.05 meets 10.")


@check
def qat_bytes(answer) -> Verdict:
    """Bytes for weights and optimizer state in QAT with AdamW, for each weight."""
    number = float(answer)
    if number == 12:
        return correct("4 for the weight and 8 for AdamW's moments, as in any training: QAT needs no second model.")
    if number in (16, 24):
        return not_yet("that counts a second model. The rounded weights are made on the fly from the one copy.")
    if number == 4:
        return not_yet("AdamW keeps two numbers for each weight.")
    return not_yet("one FP32 weight, and two FP32 moments.")


# Notebook 10


@check
def tokens_each(answer) -> Verdict:
    """Training tokens per parameter of two models, as a pair."""
    a, b = (float(value) for value in answer)
    if math.isclose(a, 15e12 / 8.03e9, rel_tol=0.01) and math.isclose(b, 3e12 / 1.1e9, rel_tol=0.01):
        return correct("1,868 and 2,727: by the law, TinyLlama is a hard case for few bits, small and long trained.")
    if math.isclose(a, 8.03e9 / 15e12, rel_tol=0.01):
        return not_yet("that is parameters for each token. Turn it around.")
    return not_yet("tokens ÷ parameters; a trillion is 10^12, a billion 10^9.")


@check
def more_bits(answer) -> Verdict:
    """Bits that make up for ten times more text, by the law."""
    bits = float(answer)
    if abs(bits - 0.59 * 0.5068 * math.log(10)) < 0.01:
        return correct("0.69 bits for each factor of ten: a weak dependence, but factors of ten are common.")
    if abs(bits - 0.59 * 0.5068) < 0.01:
        return not_yet("nearly: the logarithm of 10 is missing.")
    if abs(bits - 0.59 * 0.5068 * math.log10(10) / 2) < 0.005 or abs(bits - 0.59 * math.log(10)) < 0.01:
        return not_yet("the text enters with the power 0.5068.")
    return not_yet("take logarithms: 0.5068 · log 10 = bits ÷ 0.59.")


@check
def best_bits(answer) -> Verdict:
    """The best number of bits for 4 GB of weights, by effective size."""
    sizes = {bits: 32 / bits * (1 - math.exp(-bits / 2.6745)) for bits in (16, 8, 4, 2)}
    if float(answer) not in sizes:
        return not_yet("one of 16, 8, 4 and 2 is asked for.")
    if float(answer) == max(sizes, key=sizes.get):
        text = ", ".join(f"{bits} bits {size:.1f}" for bits, size in sizes.items())
        return correct(
            f"effective billions: {text}. For weights alone the law likes few bits (in training, not afterwards)."
        )
    return not_yet(f"{answer} bits give {sizes[float(answer)]:.1f} effective billions; another choice gives more.")


# Notebook 11


@check
def two_of_four(answer) -> Verdict:
    """A function that keeps the two largest of every four neighbours in a row."""
    import torch

    w = torch.randn(6, 16, generator=torch.Generator().manual_seed(1))
    mask = torch.as_tensor(answer(w.clone()))
    if mask.shape != w.shape:
        return not_yet(f"the mask should have the shape of w, {tuple(w.shape)}; it has {tuple(mask.shape)}.")
    mask = mask.bool()
    groups = mask.reshape(-1, 4)
    if not (groups.sum(dim=1) == 2).all():
        return not_yet("some groups of four neighbours do not keep exactly two. Reshape to (-1, 4) first.")
    expected = w.abs().reshape(-1, 4).topk(2, dim=1).values.sum(dim=1)
    if not torch.allclose((w.abs().reshape(-1, 4) * groups).sum(dim=1), expected):
        return not_yet("two of four stay, but not the two largest magnitudes. Did you take |w|?")
    return correct("that is what sparse tensor cores store: two values and two places of two bits for each four.")


@check
def half_rank(answer) -> Verdict:
    """The largest rank with half of the parameters of a 4,096 × 11,008 matrix."""
    rank = float(answer)
    if rank == 4096 * 11008 // 2 // (4096 + 11008):
        return correct("1,492 of 4,096: more than a third of the rank already costs half of the parameters.")
    if abs(rank - 4096 * 11008 / 2 / (4096 + 11008)) < 1:
        return not_yet("nearly. A rank is a whole number, and the next one up would be too large.")
    if rank == 4096 * 11008 // (4096 + 11008):
        return not_yet("with that rank nothing is saved at all. Half of the parameters are wanted.")
    if rank == 2048:
        return not_yet("half of the rank is not half of the parameters: both factors count.")
    return not_yet("two factors have rank · (rows + columns) numbers.")


@check
def mask_pays(answer) -> Verdict:
    """The sparsity from which 4 bits with a mask are smaller than 3 bits without."""
    share = float(answer)
    if math.isclose(share, 0.5, abs_tol=1e-6):
        return correct("at 50 % both take 3 bits for each weight; above it the mask wins on size.")
    if math.isclose(share, 0.25, abs_tol=1e-6):
        return not_yet("that leaves out the mask itself, one bit for each weight.")
    if math.isclose(share, 50):
        return not_yet("as a share, please: between 0 and 1.")
    return not_yet("solve (1 − s) · 4 + 1 = 3 for s.")


# Notebook 12


@check
def kronecker_numbers(answer) -> Verdict:
    """Numbers in 4 Kronecker products with B of 2 × 4 for a matrix of 768 × 3,072."""
    number = float(answer)
    if number == 4 * (384 * 768 + 8):
        return correct("1,179,680: half of 2,359,296, and 32 numbers for the four B.")
    if number == 384 * 768 + 8:
        return not_yet("that is one product. The sum has four.")
    if number == 4 * 384 * 768:
        return not_yet("the four B have numbers, too.")
    return not_yet("A has (768 ÷ 2) × (3,072 ÷ 4) numbers, B has 8, and there are four of each.")


@check
def kronecker_multiply(answer) -> Verdict:
    """A function that multiplies by A ⊗ B without building it."""
    import numpy as np

    random = np.random.default_rng(0)
    a, b, x = random.standard_normal((3, 4)), random.standard_normal((2, 5)), random.standard_normal(20)
    built = []
    original = np.kron
    np.kron = lambda *given: built.append(1) or original(*given)
    try:
        y = np.asarray(answer(a, b, x))
    finally:
        np.kron = original
    if y.size == 6 and np.allclose(y.ravel(), original(b, a) @ x):
        return not_yet("that is B ⊗ A. The blocks of x belong to the columns of A: reshape to (n1, n2).")
    if y.shape != (6,) or not np.allclose(y, original(a, b) @ x):
        return not_yet("the result differs from np.kron(a, b) @ x. With X of n1 × n2 it is A X Bᵀ, read row by row.")
    if built:
        return not_yet("right, but it builds the product. Reshape x instead.")
    return correct("two small multiplications instead of a large one.")


@check
def kronecker_share(answer) -> Verdict:
    """The share by which GPT-2 shrinks if only twelve feed-forward matrices are factored."""
    share, right = float(answer), 12 * (768 * 3072 - 4 * (384 * 768 + 8)) / 124_439_808
    if abs(share - right) < 6e-4:
        return correct("11.4 %: what the feed-forward part of the method is worth, honestly tied.")
    if abs(share - 100 * right) < 0.06:
        return not_yet("as a share, please: divide by 100.")
    if abs(share - 2 * right) < 2e-3:
        return not_yet("only every second layer is compressed: twelve matrices, not twenty-four.")
    return not_yet("twelve matrices, each 2,359,296 numbers before and 1,179,680 after; divide by the whole model.")


# Notebook 13


@check
def soft_loss(answer) -> Verdict:
    """A function for T² · KL(teacher at T ‖ student at T) over flattened tokens."""
    import torch

    random = torch.Generator().manual_seed(2)
    student, teacher = torch.randn(2, 3, 7, generator=random), torch.randn(2, 3, 7, generator=random)

    def kl(p, q, temperature):
        p, q = (torch.log_softmax(x / temperature, dim=-1) for x in (p, q))
        return float((p.exp() * (p - q)).sum(dim=-1).mean())

    given, right = float(answer(student, teacher, 3.0)), 9 * kl(teacher, student, 3.0)
    if math.isclose(given, right, rel_tol=1e-4):
        return correct("and with T = 1 it is the KL divergence of notebook 08.")
    if math.isclose(given, right / 9, rel_tol=1e-4):
        return not_yet("the factor T² is missing.")
    if math.isclose(given, 9 * kl(student, teacher, 3.0), rel_tol=1e-4):
        return not_yet("that is KL(student ‖ teacher). The teacher's probabilities are the weights.")
    if math.isclose(given, right * 3, rel_tol=1e-4) or math.isclose(given, right / 7, rel_tol=1e-4):
        return not_yet("average over all 6 tokens: sum over the vocabulary, mean over the rest.")
    if math.isclose(given, 9 * kl(teacher, student, 1.0), rel_tol=1e-4):
        return not_yet("divide both logits by T.")
    return not_yet("log_softmax of both at T; sum p · (log p − log q) over the vocabulary; mean over tokens; times T².")


@check
def forgotten_square(answer) -> Verdict:
    """How many times smaller the teacher's gradient is without T² at T = 4."""
    times = float(answer)
    if times == 16:
        return correct("so that α = 0.9 acts like a much smaller share.")
    if times == 4:
        return not_yet("one T comes from the logits' division; the probabilities flatten, too.")
    if math.isclose(times, 1 / 16):
        return not_yet("how many times *smaller*: turn it around.")
    return not_yet("the gradient falls as 1 ÷ T². α does not matter here.")


@check
def teacher_cost(answer) -> Verdict:
    """The factor by which a teacher makes a training step more expensive."""
    factor, student, whole = float(answer), 100_080, 2_885_888
    if math.isclose(factor, (3 * student + whole) / (3 * student), rel_tol=1e-3):
        return correct("10.6 times. It pays if it saves more than that in text or steps, or if text is what you lack.")
    if math.isclose(factor, whole / (3 * student), rel_tol=1e-3):
        return not_yet("that is the teacher's part alone. The student's comes on top.")
    if math.isclose(factor, (student + whole) / student, rel_tol=1e-3):
        return not_yet("the student also has a backward pass, twice as expensive as the forward one.")
    return not_yet("student: forward 1 part, backward 2 parts; teacher: forward only, 28.8 parts.")


# Notebook 14


@check
def llama_count(answer) -> Verdict:
    """A function that counts a LLaMA's parameters with untied embeddings."""
    shapes = [(2, 12, 3, 1, 20, 50), (3, 16, 4, 4, 40, 70), (1, 8, 2, 1, 24, 10)]
    given = [answer(*shape) for shape in shapes]
    for factor, reason in ((1, "tied"), (2, None)):
        right = [
            factor * v * w + n * (2 * w * w + 2 * w * (w // h * k) + 3 * w * f + 2 * w) + w
            for n, w, h, k, f, v in shapes
        ]
        if given == right:
            if reason:
                return not_yet("that is the tied model: without tying, input and output have a table each.")
            return correct("it also counts LLaMA-2-7B: count(32, 4096, 32, 32, 11008, 32000) is 6,738,415,616.")
        if all(0 < r - g <= (2 * n + 1) * w for g, r, (n, w, *_) in zip(given, right, shapes, strict=True)):
            return not_yet(
                "close: each layer has two norms of one number for each channel, and there is one at the end."
            )
    return not_yet(
        "two tables; in each layer q, o (width²), k, v (width · kv), three feed-forward matrices, two norms; one norm."
    )


@check
def cache_megabytes(answer) -> Verdict:
    """Megabytes of key-value cache for MobileLLM-1B at 8,192 tokens in FP16."""
    size, right = float(answer), 2 * 54 * (1280 // 20 * 5) * 8192 * 2 / 1e6
    if math.isclose(size, right, rel_tol=0.01):
        return correct("566 MB. Without grouped heads it would be 2,265 MB, more than the model itself in FP16.")
    if math.isclose(size, right * 4, rel_tol=0.01):
        return not_yet("that is with 20 heads of keys and values. They are grouped: 5.")
    if math.isclose(size, right / 2, rel_tol=0.01):
        return not_yet("keys *and* values, two bytes each.")
    if math.isclose(size * 1e6, right, rel_tol=0.01) or math.isclose(size / 1e6, right, rel_tol=0.01):
        return not_yet("right digits; the unit is MB, 10⁶ bytes.")
    return not_yet("2 · layers · (head width · key-value heads) · tokens · 2 bytes; a head is 1,280 ÷ 20 wide.")


@check
def phone_parameters(answer) -> Verdict:
    """Millions of parameters that fit into 100 MB at 16, 8.5 and 4.5 bits."""
    given, right = [float(value) for value in answer], [800 / bits for bits in (16, 8.5, 4.5)]
    if len(given) == 3 and all(math.isclose(g, r, rel_tol=0.01) for g, r in zip(given, right, strict=True)):
        return correct("50, 94 and 178 million: four bits buy three and a half times the model.")
    if len(given) == 3 and all(math.isclose(8 * g, r, rel_tol=0.01) for g, r in zip(given, right, strict=True)):
        return not_yet("a byte has 8 bits.")
    if len(given) == 3 and sorted(given) != given:
        return not_yet("in the order FP16, Q8_0, Q4_K, please; fewer bits give more parameters.")
    return not_yet("100 · 10⁶ bytes · 8 ÷ bits for each weight, in millions, for the three of them.")
