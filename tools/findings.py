"""What the results show that notebooks 08 to 10 ship: each function asserts a sentence and returns its figures."""

import itertools

import numpy as np

from helpers.experiments import files, grid, methods, precision, recipes
from helpers.quality import evaluate


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
                ratios.append(found[1] / np.min(found[2:], axis=0))
                assert (ratios[-1] < 1).all(), (model, bits, form)
                assert bits == 3 or (found[1] < found[0]).all()
    return f"on a clipped grid, its loss ÷ that of the next best, 48 comparisons: {span(np.concatenate(ratios))}"


def formats_turn() -> str:
    symmetric, affine = (added("tiny", 3, kind, None, "GPTQ", "HQQ") for kind in (True, False))
    assert (symmetric[0] > symmetric[1]).all() and (symmetric[0] > affine[1]).all() and (affine[1] > affine[0]).all()
    words = [f"{span(gptq, '.3f')} and {span(hqq, '.3f')}" for gptq, hqq in (symmetric, affine)]
    return f"GPTQ and HQQ, symmetric {words[0]}, affine {words[1]}"


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


def points() -> dict[tuple[str, int], list[dict]]:
    """Return the grid of notebook 10: {(shape, tokens): three trainings}."""
    found = {}
    for row in grid.results():
        if row["tokens"] in grid.TOKENS and row["rate"] == grid.RATES[row["shape"]]:
            found.setdefault((row["shape"], row["tokens"]), []).append(row)
    assert len(found) == 16 and all(len(rows) == 3 for rows in found.values())
    return found


def grid_added(rows: list[dict], way: str, bits: int) -> np.ndarray:
    """Return what rounding adds to the loss of some trainings."""
    return np.array([row["rounded"][way][str(bits)] - row["loss"] for row in rows])


def steps(way: str, bits: int) -> dict[str, list[str]]:
    """Return a sign for each step to more text by shape: "+" if every damage is larger than before, "-" if smaller."""
    signs = {}
    for shape in grid.RATES:
        damages = [grid_added(points()[shape, tokens], way, bits) for tokens in grid.TOKENS]
        pairs = itertools.pairwise(damages)
        signs[shape] = ["+" if a.max() < b.min() else "-" if a.min() > b.max() else "." for a, b in pairs]
    return signs


def text_and_damage() -> str:
    counted = {}
    for bits in (2, 3, 4):
        signs = steps("row", bits)
        assert bits == 2 or not any(row == ["+", "+", "+"] for row in signs.values())
        counted[bits] = "".join(itertools.chain(*signs.values()))
    assert "-" not in counted[2] and counted[2].count("+") >= 9 and counted[4].count("-") >= 3
    counts = [f"{bits} bits {signs.count('+')} up, {signs.count('-')} down" for bits, signs in counted.items()]
    return f"of 12 steps to more text: {'; '.join(counts)}"


def law(way: str, draws: int = 1000) -> np.ndarray:
    """Return γD, γN and γ of the law at 3 to 5 bits, with 95 % intervals over the points of the grid: (3, 3)."""

    def fit(cells: list[np.ndarray]) -> list[float]:
        table = np.concatenate(cells)
        _, text, size, bits = np.linalg.lstsq(table[:, :4], table[:, 4], rcond=None)[0]
        return [text, size, 1 / bits]

    cells = [
        np.array(
            [
                (1, np.log(row["tokens"]), -np.log(row["matrices"]), -bits, np.log(damage))
                for bits in (3, 4, 5)
                for row, damage in zip(rows, grid_added(rows, way, bits), strict=True)
            ]
        )
        for rows in points().values()
    ]
    random = np.random.default_rng(0)
    drawn = [fit([cells[i] for i in random.integers(len(cells), size=len(cells))]) for _ in range(draws)]
    return np.column_stack([fit(cells), *np.percentile(drawn, [2.5, 97.5], axis=0)])


def size_protects() -> str:
    found = {way: law(way) for way in ("row", "group")}
    assert all(each[1, 1] > 0.34 and each[0, 1] < 0 < each[0, 2] for each in found.values())
    words = [f"{value:.2f} [{low:.2f}, {high:.2f}]" for value, low, high in found["row"]]
    return f"in rows: γN {words[1]}, γD {words[0]}"


def larger_in_fewer_bits() -> str:
    words, most = [], grid.TOKENS[-1]
    for small, large in itertools.pairwise(grid.RATES):
        whole = np.array([row["loss"] for row in points()[small, most]])
        rows = points()[large, most]
        rounded = np.array([row["rounded"]["group"]["3"] for row in rows])
        times = rows[0]["matrices"] * 4 / (points()[small, most][0]["matrices"] * 16)
        assert rounded.max() < whole.min() or rounded.mean() < whole.mean() - 0.05
        words.append(f"{rounded.mean():.2f} against {whole.mean():.2f} in {times:.2f} of the bytes")
    return "; ".join(words)


def worth() -> str:
    best = {}
    for row in grid.results():
        if row["tokens"] == precision.TOKENS and row["seed"] == 0:
            best[row["matrices"]] = min(best.get(row["matrices"], 9.0), row["loss"])
    sizes, known = np.log(list(best)), -np.array(list(best.values()))

    def as_weights(name: str) -> np.ndarray:  # how many in FP32 would end there, (seeds,)
        losses = [row["loss"] for row in precision.results() if row["precision"] == name]
        return np.exp(np.interp(-np.array(losses), known, sizes))

    prices = {bits: as_weights(f"INT{bits}, weights") / as_weights("FP32") for bits in (8, 4, 3)}
    words = [f"{bits} bits {span(price)}" for bits, price in prices.items()]
    assert prices[3].max() < prices[4].min() and prices[4].mean() / 4 > prices[3].mean() / 3
    assert prices[4].mean() / 4 > prices[8].mean() / 8
    return "of a weight in FP32: " + ", ".join(words)
