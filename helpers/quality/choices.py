"""Multiple-choice questions from our own texts, and what a file answers (notebook 08).

A file chooses the option to which it gives the largest probability for each byte, as benchmarks do ("acc_norm" of
lm-evaluation-harness). A mean such as perplexity hides what happens to single answers: between two files some turn
right and some wrong, "flips" (arXiv 2407.09141), and the share of right ones need not move at all.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import artifacts
from helpers.errors import InputError
from helpers.pipeline import gguf_file, kv_cache, pieces, runtime
from helpers.quality.scoring import losses_of
from helpers.training import stories

OPTIONS = 4
ROOM = 512  # tokens of a question; the scores of all of them are kept
WITH_ARTICLE = ("home", "treasure", "trade")


@dataclass(frozen=True)
class Question:
    """A beginning, and options of which one really follows."""

    prompt: str
    options: tuple[str, ...]
    right: int
    text: int  # which text it is from: answers about one text know of each other


def about_the_world(count: int, seed: int = 0) -> list[Question]:
    """Return questions about the animals of the stories; the wrong options are the same fact of other animals."""
    draw, words = random.Random(f"choices {seed}"), stories.GRAMMAR["facts"]
    names = [animal.name for animal in stories.world()]

    def phrase(fact: str, value: str) -> str:
        article = f"{'an' if value[0] in 'aeiou' else 'a'} " if fact in WITH_ARTICLE else ""
        return f" {article}{value}"

    questions = []
    for number, probe in enumerate(stories.probes(f"choices {seed}", count)):
        possible = [value for value in words.get(probe.fact, names) if value not in (probe.answer, probe.name)]
        options = [probe.answer, *_some(draw, possible, OPTIONS - 1)]
        prompt = probe.prompt.removesuffix(" a")
        questions.append(_shuffled(draw, prompt, [phrase(probe.fact, option) for option in options], number))
    return questions


def what_comes_next(texts: Sequence[str], each: int, before: int = 3, seed: int = 0) -> list[Question]:
    """Return `each` questions for every text: after some sentences, which one of four follows?

    The wrong ones are sentences of three other texts. Raises InputError for fewer than four texts, or a short one.
    """
    draw, questions = random.Random(f"next {seed}"), []
    cut = [re.split(r"(?<=[.!?])\s+", " ".join(text.split())) for text in texts]
    if len(cut) < OPTIONS or min(map(len, cut)) < before + each:
        raise InputError(
            f"There are {len(cut)} texts, the shortest of {min(map(len, cut), default=0)} sentences. A question needs "
            f"{OPTIONS} texts, and {each} of them {before + each} sentences. Ask fewer questions, or take longer texts."
        )
    for number, sentences in enumerate(cut):
        others = [n for n in range(len(cut)) if n != number]
        for place in sorted(_some(draw, range(before, len(sentences)), each)):
            wrong = [_some(draw, cut[n], 1)[0] for n in _some(draw, others, OPTIONS - 1)]
            options = [f" {option}" for option in (sentences[place], *wrong)]
            questions.append(_shuffled(draw, " ".join(sentences[place - before : place]), options, number))
    return questions


def evaluation_texts() -> list[str]:
    """Return the twelve texts of data/evaluation.txt, each from its title on."""
    paragraphs = (artifacts.ROOT / "data" / "evaluation.txt").read_text(encoding="utf-8").split("\n\n")
    titles = [
        i for i, p in enumerate(paragraphs) if len(p.split()) > 3 and len(p) < 80 and p.strip()[-1] not in '.?!:,"'
    ]
    return ["\n\n".join(paragraphs[a:b]) for a, b in zip(titles, [*titles[1:], len(paragraphs)], strict=True)]


def choose(gguf: str | Path, questions: Sequence[Question], threads: int | None = None) -> np.ndarray:
    """Return the option that a file chooses for each question, (questions,) int; the first of equally likely ones.

    Raises InputError for an empty option, and for a prompt that is empty in a vocabulary without a start token.
    """
    import llama_cpp
    from tqdm.auto import tqdm

    if any(not all(question.options) or not question.options for question in questions):
        raise InputError(
            "An option is empty, or there is none: nothing to choose from. A file weighs the probability of each for "
            "each byte. Give every question two options or more, none of them empty."
        )
    room = min(ROOM, kv_cache.trained_context(gguf_file.summary(gguf)))
    llm = runtime.load(gguf, n_ctx=room, threads=threads, logits_all=True)
    model = llm._model.model
    # The state of a recurrent layer cannot be taken back to the end of the prompt.
    rewinds = not (llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(model))
    try:
        bar = tqdm(questions, desc=f"asking {Path(gguf).stem}", unit="question", disable=len(questions) < 20)
        return np.array([int(np.argmin(_losses(llm, question, rewinds))) for question in bar], int)
    finally:
        llm.close()


def _losses(llm, question: Question, rewinds: bool) -> list[float]:
    """Return −log p of each option after the prompt, in nats for each byte."""
    start, losses = pieces.starts(llm), []
    prompt = start + pieces.encode(llm, question.prompt, special=False)
    llm.reset()
    for option in question.options:
        ids = start + pieces.encode(llm, question.prompt + option, special=False)
        pairs = zip(prompt, ids, strict=False)  # the end of the prompt may merge with the option
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(prompt), len(ids)))
        if not first:
            raise InputError(
                f"Nothing comes before {option!r:.40}. This vocabulary has no start token, and the prompt is empty or "
                "merges with the option. Begin the prompt with a few words."
            )
        if len(ids) > llm.n_ctx():
            raise InputError(
                f"A question of {len(ids):,} tokens does not fit into the {llm.n_ctx():,} that this file is opened "
                "with. A file reads prompt and option at once. Shorten the prompt."
            )
        llm.n_tokens = min(llm.n_tokens, first - 1) if rewinds else 0
        llm.eval(ids[llm.n_tokens :])
        logits = llm.scores[first - 1 : len(ids) - 1]
        losses.append(float(losses_of(logits, ids[first:]).sum()) / len(option.encode()))
    return losses


def _shuffled(draw: random.Random, prompt: str, options: list[str], text: int) -> Question:
    """Return a question whose options, the right one first, are put into another order."""
    order = _some(draw, range(len(options)), len(options))
    return Question(prompt, tuple(options[i] for i in order), order.index(0), text)


def _some(draw: random.Random, items: Sequence, count: int) -> list:
    """Return different items, drawn with `random()` alone, whose sequence Python promises to keep."""
    return [item for _, item in sorted(((draw.random(), i), item) for i, item in enumerate(items))][:count]
