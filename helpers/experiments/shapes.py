"""Deep and thin against shallow and wide, with as many parameters (notebook 14)."""

from dataclasses import dataclass

from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.experiments import sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, llama
from helpers.training.fit import fit, mean_loss

RESULTS = artifacts.ROOT / "data" / "shapes.json"
SHAPES = {1: (128, 312), 2: (96, 256), 4: (72, 192), 8: (56, 124)}  # layers: (width, FFN); all near 300,000 parameters
LOOKS = (150, 300, 500, 750, 1000, 1500)  # steps after which a shape is measured


@dataclass(frozen=True)
class Shape:
    """A model of about 300,000 parameters with this many layers, each called `times` times."""

    layers: int
    times: int
    seed: int

    @property
    def name(self) -> str:
        return f"shape-{self.layers}x{self.times}-{self.seed}"

    def model(self) -> LlamaForCausalLM:
        width, ffn = SHAPES[self.layers]
        model = llama.small_llama(
            hidden=width, layers=self.layers, heads=4, kv_heads=2, ffn=ffn, seed=self.seed, initializer_range=0.05
        )
        llama.share_layers(model, self.times)
        return model

    def measure(self) -> dict:
        """Train at a constant rate; return the held-out loss after each of LOOKS steps, and the parameters."""
        model, tokenizer = self.model(), corpus.story_tokenizer()
        held_out = corpus.held_out_tokens(tokenizer, 200)
        losses = {}

        def look(step: int) -> None:
            if step in LOOKS:
                losses[str(step)] = round(mean_loss(model, held_out), 5)

        batches = corpus.seed_batches(tokenizer, self.seed)
        fit(model, batches, LOOKS[-1], 3e-3, "constant", progress=False, after_step=look)
        return {"losses": losses, "parameters": model.num_parameters()}


def tasks() -> list[Shape]:
    """Return every task of notebook 14: four shapes, and the one of four layers with each called twice."""
    return [Shape(*case, seed) for case in (*((n, 1) for n in SHAPES), (4, 2)) for seed in SEEDS]


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
