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
    """Bits that keep the damage of a model with ten times fewer weights, by the fit in groups."""
    bits = float(answer)
    if abs(bits - 0.62 * 0.74 * math.log(10)) < 0.02:
        return correct("1.06: here a bit is worth about ten times the weights.")
    if abs(bits - 0.62 * 0.74) < 0.02:
        return not_yet("nearly: the logarithm of 10 is missing.")
    if abs(bits - 0.62 * math.log(10)) < 0.02:
        return not_yet("the size enters with the power 0.74.")
    if bits < 0:
        return not_yet("fewer weights are hurt more, so more bits are needed.")
    return not_yet("take logarithms: 0.74 · log 10 = bits ÷ 0.62.")


@check
def best_use(answer) -> Verdict:
    """Shape and bits, in groups, with the lowest loss in at most 400 KB of matrices."""
    from helpers.experiments import grid

    shape, bits = str(answer[0]), int(answer[1])
    after, kilobytes = {}, {}
    for row in grid.results():
        if row["tokens"] == grid.TOKENS[-1] and row["rate"] == grid.RATES[row["shape"]]:
            for b, loss in row["rounded"]["group"].items():
                after.setdefault((row["shape"], int(b)), []).append(loss)
                kilobytes[row["shape"], int(b)] = row["matrices"] * (int(b) + 32 / grid.GROUP) / 8e3
    if (shape, bits) not in after:
        return not_yet(f"{answer!r} is not among them: a shape such as '64 wide', and one of {grid.BITS} bits.")
    size = kilobytes[shape, bits]
    if size > 400:
        return not_yet(
            f"{shape} in {bits} bits takes {size:.0f} KB. A weight takes its bits and one more for the group."
        )
    means = {case: sum(losses) / len(losses) for case, losses in after.items() if kilobytes[case] <= 400}
    best = min(means, key=means.get)
    if (shape, bits) == best:
        return correct(f"{size:.0f} KB and {means[best]:.2f} nats: the most weights, in few bits.")
    return not_yet(f"{means[shape, bits]:.2f} nats in {size:.0f} KB; another model is better in at most 400.")


@check
def rate_and_damage(answer) -> Verdict:
    """Loss, and damage at 3 bits in rows, of the smallest shape at several peaks: {rate: [(loss, damage), …]}."""
    from helpers.experiments import grid

    found = {float(rate): [(float(loss), float(added)) for loss, added in runs] for rate, runs in dict(answer).items()}
    usual = grid.RATES["32 wide"]
    if usual not in found or max(found) / min(found) < 4:
        return not_yet(f"the usual rate, {usual:g}, and one at least four times smaller or larger are needed.")
    if min(len(runs) for runs in found.values()) < 2:
        return not_yet("one start for a rate says nothing about chance. At least two are needed.")
    known = [
        (row["loss"], row["rounded"]["row"]["3"] - row["loss"])
        for row in grid.results()
        if (row["shape"], row["tokens"], row["rate"]) == ("32 wide", grid.TOKENS[0], usual)
    ]
    for loss, added in found[usual]:
        if not any(abs(loss - a) < 0.05 and abs(added - b) < 0.03 for a, b in known):
            return not_yet(
                f"at the usual rate the file has {known[0][0]:.2f} nats and {known[0][1]:.3f} more at 3 bits in rows, "
                f"you have {loss:.2f} and {added:.3f}. Train 320,000 tokens."
            )
    other = max(found, key=lambda rate: abs(math.log(rate / usual)))
    (loss, added), (usual_loss, usual_added) = (
        [sum(column) / len(column) for column in zip(*found[rate], strict=True)] for rate in (other, usual)
    )
    meaning = "The losses are nearly equal, so it may be the rate alone. How many starts would make you sure?"
    if abs(loss - usual_loss) > 0.1:
        meaning = (
            "Two changes at once, and what has learned less has less to lose: it need not be the rate. "
            "The sweep of section 5 compares at nearly equal loss."
        )
    return correct(
        f"at {other:g} rounding adds {added / usual_added:.1f} times what it adds at {usual:g}, and the loss is "
        f"{loss - usual_loss:+.1f} nats. {meaning}"
    )
