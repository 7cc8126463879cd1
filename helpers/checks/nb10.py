"""The exercises of notebook 10."""

import math

from helpers.checks.verdict import Verdict, check, correct, not_yet


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
