"""Multiple-choice questions: made of our own texts, the same every time, and answered by what a file finds likely."""

from collections import Counter

import numpy as np
import pytest

from helpers.errors import InputError
from helpers.pipeline import convert, runtime
from helpers.quality import choices
from helpers.training import stories


def test_questions_about_the_world():
    questions = choices.about_the_world(200)
    assert questions == choices.about_the_world(200) != choices.about_the_world(200, seed=1)
    world = {animal.name: animal for animal in stories.world()}
    for question in questions:
        assert len(set(question.options)) == choices.OPTIONS and not question.prompt.endswith((" ", " a"))
        hero = next(word.strip(".,'") for word in question.prompt.split() if word.strip(".,'") in world)
        facts = {getattr(world[hero], fact) for fact in stories.FACTS}
        told = question.options[question.right].strip()
        assert told.removeprefix("an ").removeprefix("a ") in facts
    counts = Counter(question.right for question in questions)
    assert set(counts) == {0, 1, 2, 3} and max(counts.values()) < 80


def test_the_twelve_texts_are_the_whole_file():
    texts = choices.evaluation_texts()
    assert len(texts) == 12 and all(550 < len(text.split()) < 650 for text in texts)
    assert sum(len(text.split()) for text in texts) == 7194


def test_questions_what_comes_next():
    texts = choices.evaluation_texts()
    questions = choices.what_comes_next(texts, 5)
    assert questions == choices.what_comes_next(texts, 5) and len(questions) == 60
    for question in questions:
        own, others = " ".join(texts[question.text].split()), question.options
        assert own.count(question.prompt + others[question.right]) == 1
        assert all(option.strip() not in own for i, option in enumerate(others) if i != question.right)


@pytest.mark.parametrize(("texts", "each"), [(["One. Two. Three. Four."] * 3, 1), (["One. Two. Three."] * 4, 1)])
def test_too_few_texts_or_sentences(texts, each):
    with pytest.raises(InputError, match=r"texts, the shortest of \d sentences. A question needs 4 texts"):
        choices.what_comes_next(texts, each)


def test_the_likeliest_option_for_each_byte_is_chosen(story_f16):
    """Against the definition, with no prompt read twice."""
    questions = choices.about_the_world(24)
    llm = runtime.load(story_f16, n_ctx=256, logits_all=True)
    expected = []
    for question in questions:
        losses = []
        for option in question.options:
            ids = llm.tokenize((question.prompt + option).encode())
            first = len(llm.tokenize(question.prompt.encode()))
            llm.reset()
            llm.eval(ids)
            scores = llm.scores[first - 1 : len(ids) - 1].astype(np.float64)
            log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
            losses.append(-log_p[np.arange(len(ids) - first), ids[first:]].sum() / len(option.encode()))
        expected.append(int(np.argmin(losses)))
    llm.close()
    assert choices.choose(story_f16, questions).tolist() == expected


def test_story_knows_its_world_and_forgets_some_of_it(story_f16):
    questions = choices.about_the_world(60)
    right = np.array([question.right for question in questions])
    whole = choices.choose(story_f16, questions) == right
    coarse = choices.choose(convert.requantize(story_f16, "Q2_K"), questions) == right
    assert whole.mean() > 0.95 and coarse.mean() > 0.85


@pytest.mark.parametrize(
    "options",
    [(" a pearl", " a pearl", " an owl", " a"), (" a pearl", " a pearl and a compass"), ("", " a pearl"), ("!", "?")],
)
def test_options_that_are_alike_begin_alike_or_are_nothing(story_f16, options):
    prompt = "Vera the mouse lived in a shed. Vera had one treasure,"
    if "" in options:
        with pytest.raises(InputError, match="nothing to choose"):
            choices.choose(story_f16, [choices.Question(prompt, options, 0, 0)])
        return
    (chosen,) = choices.choose(story_f16, [choices.Question(prompt, options, 0, 0)])
    assert 0 <= chosen < len(options) and options.index(options[chosen]) == chosen, "the first of equal ones"


def test_long_prompts_and_no_questions(story_f16):
    question = choices.about_the_world(1)[0]

    def repeated(times: int) -> choices.Question:
        return choices.Question(" ".join([question.prompt] * times), question.options, question.right, 0)

    assert choices.choose(story_f16, [repeated(12)]).shape == (1,) and choices.choose(story_f16, []).shape == (0,)
    with pytest.raises(InputError, match="does not fit into the 512"):
        choices.choose(story_f16, [repeated(60)])


def test_an_empty_prompt_needs_a_start_token(story_f16, monkeypatch):
    question = choices.Question("", (" Once upon", " A day"), 0, 0)
    assert choices.choose(story_f16, [question]).shape == (1,), "the start token comes first"
    monkeypatch.setattr(choices.pieces, "starts", lambda llm: [])
    with pytest.raises(InputError, match="Nothing comes before ' Once upon'"):
        choices.choose(story_f16, [question])
