"""Does the tokenizer fit to the table of embeddings? Its highest token id against the number of rows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from helpers.errors import CheckpointError
from helpers.pipeline.shelf import Shelf, json_object

# Families whose converter takes added tokens from tokenizer.json, too, beside a tokenizer.model.
JSON_TOO = ("phi3", "phimoe", "internlm2", "internlm3")
_parsed: dict[str, tuple[int, dict[int, str]]] = {}  # by the file's checksum: a tokenizer.json may have 30 MB


@dataclass
class Vocabulary:
    """Ids by where they stand: the plain vocabulary's end, tokens added to it, and where the converter sees those."""

    plain: int = 0  # ids below this one belong to the vocabulary itself
    pieces: int | None = None  # how many tokens tokenizer.model has, None without that file
    added: dict[int, str] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)  # added tokens that the converter takes beside a tokenizer.model


def read(shelf: Shelf, most: int | None = None) -> Vocabulary:
    """Return what the tokenizer's files say, as far as they are there and no longer than `most` bytes.

    Raises CheckpointError for a file that is damaged or something else.
    """
    found = Vocabulary()

    def take(name: str) -> bool:
        return name in shelf.files and (most is None or (shelf.files[name] or 0) <= most)

    if take("tokenizer.json"):
        found.plain, found.added = _tokenizer_json(shelf)
    elif take("vocab.json"):
        ids = [i for i in json_object(shelf, "vocab.json").values() if type(i) is int]
        found.plain = max(ids, default=-1) + 1
    if take("tokenizer.model"):
        found.pieces = _pieces(shelf.data("tokenizer.model"))
        found.plain = max(found.plain, found.pieces or 0)
    if take("added_tokens.json"):
        listed = {i: token for token, i in json_object(shelf, "added_tokens.json").items() if type(i) is int}
        found.added |= listed
        found.seen |= set(listed)
    if take("tokenizer_config.json"):
        decoder = json_object(shelf, "tokenizer_config.json").get("added_tokens_decoder")
        for i, token in (decoder if isinstance(decoder, dict) else {}).items():
            if str(i).isdigit() and isinstance(token, dict):
                found.added[int(i)] = str(token.get("content"))
                found.seen.add(int(i))
    return found


def check(found: Vocabulary, rows: int, where: str, kind: str | None = None) -> list[str]:
    """Return remarks on tokens without an embedding and embeddings without a token.

    rows: of the table of embeddings; kind: the configuration's model_type. Raises CheckpointError if the vocabulary
    itself is larger, or if the converter would stop at an added token.
    """
    beyond = sorted(i for i in found.added if i >= rows)
    if found.plain > rows and found.plain - len([i for i in beyond if i < found.plain]) > rows:
        raise CheckpointError(
            f"The tokenizer of {where} has {found.plain:,} tokens, the table of embeddings {rows:,} rows. Most likely "
            "the tokenizer belongs to another model. Take the tokenizer's files from the same save as the weights."
        )
    if beyond and found.pieces is None:
        raise CheckpointError(
            f"{where} has tokens that its model does not know: {_some(found.added, beyond)}. The table of embeddings "
            f"ends at {rows - 1:,}: tokens were added to the tokenizer, and the table was not resized. Do "
            "model.resize_token_embeddings(len(tokenizer)) and save again, or take the base model's tokenizer."
        )
    remarks = []
    if beyond:
        remarks.append(
            f"added tokens without an embedding vanish: {_some(found.added, beyond)} (the table ends at {rows - 1:,}); "
            "text that contains them is read in pieces"
        )
    if found.pieces is not None and kind not in JSON_TOO:
        unseen = sorted(i for i in found.added if found.pieces <= i < rows and i not in found.seen)
        if unseen:
            remarks.append(
                f"added tokens stand in tokenizer.json only and become [PAD…] in a GGUF: {_some(found.added, unseen)}; "
                "list them in added_tokens.json as well (tokenizer.save_pretrained of the slow tokenizer does)"
            )
    return remarks


def _tokenizer_json(shelf: Shelf) -> tuple[int, dict[int, str]]:
    data = shelf.data("tokenizer.json")
    digest = hashlib.sha256(data).hexdigest()
    if digest not in _parsed:
        found = json_object(shelf, "tokenizer.json")
        try:
            vocab = found["model"]["vocab"]
            plain = len(vocab) if isinstance(vocab, list) else max(vocab.values(), default=-1) + 1
            listed = [token for token in found.get("added_tokens") or [] if "id" in token]
            added = {int(token["id"]): str(token["content"]) for token in listed}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise CheckpointError(
                f"tokenizer.json of {shelf.title} holds no vocabulary. It is another file under this name, or of a "
                "form that the tokenizers library does not know. Download the original again."
            ) from None
        _parsed[digest] = plain, added
    plain, added = _parsed[digest]
    return plain, dict(added)


def _pieces(data: bytes) -> int | None:
    """Count the tokens of a sentencepiece model (a protocol buffer: its field 1, repeated); None for another format."""
    at, count = 0, 0
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            if tag & 7 == 2:
                length, at = _varint(data, at)
                count += tag >> 3 == 1
                at += length
            elif tag & 7 == 0:
                _, at = _varint(data, at)
            else:
                at += {1: 8, 5: 4}[tag & 7]
    except (IndexError, KeyError):
        return None
    return count if count and at == len(data) else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _some(tokens: dict[int, str], ids: list[int]) -> str:
    named = ", ".join(f"{json.dumps(tokens[i], ensure_ascii=False)} ({i})" for i in ids[:3])
    return named + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
