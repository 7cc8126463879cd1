"""The exercises of notebook 09."""

import math

from helpers.checks.verdict import Verdict, check, correct, not_yet


@check
def fake_round(answer) -> Verdict:
    """A function (w, scale) that rounds forward and passes the gradient unchanged."""
    import torch

    w = torch.tensor([0.26, -0.9, 1.3, 0.0], requires_grad=True)
    result = answer(w, 0.5)
    expected = torch.tensor([0.5, -1.0, 1.5, 0.0])
    if not torch.allclose(result.detach(), expected):
        return not_yet(f"forward, {w.tolist()} with scale 0.5 should give {expected.tolist()}, not {result.tolist()}.")
    if not result.requires_grad:
        return not_yet("no gradient reaches w: only the difference between rounded and original may be detached.")
    (result * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    if w.grad is None or not torch.allclose(w.grad, torch.tensor([1.0, 2.0, 3.0, 4.0])):
        return not_yet("the gradient should arrive unchanged. round() has the gradient 0: detach the difference.")
    return correct("forward the staircase, backward the straight line.")


@check
def output_errors(answer) -> Verdict:
    """Which of two roundings has the smaller output error, and both errors."""
    name, a, b = answer
    if not math.isclose(float(a), 0.06, abs_tol=1e-6) or not math.isclose(float(b), 0.5, abs_tol=1e-6):
        return not_yet("the error of the output is |x · (w − ŵ)|: multiply each weight's error by its input and add.")
    if str(name).strip().upper() != "A":
        return not_yet("compare the two errors again.")
    return correct("A is 0.4 off in one weight, but that weight meets 0.1; B's 0.05 meets 10.")


@check
def qat_bytes(answer) -> Verdict:
    """Bytes for weights and optimizer state in QAT with AdamW, for each weight."""
    number = float(answer)
    if number == 12:
        return correct("4 for the weight and 8 for AdamW's moments, as in any training: QAT needs no second model.")
    if number in (16, 24):
        return not_yet("that counts a second model. The rounded weights are made on the fly from the one copy.")
    if number == 4:
        return not_yet("AdamW keeps two numbers for each weight.")
    return not_yet("one FP32 weight, and two FP32 moments.")


@check
def awq_and_outliers(answer) -> Verdict:
    """AWQ's loss ÷ RTN's, for several sizes of planted outliers: {size: ratio}."""
    from helpers.compression import compress, outliers
    from helpers.compression.calibrate import Format
    from helpers.experiments import methods
    from helpers.training import corpus, shipped, stories
    from helpers.training.fit import mean_loss

    ratios = {float(size): float(ratio) for size, ratio in dict(answer).items()}
    if len(ratios) < 4 or min(ratios) != 1 or max(ratios) > 1000:
        return not_yet("at least four sizes are needed, and 1, where nothing is planted, to compare them with.")
    tokenizer = corpus.story_tokenizer()
    text, held_out = corpus.encode(stories.stories(5, 60), tokenizer), corpus.held_out_tokens(tokenizer, 60)
    model, largest = shipped.tiny(0), max(ratios)
    planted = outliers.plant(model, largest)
    moments, base = compress.inputs_of(planted, text), mean_loss(model, held_out)
    added = [
        mean_loss(methods.quantized(planted, method, Format(4, True), moments), held_out) - base
        for method in ("AWQ", "RTN")
    ]
    expected = added[0] / added[1]
    if not abs(ratios[largest] - expected) < 0.15:
        return not_yet(
            f"at size {largest:g} the check finds {expected:.2f}, with 4 bits, one symmetric scale for each row, model "
            f"0 and the calibration text of section 2; you have {ratios[largest]:.2f}."
        )
    return correct(
        f"without outliers AWQ loses {ratios[1.0]:.0%} of what RTN loses, with the largest {ratios[largest]:.0%}: the "
        "sentence could have been refuted, and was not."
    )
