"""Asking: templates that work, that are broken or foreign, messages, and what cannot be asked."""

import math

import numpy as np
import pytest
import tiny_gguf

from helpers.errors import InputError, ResourceError
from helpers.pipeline import chat, pieces, runtime

CHATML = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TYPED = "{% for message in messages %}{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endfor %}"


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens a tiny model with a template (None: a base model) and more metadata."""
    models = []

    def open_(template: str | None = None, **pairs):
        if template is not None:
            pairs["tokenizer__chat_template"] = template
        models.append(runtime.load(tiny_gguf.llama(tmp_path / f"{len(models)}.gguf", **pairs), n_ctx=128))
        return models[-1]

    yield open_
    for model in models:
        model.close()


def read(llm, question) -> str:
    """What the model reads, control tokens written out."""
    return b"".join(pieces.piece(llm, token, special=True) for token in chat.prompt_tokens(llm, question)).decode()


@pytest.mark.parametrize(
    "question",
    [
        "hello",
        [{"role": "user", "content": "hello"}],
        ({"role": "user", "content": word} for word in ["hello"]),
        [{"role": "user", "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}],
    ],
)
def test_a_question_in_every_form(opened, question):
    assert read(opened(CHATML), question) == " <|user|>hello\n<|assistant|>"


def test_earlier_turns_are_read(opened):
    turns = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    assert read(opened(CHATML), iter(turns)) == " <|user|>one\n<|assistant|>two\n<|user|>three\n<|assistant|>"


def test_a_base_model_continues_text(opened):
    for template in (None, "", "  \n"):
        model = opened(template)
        assert read(model, "hello") == read(model, [{"role": "user", "content": "hello"}]) == "<s> hello"
        assert runtime.ask(model, "hello", max_tokens=3) == runtime.ask(model, "hello", max_tokens=3)
    with pytest.raises(InputError, match="no chat template, and 2 messages need one"):
        read(model, [{"role": "user", "content": "a"}] * 2)


@pytest.mark.parametrize("start", ["<s>", "{{ bos_token }}", "{{ bos_token }}<s>", "<s><s><s>"])
@pytest.mark.parametrize("wanted", [True, False])
def test_one_start_token_however_often_the_template_writes_it(opened, start, wanted):
    model = opened(start + CHATML, tokenizer__ggml__add_bos_token=wanted)
    ids = chat.prompt_tokens(model, "hello")
    assert ids[0] == 1 and ids.count(1) == 1


def test_typed_content_of_models_that_see_pictures(opened):
    """Given a text, such a template renders nothing at all: no error, and no question."""
    assert read(opened(TYPED), "hello") == " hello"


@pytest.mark.parametrize(
    "template, what",
    [
        ("{% for message in messages %}{{ message.content }}", "TemplateSyntaxError"),
        ("{{ range .Messages }}{{ .Content }}{{ end }}", "TemplateSyntaxError"),  # Go, as Ollama has it
        ("{{ raise_exception('Only system messages are supported') }}", "Only system messages"),
        ("{{ messages[3]['content'] }}", "UndefinedError"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ messages | no_such_filter }}", "TemplateAssertionError"),
        ("{{ ''.__class__.__mro__ }}{{ messages[0].content.format.__globals__ }}", "SecurityError"),
        ("{% include 'other.jinja' %}", "other.jinja|TypeError|no loader"),
        ("Hello, I am a model.", "the words of the question are not in what it makes"),
        ("{{ '" + "(" * 5 + "' + messages }}", "TypeError"),
    ],
)
def test_templates_that_fail(opened, template, what):
    """The file opens (its perplexity can be measured); asking says what is wrong; plain text goes on."""
    model = opened(template)
    with pytest.raises(InputError, match=rf"chat template of 0.gguf fails: .*({what}).*create_completion"):
        runtime.ask(model, "hello", max_tokens=3)
    assert model.create_completion("hello", max_tokens=2, temperature=0)["choices"]


def test_llama_cpp_pythons_own_chat_says_so_too(opened):
    model = opened("{% for message in messages %}")
    with pytest.raises(InputError, match="chat template of this file fails: TemplateSyntaxError"):
        model.create_chat_completion([{"role": "user", "content": "hello"}], max_tokens=2)
    assert opened(CHATML).create_chat_completion([{"role": "user", "content": "hello"}], max_tokens=2)["choices"]


# What cannot be asked


@pytest.mark.parametrize(
    "question, what",
    [
        (None, "NoneType"),
        (b"hello", "not text.*decode"),
        (7, "no question"),
        ([], "no messages"),
        (["hello"], "no message"),
        ([{"role": "user"}], "lacks a role or a content"),
        ([{"role": "user", "content": None}], "not text"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "parts that are no text"),
        ([{"role": "user", "content": []}], "parts that are no text"),
        ("half \ud83d", "lone surrogate"),
        ([{"role": "user", "content": "\udfff"}], "lone surrogate"),
        (np.zeros(3), "no message"),
    ],
)
@pytest.mark.parametrize("template", [CHATML, None])
def test_questions_that_are_none(opened, template, question, what):
    with pytest.raises(InputError, match=what):
        runtime.ask(opened(template), question)


def test_an_empty_question(opened):
    assert read(opened(CHATML), "") == " <|user|>\n<|assistant|>"
    assert read(opened(), "") == "<s>"
    with pytest.raises(InputError, match="begin with no start token"):
        runtime.ask(opened(tokenizer__ggml__add_bos_token=False), "")


@pytest.mark.parametrize("tokens", [-1, 1.5, "8", None, math.inf, True])
def test_impossible_lengths(opened, tokens):
    with pytest.raises(InputError, match="max_tokens=.* is impossible"):
        runtime.ask(opened(), "hello", max_tokens=tokens)


def test_no_tokens_asked_for_none_written(opened):
    assert runtime.ask(opened(), "hello", max_tokens=0) == ""
    assert runtime.ask(opened(), "hello", max_tokens=np.int64(3)) == runtime.ask(opened(), "hello", max_tokens=3)


def test_mistakes_are_known_before_the_first_piece_is_asked_for(opened):
    with pytest.raises(InputError, match="has room for 128"):
        runtime.stream(opened(), "hello", max_tokens=10**9)


@pytest.mark.parametrize(
    "options, what",
    [
        ({"temprature": 1.0}, "no option temprature"),
        ({"stream": True}, "no option stream"),
        ({"temperature": "hot"}, "temperature='hot' is impossible"),
        ({"top_p": math.nan}, "top_p=nan"),
        ({"top_k": 2.5}, "top_k=2.5"),
        ({"seed": "x"}, "seed='x'"),
        ({"stop": 7}, "stop=7"),
        ({"stop": ["a", None]}, "stop="),
    ],
)
def test_options_that_do_not_exist(opened, options, what):
    with pytest.raises(InputError, match=what):
        runtime.ask(opened(), "hello", **options)


def test_sampling_with_a_seed_repeats(opened):
    model = opened()
    answers = [runtime.ask(model, "hello", max_tokens=30, temperature=1.5, seed=seed) for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


@pytest.mark.parametrize(
    "stop, expected",
    [("cd", "ab"), (["x", "de"], "abc"), ("a", ""), ("zz", "abcde"), ("ef", "abcde"), ("", "abcde"), (None, "abcde")],
)
def test_stop_texts_may_lie_over_several_tokens(opened, monkeypatch, stop, expected):
    model = opened()
    words = [text for text, _ in tiny_gguf.words()]
    monkeypatch.setattr(model, "generate", lambda prompt, **_: iter([words.index(letter) for letter in "abcde"]))
    assert runtime.ask(model, "x", max_tokens=5, stop=stop) == expected


def test_an_answer_ends_at_the_end_token(opened, monkeypatch):
    model = opened()
    words = [text for text, _ in tiny_gguf.words()]
    monkeypatch.setattr(model, "generate", lambda prompt, **_: iter([words.index("a"), 2, words.index("b")]))
    assert runtime.ask(model, "x", max_tokens=5) == "a"


def test_llama_cpp_stops_in_the_middle(opened, monkeypatch):
    model = opened()

    def stop(tokens):
        raise RuntimeError("llama_decode returned 1")

    monkeypatch.setattr(model, "eval", stop)
    with pytest.raises(ResourceError, match="stopped while 0.gguf answered: llama_decode returned 1"):
        runtime.ask(model, "x")
