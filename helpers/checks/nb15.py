"""The exercises of notebook 15."""

from helpers.checks.verdict import Verdict, check, correct, not_yet

ENOUGH = 0.7  # of what stories bring; a page about lighthouses brings 0.9, one word again and again 0.6


@check
def spend(answer) -> Verdict:
    """A function from upgrades, {name: (bytes, nats saved)}, and spare bytes to the names bought, in order."""
    cases = [
        ({"a": (4000, 0.002), "b": (1000, 0.001), "c": (500, 0.0001)}, 5000, ["b", "a"]),
        ({"big": (9000, 0.009), "small": (1000, 0.0005), "middle": (4000, 0.003)}, 6000, ["middle", "small"]),
        ({"a": (100, 0.1)}, 50, []),
    ]
    for upgrades, spare, expected in cases:
        found = list(answer(dict(upgrades), spare))
        if found == expected:
            continue
        if sum(upgrades[name][0] for name in found) > spare:
            return not_yet(f"{found} takes more than the {spare:,} bytes that are left.")
        if found == sorted(found, key=lambda name: -upgrades[name][1]) and len(found) < len(expected):
            return not_yet("the one that saves most is not the one that saves most for each byte.")
        return not_yet(f"for {upgrades} and {spare:,} bytes you buy {found}, the best order is {expected}.")
    return correct("the best saving for each byte first, and what no longer fits is passed over.")


@check
def taken(answer) -> Verdict:
    """A function from {type: (bytes, nats)} and an exchange rate in nats per byte to the type that is taken."""
    small = {"Q3_K": (3440, 0.0009), "Q8_0": (8704, 0.0)}
    large = {"Q3_K": (344_000, 0.0009), "Q8_0": (870_400, 0.0)}
    for points, rate, expected in ((small, 1e-7, "Q8_0"), (large, 1e-7, "Q3_K"), (small, 1e-6, "Q3_K")):
        found = answer(dict(points), rate)
        if found != expected:
            return not_yet(
                f"with {points} at {rate:g} nats per byte you take {found}, the sum of {expected} is smaller."
            )
    return correct(
        "5,264 bytes more are worth 0.0005 nats at this rate, and save 0.0009. A tensor a hundred times as large with "
        "the same price stays at 3 bits: small tensors that are dear get the bits."
    )


@check
def calibration_text(answer) -> Verdict:
    """A text of 120 words at least; importance from it has to bring most of what other stories bring."""
    from helpers.training import corpus, stories

    if not isinstance(answer, str):
        return not_yet("the answer is a text, in quotes.")
    words = answer.split()
    if len(words) < 120:
        return not_yet(f"{len(words)} words are few. Write 120 at least.")
    held_out = list(stories.stories(corpus.HELD_OUT_SEED, 200))
    known = " ".join(" ".join(held_out).split())
    if any(" ".join(words[i : i + 20]) in known for i in range(0, len(words) - 20, 10)):
        return not_yet("sentences of the held-out stories stand in it: that is the text which decides.")
    share = _gained(answer, held_out)
    if share < ENOUGH:
        return not_yet(
            f"it brings {share:.0%} of what other stories bring. Use many different words, in sentences of many kinds: "
            "a column that your text never excites counts for nothing."
        )
    return correct(f"it brings {share:.0%} of what 300 stories bring. Any varied text does most of the work.")


def _gained(text: str, held_out: list[str]) -> float:
    """Return how much of the KL that 300 stories' importance saves in IQ3_M is saved by a text's."""
    from helpers.pipeline import catalogue, convert
    from helpers.quality import evaluate, importance, scoring
    from helpers.training import stories

    wide = convert.to_gguf(catalogue.CATALOGUE["story"].fetch(), "f16")
    reference = scoring.reference(wide, held_out, window=256, most=40)
    texts = {"an exercise": text, "300 stories": list(stories.stories("calibration", 300))}
    seen = [importance.collect(wide, each, window=64, most=100, name=name) for name, each in texts.items()]
    files = [convert.requantize(wide, "IQ3_M", importance=each) for each in (*seen, None)]
    mine, theirs, without = (evaluate.compare(reference, file, held_out).kl for file in files)
    return (without - mine) / (without - theirs)
