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


WIDTHS = {"Q8_0": 8.5, "Q6_K": 6.56, "Q5_K_M": 5.68, "Q4_K_M": 4.85, "Q3_K_M": 3.91}  # bits per weight
MEMORY, BANDWIDTH, WEIGHTS = 8.0, 50.0, 8.03  # GB, GB/s, billions: a laptop, and Llama-3-8B
CACHE = 2 * 32 * 8 * 128 * 2 / 1e9  # GB for each token


@check
def laptop_plan(answer) -> Verdict:
    """A pair (type, tokens): the finest type with room for 16,384 tokens or more in 8 GB, at 6 tokens per second."""
    kind, tokens = answer
    if kind not in WIDTHS:
        return not_yet(f"{kind!r} is none of {', '.join(WIDTHS)}.")
    memory, speed = _laptop(kind, tokens)
    told = f"{memory:.2f} GB, at most {speed:.1f} tokens per second with a full cache"
    if tokens < 16_384:
        return not_yet("16,384 tokens of context are wanted, or more.")
    if memory > MEMORY:
        return not_yet(f"{told}: that does not fit into 8 GB.")
    if speed < 6:
        return not_yet(f"{told}: too slow. Each token reads the weights and the whole cache.")
    finest = next(name for name in WIDTHS if _laptop(name, 16_384)[0] <= MEMORY and _laptop(name, 16_384)[1] >= 6)
    if kind != finest:
        return not_yet(f"{told}. That works, and a finer type works, too.")
    return correct(f"{told}. The next finer type leaves no room for the cache.")


def _laptop(kind: str, tokens: int) -> tuple[float, float]:
    """Return gigabytes of weights and cache, and the limit of tokens per second when both are read for each."""
    memory = WEIGHTS * WIDTHS[kind] / 8 + CACHE * tokens
    return memory, BANDWIDTH / memory


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
