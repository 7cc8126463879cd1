"""The exercises of notebook 12."""

import inspect
import sys

import numpy as np

from helpers.checks.verdict import Verdict, check, correct, not_yet


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
    random = np.random.default_rng(0)
    a, b, x = random.standard_normal((3, 4)), random.standard_normal((2, 5)), random.standard_normal(20)
    called, before = set(), sys.getprofile()
    # What is called on the way is watched, in this thread only: whoever else uses np.kron meanwhile does not notice.
    sys.setprofile(lambda frame, event, what: called.add(what.__name__ if event == "c_call" else frame.f_code))
    try:
        y = np.asarray(answer(a, b, x))
    finally:
        sys.setprofile(before)
    if y.size == 6 and np.allclose(y.ravel(), np.kron(b, a) @ x):
        return not_yet("that is B ⊗ A. The blocks of x belong to the columns of A: reshape to (n1, n2).")
    if y.shape != (6,) or not np.allclose(y, np.kron(a, b) @ x):
        return not_yet("the result differs from np.kron(a, b) @ x. With X of n1 × n2 it is A X Bᵀ, read row by row.")
    if called & {"kron", inspect.unwrap(np.kron).__code__}:  # a library's in C, by name, and NumPy's
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
