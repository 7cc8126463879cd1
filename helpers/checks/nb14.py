"""The exercises of notebook 14."""

import math

from helpers.checks.verdict import Verdict, check, correct, not_yet


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


@check
def one_rate(answer) -> Verdict:
    """Which of the four shapes wins after a million tokens, by the peak rate that all of them are trained at."""
    from helpers.experiments import designs

    given = {float(rate): str(shape) for rate, shape in dict(answer).items()}
    runs = [row for row in designs.results() if row["tokens"] == designs.PILOT_TOKENS]
    at = {rate: {row["design"]: row["loss"] for row in runs if row["rate"] == rate} for rate in designs.PILOTS}
    shapes = {rate: {name: loss for name, loss in losses.items() if "wide" in name} for rate, losses in at.items()}
    if given == {rate: min(losses, key=losses.get) for rate, losses in shapes.items()}:
        found = len(set(given.values()))
        return correct(
            f"four rates, {found} different winners. Each of the four comparisons is fair in size, text and steps, and "
            "none of them compares the shapes alone."
        )
    if given == {rate: max(losses, key=losses.get) for rate, losses in shapes.items()}:
        return not_yet("those have the highest losses; the lowest wins.")
    if given == {rate: min(losses, key=losses.get) for rate, losses in at.items()}:
        return not_yet("all designs take part in that. Only the four with `wide` in their names, please.")
    if set(given) != set(designs.PILOTS):
        return not_yet(f"the keys are the four rates: {', '.join(map(str, designs.PILOTS))}.")
    return not_yet("for each rate: the shape whose loss at `designs.PILOT_TOKENS` tokens is the lowest.")
