"""What the files of a real model lose, text by text and answer by answer (notebook 08).

SmolLM2 everywhere; TinyLlama, a wide model whose weights were never rounded before, where the Hub answers.
"""

import datetime
from dataclasses import dataclass

import numpy as np

from helpers import artifacts
from helpers.experiments import sweep
from helpers.pipeline import catalogue, convert, hub
from helpers.quality import choices, evaluate, scoring

RESULTS = artifacts.ROOT / "data" / "files.json"
KINDS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "IQ4_NL", "Q3_K_M", "Q2_K")
WINDOW = 256
QUESTIONS = 10  # for each of the twelve texts


@dataclass(frozen=True)
class Files:
    """All files of one model, on data/evaluation.txt."""

    model: str

    @property
    def name(self) -> str:
        return f"files-{self.model}"

    def measure(self) -> dict:
        """Return date, loss of F16, and for each file its size, what it loses with intervals, and its answers."""
        folder = catalogue.CATALOGUE[self.model].fetch()
        f16, texts = convert.to_gguf(folder, "f16"), choices.evaluation_texts()
        made = {"F16": f16, "Q8_0": convert.to_gguf(folder, "q8_0")}
        made |= {kind: convert.requantize(f16, kind) for kind in KINDS[1:]}
        questions = choices.what_comes_next(texts, QUESTIONS)
        base, rows = scoring.reference(f16, texts, window=WINDOW, apart=True), {}
        for kind, path in made.items():
            found = evaluate.compare(base, path, texts)
            summary = convert.summary(path)
            rows[kind] = {
                "bytes": summary.file_bytes,
                "bits_per_weight": round(summary.bits_per_weight, 3),
                "loss_added": round(found.candidate.loss - base.loss, 5),
                "loss_interval": np.round(found.interval("loss"), 5).tolist(),
                "kl": round(found.kl, 6),
                "kl_interval": np.round(found.interval("kl"), 6).tolist(),
                "same_top_token": round(found.top1, 4),
                "answers": choices.choose(path, questions).tolist(),
            }
        asked = {"right": [q.right for q in questions], "texts": [q.text for q in questions]}
        size = {"windows": len(base.windows), "scored_tokens": int(base.losses.size)}
        today = datetime.date.today().isoformat()
        return {"date": today, "loss": round(base.loss, 5), **size, "questions": asked, "files": rows}


def tasks() -> list[Files]:
    """Return the task of every model that can be had here, and of those whose results ship."""
    here = ["smollm2", "tinyllama"] if hub.current().wants_real() else ["smollm2"]
    stored = [row["model"] for row in results()] if RESULTS.exists() else []
    return [Files(model) for model in dict.fromkeys([*here, *stored])]


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
