"""The exercises of notebook 13."""

import math

from helpers.checks.verdict import Verdict, check, correct, not_yet


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


@check
def angle_and_pairs(answer) -> Verdict:
    """What the cosine loss saves at the end for a start from layers, and the pairs that halve the interval's width."""
    from helpers.experiments import halves

    saved, more = (float(value) for value in answer)
    ends = {(r["start"], r["cosine"], r["seed"]): list(r["losses"].values())[-1] for r in halves.results()}
    pairs = {start: [ends[start, False, s] - ends[start, True, s] for s in (0, 1, 2)] for start in ("layers", "random")}
    expected, other = (sum(pairs[start]) / 3 for start in ("layers", "random"))
    if abs(saved - other) < 5e-4 < abs(saved - expected):
        return not_yet("that is the difference for the random start. Layers are asked for.")
    if abs(saved + expected) < 5e-4 < abs(saved - expected):
        return not_yet("the other sign: positive if the training with the angle ends lower.")
    if abs(saved - expected) >= 5e-4:
        return not_yet("same start, same seed, with the angle and without; the mean of three differences at the end.")
    if more in (2, 3):
        return correct(
            f"{saved:+.3f} nats, and 2 more pairs: Student's t falls faster than √n grows when there are few."
        )
    if more in (5, 6):
        return not_yet("that is the number of all pairs; how many *more* than three?")
    if more == 9:
        return not_yet("four times as many would do for a known spread. But t itself falls, from 4.30 for 3 pairs.")
    return not_yet("half the width is t · s ÷ √n, with t = `stats.t.ppf(0.975, n - 1)`. Try n = 4, 5, 6.")
