"""The corpus is the same everywhere, does not repeat itself, and keeps its facts."""

import hashlib
import itertools
import re
from collections import Counter

import pytest

from helpers.training import stories


def test_the_corpus_is_the_same_on_every_python():
    """The hash was computed on Python 3.11 and compared with 3.12 and 3.13."""
    text = "\n".join(stories.stories(1, 300)) + repr(stories.world()) + repr(stories.probes())
    assert hashlib.sha256(text.encode()).hexdigest() == CORPUS_SHA256


def test_every_slot_of_the_grammar_can_be_filled():
    """A typing error in the data would end in a KeyError, perhaps only in the millionth story."""
    grammar = stories.GRAMMAR
    sentences = [text for plot in grammar["plots"] for variants in plot["sentences"] for text in variants]
    sentences += [text for phrases in grammar["phrases"].values() for text in phrases] + list(
        grammar["probes"].values()
    )
    slots = {slot for text in sentences for slot in re.findall(r"\{(.*?)\}", text)}
    facts = {f"{who}.{fact}" for who in "abc" for fact in ("name", *stories.FACTS)}
    assert slots <= facts | set(grammar["phrases"])
    assert set(grammar["phrases"]) <= slots and set(grammar["probes"]) == set(stories.FACTS)


def test_stories_do_not_repeat():
    sample = list(stories.stories(1, 20_000))
    assert len(set(sample)) == len(sample)
    assert not set(sample) & set(stories.stories(2, 5_000)), "held-out stories are other stories"


def test_the_corpus_has_millions_of_tokens():
    """6,000 stories are half a million tokens; the generator has no end."""
    words = sum(len(text.split()) for text in stories.stories(1, 6_000))
    assert words > 350_000
    assert next(itertools.islice(stories.stories(1), 30_000, None))


def test_world():
    world = stories.world()
    assert len(world) == stories.CHARACTERS == len({character.name for character in world})
    names = {character.name for character in world}
    for character in world:
        assert character.friend in names and character.friend != character.name
    for fact in ("species", "home", "colour", "treasure", "food", "trade"):
        commonest = Counter(getattr(character, fact) for character in world).most_common(1)[0][1]
        assert commonest < 0.15 * len(world), f"{fact} cannot be guessed"


def test_facts_hold_in_every_story():
    people = {character.name: character for character in stories.world()}
    checked = 0
    for text in stories.stories(5, 2_000):
        for name, species in re.findall(r"\b([A-Z][a-z]+) the ([a-z]+)\b", text):
            if name in people and species in stories.GRAMMAR["facts"]["species"]:
                assert people[name].species == species, text
                checked += 1
    assert checked > 1_000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stories_read_well(seed):
    for text in stories.stories(seed, 500):
        assert "{" not in text and "  " not in text
        assert text[0].isupper() or text[0] == '"'
        assert text[-1] in '.!?"'
        assert not re.search(r"\ba [aeiou]", text), text
        assert not re.search(r"[.!?] [a-z]", text), text
        assert text.count('"') % 2 == 0, text


def test_probes_ask_for_facts():
    people = {character.name: character for character in stories.world()}
    probes = stories.probes(count=300)
    assert {probe.fact for probe in probes} == set(stories.FACTS)
    for probe in probes:
        assert getattr(people[probe.name], probe.fact) == probe.answer
        assert not probe.prompt.endswith(probe.answer)


CORPUS_SHA256 = "424b2ffbf20361546f87713687eca8a3a8095bd0076b6c72d866341d2b62a9b5"
