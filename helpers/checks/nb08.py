"""The exercises of notebook 08."""

import math

from helpers.checks.verdict import Verdict, check, correct, not_yet


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


@check
def most_weights(answer) -> Verdict:
    """The types that hold most weights of SmolLM2's Q5_K_M and Q4_K_M."""
    found = [str(kind).strip().upper() for kind in answer]
    if found == ["Q5_1", "Q5_0"]:
        return correct(
            "blocks of 32, where 576 columns leave no room for 256. Neither file holds most of its weights in the type "
            "that it is named after, and both meet weights that were rounded to Q4_1 before."
        )
    if found == ["Q5_0", "Q5_1"]:
        return not_yet("these are the two, but the other way round: first that of Q5_K_M.")
    if found == ["Q5_K", "Q4_K"]:
        return not_yet("that is what the names say. `convert.summary(path).types` counts what is inside.")
    return not_yet("count the weights of each type with `convert.summary(path).types`, in both files.")
