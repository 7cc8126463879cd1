"""The conclusions of Parts III and IV, each with what was measured, and what it does not show: the table of evidence.

`tools.evidence` makes docs/evidence.md of it. `measured` computes its text from the results under data/, and asserts
what the sentence says.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers.experiments import files, methods, precision, recipes
from helpers.quality import evaluate


@dataclass(frozen=True)
class Conclusion:
    notebook: str
    says: str
    stands: str  # words of the notebook's text, code or output
    rests_on: str  # models, seeds, text
    measured: Callable[[], str]
    not_shown: str


def span(values, form: str = ".2f") -> str:
    """Return "mean (least to most)"."""
    values = np.asarray(values, float)
    return f"{values.mean():{form}} ({values.min():{form}} to {values.max():{form}})"


def added(model: str, bits: int, symmetric: bool, group: int | None, *names: str) -> list[np.ndarray]:
    """Return what methods of notebook 09 add to the loss in one format, (seeds,) each."""
    rows = sorted((r for r in methods.results() if r["model"] == model), key=lambda r: r["seed"])
    assert [row["seed"] for row in rows] == [0, 1, 2]
    forms = [
        next(f for f in row["formats"] if (f["bits"], f["symmetric"], f["group"]) == (bits, symmetric, group))
        for row in rows
    ]
    return [np.array([form["added"][name] for form in forms]) for name in names]


FORMATS = [(symmetric, group) for symmetric in (True, False) for group in (None, 64)]


def two_bits() -> str:
    rtn, clipped, gptq, qat = added("tiny", 2, True, None, "RTN", "RTN, clipped", "GPTQ, clipped", "QAT")
    assert rtn.min() > 2 * clipped.max() and clipped.min() > gptq.max() and gptq.min() > 5 * qat.max()
    return f"RTN {span(rtn)}, clipped {span(clipped)}, GPTQ on that grid {span(gptq)}, QAT {span(qat)} nats"


def equal_terms() -> str:
    ratios = []
    for model in ("tiny", "small"):
        for bits in (2, 3):
            for form in FORMATS:
                found = added(model, bits, *form, "GPTQ", "GPTQ, clipped", "RTN", "RTN, clipped", "HQQ", "AWQ")
                ratios.append(np.min(found[:2], axis=0) / np.min(found[2:], axis=0))
                assert (ratios[-1] < 1).all(), (model, bits, form)
                assert bits == 3 or (found[1] < found[0]).all()
    return f"its loss ÷ that of the next best, 48 comparisons: {span(np.concatenate(ratios))}"


def formats_turn() -> str:
    (symmetric,), (affine, hqq) = added("tiny", 3, True, None, "GPTQ"), added("tiny", 3, False, None, "GPTQ", "HQQ")
    assert (symmetric > hqq).all() and (hqq > affine).all()
    return f"GPTQ symmetric {span(symmetric, '.3f')}, HQQ affine {span(hqq, '.3f')}, GPTQ affine {span(affine, '.3f')}"


def training() -> str:
    shares = []
    for model in ("tiny", "small"):
        for form in FORMATS:
            qat, gptq, control = added(model, 2, *form, "QAT", "GPTQ, clipped", methods.CONTROLS[1])
            assert (qat < 0.5 * np.minimum(gptq, control)).all()
            shares += [qat / np.minimum(gptq, control)]
    return f"QAT's loss ÷ the best without: {span(np.concatenate(shares))}"


def flips() -> str:
    run = next(r for r in files.results() if r["model"] == "smollm2")
    right, texts = (np.array(run["questions"][name]) for name in ("right", "texts"))
    whole, coarse = (np.array(run["files"][kind]["answers"]) for kind in ("F16", "Q5_K_M"))
    change = (coarse == right).astype(float) - (whole == right)
    low, high = evaluate.bootstrap(change, groups=texts)
    other = float((coarse != whole).mean())
    assert low < 0 < high and other > 3 * abs(change.mean())
    interval = f"[{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"Q5_K_M: right answers {100 * change.mean():+.1f} points {interval}, other answers {other:.0%}"


def at_the_end(averaged: bool = False) -> dict[tuple, tuple[float, float]]:
    """Return loss and damage at 3 bits of every recipe of notebook 10: {(first weights, decay, schedule, seed): …}."""
    found = {}
    for row in recipes.results():
        last = row["looks"][-1]["averaged"] if averaged else row["looks"][-1]
        case = (row["first_weights"], row["decay"], row["schedule"], row["seed"])
        found[case] = (last["loss"], last["added"]["3"])
    assert len(found) == 36
    return found


def recipe() -> str:
    means = {}
    for (*way, _), values in at_the_end().items():
        means.setdefault(tuple(way), []).append(values)
    losses, damage = np.array([np.mean(rows, axis=0) for rows in means.values()]).T
    assert np.ptp(losses) < 0.04 and damage.max() > 3 * damage.min()
    return f"12 recipes: loss {span(losses)}, added by 3 bits {span(damage)} nats"


def choices_of_a_recipe() -> str:
    found, averaged = at_the_end(), at_the_end(averaged=True)
    pairs = {
        "first weights 0.02 instead of 0.1": [found[0.02, *k[1:]][1] / v[1] for k, v in found.items() if k[0] == 0.1],
        "weight decay": [found[k[0], 0.1, *k[2:]][1] / v[1] for k, v in found.items() if k[1] == 0],
        "a late fall of the rate": [found[*k[:2], "wsd", k[3]][1] / v[1] for k, v in found.items() if k[2] == "cosine"],
        "then the mean of the last weights": [averaged[k][1] / v[1] for k, v in found.items() if k[2] == "wsd"],
    }
    assert all(np.mean(np.array(ratios) < 1) > 0.9 for ratios in pairs.values())
    return "damage × " + ", ".join(f"{span(ratios)} ({name})" for name, ratios in pairs.items())


def early() -> str:
    shares, falls = [], []
    for row in recipes.results():
        if (row["first_weights"], row["decay"], row["schedule"]) == (0.02, 0.1, "cosine"):
            quarter, last = row["looks"][2], row["looks"][-1]
            shares.append(quarter["added"]["3"] / last["added"]["3"])
            falls.append(quarter["loss"] - last["loss"])
    assert len(shares) == 3 and np.mean(shares) > 0.9 and min(falls) > 0.25
    return f"{span(shares)} of it after a quarter of the text, with {span(falls)} nats of loss still to fall"


def above_fp32(name: str) -> np.ndarray:
    """Return the loss of a training in few bits above that of FP32, (seeds,)."""
    loss = {(row["precision"], row["seed"]): row["loss"] for row in precision.results()}
    return np.array([loss[name, seed] - loss["FP32", seed] for seed in (0, 1, 2)])


def eight_bits() -> str:
    found = {name: above_fp32(f"{name}, all three") for name in ("MXFP8", "INT8")}
    assert all(np.abs(values).max() < 0.03 and values.min() < 0.01 for values in found.values())
    return "above FP32: " + ", ".join(f"{name} {span(values, '+.3f')}" for name, values in found.items())


def four_bits() -> str:
    found = {name: above_fp32(f"{name}, all three") for name in ("NVFP4", "MXFP4", "INT4")}
    least = [(values.min(), values.max()) for values in found.values()]
    assert least[0][0] > 0.02 and least[0][1] < least[1][0] and least[1][1] < least[2][0]
    return "above FP32: " + ", ".join(f"{name} {span(values, '+.3f')}" for name, values in found.items())


CONCLUSIONS = (
    Conclusion(
        "08",
        "A file can answer as many questions right as F16 and still answer many of them differently",
        "five turned from right to wrong",
        "SmolLM2, 120 questions from 12 texts, drawn by text",
        flips,
        "One model near its limits and one kind of question. A model that is surer flips less.",
    ),
    Conclusion(
        "09",
        "What looks like the limit of 2 bits is mostly the choice of a scale, and the rest can be trained away",
        "And 2 bits are no ruin after all",
        "3 tiny models, symmetric, one scale for each row",
        two_bits,
        "Models of 100,080 parameters, trained from large first weights without decay, in one format.",
    ),
    Conclusion(
        "09",
        "Within one format, GPTQ is the best method that does not train, at 2 and 3 bits; at 2 bits on a clipped grid",
        "At 2 bits the order is the same in all four formats",
        "3 tiny and 3 small models, 4 formats",
        equal_terms,
        "4 bits, where three models cannot rank the methods; models with outlier channels, where AWQ leads.",
    ),
    Conclusion(
        "09",
        "GPTQ in one format against HQQ in another compares formats: in the same format their order turns",
        "The ranking turns",
        "3 tiny models, 3 bits, one grid for each row",
        formats_turn,
        "Which format is better for its bits: affine codes take 0.28 more in rows as short as these.",
    ),
    Conclusion(
        "09",
        "At 2 bits training with the rounding inside loses less than half of what the best other method does, and not "
        "because of the longer training",
        "So most of the damage of 2 bits can be trained away",
        "3 tiny and 3 small models, 4 formats, with a control trained as long",
        training,
        "Large models, for which training costs more than most can pay.",
    ),
    Conclusion(
        "10",
        "What rounding costs depends on how a model was trained, at the same loss, by a factor of three",
        "halve the damage, weight decay takes a fifth off it",
        "the tiny shape, 3 million tokens, 12 recipes, 3 seeds",
        recipe,
        "Other sizes, finer formats, 2 bits (where recipes differ by a tenth), and what in the weights it is.",
    ),
    Conclusion(
        "10",
        "Small first weights, weight decay, a late fall of the rate and averaged weights each lower the damage",
        "Now one choice at a time",
        "the same; all pairs that differ in nothing else",
        choices_of_a_recipe,
        "That they do so in large models; the effects were not tested beyond these values.",
    ),
    Conclusion(
        "10",
        "With the usual recipe nearly all of the damage at 3 bits comes early, and more text adds none",
        "after that the recipe decides, not the text",
        "the tiny shape, usual recipe, cosine, 3 seeds",
        early,
        "Trainings beyond 30 tokens per parameter; 2 bits; the recipe of our tiny models, where the damage grows.",
    ),
    Conclusion(
        "10",
        "Training in 8 bits, weights, activations and gradients, costs nothing that three starts can show",
        "FP8 costs nothing that three starts can show",
        "64 wide, a million tokens, 3 seeds",
        eight_bits,
        "Long trainings and large models, where errors add up; speed (all of it is computed in FP32).",
    ),
    Conclusion(
        "10",
        "In 4 bits the scales decide: blocks of 16 with a fine one lose least, one scale for a row most",
        "In 4 bits the *scales* decide",
        "64 wide, a million tokens, 3 seeds",
        four_bits,
        "What stochastic rounding and rotations do: nothing here, where the paper needs them at 10 trillion tokens.",
    ),
)
