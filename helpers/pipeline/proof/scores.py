"""The scores of a sentencepiece vocabulary, rebuilt from the merges of tokenizer.json.

Sentencepiece joins the pair of neighbours whose union has the highest score, and the score of a piece is its rank,
negated. transformers wrote down for each piece, in that order, all pairs that make it. A folder with tokenizer.json
alone has therefore lost nothing; but llama.cpp's converter does not look at the merges and gives all pieces −1000.
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

from helpers import artifacts
from helpers.errors import CheckpointError, InputError
from helpers.pipeline import gguf_file

KEY = "tokenizer.ggml.scores"
BUILT_IN = (2, 3, 6)  # token types: unknown, control, byte; their score is 0


def rebuild_scores(checkpoint: Path | str, gguf: Path | str) -> Path:
    """Give a GGUF the scores that its checkpoint's merges stand for; return its path. The file is replaced as a whole.

    Raises CheckpointError if the folder has no such merges, or if no scores can stand for them (a tokenizer that did
    not come from sentencepiece), and InputError if the GGUF has no sentencepiece vocabulary or that of another model.
    """
    import numpy as np

    checkpoint, gguf = Path(checkpoint), Path(gguf)
    metadata = gguf_file.summary(gguf).metadata
    tokens, kinds = metadata.get("tokenizer.ggml.tokens") or [], metadata.get("tokenizer.ggml.token_type") or []
    if metadata.get("tokenizer.ggml.model") != "llama" or KEY not in metadata or len(kinds) != len(tokens):
        raise InputError(
            f"{gguf.name} has no sentencepiece vocabulary but {metadata.get('tokenizer.ggml.model')!r}. Only "
            "sentencepiece has scores. There is nothing to rebuild: look for another cause of wrong tokens."
        )
    ranks = piece_ranks(checkpoint)
    if not ranks.keys() <= set(tokens):
        raise InputError(
            f"{gguf.name} lacks pieces that {checkpoint.name} knows. It was made from another model. Convert the "
            "folder again."
        )
    scores = [
        0.0 if kind in BUILT_IN else -float(ranks.get(token, len(ranks)))
        for token, kind in zip(tokens, kinds, strict=True)
    ]
    with artifacts.making(gguf) as temporary:
        shutil.copyfile(gguf, temporary)
        with open(temporary, "r+b") as file:
            file.seek(_place(gguf, len(tokens)))
            file.write(np.array(scores, "<f4").tobytes())
    return gguf


def piece_ranks(checkpoint: Path) -> dict[str, int]:
    """Return the rank of each piece that merges make, 0 for the first to be joined; see `rebuild_scores`."""
    try:
        model = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        vocabulary = model["vocab"]
        pairs = [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in model["merges"]]
        if model["type"] != "BPE" or not all(len(pair) == 2 for pair in pairs) or not pairs:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{checkpoint.name} has no tokenizer.json with merges. Scores cannot be rebuilt from anything else. Take "
            "tokenizer.model from the base model and convert again."
        ) from None
    ranks: dict[str, int] = {}
    last = None
    sound = True
    for left, right in pairs:
        piece = left + right
        if piece != last:
            sound &= piece not in ranks  # all pairs of a piece stand together: one score can rank them
            ranks.setdefault(piece, len(ranks))
            last = piece
    listed = set(pairs)
    for piece in ranks:  # llama.cpp joins whatever makes a piece
        for i in range(1, len(piece)):
            left, right = piece[:i], piece[i:]
            sound &= not (left in vocabulary and right in vocabulary) or (left, right) in listed
    if not sound:
        raise CheckpointError(
            f"{checkpoint.name}/tokenizer.json does not come from sentencepiece: its merges are in an order that no "
            "scores can express. llama.cpp cannot read it this way. Take tokenizer.model from the base model."
        )
    return ranks


def _place(gguf: Path, count: int) -> int:
    """Return where in the file the scores begin."""
    from helpers.pipeline.proof.stored import reader

    start = reader()(gguf).fields[KEY].offset + 8 + len(KEY) + 4
    with open(gguf, "rb") as file:
        file.seek(start)
        found = struct.unpack("<IQ", file.read(12))
    if found != (6, count):  # float32
        raise InputError(f"{gguf.name} keeps its scores in a form that is not known. Convert the checkpoint again.")
    return start + 12
