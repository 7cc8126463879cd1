"""What a GGUF says about a text: the loss of every scored token, and if wanted every probability.

The convention is llama.cpp's: the text is cut into windows that do not overlap, each begins with the start
token if the model uses one, and only the second half of each window is scored, so that every scored token
has at least half a window before it. A text may also be a list of documents, which are then put one after the
other between start and end tokens, as the `story` model saw them in training; or each is cut into windows by itself
(`apart`), so that the texts can be drawn again, and not windows of one text, which know of each other.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import numbers
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers import machine
from helpers.errors import InputError
from helpers.pipeline import gguf_file, pieces, runtime

File, Text = str | Path, str | Iterable[str]
CODES_PER_NAT = 2048  # log-probabilities are kept as 16-bit codes: steps of 1/2048 nat, 32 nats deep


@dataclass(frozen=True)
class Perplexity:
    """What a model said about a text. `losses` (windows, scored tokens): −log p of each token, in nats."""

    name: str
    windows: np.ndarray  # (windows, tokens) ids
    losses: np.ndarray
    bytes: int  # UTF-8 bytes of the scored tokens
    texts: np.ndarray | None = field(default=None, kw_only=True)  # (windows,) the text of each, if they were cut apart

    @property
    def loss(self) -> float:
        """Mean loss in nats per token."""
        return float(self.losses.mean(dtype=np.float64))

    @property
    def value(self) -> float:
        """The perplexity: among how many equally likely tokens the model seems to choose."""
        return math.exp(self.loss)

    @property
    def standard_error(self) -> float:
        """Standard error of the perplexity, from the spread between texts cut apart, or else between windows."""
        off, counts = sums_of(self.losses.mean(axis=1, dtype=np.float64) - self.loss, self.texts)
        if len(off) < 2:
            return math.inf
        return self.value * math.sqrt(np.square(off).sum() * len(off) / (len(off) - 1)) / float(counts.sum())

    @property
    def bits_per_byte(self) -> float:
        """Bits for each byte of text, which can be compared between models with different vocabularies."""
        return float(self.losses.sum(dtype=np.float64)) / math.log(2) / self.bytes


@dataclass(frozen=True)
class Reference(Perplexity):
    """A perplexity run that keeps every log-probability, as 16-bit codes: 2 bytes for each logit.

    codes (windows × scored tokens, vocabulary): (largest logit − logit) × CODES_PER_NAT, at most 65535.
    """

    vocabulary: str
    codes: np.ndarray


def perplexity(
    gguf: File, text: Text, window: int = 512, most: int | None = None, threads: int | None = None, apart: bool = False
) -> Perplexity:
    """Return the perplexity of a GGUF on a text, over at most `most` windows of `window` tokens.

    apart: cut each text of a list into windows by itself; the first window of each comes first, then the second ones.
    Raises InputError for a text shorter than a window, a window the model cannot take, or NaN logits.
    """
    with Scorer(gguf, text, window, most, threads, apart) as model:
        losses = np.stack([losses_of(logits, targets) for logits, targets in model.scored()])
        return Perplexity(
            model.path.stem, model.windows, model.checked(losses), model.scored_bytes(), texts=model.texts
        )


def reference(
    gguf: File, text: Text, window: int = 512, most: int | None = None, threads: int | None = None, apart: bool = False
) -> Reference:
    """As `perplexity`, and keep all log-probabilities for `compare`. Raises ResourceError if memory is short."""
    with Scorer(gguf, text, window, most, threads, apart) as model:
        rows = len(model.windows) * model.count
        machine.require_memory(2 * rows * model.vocabulary_size, f"keeping {rows:,} × {model.vocabulary_size:,} logits")
        codes = np.empty((rows, model.vocabulary_size), np.uint16)
        losses = []
        for i, (logits, targets) in enumerate(model.scored()):
            losses.append(losses_of(logits, targets))
            encode(logits, out=codes[i * model.count : (i + 1) * model.count])
        checked = model.checked(np.stack(losses))
        found = (model.path.stem, model.windows, checked, model.scored_bytes(), model.vocabulary, codes)
        return Reference(*found, texts=model.texts)


def checkpoint_perplexity(checkpoint: str | Path, like: Perplexity) -> Perplexity:
    """Score a Hugging Face checkpoint with PyTorch, in float32, on the windows of another run."""
    import torch
    from tqdm.auto import tqdm
    from transformers import AutoModelForCausalLM

    checkpoint = Path(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, local_files_only=True).eval()
    first = like.windows.shape[1] // 2
    losses = []
    with torch.inference_mode():
        for window in tqdm(
            like.windows, desc=f"scoring {checkpoint.name}", unit="window", disable=len(like.windows) < 3
        ):
            ids = torch.from_numpy(window.astype(np.int64))[None]
            logits = model(ids).logits[0, first:-1]
            losses.append(torch.nn.functional.cross_entropy(logits, ids[0, first + 1 :], reduction="none").numpy())
    return Perplexity(checkpoint.name, like.windows, np.stack(losses), like.bytes, texts=like.texts)


class Scorer:
    """A GGUF opened for scoring one text: its windows, and the logits of their second halves."""

    def __init__(
        self, gguf: File, text: Text, window: int, most: int | None, threads: int | None, apart: bool = False, **options
    ):
        """`options` go to `runtime.load`."""
        text = documents(text)
        if not "".join(text).strip():
            raise InputError("The text is empty. There is nothing to predict. Pass a text of a few thousand words.")
        if not isinstance(window, numbers.Integral) or window < 8 or window % 2:
            raise InputError(
                f"A window of {window!r:.40} tokens is not possible. Half of it is scored. Use an even number, 8 or "
                "more."
            )
        file = gguf_file.summary(gguf)
        self.path = file.path
        self.vocabulary_size = len(file.metadata.get("tokenizer.ggml.tokens", []))
        self.vocabulary = vocabulary(file)
        self.first, self.count = window // 2, window - 1 - window // 2
        needed = 2 * 4 * (window // 2) * self.vocabulary_size  # llama.cpp's logits and our working copy
        machine.require_memory(file.file_bytes + needed + 0.2e9, f"scoring {self.path.name} with windows of {window}")
        self.llm = runtime.load(self.path, n_ctx=window, threads=threads, n_batch=window, n_ubatch=window, **options)
        try:
            self.windows, self.texts = self._windows(text, window, most, apart)
        except BaseException:
            self.llm.close()
            raise

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_) -> None:
        self.llm.close()

    def _windows(self, text: Text, window: int, most: int | None, apart: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the ids (windows, tokens), and which text each is from if they are cut apart, else None.

        The rest of a text that fills no window is left out.
        """
        start = pieces.starts(self.llm)
        if isinstance(text, str):
            parts = [start + pieces.encode(self.llm, text, special=False)]
        else:
            end = [self.llm.token_eos()] if self.llm.token_eos() >= 0 else []
            parts = [start + pieces.encode(self.llm, document, special=False) + end for document in text]
            parts = parts if apart else [list(itertools.chain.from_iterable(parts))]
        cut = [(n, i, ids[n * window :][:window]) for i, ids in enumerate(parts) for n in range(len(ids) // window)]
        cut = sorted(cut, key=lambda each: each[0])[
            : None if most is None else max(0, most)
        ]  # the first window of each text, then the second ones
        if not cut:
            raise InputError(
                f"The text has {sum(map(len, parts)):,} tokens, a window takes {window:,}. At least one whole window "
                "is scored. Use a longer text or a smaller window."
            )
        windows = np.array([ids for *_, ids in cut], np.int32)
        if start:
            windows[:, 0] = start
        return windows, np.array([i for _, i, _ in cut]) if apart else None

    def scored(self, quiet: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (logits, targets) of each window: (scored, vocabulary) float32, valid until the next one, and ids.

        `quiet` leaves the progress bar out, for callers that score many times and show one of their own.
        """
        import llama_cpp
        from tqdm.auto import tqdm

        window = self.windows.shape[1]
        batch = llama_cpp.llama_batch_init(window, 0, 1)
        try:
            batch.n_tokens = window
            np.ctypeslib.as_array(batch.pos, (window,))[:] = np.arange(window)
            np.ctypeslib.as_array(batch.n_seq_id, (window,))[:] = 1
            for i in range(window):
                batch.seq_id[i][0] = 0
            wanted = np.ctypeslib.as_array(batch.logits, (window,))
            wanted[:] = 0
            wanted[self.first : -1] = 1  # the last token's prediction lies outside the window
            for ids in tqdm(
                self.windows, desc=f"scoring {self.path.stem}", unit="window", disable=quiet or len(self.windows) < 3
            ):
                np.ctypeslib.as_array(batch.token, (window,))[:] = ids
                llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.llm.ctx), True)
                if llama_cpp.llama_decode(self.llm.ctx, batch) != 0:
                    raise InputError(
                        f"llama.cpp could not run {self.path.name} on a window of {window} tokens. Memory may be "
                        "short. Use a smaller window or close other programs."
                    )
                pointer = llama_cpp.llama_get_logits(self.llm.ctx)
                yield np.ctypeslib.as_array(pointer, (self.count, self.vocabulary_size)), ids[self.first + 1 :]
        finally:
            llama_cpp.llama_batch_free(batch)

    def checked(self, losses: np.ndarray) -> np.ndarray:
        """Return the losses, or raise InputError if some are NaN or infinite."""
        if not np.isfinite(losses).all():
            raise InputError(
                f"{self.path.name} gives NaN or infinite scores. Its weights are damaged, or overflow in this format. "
                "Make the file again, from BF16 or FP32 weights."
            )
        return losses

    def scored_bytes(self) -> int:
        """Return the UTF-8 bytes of all scored tokens."""
        scored = self.windows[:, self.first + 1 :].ravel()
        ids, counts = np.unique(scored, return_counts=True)
        lengths = [len(pieces.piece(self.llm, i)) for i in ids]  # start and end tokens have no bytes
        return int(np.dot(lengths, counts))


def evenly(windows: np.ndarray, most: int | None) -> np.ndarray:
    """Return at most `most` windows (None: all), spread evenly over the text. Raises InputError for less than one."""
    if most is not None and most < 1:
        raise InputError(
            f"most is {most!r:.40}. At least one window is read. Choose 1 or more, or None for the whole text."
        )
    chosen = np.linspace(0, len(windows) - 1, most or len(windows)).round().astype(int)
    return windows[np.unique(chosen)]


def sums_of(values: np.ndarray, groups: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of values (n,) in each group, and how many those are; None: each is a group of its own."""
    groups = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    return np.bincount(groups, weights=values), np.bincount(groups).astype(np.float64)


def documents(text: Text) -> str | list[str]:
    """Return a text or a list of texts; raise InputError for what cannot be written in UTF-8."""
    if isinstance(text, bytes) or not isinstance(text, Iterable):
        pieces.utf8(text)
    documents = text if isinstance(text, str) else list(text)
    for document in [documents] if isinstance(documents, str) else documents:
        pieces.utf8(document)
    return documents


def vocabulary(file: gguf_file.Summary) -> str:
    """Return a fingerprint of a file's vocabulary."""
    tokens = file.metadata.get("tokenizer.ggml.tokens", [])
    return hashlib.sha256("\0".join(map(str, tokens)).encode()).hexdigest()


def losses_of(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return −log softmax(logits)[target] of each row, in nats; a few rows at a time stay in the cache."""
    logits, targets = array(logits), np.asarray(targets)
    losses = np.empty(len(targets), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        for i, (row, target) in enumerate(zip(logits, targets, strict=True)):
            largest = row.max()
            losses[i] = np.log(np.exp(row - largest).sum(dtype=np.float32)) + largest - row[target]
    return losses


def encode(logits: np.ndarray, out: np.ndarray) -> None:
    """Write each row as codes below its largest logit, see CODES_PER_NAT."""
    for row, codes in zip(array(logits), out, strict=True):
        below = (row.max() - row) * np.float32(CODES_PER_NAT)
        np.minimum(below + np.float32(0.5), 65535, out=below)
        codes[:] = below


def array(values) -> np.ndarray:
    """Return values as an array; a torch tensor of any float type (NumPy has no bfloat16) as float32."""
    return values.detach().float().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
