"""Do both tokenizers cut text into the same tokens: transformers' from the checkpoint, llama.cpp's from the GGUF?

Weights may be right to the last bit; with other tokens the model reads another text. And a comparison of files on the
GGUF's own tokens cannot see it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.pipeline.gguf_file import Summary
from helpers.pipeline.proof.rows import FAILED, OPEN, PASSED, Row, some
from helpers.pipeline.proof.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What tokenizers are known to differ in. All texts are in Unicode's composed form (NFC), which every model expects, and
# none begins with a blank: there transformers' own tokenizers part with sentencepiece, and llama.cpp goes with it.
TEXTS = {
    "prose": "The keeper's lamp wasn't lit; \"Who'll climb up?\" they asked. WE'RE late, I'VE said (again)...",
    "digits": "3 33 333 3333 33333 1234567890 3.14159 1,000,000 2026-11-27 0x1F 10e-5 7th",
    "blanks": "one  two   three    four\tfive\t\tsix \t seven  ",
    "newlines": "first\nsecond\n\nthird\r\nfourth\n\n\n  indented\n \n",
    "code": "def add(a, b=1):\n    return a[0] + b  # why?\n\nfor (int i = 0; i < n; ++i) { x[i] *= 2; }\n\t}\n",
    "markup": '<p class="a">x &amp; y</p> [link](https://example.org/?q=1&r=2) $\\alpha_1^2$ {{ user }} | # 1',
    "emoji": "🙂 🚀🚀 ok✅ 👩‍💻 🇫🇷 ❤️",
    "Latin": "Größe, façade, naïve, Ångström, żółć, İstanbul, Đặng",
    "Cyrillic and Greek": "Маяк построили давно. Ὁ φάρος",
    "Hebrew and Arabic": "המגדלור ישן. المنارة قديمة، ١٢٣",
    "Hindi and Thai": "प्रकाशस्तंभ पुराना है। ประภาคารเก่า",
    "Chinese, Japanese, Korean": "灯塔很旧。灯台は古い。トウダイ 등대는 오래되었다.",
    "signs": "½ × 2 ≠ 1… — “so” €5 №7 ﬁn Ａ１",
}
NAME = "tokens"


def compare(tokenizer: PreTrainedTokenizerBase | str, file: Summary, vocabulary: Vocabulary) -> Row:
    """Return the row about tokens. `tokenizer` is the checkpoint's, or a sentence why transformers has none."""
    if isinstance(tokenizer, str):
        return Row(NAME, OPEN, tokenizer)
    texts, count = [], 0
    for name, text in TEXTS.items():
        ours, theirs = tokenizer.encode(text, add_special_tokens=False), vocabulary.tokens(text)
        count += len(ours)
        if ours != theirs:
            texts.append(f"{name} ({_first_difference(ours, theirs, tokenizer, vocabulary)})")
    added = tokenizer.get_added_vocab()
    unknown = [
        token for token in added if tokenizer.encode(token, add_special_tokens=False) != vocabulary.tokens(token)
    ]
    unread = [token for token in unknown if added[token] >= vocabulary.size and token in _never_read(tokenizer)]
    unknown = [token for token in unknown if token not in unread]
    detail = []
    if unknown:
        detail.append(f"{len(unknown)} of {len(added)} added tokens differ: {some([repr(token) for token in unknown])}")
    if texts:
        detail.append(f"{len(texts)} of {len(TEXTS)} texts differ: {some(texts, 2)}")
    if detail:
        return Row(NAME, FAILED, "; ".join(detail), _remedy(file, tokenizer, unknown))
    note = f"; {some(unread)} would have no row in the embedding, and nothing reads them" if unread else ""
    equal = len(added) - len(unread)
    return Row(NAME, PASSED, f"{count} ids of {len(TEXTS)} texts and {equal} added tokens are equal{note}")


def same_piece_by_piece(text: str, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary) -> bool:
    """Tell whether both cut a text alike between its special tokens.

    Some sentencepiece models write a blank at the beginning of a text. llama.cpp also writes one after a special token,
    transformers only for some models: a difference of both runtimes for all such models, not of a file.
    """
    special = sorted(filter(None, tokenizer.get_added_vocab()), key=len, reverse=True)
    pieces = re.split("|".join(map(re.escape, special)), text) if special else [text]
    begun = [f"\n{piece}" for piece in pieces if piece]  # a line feed never joins with what follows
    return all(tokenizer.encode(piece, add_special_tokens=False) == vocabulary.tokens(piece) for piece in begun)


def load(folder: Path) -> PreTrainedTokenizerBase | str:
    """Return the checkpoint's tokenizer, or a sentence that says why transformers cannot make it."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever a foreign folder makes transformers stumble over
        return f"transformers cannot make the checkpoint's tokenizer: {first_line(error)}"


def first_line(error: Exception) -> str:
    """Return what an exception of another library says, in one line that fits a table."""
    text = str(error).strip() or type(error).__name__
    if "trust_remote_code" in text or "custom code" in text:
        return "it needs code from the model's repository, which this course does not run"
    line = " ".join(text.split())
    return line if len(line) <= 160 else f"{line[:159]}…"


def scores_are_constant(file: Summary) -> bool:
    """Tell whether a sentencepiece vocabulary came without its scores: then llama.cpp joins pieces in any order."""
    scores = file.metadata.get("tokenizer.ggml.scores") or []
    return file.metadata.get("tokenizer.ggml.model") == "llama" and len(scores) > 256 and len(set(scores)) == 1


def _never_read(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """Return tokens for roles that a causal language model never reads; some tokenizers invent them."""
    return {getattr(tokenizer, f"{role}_token", None) for role in ("pad", "mask", "cls", "sep")}


def _remedy(file: Summary, tokenizer: PreTrainedTokenizerBase, unknown: list[str]) -> str:
    if scores_are_constant(file):
        return (
            "The file has no scores for its pieces, because the folder has no tokenizer.model. Take that from the base "
            "model and convert again, or rebuild the scores from the merges: proof.rebuild_scores(checkpoint, gguf)."
        )
    if unknown:
        return (
            "The converter reads added tokens from added_tokens.json and tokenizer_config.json, and none beyond the "
            "rows of the embedding. Write the folder again with save_pretrained of tokenizer and (resized) model, and "
            "convert again."
        )
    return "Take the tokenizer's files from the base model, delete others, and convert again."


def _first_difference(ours: list[int], theirs: list[int], tokenizer, vocabulary: Vocabulary) -> str:
    i = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    expected = tokenizer.convert_ids_to_tokens(ours[i : i + 3])
    found = [vocabulary.text(token) for token in theirs[i : i + 3]]
    return f"{' '.join(map(str, expected)) or 'nothing'} became {' '.join(found) or 'nothing'}"
