"""Small tokenizers, real ones: sentencepiece (that of `story`), byte-level BPE (SmolLM2's, and one of our own).

llama.cpp's converter recognises a byte-level BPE by the token ids of one text, so only the tokenizers of published
models pass. SmolLM2's is the smallest at hand (49152 tokens); `own` is what somebody has who trained one.
"""

import ast
import functools
import json
import re
import shutil
from pathlib import Path

from helpers import artifacts

STORY = artifacts.ROOT / "data" / "story"
SIZES = {"story": 1024, "gemma": 1024, "phi3": 1032, "smollm2": 49152, "glm": 49160}
SIZES |= {"own": 512, "wordpiece": 512, "unigram": 512}
GLM = ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
CHAT = (
    "{% for message in messages %}{{ bos_token }}[{{ message['role'] }}] {{ message['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ bos_token }}[assistant] {% endif %}"
)


def write(name: str, folder: Path) -> None:
    """Write a tokenizer's files into a checkpoint's folder."""
    globals()[f"_{name}"](folder)


def configure(folder: Path, **settings) -> None:
    """Change entries of tokenizer_config.json; None removes one."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | settings
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}, indent=1))


def _story(folder: Path) -> None:
    """sentencepiece as LLaMA has it: tokenizer.model, and the same as tokenizer.json."""
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copy(STORY / name, folder)
    configure(folder, chat_template=CHAT)
    (folder / "tokenizer.json").write_text(_story_json("▁"))


def _gemma(folder: Path) -> None:
    """The same without the blank that LLaMA puts before the first word."""
    from sentencepiece import sentencepiece_model_pb2

    _story(folder)
    configure(folder, tokenizer_class="GemmaTokenizer", pad_token="</s>", mask_token="<unk>")
    model = sentencepiece_model_pb2.ModelProto.FromString((STORY / "tokenizer.model").read_bytes())
    model.normalizer_spec.add_dummy_prefix = False
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    (folder / "tokenizer.json").write_text(_story_json(""))


def _phi3(folder: Path) -> None:
    """With a token that llama.cpp looks for in every model whose name contains phi3."""
    _story(folder)
    add_tokens(folder, "<|endoftext|>", special=True)


@functools.cache
def _story_json(prefix: str) -> str:
    """The fast form of story's tokenizer, normalized as the published tokenizer.json files of LLaMA and Mistral are."""
    from tokenizers import normalizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STORY).backend_tokenizer
    steps = [normalizers.Prepend(prefix)] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    content = json.loads(tokenizer.to_str())
    content["pre_tokenizer"] = None
    return json.dumps(content)


def _smollm2(folder: Path) -> None:
    for name, text in smollm2().items():
        (folder / name).write_text(text)


@functools.cache
def smollm2() -> dict[str, str]:
    """Return SmolLM2's tokenizer as name → text, from the course's own rebuilt checkpoint, with fewer merges.

    Kept are the first 2500 and those of the text by which the converter recognises it: with all 48900 each conversion
    would take twice as long. The tokens that nothing merges into any more keep their ids.
    """
    from tokenizers import Tokenizer

    from helpers.pipeline import catalogue, llama_tools

    source = catalogue.choose("smollm2").fetch()
    content = json.loads((source / "tokenizer.json").read_text())
    halves = {"".join(pair): pair for pair in content["model"]["merges"]}
    code = (llama_tools.tools() / "conversion" / "base.py").read_text()
    text = ast.literal_eval(re.search(r"chktxt = ('.*')$", code, re.M)[1])
    whole = Tokenizer.from_str(json.dumps(content)).encode(text)
    kept, todo = set(list(halves)[:2500]), list(whole.tokens)
    while todo:  # a token is made of two, these of two again
        token = todo.pop()
        kept.add(token)
        todo += [half for half in halves.get(token, ()) if half not in kept]
    content["model"]["merges"] = [pair for token, pair in halves.items() if token in kept]
    fewer = json.dumps(content)
    assert Tokenizer.from_str(fewer).encode(text).ids == whole.ids
    return {"tokenizer.json": fewer, "tokenizer_config.json": (source / "tokenizer_config.json").read_text()}


def _glm(folder: Path) -> None:
    _smollm2(folder)
    add_tokens(folder, *GLM, special=True)


def add_tokens(folder: Path, *tokens: str, special: bool = False) -> None:
    """Add tokens to a tokenizer.json, with the next free ids, as `tokenizer.add_tokens` does."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    first = 1 + max(*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"]))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    content["added_tokens"] += [{"id": first + i, "content": token} | flags for i, token in enumerate(tokens)]
    path.write_text(json.dumps(content))


def _own(folder: Path) -> None:
    """Train a byte-level BPE with 512 tokens, split as GPT-2 splits."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZES["own"],
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_text()], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_config(folder, "PreTrainedTokenizerFast", bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _wordpiece(folder: Path) -> None:
    """Train BERT's kind with 512 tokens."""
    from tokenizers import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator([_text()], vocab_size=SIZES["wordpiece"], show_progress=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.save_model(str(folder))
    _write_config(folder, "BertTokenizer", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")


def _unigram(folder: Path) -> None:
    """Train T5's kind with 512 tokens: ids 0, 1 and 2 are padding, end and unknown."""
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_text().splitlines()),
        model_writer=model,
        model_type="unigram",
        vocab_size=SIZES["unigram"],
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    _write_config(folder, "T5Tokenizer", eos_token="</s>", unk_token="<unk>", pad_token="<pad>", extra_ids=0)
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(folder).backend_tokenizer.save(str(folder / "tokenizer.json"))


def _write_config(folder: Path, kind: str, **settings) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind} | settings, indent=1))


def _text() -> str:
    return (artifacts.ROOT / "data" / "evaluation.txt").read_text()
