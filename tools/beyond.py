"""What the results show that notebooks 11 to 14 ship: each function asserts a sentence and returns its figures."""

import numpy as np
from scipy import stats

from helpers.experiments import designs, grid, halves, healing, oneshot, pruning, students
from helpers.experiments.sweep import SEEDS
from tools.findings import span


def interval(differences) -> tuple[float, float, float]:
    """Return the mean of a few differences and its 95 % interval, by Student's t."""
    mean, error = np.mean(differences), stats.sem(differences)
    return mean, *stats.t.interval(0.95, len(differences) - 1, loc=mean, scale=error)


def pruned(way: str, name: str = "loss") -> np.ndarray:
    """Return what notebook 11's sweep measured after a way of pruning, (seeds,)."""
    found = {row["seed"]: row[name] for row in pruning.results() if row.get("way") == way}
    return np.array([found[seed] for seed in SEEDS])


def healed_pruning() -> str:
    words = []
    for way in ("Wanda, 50 %", "2:4", "half of the neurons", "one layer of three", "half of the channels"):
        once, left = pruned(way, "before") - pruned(way, "whole"), pruned(way) - pruned("nothing")
        assert left.max() < min(0.25 * once.min(), 0.15)
        words.append(f"{way} {once.mean():.2f} → {span(left, '.3f')}")
    return "nats, in one shot → healed: " + "; ".join(words)


def rounds() -> str:
    words = []
    for way in ("Wanda, 75 %", "half of the neurons"):
        more = pruned(f"{way}, in four rounds") - pruned(way)
        assert (more > 0).all()
        words.append(f"{way} {span(more, '+.3f')}")
    return "four rounds against one: " + ", ".join(words) + " nats"


def pruned_and_rounded() -> str:
    found = {way: pruned(way, "four_bits") - pruned(way) for way in pruning.WAYS}
    assert max(values.max() for values in found.values()) < 0.01
    dearer = ("Wanda, 75 %", "half of the channels")
    assert all((found[way] > found["nothing"]).all() for way in dearer)
    words = [f"{way} {span(found[way], '.4f')}" for way in ("nothing", "2:4", *dearer)]
    return "4 bits add, after " + ", ".join(words) + " nats"


def halved(model: str, method: str, name: str = "loss") -> np.ndarray:
    """Return what notebook 12's sweep measured, (seeds,)."""
    rows = [row for row in healing.results() if (row["model"], row["method"]) == (model, method)]
    found = {row["seed"]: row[name] for row in rows}
    return np.array([found[seed] for seed in SEEDS])


def left_over(model: str, method: str) -> np.ndarray:
    """Return the healed loss above the whole model's, trained as long; for `story` above what it was, (seeds,)."""
    other = ("not compressed", "loss") if model != "story" else ("SVD", "whole")
    return halved(model, method) - halved(model, *other)


def healing_order() -> str:
    kinds = ("permuted Kronecker", "Kronecker", "SVD")
    tiny, small = ([left_over(model, kind) for kind in kinds] for model in ("tiny", "small"))
    assert tiny[0].max() < tiny[1].min() and tiny[1].max() < tiny[2].min()
    assert (small[2] < small[0]).all() and (small[0] < small[1]).all()
    permuted, svd = (left_over("story", kind) for kind in ("permuted Kronecker", "SVD"))
    assert svd.max() < permuted.min()
    words = [
        f"{model}: " + ", ".join(f"{kind} {span(left, '.3f')}" for kind, left in zip(kinds, found, strict=True))
        for model, found in (("tiny", tiny), ("small", small))
    ]
    story = f"`story`: permuted Kronecker {span(permuted, '.3f')}, SVD {span(svd, '.3f')}"
    return "nats left: " + "; ".join((*words, story))


def before_healing() -> str:
    svd, plain = (halved("tiny", kind, "before") - halved("tiny", kind, "whole") for kind in ("SVD", "Kronecker"))
    assert svd.max() < plain.min() and left_over("tiny", "SVD").min() > left_over("tiny", "Kronecker").max()
    healed = [span(left_over("tiny", kind), ".2f") for kind in ("SVD", "Kronecker")]
    return f"SVD {span(svd, '.1f')} → {healed[0]}, plain products {span(plain, '.1f')} → {healed[1]} nats"


def untied() -> str:
    stored, whole = (halved("tiny", way, "parameters")[0] for way in ("KnGPT-2's recipe", "not compressed"))
    ways = ("KnGPT-2's recipe", "permuted Kronecker")
    recipe, permuted = (left_over("tiny", way) for way in ways)
    assert stored > whole and recipe.min() > permuted.max()
    return f"{stored / whole - 1:+.0%} numbers, {span(recipe, '+.3f')} nats; permuted products {span(permuted, '+.3f')}"


def student(text: int | None, alpha: float, temperature: float) -> np.ndarray:
    """Return the loss of notebook 13's students, (seeds,)."""
    want = (text, alpha, temperature)
    rows = [row for row in students.results() if (row["text"], row["alpha"], row["temperature"]) == want]
    found = {row["seed"]: row["loss"] for row in rows}
    return np.array([found[seed] for seed in SEEDS])


def teacher_helps() -> str:
    words = []
    for text, name in ((60_000, "60,000 tokens"), (None, "fresh text")):
        for alpha, share in ((0.5, "half"), (1.0, "alone")):
            mean, low, high = interval(student(text, 0.0, 1.0) - student(text, alpha, 1.0))
            assert low > 0.02
            words.append(f"{name}, {share} {mean:.3f} [{low:.3f}, {high:.3f}]")
    return "nats saved: " + "; ".join(words)


def hotter() -> str:
    words = []
    for text, name in ((60_000, "60,000 tokens"), (None, "fresh text")):
        mean, low, high = interval(student(text, 0.5, 2.0) - student(text, 0.5, 1.0))
        assert low > 0
        words.append(f"{name} {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
    return "T = 2 against 1: " + ", ".join(words)


def from_layers() -> str:
    found = {(row["start"], row["cosine"], row["seed"]): list(row["losses"].values()) for row in halves.results()}
    ends = {start: np.array([found[start, False, seed][-1] for seed in SEEDS]) for start in ("layers", "random")}
    quarter = np.array([found["layers", False, seed][1] for seed in SEEDS])
    assert quarter.max() < ends["random"].min()
    words = [span(losses, ".3f") for losses in (ends["layers"], quarter, ends["random"])]
    return f"from layers {words[0]}, after a quarter of the steps {words[1]}; from random numbers {words[2]}"


def one_rate() -> str:
    runs = [row for row in designs.results() if row["tokens"] == designs.PILOT_TOKENS and "wide" in row["design"]]
    winners = {
        rate: min((row for row in runs if row["rate"] == rate), key=lambda row: row["loss"])["design"]
        for rate in designs.PILOTS
    }
    assert len(set(winners.values())) == 3
    return "the winner, by peak rate: " + "; ".join(f"{rate:g}: {shape}" for rate, shape in winners.items())


def one_shot(way: str) -> tuple[float, float]:
    """Return MB and loss of `story` made smaller in one of the ways of notebook 14."""
    row = next(row for row in oneshot.results() if row["way"] == way)
    return row["bytes"] / 1e6, row["loss"]


def two_bits_by_method() -> str:
    found = {method: one_shot(f"{method}, 2 bits") for method in ("RTN", "HQQ", "AWQ", "GPTQ")}
    whole, losses = one_shot("F16")[1], [loss for _, loss in found.values()]
    assert losses == sorted(losses, reverse=True) and len({size for size, _ in found.values()}) == 1
    words = [f"{method} {loss - whole:+.2f}" for method, (_, loss) in found.items()]
    return f"in {found['RTN'][0]:.2f} MB: {', '.join(words)} nats"


def small_and_few_bits() -> str:
    rows = [row for row in grid.results() if (row["shape"], row["tokens"]) == ("192 wide", max(grid.TOKENS))]
    costs = np.array([row["rounded"]["group"]["4"] - row["loss"] for row in rows])
    numbers, others = rows[0]["matrices"], rows[0]["parameters"] - rows[0]["matrices"]
    small, large = ((numbers * bits + others * 8.5) / 8e6 for bits in (5, 16))
    assert len(rows) == 3 and costs.max() < 0.005 and small < 0.4 * large
    return f"{span(costs, '+.4f')} nats, {small:.2f} MB instead of {large:.2f}"
