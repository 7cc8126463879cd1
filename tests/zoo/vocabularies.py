"""Rows about tokenizers and chat templates."""

from . import changes as c
from .variant import Variant

FILE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
DATE = "{{ strftime_now('%Y') }}: {{ messages[0].content }}"
LIST = [
    {"name": "default", "template": "{{ messages[0].content }}!"},
    {"name": "tool_use", "template": "{{ tools }}"},
]
GENERATION = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
OLDER = "older than the model"  # the diagnosis that every unknown tokenizer got


def _template(text) -> c.Change:
    return c.tokenizer_config(chat_template=text)


ROWS = [
    Variant(
        "tokenizer-json-only",
        changes=(c.delete("tokenizer.model"),),
        differs="tokens, chat prompt",
        note="the order of sentencepiece's merges is lost: every token gets the score −1000",
    ),
    Variant("tokenizer-model-only", changes=(c.delete("tokenizer.json"),)),
    Variant(
        "tokenizer-model-only-mistral",
        "mistral",
        changes=(c.delete("tokenizer.json"),),
        differs="tokens, chat prompt",
        note="transformers 5 reads a bare tokenizer.model without the blank before the first word",
    ),
    Variant("tokenizer-no-config", changes=(c.delete("tokenizer_config.json"),)),
    Variant(
        "tokenizer-none",
        changes=(c.delete("tokenizer.json", "tokenizer.model", "tokenizer_config.json"),),
        refused="tokenizer",
        note="no tokenizer file",
    ),
    Variant("tokenizer-bpe", changes=(c.other_tokenizer("smollm2"),), settings={"vocab_size": 49152}),
    Variant(
        "tokenizer-bpe-as-llama",
        changes=(c.other_tokenizer("smollm2"), c.tokenizer_config(tokenizer_class="LlamaTokenizerFast")),
        settings={"vocab_size": 49152},
        refused="tokenizer",
        note="tokenizer_class says sentencepiece, tokenizer.json is byte-level: transformers 5 builds something third",
        unsaid=OLDER,
    ),
    Variant(
        "tokenizer-own-bpe",
        changes=(c.other_tokenizer("own"),),
        settings={"vocab_size": 512},
        refused="own|trained|recogni",
        note="the converter knows byte-level tokenizers only by their token ids",
        unsaid=OLDER,
    ),
    Variant(
        "tokenizer-foreign-qwen2",
        "qwen2",
        changes=(c.other_tokenizer("story"),),
        settings={"vocab_size": 1024},
        differs="tokens, chat prompt",
        note="sentencepiece under Qwen2: transformers 5 splits the text as Qwen2 does",
    ),
    Variant("vocabulary-padded", settings={"vocab_size": 1088}),
    Variant("vocabulary-padded-bpe", "qwen3", settings={"vocab_size": 49216}),
    Variant(
        "vocabulary-short",
        settings={"vocab_size": 1000},
        refused="1,?000",
        note="fewer embedding rows than tokens",
    ),
    Variant(
        "vocabulary-short-bpe",
        "qwen3",
        settings={"vocab_size": 49000},
        refused="49,?000",
        note="fewer embedding rows than tokens",
    ),
    Variant(
        "tokens-added",
        changes=(c.add_tokens("<tool>", "</tool>"), c.resize(1026)),
        differs="tokens",
        note="in tokenizer.json alone: beside a tokenizer.model the converter does not see them",
    ),
    Variant("tokens-added-bpe", "qwen3", changes=(c.add_tokens("<tool>", "</tool>"), c.resize(49154))),
    Variant(
        "tokens-added-not-resized",
        changes=(c.add_tokens("<tool>", "</tool>"),),
        differs="tokens",
        note="new tokens without embeddings vanish; where there is no tokenizer.model the converter stops",
    ),
    Variant(
        "tokens-added-not-resized-bpe",
        "qwen3",
        changes=(c.add_tokens("<tool>", "</tool>"),),
        refused="49,?15[34]",
        note="new tokens without embeddings",
    ),
    Variant(
        "add-eos",
        changes=(c.tokenizer_config(add_eos_token=True),),
        differs="beginning and end",
        note="transformers 5 and llama.cpp end the prompt with the end token",
    ),
    Variant("template-none", changes=(_template(None),), note="a base model: it continues text"),
    Variant("template-file", changes=(_template(None), c.write("chat_template.jinja", FILE))),
    Variant("template-list", changes=(_template(LIST),)),
    Variant("template-tojson", changes=(_template("{{ messages | tojson }}"),)),
    Variant("template-generation", changes=(_template(GENERATION),)),
    Variant("template-date", changes=(_template(DATE),)),
    Variant(
        "template-raises",
        changes=(_template("{{ raise_exception('no') }}"),),
        runs=False,
        note="the template refuses every message",
    ),
    Variant(
        "template-broken",
        changes=(_template("{% for %}"),),
        runs=False,
        note="the template has a syntax error",
    ),
]
