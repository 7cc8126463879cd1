"""Training in few bits: weights, activations and gradients in integers, MXFP8, MXFP4 and NVFP4 (notebook 10)."""

from dataclasses import asdict, dataclass

from helpers import artifacts
from helpers.experiments import grid, sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, llama, shipped
from helpers.training.corpus import BATCH, CONTEXT
from helpers.training.fit import fit, mean_loss
from helpers.training.lowprecision import Precision, train_in

RESULTS = artifacts.ROOT / "data" / "precision.json"
SHAPE, TOKENS = "64 wide", 1_000_000
PRECISIONS = {  # of weights, activations and gradients
    "FP32": Precision(),
    "INT8, weights": Precision("int8"),
    "INT4, weights": Precision("int4"),
    "INT3, weights": Precision("int3"),
    "INT2, weights": Precision("int2"),
    "INT8, weights and activations": Precision("int8", "int8"),
    "INT4, weights and activations": Precision("int4", "int4"),
    "INT8, all three": Precision("int8", "int8", "int8"),
    "INT4, all three": Precision("int4", "int4", "int4"),
    "MXFP8, all three": Precision("mxfp8", "mxfp8", "mxfp8"),
    "MXFP4, all three": Precision("mxfp4", "mxfp4", "mxfp4"),
    "NVFP4, all three": Precision("nvfp4", "nvfp4", "nvfp4"),
    "NVFP4, stochastic gradients": Precision("nvfp4", "nvfp4", "nvfp4", stochastic=True),
    "NVFP4, Hadamard": Precision("nvfp4", "nvfp4", "nvfp4", hadamard=True),
    "NVFP4, stochastic and Hadamard": Precision("nvfp4", "nvfp4", "nvfp4", stochastic=True, hadamard=True),
}


@dataclass(frozen=True)
class LowPrecision:
    """A model of the grid, trained on a million tokens in one of PRECISIONS."""

    precision: str
    seed: int

    @property
    def name(self) -> str:
        return f"precision-{sweep.slug(self.precision)}-{self.seed}"

    def measure(self) -> dict:
        """Train; return the held-out loss, computed with the rounding that training had in its forward pass."""
        model, tokenizer = llama.SHAPES[SHAPE].model(self.seed), corpus.story_tokenizer()
        train_in(model, PRECISIONS[self.precision])
        batches = corpus.seed_batches(tokenizer, self.seed)
        steps = TOKENS // (BATCH * CONTEXT)
        losses = fit(model, batches, steps, grid.RATES[SHAPE], progress=False, weight_decay=shipped.USUAL_DECAY)
        held_out = corpus.held_out_tokens(tokenizer, 300)
        measured = {"loss": round(mean_loss(model, held_out), 5), "curve": [round(x, 3) for x in losses[19::20]]}
        return measured | asdict(PRECISIONS[self.precision])


def tasks() -> list[LowPrecision]:
    """Return every task."""
    return [LowPrecision(name, seed) for seed in SEEDS for name in PRECISIONS]


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
