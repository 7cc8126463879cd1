"""A gate before a GGUF is made public: is it the same model, does it answer, did it lose no more than its type may?

    kept = gate.check(path, proof=proof, questions=model.questions, kl=comparison.kl)
    str(kept)                                                  # a table that ends in a verdict
    hub.publish(here, name, [path], text, private=False, gates=[kept])    # stays private unless it passed

What was not looked at does not pass. The KL divergence is measured by `quality.evaluate`, against the unquantized file.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers import artifacts
from helpers.errors import CourseError
from helpers.pipeline import gguf_file, runtime
from helpers.pipeline.hub import preflight

# Bits in the name of a type → mean KL divergence in nats that may be lost. About three times what Llama-3-8B loses
# (llama.cpp's perplexity README: Q8_0 0.0014, Q6_K 0.0055, Q4_K_M 0.031, Q2_K 0.445), since small models lose more.
LIMITS = {32: 0.001, 16: 0.001, 8: 0.005, 6: 0.02, 5: 0.05, 4: 0.1, 3: 0.3, 2: 1.3, 1: 2.0}
SIGNS = {True: "✓", False: "✗", None: "?"}


@dataclass(frozen=True)
class Row:
    """One thing that was looked at; `passed` is None if it could not be."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True)
class Gate:
    """What was found about one GGUF; `files` maps its name (or those of its parts) to SHA-256."""

    file: str
    files: dict[str, str]
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.rows)

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        failed = [row.name for row in self.rows if row.passed is False]
        if failed:
            return f"{self.file} stays private: {', '.join(failed)} failed."
        unknown = [row.name for row in self.rows if row.passed is None]
        if unknown:
            return f"{self.file} stays private: {', '.join(unknown)} was not checked."
        return f"{self.file} may be made public."

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        return "\n".join([*(f"{SIGNS[r.passed]} {r.name:{width}}  {r.detail}" for r in self.rows), self.verdict])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = [
            f"<tr><td>{SIGNS[row.passed]}</td><td>{html.escape(row.name)}</td>"
            f"<td style='text-align:left'>{html.escape(row.detail)}</td></tr>"
            for row in self.rows
        ]
        return f"<table>{''.join(cells)}</table><p><b>{html.escape(self.verdict)}</b></p>"


def check(
    gguf: Path | str,
    proof=None,
    questions: Sequence[str] = (),
    kl: float | None = None,
    most: float | None = None,
    threads: int | None = None,
) -> Gate:
    """Return what speaks for and against making a GGUF public.

    proof: a `Proof` of this file or of the one it was quantized from. questions: each must get a finite answer that is
    neither empty nor an endless repetition; a model without chat template continues them. kl: measured mean KL
    divergence in nats (or a `Comparison`), at most `most`, by default LIMITS for the file's type. Raises InputError
    for a file that is no whole GGUF.
    """
    every = preflight.require_files(gguf)
    file = gguf_file.summary(every[0])
    rows = (_proof(file, proof), _answers(every[0], [questions] if isinstance(questions, str) else questions, threads))
    sums = {path.name: artifacts.sha256(path) for path in every}
    return Gate(every[0].name, sums, (*rows, _divergence(file, kl, most)))


def limit(type_name: str) -> float:
    """Return how much KL divergence in nats a type may cost: Q4_K_M → 0.1."""
    return LIMITS[int(re.search(r"32|16|[1-8]", type_name)[0])]


def repetition(text: str, times: int = 4, shortest: int = 24) -> str | None:
    """Return what the end of a text repeats at least `times` times over `shortest` characters, None if nothing."""
    text = text.strip()
    for period in range(1, len(text) // times + 1):
        start = len(text) - period
        while start > 0 and text[start - 1] == text[start - 1 + period]:
            start -= 1
        if len(text) - start >= max(times * period, shortest):
            return text[-period:]
    return None


def _proof(file: gguf_file.Summary, proof) -> Row:
    if proof is None:
        return Row("proof", None, "the file was not compared with its checkpoint")
    proven = getattr(proof, "gguf", file.path.name)
    if _key(Path(proven).name) != _key(file.path.name):
        return Row("proof", False, f"it is the proof of another model's file, {proven}")
    source = "" if proven == file.path.name else f", for {proven}, of which this is a quantization"
    return Row("proof", bool(proof.passed), f"{'passed' if proof.passed else 'not passed'}{source}")


def _key(name: str) -> str:
    """Return a file's name without its type: a file and those quantized from it share it."""
    return re.sub(r"(-\d{5}-of-\d{5})?\.gguf$", "", name).rpartition("-")[0]


def _answers(path: Path, questions: Sequence[str], threads: int | None) -> Row:
    if not questions:
        return Row("answers", None, "the file was asked nothing")
    try:
        llm = runtime.load(path, threads=threads)
        try:
            for question in questions:
                if problem := _problem(llm, question):
                    return Row("answers", False, f"to {question!r}: {problem}")
        finally:
            llm.close()
    except CourseError as error:
        return Row("answers", False, str(error))
    return Row("answers", True, f"{len(questions)} of {len(questions)} questions answered")


def _problem(llm, question: str) -> str | None:
    import llama_cpp
    import numpy as np

    answer = runtime.ask(llm, question, max_tokens=64).strip()
    logits = llama_cpp.llama_get_logits_ith(llm.ctx, -1)
    if not logits or not np.isfinite(np.ctypeslib.as_array(logits, (llm.n_vocab(),))).all():
        return "its logits are not finite"
    if not answer.strip("\ufffd \n"):
        return "the answer is empty"
    if unit := repetition(answer):
        return f"it repeats {unit.strip()!r} without end"
    return None


def _divergence(file: gguf_file.Summary, kl, most: float | None) -> Row:
    kind = file.file_type
    allowed = limit(kind) if most is None else most
    if kl is None:
        return Row("KL divergence", None, f"not measured; {kind} may cost {allowed:g} nats")
    value = float(getattr(kl, "kl", kl))
    fine = math.isfinite(value) and value <= allowed
    return Row(
        "KL divergence", fine, f"{value:.4f} nats, {'at most' if fine else 'more than the'} {allowed:g} for {kind}"
    )
