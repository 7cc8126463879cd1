"""The floor of the loss: the probability of a story adds up every way to draw it, and nothing else."""

import itertools
import math
import random

import numpy as np
import pytest
import torch

from helpers.errors import InputError
from helpers.training import corpus, floor, shipped, stories

SMALL = {
    "facts": {},
    "phrases": {"where": ["here", "there"], "how": ["quick", "very quick", "{odd}"], "odd": ["odd", "old", "even"]},
    "plots": [
        {
            "sentences": [
                ["{a.name} is {where}.", "{a.name} is here."],
                ["a {how} {a.species}!", "{b.name} is a {how} one."],
            ]
        },
        {"sentences": [["{a.name} met {c.name}, a {c.species}."], ["{b.name} is a odd one.", "a odd {a.species}!"]]},
    ],
}


def small_world():
    names = ("Al", "Bo", "Cy")
    kinds = ("owl", "cat", "owl")
    blank = dict.fromkeys(("home", "colour", "treasure", "food", "trade"), "")
    return tuple(
        stories.Character(name, species=kind, friend=names[(i + 1) % 3], **blank)
        for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
    )


def every_story(grammar, world):
    """Every way to draw a story of a small grammar, with its probability."""

    def expand(text, values):
        slot = stories.re.search(r"\{([a-z_]+)(?:\.([a-z]+))?\}", text)
        if not slot:
            yield text, 1.0
            return
        key, fact = slot.groups()
        choices = [getattr(values[key], fact)] if fact else grammar["phrases"][key]
        for choice in choices:
            for done, p in expand(text[: slot.start()] + choice + text[slot.end() :], values):
                yield done, p / len(choices)

    people = {person.name: person for person in world}
    for hero, plot in itertools.product(world, grammar["plots"]):
        others = [person for person in world if person.name not in (hero.name, hero.friend)]
        for other in others:
            values = {"a": hero, "b": people[hero.friend], "c": other}
            for sentences in itertools.product(*plot["sentences"]):
                share = 1 / len(world) / len(grammar["plots"]) / len(others)
                share /= math.prod(len(variants) for variants in plot["sentences"])
                for text, p in expand(" ".join(sentences), values):
                    yield stories._fill(random.Random(0), text, values), share * p


def test_every_story_of_a_small_grammar_has_its_probability(monkeypatch):
    world = small_world()
    monkeypatch.setattr(stories, "GRAMMAR", SMALL)
    monkeypatch.setattr(floor, "GRAMMAR", SMALL)
    monkeypatch.setattr(stories, "world", lambda: world)
    expected = {}
    for text, p in every_story(SMALL, world):
        expected[text] = expected.get(text, 0) + p
    assert math.isclose(sum(expected.values()), 1) and len(expected) > 20
    assert any("An odd" in text for text in expected), "an article before a vowel"
    for text, p in expected.items():
        assert math.isclose(floor.log_probability(text), math.log(p), rel_tol=1e-9), text


def test_real_stories_are_at_least_as_likely_as_the_way_in_which_they_were_drawn(monkeypatch):
    """The choices of the generator are recorded; their probability is one of those that are added up."""
    sizes = []
    pick = stories._pick

    def recorded(rng, items):
        sizes.append(len(items))
        return pick(rng, items)

    monkeypatch.setattr(stories, "_pick", recorded)
    equal = 0
    source = stories.stories("a test of the floor")
    for _ in range(60):
        sizes.clear()
        text = next(source)
        drawn = -sum(map(math.log, sizes))
        found = floor.log_probability(text)
        assert found > drawn - 1e-6
        equal += abs(found - drawn) < math.log(500) + 0.1
    assert equal > 30, "often there is one way only, but for whom the story never names"


@pytest.mark.parametrize("change", [str.upper, lambda text: text[:-2], lambda text: text + " The end.", lambda _: ""])
def test_other_texts_have_none(change):
    with pytest.raises(InputError, match=r"cannot have made.*whole one from"):
        floor.log_probability(change(next(stories.stories(4))).replace("HAT", "shoe"))


def test_the_entropy_is_the_same_in_other_samples():
    tokenizer = corpus.story_tokenizer()
    first, second = (floor.floor(stories.stories(seed, 150), tokenizer) for seed in ("one", "two"))
    assert first.low < first.value < first.high and first.stories == 150
    assert first.low < second.high and second.low < first.high
    assert 0.25 < first.value < 0.4
    tokens = len(corpus.encode(stories.stories("one", 150), tokenizer))
    total = -sum(floor.log_probability(text) for text in stories.stories("one", 150))
    assert np.isclose(first.value, total / (tokens - 150)), "start tokens are given"


def test_what_models_lose_above_the_floor():
    """Loss = floor + excess on the same stories; the larger model is nearer, and none is below."""
    tokenizer, texts = corpus.story_tokenizer(), list(stories.stories(corpus.HELD_OUT_SEED, 40))
    least = floor.floor(texts, tokenizer)
    models = {"story": shipped.story(), "tiny": shipped.tiny(0)}
    found = {kind: floor.excess(model, texts, tokenizer) for kind, model in models.items()}
    assert 0 < found["story"].low < found["story"].high < found["tiny"].low
    losses, tokens = 0.0, 0
    for text in texts:
        ids = torch.from_numpy(corpus.encode([text], tokenizer))[None]
        with torch.inference_mode():
            logits = models["tiny"](ids).logits[0, :-1].double()
        losses -= float(logits.log_softmax(dim=-1).gather(1, ids[0, 1:, None]).sum())
        tokens += ids.shape[1] - 1
    assert least.value + found["tiny"].value == pytest.approx(losses / tokens, abs=1e-4)
