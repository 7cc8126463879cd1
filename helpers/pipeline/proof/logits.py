"""Do checkpoint and GGUF predict the same next tokens? The checkpoint in FP32, on the checkpoint's tokens.

Three measures, since no one serves every model: the error of the logits as a share of their own spread, which also
speaks where an untrained model finds everything equally likely; the KL divergence of the file's distribution from the
checkpoint's; and the first choice, where the checkpoint does not waver itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from helpers import artifacts
from helpers.errors import ConversionError, CourseError
from helpers.pipeline import reference, runtime
from helpers.pipeline.checkpoint import Checkpoint
from helpers.pipeline.gguf_file import Summary
from helpers.pipeline.proof import predictions
from helpers.pipeline.proof.rows import FAILED, OPEN, PASSED, Row
from helpers.pipeline.proof.tokens import TEXTS, first_line
from helpers.pipeline.proof.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAME = "logits"
TOKENS = 256
EDGE = 128  # of a longer text, so many tokens are compared at either end
MOST_WORK = 3e12  # tokens × parameters: a few minutes on two cores
FEW = 20  # clear cases say nothing about a share: one changed choice among them would decide
NEAR_TIE = 0.5  # a lead of the first choice, in nats, that rounding may undo
# What a right file leaves at most, by the type of most weights: error, KL divergence, and the least agreement. Measured
# on `story`, SmolLM2 and 60 tiny architectures, F16 has an error of 0.0004 to 0.01, Q8_0 0.015 to 0.03, Q4_K_M 0.09 to
# 0.13, Q2_K 0.3; the faults that were seen 0.1 (GELU for SiLU), 0.2 (a sliding window ignored), 1.2 (other weights). In
# four bits the smallest of them drown: such a file is judged for what it is, and the F16 one beside it for the details.
LIMITS = {
    **dict.fromkeys(("F64", "F32", "F16"), (0.02, 0.02, 0.98)),
    **{"BF16": (0.05, 0.05, 0.97), "Q8_0": (0.06, 0.03, 0.97), "Q6_K": (0.1, 0.06, 0.95)},
    **dict.fromkeys(("Q5_0", "Q5_1", "Q5_K"), (0.25, 0.3, 0.9)),
    **dict.fromkeys(("Q4_0", "Q4_1", "Q4_K", "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4"), (0.35, 0.5, 0.8)),
    **dict.fromkeys(("Q3_K", "IQ3_S", "IQ3_XXS"), (0.5, 1.5, 0.6)),
}
COARSEST = (0.8, 4.0, 0.2)
MOST = 0.9  # of the positions count for the error: where a router of experts nearly ties, rounding chooses another one


@dataclass(frozen=True)
class Difference:
    """How far a file's logits are from the checkpoint's, over `positions` tokens."""

    error: float  # root mean square error ÷ spread (standard deviation) of the logits, of the best nine tenths
    kl: float  # mean KL divergence of the file's distribution from the checkpoint's, in nats per token
    agreement: float  # share of the decided positions with the same first choice; 1 without any
    decided: int
    positions: int


def measure(expected: np.ndarray, found: np.ndarray) -> Difference:
    """Compare two arrays of logits (positions, vocabulary); of two vocabularies the smaller one counts."""
    columns, n = min(expected.shape[1], found.shape[1]), len(expected)
    wrong, spread, kl = np.zeros(n), np.zeros(n), np.zeros(n)
    same, decided = 0, 0
    for i, (ours, theirs) in enumerate(zip(expected[:, :columns], found[:, :columns], strict=True)):
        p, q = ours - ours.mean(dtype=np.float64), theirs - theirs.mean(dtype=np.float64)  # a constant changes nothing
        wrong[i], spread[i] = np.square(p - q).mean(dtype=np.float64), np.square(p).mean(dtype=np.float64)
        first = p.argmax()
        second = max(p[:first].max(initial=-np.inf), p[first + 1 :].max(initial=-np.inf))
        if p[first] - second > NEAR_TIE:
            decided += 1
            same += bool(q.argmax() == first)
        p, q = p - p[first], q - q.max()
        weights = np.exp(p)
        total = weights.sum(dtype=np.float64)
        kl[i] = np.dot(weights, p - q) / total - np.log(total) + np.log(np.exp(q).sum(dtype=np.float64))
    best = np.argsort(wrong / np.maximum(spread, 1e-30))[: max(1, round(MOST * n))]
    error = math.sqrt(wrong[best].sum() / max(spread[best].sum(), 1e-30))
    return Difference(error, max(0.0, float(kl.mean())), same / decided if decided else 1.0, decided, n)


def compare(
    tokenizer: PreTrainedTokenizerBase | str,
    checkpoint: Checkpoint,
    file: Summary,
    vocabulary: Vocabulary,
    threads: int | None = None,
) -> Row:
    """Return the row about logits. Without a tokenizer of the checkpoint the file's tokens have to do."""
    if not file.tensors:
        return Row(NAME, OPEN, "there are no weights to compute with")
    window, length = sliding_window(checkpoint), TOKENS
    trained = runtime.trained_context(file)
    if window and window < trained:
        affordable = int(MOST_WORK / file.parameters)
        length = window + EDGE if window + EDGE <= max(affordable, TOKENS) else TOKENS
    ids = _text(tokenizer, vocabulary, min(length, trained))
    keep = list(range(len(ids))) if len(ids) <= 2 * EDGE else [*range(EDGE), *range(len(ids) - EDGE, len(ids))]
    try:
        expected = reference.logits(checkpoint.folder, ids, keep)
    except CourseError as error:
        return Row(NAME, OPEN, f"the checkpoint's side could not be computed: {first_line(error)}")
    if not np.isfinite(expected).all():
        return Row(NAME, OPEN, "the checkpoint itself predicts NaN or infinity", "Its weights are damaged.")
    try:
        found, known_window = predictions.of(file.path, ids, keep, threads)
    except ConversionError as error:
        return Row(NAME, FAILED, first_line(error), "Look for this architecture among llama.cpp's issues.")
    except CourseError as error:
        return Row(NAME, OPEN, f"the file's side could not be computed: {first_line(error)}")
    row = _judge(measure(expected, found), file)
    if row.verdict == PASSED and window and len(ids) <= window < trained:
        return _unreached(row, window, known_window)
    return row


def sliding_window(checkpoint: Checkpoint) -> int | None:
    """Return over how many tokens some layer of the checkpoint looks back, None without a limit or unknown."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
        text = config.get_text_config()
    except Exception:  # what transformers does not know, the reference will say
        return None
    found = [getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min((n for n in found if isinstance(n, int) and n > 0), default=None)


def _text(tokenizer: PreTrainedTokenizerBase | str, vocabulary: Vocabulary, length: int) -> list[int]:
    """Return so many tokens of mixed and plain text, the checkpoint's if it has a tokenizer."""
    data = artifacts.ROOT / "data"
    prose = (data / "lighthouse.txt").read_text()
    text = "\n\n".join([prose[:600], *TEXTS.values(), prose[600:], (data / "evaluation.txt").read_text()])
    text = text[: 8 * length]  # no tokenizer takes more letters for a token, on average
    ids = vocabulary.tokens(text, ends=True) if isinstance(tokenizer, str) else tokenizer.encode(text, verbose=False)
    return [token for token in ids if token < vocabulary.size][:length]


def _judge(seen: Difference, file: Summary) -> Row:
    main = file.main_type
    if not (math.isfinite(seen.error) and math.isfinite(seen.kl)):
        remedy = "Weights or sums are larger than this type can hold. Convert with outtype bf16 or f32."
        return Row(NAME, FAILED, f"the file predicts NaN or infinity ({main})", remedy)
    most_error, most_kl, least = LIMITS.get(main, COARSEST)
    share = (
        f"same first choice in {seen.agreement:.1%} of {seen.decided} clear cases" if seen.decided else "no clear case"
    )
    detail = f"{seen.positions} tokens: error {seen.error:.2g} of the spread, KL {seen.kl:.2g} nats, {share}"
    if seen.error <= most_error and seen.kl <= most_kl and (seen.agreement >= least or seen.decided < FEW):
        return Row(NAME, PASSED, detail)
    return Row(
        NAME,
        FAILED,
        f"{detail} (right for {main}: up to {most_error:g}, {most_kl:g}, {least:.0%})",
        "llama.cpp computes something else than transformers. Look for settings of config.json that its architecture "
        f"{file.metadata.get('general.architecture')} does not know (an activation, a sliding window, scales), and "
        "whether the file was made from this folder.",
    )


def _unreached(row: Row, window: int, known: int) -> Row:
    """Return the row for a text that was not longer than the sliding window: llama.cpp must at least know of it."""
    if known:
        return Row(NAME, PASSED, f"{row.detail}; texts beyond its window of {window:,} tokens take too long to compare")
    return Row(
        NAME,
        FAILED,
        f"{row.detail}, but the checkpoint looks back over {window:,} tokens and llama.cpp has no such limit",
        f"Up to {window:,} tokens both are the same: let max_position_embeddings be {window} in config.json and "
        "convert again.",
    )
