"""The corpus of the `story` model: little stories about a world whose facts never change.

A language model that only has to learn grammar loses nothing when its weights are rounded to two
bits: there is nothing in it to forget. So these stories are about 500 animals, each with a
species, a home, a colour, a treasure, a favourite food, a trade and a best friend that stay the
same in every story. A model can only predict them by remembering them, and rounding its weights
makes it forget: that is what notebook 08 measures, fact by fact.

The text is drawn from a seeded generator through `Random.random()` alone, the one method whose
sequence Python promises to keep, so the corpus is the same on every version of Python.
"""

import functools
import itertools
import random
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GRAMMAR = tomllib.loads(Path(__file__).with_name("story_grammar.toml").read_text(encoding="utf-8"))  # all the words
WORLD_SEED = 7
CHARACTERS = 500
FACTS = ("species", "home", "colour", "treasure", "food", "trade", "friend")

Values = dict[str, "str | Character"]


@dataclass(frozen=True)
class Character:
    """One inhabitant of the world; every field holds in every story."""

    name: str
    species: str
    home: str
    colour: str
    treasure: str
    food: str
    trade: str
    friend: str


@dataclass(frozen=True)
class Probe:
    """An unfinished sentence whose continuation is a fact: a fill-in-the-blank question."""

    name: str
    fact: str
    prompt: str
    answer: str

    def is_answered_by(self, text: str) -> bool:
        """Tell whether a continuation of the prompt begins with the fact, with or without an article."""
        return text.strip().removeprefix("an ").removeprefix("a ").startswith(self.answer)


@functools.cache
def world() -> tuple[Character, ...]:
    """Return the 500 characters, always the same."""
    rng = random.Random(WORLD_SEED)
    words = GRAMMAR["facts"]
    names = [start + end for start in GRAMMAR["names"]["starts"] for end in GRAMMAR["names"]["ends"]]
    names = _shuffled(rng, names)[:CHARACTERS]
    friends = names[1:] + names[:1]  # one large ring of friends: nobody is their own friend
    return tuple(
        Character(name, **{fact: _pick(rng, words[fact]) for fact in FACTS if fact != "friend"}, friend=friend)
        for name, friend in zip(names, friends, strict=True)
    )


def stories(seed: int | str, count: int | None = None) -> Iterator[str]:
    """Yield `count` stories (endlessly if None). Different seeds give different stories.

    The training text of the shipped model is seed 1, its held-out text seed 2: the same world,
    other stories.
    """
    rng = random.Random(f"stories {seed}")
    for _ in itertools.count() if count is None else range(count):
        yield _story(rng)


def probes(seed: int = 3, count: int = 500) -> list[Probe]:
    """Return `count` fill-in-the-blank questions about the world, for facts still recalled."""
    rng = random.Random(f"probes {seed}")
    people = {character.name: character for character in world()}
    result = []
    for _ in range(count):
        hero = _pick(rng, world())
        fact = _pick(rng, FACTS)
        values: Values = {"a": hero, "b": people[hero.friend]}
        prompt = _fill(rng, GRAMMAR["probes"][fact], values)
        result.append(Probe(hero.name, fact, prompt, getattr(hero, fact)))
    return result


def _story(rng: random.Random) -> str:
    people = {character.name: character for character in world()}
    hero = _pick(rng, world())
    other = _pick(rng, world())
    while other.name in (hero.name, hero.friend):
        other = _pick(rng, world())
    values: Values = {"a": hero, "b": people[hero.friend], "c": other}
    plot = _pick(rng, GRAMMAR["plots"])
    return _fill(rng, " ".join(_pick(rng, variants) for variants in plot["sentences"]), values)


def _fill(rng: random.Random, text: str, values: Values) -> str:
    """Replace `{a.home}` by a fact and `{weather}` by one of that list's phrases, repeatedly.

    A phrase may contain further slots. Articles and capital letters are put right at the end.
    """
    slot = re.compile(r"\{([a-z_]+)(?:\.([a-z]+))?\}")

    def replace(match: re.Match) -> str:
        key, fact = match.groups()
        return getattr(values[key], fact) if fact else _pick(rng, GRAMMAR["phrases"][key])

    while slot.search(text):
        text = slot.sub(replace, text)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    # A sentence starts after . ! ? or after ." but not after !" or ?", where "said Milo" follows.
    return re.sub(r'((?:^|[.!?] |\." )"?)([a-z])', lambda m: m[1] + m[2].upper(), text)


def _pick(rng: random.Random, items):
    return items[int(rng.random() * len(items))]


def _shuffled(rng: random.Random, items: list[str]) -> list[str]:
    return [item for _, item in sorted((rng.random(), item) for item in items)]
