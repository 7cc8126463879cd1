"""The recipe of a training against the damage of rounding: first weights × weight decay × schedule (notebook 10).

Every model is looked at twelve times on its way, as it is and as the running mean of its weights (`AVERAGED`). What the
fall of the learning rate does to rounding can be seen in one training so (arXiv 2510.06213 draws these trajectories).
"""

import itertools
from dataclasses import dataclass

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.compression import compress
from helpers.experiments import sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, llama
from helpers.training.corpus import BATCH, CONTEXT
from helpers.training.fit import fit, learning_rate, mean_loss
from helpers.training.rounding import rounded_copy

RESULTS = artifacts.ROOT / "data" / "recipes.json"
FIRST_WEIGHTS = (0.02, 0.05, 0.1)  # standard deviations; transformers' default, `tiny`'s, `story`'s
DECAYS = (0.0, 0.1)  # AdamW's weight decay: none, and the usual one
SCHEDULES = ("cosine", "wsd")
STEPS = 3_000_000 // (BATCH * CONTEXT)
PEAK = 5e-3
LOOKS = 12
BITS = (2, 3, 4)
AVERAGED = 0.99  # the mean keeps so much of itself at each step: it looks back about a hundred


@dataclass(frozen=True)
class Recipe:
    """The tiny model of `training.llama`, trained on 3 million tokens in one of several ways."""

    first_weights: float
    decay: float
    schedule: str
    seed: int

    @property
    def name(self) -> str:
        return f"recipe-{self.first_weights}-{self.decay}-{self.schedule}-{self.seed}"

    def measure(self) -> dict:
        """Train; return for each look the step, the rate, the loss and what rounding to each of BITS adds to it."""
        model = llama.tiny(self.seed, self.first_weights)
        mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGED))
        tokenizer = corpus.story_tokenizer()
        held_out = corpus.held_out_tokens(tokenizer, 150)
        looks = []

        def look(step: int) -> None:
            mean.update_parameters(model)
            if step % (STEPS // LOOKS) == 0:
                rate = learning_rate(step - 1, STEPS, PEAK, self.schedule)
                found = {"step": step, "rate": float(f"{rate:.3g}"), "peaks": peaks(model)}
                looks.append(found | losses(model, held_out) | {"averaged": losses(mean.module, held_out)})

        batches = corpus.seed_batches(tokenizer, self.seed)
        fit(model, batches, STEPS, PEAK, self.schedule, False, after_step=look, weight_decay=self.decay)
        return {"looks": looks}


def losses(model: LlamaForCausalLM, held_out) -> dict:
    """Return the held-out loss of a model, and what rounding its matrices per row adds at each of BITS."""
    model.eval()
    whole = mean_loss(model, held_out)
    added = {str(bits): round(mean_loss(rounded_copy(model, bits), held_out) - whole, 5) for bits in BITS}
    model.train()
    return {"loss": round(whole, 5), "added": added}


def peaks(model: LlamaForCausalLM) -> float:
    """Return the largest magnitude of a row ÷ its root mean square, the mean over all rows: what one scale spans."""
    with torch.no_grad():
        rows = [
            module.weight.abs().amax(dim=1) / module.weight.square().mean(dim=1).sqrt()
            for module in compress.matrices(model).values()
        ]
    return round(float(torch.cat(rows).mean()), 3)


def tasks() -> list[Recipe]:
    """Return every task."""
    return [Recipe(*case) for case in itertools.product(FIRST_WEIGHTS, DECAYS, SCHEDULES, SEEDS)]


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
