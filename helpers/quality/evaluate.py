"""How far is a GGUF from a reference? KL divergence, agreement and recalled facts, with honest intervals.

`scoring` runs one file on a text; here two runs on the same tokens are compared. Tokens of one window depend on each
other; therefore all intervals take whole windows as the independent unit, or whole texts, if they were cut apart.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.errors import InputError
from helpers.pipeline import gguf_file, runtime
from helpers.quality import scoring
from helpers.quality.scoring import CODES_PER_NAT, Perplexity, Reference
from helpers.training import stories


@dataclass(frozen=True)
class Comparison:
    """A candidate beside a reference on the same tokens; both arrays (windows, scored tokens)."""

    candidate: Perplexity
    reference: Perplexity
    divergences: np.ndarray  # KL divergence of the candidate from the reference, in nats
    agreements: np.ndarray  # whether both find the same token most likely

    @property
    def kl(self) -> float:
        """Mean KL divergence in nats: what the reference's distribution loses by being replaced."""
        return float(self.divergences.mean(dtype=np.float64))

    @property
    def top1(self) -> float:
        """Share of positions with the same most likely token."""
        return float(self.agreements.mean())

    @property
    def ratio(self) -> float:
        """Perplexity ÷ the reference's."""
        return math.exp(self.candidate.loss - self.reference.loss)

    def interval(self, what: str = "kl") -> tuple[float, float]:
        """Return the 95 % bootstrap interval of `kl`, `top1` or `loss` (difference to the reference).

        Drawn again are the texts if they were cut apart (`scoring.reference(..., apart=True)`), otherwise the windows.
        """
        values = {
            "kl": self.divergences,
            "top1": self.agreements,
            "loss": self.candidate.losses - self.reference.losses,
        }
        if what not in values:
            raise InputError(f"There is no interval of {what!r}. Measured are {', '.join(values)}. Choose one of them.")
        return bootstrap(values[what].mean(axis=1), groups=self.reference.texts)


def compare(
    reference_run: Reference | str | Path,
    candidate: str | Path,
    text: str | Iterable[str],
    threads: int | None = None,
    opened_with: dict | None = None,
    **options,
) -> Comparison:
    """Compare a candidate with a reference (a run, or a GGUF that is run first) on the same windows.

    opened_with: options of `runtime.load` for the candidate, such as a cache in fewer bits (`kv_cache.stored_as`).
    Raises InputError if the vocabularies differ or if the reference was made from another text.
    """
    text = scoring.documents(text)  # read twice
    base = reference_run if isinstance(reference_run, Reference) else scoring.reference(reference_run, text, **options)
    window, most = base.windows.shape[1], len(base.windows)
    file = gguf_file.summary(candidate)
    if scoring.vocabulary(file) != base.vocabulary:
        raise InputError(
            f"{file.path.name} and {base.name} have different vocabularies. Probabilities of different tokens cannot "
            "be compared one by one. Compare bits per byte instead."
        )
    apart = base.texts is not None
    with scoring.Scorer(candidate, text, window, most, threads, apart, **opened_with or {}) as model:
        if not np.array_equal(model.windows, base.windows):
            raise InputError(
                f"The reference {base.name} was made from another text. KL divergence compares the same tokens. "
                "Make the reference again with this text."
            )
        losses, divergences, agreements = [], [], []
        codes = np.empty((model.count, model.vocabulary_size), np.uint16)
        for i, (logits, targets) in enumerate(model.scored()):
            losses.append(scoring.losses_of(logits, targets))
            theirs = base.codes[i * model.count : (i + 1) * model.count]
            scoring.encode(logits, out=codes)
            divergences.append(divergence(theirs, codes))
            agreements.append(theirs.argmin(axis=1) == codes.argmin(axis=1))
        checked = model.checked(np.stack(losses))
        run = Perplexity(file.path.stem, model.windows, checked, base.bytes, texts=base.texts)
    return Comparison(run, base, np.stack(divergences), np.stack(agreements))


def recall(gguf: str | Path, probes: Sequence[stories.Probe], threads: int | None = None) -> np.ndarray:
    """Ask a GGUF of `story` fill-in-the-blank questions, greedily; return which were right, (probes,) bool."""
    from tqdm.auto import tqdm

    llm = runtime.load(gguf, n_ctx=256, threads=threads)
    right = []
    for probe in tqdm(probes, desc=f"asking {Path(gguf).stem}", unit="question", disable=len(probes) < 20):
        answer = llm.create_completion(probe.prompt, max_tokens=10, temperature=0)["choices"][0]["text"]
        right.append(probe.is_answered_by(answer))
    llm.close()
    return np.array(right)


def bootstrap(
    values: np.ndarray, rounds: int = 10_000, seed: int = 0, groups: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of independent values, by drawing them again with replacement.

    For a paired comparison pass the differences. groups: which values belong together, (n,); whole groups are drawn
    then. With fewer than about ten values or groups it is only a rough guide. Raises InputError for fewer than two,
    which cannot show how much they vary.
    """
    from scipy import stats

    sums, counts = scoring.sums_of(scoring.array(values).astype(np.float64), groups)
    if len(sums) < 2:
        raise InputError(
            f"An interval needs at least two values, not {len(sums)}. Only several values show how much they vary. "
            "Score a longer text or more texts, use smaller windows, or ask more questions."
        )

    def mean(sums: np.ndarray, counts: np.ndarray, axis: int) -> np.ndarray:
        return sums.sum(axis=axis) / counts.sum(axis=axis)

    at_once = max(1, 2**22 // len(sums))  # rounds drawn together: 32 MB of values
    drawn = {"n_resamples": rounds, "batch": at_once, "rng": np.random.default_rng(seed)}
    interval = stats.bootstrap((sums, counts), mean, paired=True, method="percentile", **drawn).confidence_interval
    return float(interval.low), float(interval.high)


def divergence(reference_codes: np.ndarray, candidate_codes: np.ndarray) -> np.ndarray:
    """Return KL(reference ‖ candidate) of each row, in nats: Σ p · (log p − log q).

    Both come from codes of the same kind, so that a file compared with itself gives exactly 0.
    """
    result = np.empty(len(reference_codes), np.float32)
    step = np.float32(-1 / CODES_PER_NAT)
    for i, (ours, theirs) in enumerate(zip(reference_codes, candidate_codes, strict=True)):
        p, q = ours * step, theirs * step  # log-probabilities up to a constant
        p_exp = np.exp(p)
        p_sum, q_sum = p_exp.sum(dtype=np.float64), np.exp(q).sum(dtype=np.float64)
        p -= q
        result[i] = np.dot(p_exp, p) / p_sum - np.log(p_sum) + np.log(q_sum)
    return np.maximum(result, 0)  # rounding can leave −1e-9
