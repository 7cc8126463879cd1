"""The exercises of notebook 06."""

from helpers.checks.verdict import Verdict, check, correct, not_yet


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
