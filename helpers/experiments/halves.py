"""DistilBERT's way (notebook 13): a student from every second layer of its teacher, with and without its third loss.

The teacher is `story`, the students have its layers 0 and 2, or random numbers of the same shape. All read the same
text for as many steps: half of the loss from the text, half from the teacher's probabilities, with or without the
angle between the last hidden states (arXiv 1910.01108). A rate that suits trained weights is low for random ones, so
three kinds of start are compared at the best of PILOTS for each, too.
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
PILOTS = (1e-3, 4e-3, 8e-3)  # peaks of the learning rate, tried with the first seed; the best for each start:
RATES = {"layers": 1e-3, "fresh": 4e-3, "embedding": 4e-3}
LOOKS = 4  # at each quarter of the training


@dataclass(frozen=True)
class Half:
    """A student with two of four layers.

    start: `layers` of the teacher and its embedding; `random`, as large as the teacher's first weights were; `fresh`,
    random with the usual standard deviation of 0.02; or the teacher's `embedding` and fresh layers.
    """

    start: str
    cosine: bool
    seed: int
    rate: float = RATE

    @property
    def name(self) -> str:
        rate = "" if self.rate == RATE else f"-{self.rate}"
        return f"half-{self.start}-{'cosine' if self.cosine else 'plain'}{rate}-{self.seed}"

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
        fit(student, batches, STEPS, self.rate, progress=False, objective=objective, after_step=look)
        speed = {name: round(tokens_per_second(model)) for name, model in (("teacher", teacher), ("student", student))}
        sizes = {"teacher": teacher.num_parameters(), "student": student.num_parameters()}
        return {"losses": losses, "tokens_per_second": speed, "parameters": sizes}

    def student(self) -> LlamaForCausalLM:
        half = prune.remove_layers(shipped.story(), (1, 3))
        if self.start == "layers":
            return half
        if self.start == "random":
            return llama.small_llama(layers=2, seed=self.seed)
        fresh = llama.small_llama(layers=2, seed=self.seed, initializer_range=0.02)
        if self.start == "embedding":
            fresh.model.embed_tokens.load_state_dict(half.model.embed_tokens.state_dict())
        return fresh


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
    same_rate = [Half(*case) for case in itertools.product(("layers", "random"), (False, True), SEEDS)]
    pilots = [Half(start, False, 0, rate) for start, rate in itertools.product(RATES, PILOTS)]
    best = [Half(start, False, seed, rate) for (start, rate), seed in itertools.product(RATES.items(), SEEDS)]
    return list(dict.fromkeys([*same_rate, *pilots, *best]))


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
