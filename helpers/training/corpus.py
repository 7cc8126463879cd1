"""From stories to batches of token ids: the tokenizer of `story`, training text without end, held-out text."""

import io
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import sentencepiece

from helpers import artifacts
from helpers.training import stories

STORY_FOLDER = artifacts.ROOT / "data" / "story"
TRAIN_SEED, HELD_OUT_SEED = 1, 2
CONTEXT = 256
BATCH = 8  # sequences of CONTEXT tokens in each step


def train_tokenizer(texts: Iterable[str], path: Path, vocabulary: int = 1024) -> None:
    """Train a sentencepiece tokenizer the way LLaMA's was and write it to `path`.

    Extra whitespace is kept: with sentencepiece's default of removing it, sentencepiece and llama.cpp
    give different ids for a text with two spaces in a row.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=vocabulary,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())


def story_tokenizer() -> sentencepiece.SentencePieceProcessor:
    """Return the shipped tokenizer of `story`."""
    return sentencepiece.SentencePieceProcessor(model_file=str(STORY_FOLDER / "tokenizer.model"))


def encode(texts: Iterable[str], tokenizer: sentencepiece.SentencePieceProcessor) -> np.ndarray:
    """Return all texts as one array of token ids, each text between <s> and </s>."""
    ids: list[int] = []
    for text in texts:
        ids += tokenizer.encode(text, add_bos=True, add_eos=True)
    return np.array(ids, dtype=np.int64)


def story_batches(tokenizer, seed: int | str = TRAIN_SEED) -> Iterator[np.ndarray]:
    """Yield batches (BATCH, CONTEXT) of token ids from fresh stories, without end and without repetition."""
    source = stories.stories(seed)
    pool = np.zeros(0, dtype=np.int64)
    while True:
        while len(pool) < BATCH * CONTEXT:
            pool = np.concatenate([pool, encode((next(source) for _ in range(64)), tokenizer)])
        yield pool[: BATCH * CONTEXT].reshape(BATCH, CONTEXT)
        pool = pool[BATCH * CONTEXT :]


def seed_batches(tokenizer, seed: int) -> Iterator[np.ndarray]:
    """Batches of fresh stories; every seed reads others, all about the same world."""
    return story_batches(tokenizer, seed=f"sweep {seed}")


def repeated(batches: Iterator[np.ndarray], tokens: int, seed: int) -> Iterator[np.ndarray]:
    """Yield batches without end from the first `tokens` tokens of `batches`, shuffled anew in each round."""
    count = -(-tokens // (BATCH * CONTEXT))
    windows = np.concatenate(list(itertools.islice(batches, count)))[: tokens // CONTEXT]
    random = np.random.default_rng(seed)
    pool = np.zeros((0, CONTEXT), dtype=windows.dtype)
    while True:
        while len(pool) < BATCH:
            pool = np.concatenate([pool, random.permutation(windows)])
        yield pool[:BATCH]
        pool = pool[BATCH:]


def held_out_tokens(tokenizer, count: int = 500) -> np.ndarray:
    """Return the held-out stories, which training never saw, as one array of ids."""
    return encode(stories.stories(HELD_OUT_SEED, count), tokenizer)
