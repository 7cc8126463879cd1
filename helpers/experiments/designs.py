"""Designs on equal terms (notebook 14): deep or wide, shared or different layers, four, two or one key-value heads.

All have 50,000 numbers in their matrices (shared layers counted once), read 100 tokens for each of them, and have the
learning rate that was best for their own shape at a fifth of the text.
"""

from dataclasses import dataclass

from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.compression import compress
from helpers.experiments import sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, llama
from helpers.training.corpus import BATCH, CONTEXT
from helpers.training.fit import fit, mean_loss
from helpers.training.shipped import USUAL_DECAY

RESULTS = artifacts.ROOT / "data" / "designs.json"
TOKENS, PILOT_TOKENS = 5_000_000, 1_000_000
PILOTS = (4e-3, 8e-3, 1.6e-2, 3.2e-2)  # peaks of the learning rate


@dataclass(frozen=True)
class Plan:
    """A shape, how often each layer is called, and the best of PILOTS for it."""

    shape: llama.Shape
    times: int = 1
    rate: float = 8e-3


DESIGNS = {
    "1 layer, 96 wide": Plan(llama.Shape(96, 1, 4, 2, 78), rate=1.6e-2),
    "2 layers, 64 wide": Plan(llama.Shape(64, 2, 4, 2, 66)),
    "4 layers, 48 wide": Plan(llama.Shape(48, 4, 4, 2, 39)),
    "8 layers, 32 wide": Plan(llama.Shape(32, 8, 4, 2, 33), rate=1.6e-2),
    "4 layers, each twice": Plan(llama.Shape(48, 4, 4, 2, 39), times=2, rate=1.6e-2),
    "8 different layers": Plan(llama.Shape(48, 8, 4, 2, 39), rate=1.6e-2),
    "4 layers, 4 key-value heads": Plan(llama.Shape(48, 4, 4, 4, 23)),
    "4 layers, 1 key-value head": Plan(llama.Shape(48, 4, 4, 1, 47), rate=1.6e-2),
}


@dataclass(frozen=True)
class Design:
    """One of DESIGNS, trained on some text at a peak rate."""

    design: str
    tokens: int
    rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"design-{sweep.slug(self.design)}-{self.tokens}-{self.rate}-{self.seed}"

    def model(self) -> LlamaForCausalLM:
        plan = DESIGNS[self.design]
        model = plan.shape.model(self.seed)
        llama.share_layers(model, plan.times)
        return model

    def measure(self) -> dict:
        """Train on a cosine with weight decay; return the held-out loss, and numbers stored and computed with."""
        model, tokenizer = self.model(), corpus.story_tokenizer()
        batches = corpus.seed_batches(tokenizer, self.seed)
        fit(model, batches, self.tokens // (BATCH * CONTEXT), self.rate, progress=False, weight_decay=USUAL_DECAY)
        loss = mean_loss(model, corpus.held_out_tokens(tokenizer, 300))
        return {"loss": round(loss, 5)} | sizes(model)


def sizes(model: LlamaForCausalLM) -> dict[str, int]:
    """Return how many numbers a model has in its matrices, how many it multiplies with, and how many in all."""
    matrices = sum(module.weight.numel() for module in compress.matrices(model).values())  # shared ones once
    used = sum(module.weight.numel() for layer in model.model.layers for module in compress.matrices(layer).values())
    return {"matrices": matrices, "used": used, "parameters": model.num_parameters()}


def tasks() -> list[Design]:
    """Return every task: the pilots, then each design at its rate with every seed."""
    pilots = [Design(design, PILOT_TOKENS, rate, 0) for design in DESIGNS for rate in PILOTS]
    return [*pilots, *(Design(name, TOKENS, plan.rate, seed) for seed in SEEDS for name, plan in DESIGNS.items())]


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
