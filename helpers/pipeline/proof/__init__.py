"""A wrong conversion is silent. Is a GGUF the same model as its checkpoint?

    proof = same_model("models/mine", "mine-F16.gguf")
    proof                        # shown as a table that ends in a verdict
    proof.passed                 # False also for what could not be compared
    proof.markdown()             # for the model card

rows says what a row is; tokens, chat, tensors, values and logits compare one thing each; vocabulary and stored read the
GGUF; scores repairs a sentencepiece vocabulary that lost its scores.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import CourseError
from helpers.pipeline import checkpoint as model_folder
from helpers.pipeline import gguf_file
from helpers.pipeline.proof.rows import FAILED, OPEN, PASSED, Row
from helpers.pipeline.proof.scores import rebuild_scores

__all__ = ["FAILED", "OPEN", "PASSED", "Proof", "Row", "rebuild_scores", "same_model"]

SIGNS = {PASSED: "✓", FAILED: "✗", OPEN: "?"}
FAITHFUL = ("F64", "F32", "F16", "BF16", "Q8_0")  # whoever compares answers will find no difference


@dataclass(frozen=True)
class Proof:
    """A GGUF beside its checkpoint, row by row; prints as a table that ends in a verdict."""

    checkpoint: str
    gguf: str
    type: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was compared and nothing differs."""
        return all(row.verdict == PASSED for row in self.rows)

    @property
    def verdict(self) -> str:
        """The proof in one sentence."""
        failed = [row.name for row in self.rows if row.verdict == FAILED]
        if failed:
            return f"FAILED: {self.gguf} is not the same model as {self.checkpoint} ({', '.join(failed)})."
        unknown = [row.name for row in self.rows if row.verdict == OPEN]
        if unknown:
            return f"NOT PROVEN: nothing differs, but not everything could be compared ({', '.join(unknown)})."
        without = ", ".join(row.left_out for row in self.rows if row.left_out)
        limits = "" if self.type in FAITHFUL else f", as exactly as {self.type} allows"
        left_out = f", without {without}" if without else ""
        return f"PASSED: {self.gguf} is the same model as {self.checkpoint}{left_out}{limits}."

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        lines = []
        for row in self.rows:
            lines.append(f"{SIGNS[row.verdict]} {row.name:{width}}  {row.detail}")
            if row.remedy:
                lines.append(f"  {'':{width}}  → {row.remedy}")
        return "\n".join([*lines, self.verdict])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = [
            f"<tr><td>{SIGNS[row.verdict]}</td><td>{html.escape(row.name)}</td>"
            f"<td style='text-align:left'>{html.escape(row.detail)}"
            f"{f'<br>→ {html.escape(row.remedy)}' if row.remedy else ''}</td></tr>"
            for row in self.rows
        ]
        return f"<table>{''.join(cells)}</table><p><b>{html.escape(self.verdict)}</b></p>"

    def markdown(self) -> str:
        """Return the proof for a model card: a table and the verdict."""
        table = ["| compared | result | what was seen |", "|---|---|---|"]
        for row in self.rows:
            detail = " ".join(row.detail.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
            table.append(f"| {row.name} | {SIGNS[row.verdict]} {row.verdict} | {detail} |")
        return "\n".join([*table, "", f"**{self.verdict}**", ""])


def same_model(checkpoint: Path | str, gguf: Path | str, threads: int | None = None) -> Proof:
    """Compare a GGUF with the checkpoint it was made from, for any causal language model.

    Tokens, the chat prompt, beginning and end of a prompt, all tensors and their values, and the logits, which the
    checkpoint computes in FP32. Raises InputError for a file that is no whole GGUF and CheckpointError for a folder
    that is no model; whatever cannot be compared is a row that says so.
    """
    from tqdm.auto import tqdm

    source, file = model_folder.read(Path(checkpoint)), gguf_file.summary(Path(gguf))
    rows = []
    with _quiet(), tqdm(total=6, desc=f"comparing {file.path.name}", unit="part", delay=2, leave=False) as bar:
        for row in _rows(source, file, threads):
            rows.append(row)
            bar.update()
    main = file.main_type if file.tensors else "no weights"
    return Proof(source.folder.name, file.path.name, main, tuple(rows))


def _rows(source: model_folder.Checkpoint, file: gguf_file.Summary, threads: int | None) -> Iterator[Row]:
    from helpers.pipeline.proof import chat, logits, tensors, tokens, values
    from helpers.pipeline.proof.vocabulary import Vocabulary

    tokenizer = tokens.load(source.folder)
    accounts = tensors.account(source, file)
    try:
        vocabulary = Vocabulary(file)
    except CourseError as error:
        for name in (tokens.NAME, chat.NAME, chat.ENDS):
            yield Row(name, FAILED, str(error))
        yield tensors.compare(source, file, accounts)
        yield values.compare(source, file, accounts)
        yield Row(logits.NAME, OPEN, "llama.cpp does not open this file")
        return
    with vocabulary:
        yield tokens.compare(tokenizer, file, vocabulary)
        yield chat.compare(tokenizer, file, vocabulary)
        yield chat.compare_ends(tokenizer, file, vocabulary)
        yield tensors.compare(source, file, accounts)
        yield values.compare(source, file, accounts)
        yield logits.compare(tokenizer, source, file, vocabulary, threads)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' own warnings and bars away: what matters of them is in a row."""
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled() and not are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
