"""The exercises of notebook 11."""

import math

from helpers.checks.verdict import Verdict, check, correct, not_yet


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


@check
def fair_comparison(answer) -> Verdict:
    """Healed losses of "Wanda, 50 %" minus the whole model's, and minus the whole model's trained as long."""
    from helpers.experiments import pruning

    reported, fair = ([float(value) for value in part] for part in answer)
    runs = {(row["way"], row["seed"]): row for row in pruning.results() if "way" in row}
    healed, control = ([runs[way, seed] for seed in (0, 1, 2)] for way in ("Wanda, 50 %", "nothing"))
    to_whole = [row["loss"] - row["whole"] for row in healed]
    to_control = [row["loss"] - other["loss"] for row, other in zip(healed, control, strict=True)]

    def same(given: list[float], expected: list[float]) -> bool:
        return len(given) == 3 and all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(given, expected, strict=True))

    if same(reported, to_whole) and same(fair, to_control):
        below, above = sum(value < 0 for value in to_whole), sum(value > 0 for value in to_control)
        return correct(
            f"against the whole model {below} of 3 pruned ones are better, against the whole model trained as long "
            f"{above} of 3 are worse. It was the training."
        )
    if same(reported, to_control) and same(fair, to_whole):
        return not_yet("both are right, the other way round: the report did not train the whole model any further.")
    if same(reported, to_whole):
        return not_yet("the first list is right. What else was different, but for the pruning? The training.")
    return not_yet('two lists of three: "loss" minus "whole", and "loss" minus the "loss" of the way "nothing".')
