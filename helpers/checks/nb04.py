"""The exercises of notebook 04."""

import fnmatch

from helpers.checks.verdict import Verdict, check, correct, not_yet, whole_number


@check
def parameter_count(answer) -> Verdict:
    """How many parameters has TinyLlama (untied output head)?"""
    number = whole_number(answer)
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
