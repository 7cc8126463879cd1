"""DistilBERT's way (notebook 13): a student from every second layer of its teacher, with and without its third loss.

The teacher is `story`, the students have its layers 0 and 2, or random numbers of the same shape. All read the same
text for as many steps: half of the loss from the text, half from the teacher's probabilities, with or without the
angle between the last hidden states (arXiv 1910.01108).
"""

import itertools
import time
from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.compression import distill, prune
from helpers.experiments import sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, llama, shipped
from helpers.training.fit import fit, mean_loss

RESULTS = artifacts.ROOT / "data" / "halves.json"
STEPS, RATE = 200, 1e-3
LOOKS = 4  # at each quarter of the training


@dataclass(frozen=True)
class Half:
    """A student with two of four layers."""

    start: str  # layers or random
    cosine: bool
    seed: int

    @property
    def name(self) -> str:
        return f"half-{self.start}-{'cosine' if self.cosine else 'plain'}-{self.seed}"

    def measure(self) -> dict:
        """Train; return the held-out loss at each look (0 is before), and how fast teacher and student read."""
        teacher, student = shipped.story(), self.student()
        held_out = corpus.held_out_tokens(corpus.story_tokenizer(), 200)
        losses = {"0": round(mean_loss(student, held_out), 5)}

        def look(step: int) -> None:
            if step % (STEPS // LOOKS) == 0:
                losses[str(step)] = round(mean_loss(student.eval(), held_out), 5)
                student.train()

        objective = distill.objective(teacher, alpha=0.5, cosine=float(self.cosine))
        batches = corpus.story_batches(corpus.story_tokenizer(), seed=f"half {self.seed}")
        fit(student, batches, STEPS, RATE, progress=False, objective=objective, after_step=look)
        speed = {name: round(tokens_per_second(model)) for name, model in (("teacher", teacher), ("student", student))}
        sizes = {"teacher": teacher.num_parameters(), "student": student.num_parameters()}
        return {"losses": losses, "tokens_per_second": speed, "parameters": sizes}

    def student(self) -> LlamaForCausalLM:
        half = prune.remove_layers(shipped.story(), (1, 3))
        if self.start == "layers":
            return half
        return llama.small_llama(layers=2, seed=self.seed)


def tokens_per_second(model: LlamaForCausalLM, rounds: int = 5) -> float:
    """Return how many tokens a model reads in a second, 256 at once, the best of some rounds."""
    tokens, seconds = torch.arange(256)[None] % model.config.vocab_size, []
    with torch.inference_mode():
        for _ in range(rounds):
            started = time.perf_counter()
            model(tokens)
            seconds.append(time.perf_counter() - started)
    return tokens.numel() / min(seconds)


def tasks() -> list[Half]:
    """Return every task."""
    return [Half(*case) for case in itertools.product(("layers", "random"), (False, True), SEEDS)]


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
