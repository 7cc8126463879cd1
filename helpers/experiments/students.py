"""A student with and without its teacher, on fresh and on little text (notebook 13)."""

from dataclasses import dataclass

from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.compression import distill
from helpers.experiments import sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, llama, shipped
from helpers.training.fit import fit, mean_loss
from helpers.training.rounding import rounded_copy

RESULTS = artifacts.ROOT / "data" / "students.json"
STUDENT_STEPS = 400
METHODS = ((0.0, 1.0), (0.5, 1.0), (0.5, 2.0), (0.5, 4.0), (1.0, 1.0))  # (the teacher's share alpha, temperature)
TEXTS = (60_000, None)  # tokens of text, read again and again; None: always fresh


@dataclass(frozen=True)
class Student:
    """The tiny model of `training.llama`, taught by `story` with weight `alpha` at a temperature."""

    text: int | None
    alpha: float
    temperature: float
    seed: int

    @property
    def name(self) -> str:
        return f"student-{self.text or 'fresh'}-{self.alpha}-{self.temperature}-{self.seed}"

    def measure(self) -> dict:
        """Train on a cosine; return the held-out loss, after rounding to 4 and 3 bits too, and the parameters."""
        model = self.train()
        held_out = corpus.held_out_tokens(corpus.story_tokenizer(), 200)
        rounded = {str(b): round(mean_loss(rounded_copy(model, b), held_out), 5) for b in (4, 3)}
        return {"loss": round(mean_loss(model, held_out), 5), "rounded": rounded, "parameters": model.num_parameters()}

    def train(self, progress: bool = False) -> LlamaForCausalLM:
        model, tokenizer = llama.tiny(self.seed), corpus.story_tokenizer()
        batches = corpus.seed_batches(tokenizer, self.seed)
        if self.text:
            batches = corpus.repeated(batches, self.text, self.seed)
        objective = distill.objective(shipped.story(), self.temperature, self.alpha) if self.alpha else None
        fit(model, batches, STUDENT_STEPS, peak_rate=5e-3, progress=progress, objective=objective)
        return model


def tasks() -> list[Student]:
    """Return every task of notebook 13."""
    return [Student(text, *method, seed) for text in TEXTS for method in METHODS for seed in SEEDS]


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
