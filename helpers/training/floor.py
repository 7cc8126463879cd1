"""The least loss that any model of the stories can have: their grammar is known, so their probability can be computed.

A story is drawn: a hero, somebody else, a plot, for each sentence one of its variants, and words for the slots in it.
`log_probability` adds up every way in which a text can have been drawn. Its mean over many stories, divided by their
tokens, is the entropy of the corpus per token, estimated by sampling. What a model loses above it is its **excess
loss**: zero would be a model that knows the world and the grammar, and guesses where there is nothing to know.
"""

import functools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import LlamaForCausalLM

from helpers.errors import InputError
from helpers.training import corpus, stories
from helpers.training.stories import GRAMMAR, Character

Ends = dict[int, float]  # where a template can have ended in the text, and with which probability


@dataclass(frozen=True)
class Floor:
    """Nats per token of stories, the floor itself or what lies above it, with the 95 % interval of this sample."""

    value: float
    low: float
    high: float
    stories: int


def log_probability(text: str) -> float:
    """Return log P of one story, over all ways to draw it; raises InputError if the grammar cannot have made it."""
    people = {character.name: character for character in stories.world()}
    named = {word for word in re.findall(r"\w+", text) if word in people}
    canonical, total = _canonical(text), 0.0
    for hero in (people[name] for name in named):
        strangers = named - {hero.name, hero.friend}
        if len(strangers) > 1:
            continue
        # Whom the story does not name can have been anybody: all their probabilities together are 1.
        other = people[next(iter(strangers))] if strangers else None
        share = 1 / len(people) / (len(people) - 2 if other else 1) / len(GRAMMAR["plots"])
        values = {"a": hero, "b": people[hero.friend], "c": other}
        total += share * sum(_plot(plot["sentences"], canonical, values) for plot in GRAMMAR["plots"])
    if total == 0:
        raise InputError(
            f"The grammar of the stories cannot have made {text[:40]!r} … Only its own stories have a probability. "
            "Take a whole one from `stories.stories`."
        )
    return math.log(total)


def floor(texts: Iterable[str], tokenizer) -> Floor:
    """Return the entropy per token of stories, ends included, with the 95 % interval of this sample of them."""
    texts = list(texts)
    return _per_token(np.array([-log_probability(text) for text in texts]), texts, tokenizer)


def excess(model: LlamaForCausalLM, texts: Iterable[str], tokenizer) -> Floor:
    """Return what a model loses above the floor: the KL divergence from the stories to the model, in nats per token.

    Each story is read by itself, from its start token to its end token; the interval is over stories. A loss over
    windows (`fit.mean_loss`) is a little larger, since a window may begin in the middle of a story.
    """
    texts, lost = list(texts), []
    for text in texts:
        ids = torch.from_numpy(corpus.encode([text], tokenizer))[None]
        with torch.inference_mode():
            loss = model(input_ids=ids, labels=ids).loss.item()
        lost.append(loss * (ids.shape[1] - 1) + log_probability(text))
    return _per_token(np.array(lost), texts, tokenizer)


def _per_token(nats: np.ndarray, texts: list[str], tokenizer) -> Floor:
    tokens = np.array([len(corpus.encode([text], tokenizer)) - 1 for text in texts])  # the start token is given
    value = nats.sum() / tokens.sum()
    error = 1.96 * np.std(nats - value * tokens, ddof=1) * math.sqrt(len(texts)) / tokens.sum()
    return Floor(float(value), float(value - error), float(value + error), len(texts))


def _plot(sentences: list[list[str]], text: str, values: dict[str, Character | None]) -> float:
    """Return the probability that these sentences, one variant of each, make exactly this text."""
    ends: Ends = {0: 1.0}
    for index, variants in enumerate(sentences):
        ends = _one_of(variants, text, _literal(" ", text, ends) if index else ends, values)
    return ends.get(len(text), 0.0)


def _one_of(templates: list[str], text: str, starts: Ends, values: dict[str, Character | None]) -> Ends:
    """Return where one of several equally likely templates can end."""
    found: Ends = {}
    for template in templates:
        ends = starts
        for literal, key, fact in _pieces(template):
            ends = _literal(literal, text, ends)
            if fact:
                who = values[key]
                ends = _literal(_canonical(getattr(who, fact)), text, ends) if who else {}
            elif key:
                ends = _one_of(GRAMMAR["phrases"][key], text, ends, values)
            if not ends:
                break
        for end, probability in ends.items():
            found[end] = found.get(end, 0.0) + probability / len(templates)
    return found


def _literal(literal: str, text: str, starts: Ends) -> Ends:
    return {start + len(literal): p for start, p in starts.items() if text.startswith(literal, start)}


@functools.cache
def _pieces(template: str) -> list[tuple[str, str, str]]:
    """Cut a template into (text before the slot, key, fact); the last has no slot."""
    parts = [*re.split(r"\{([a-z_]+)(?:\.([a-z]+))?\}", template), "", ""]
    return [(_canonical(parts[i]), parts[i + 1] or "", parts[i + 2] or "") for i in range(0, len(parts) - 2, 3)]


def _canonical(text: str) -> str:
    """Undo what is put right at the end of a story: capital letters, and "an" before a vowel."""
    return re.sub(r"\ban (?=[aeiou])", "a ", text.lower())
