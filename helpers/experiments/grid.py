"""Where quantization ends (notebook 10): LLaMAs of four sizes, trained on four amounts of text, then rounded.

They are trained as usual: first weights of standard deviation 0.02, weight decay 0.1, a cosine. `recipes` has what
other ways to train do to the damage.
"""

import itertools
from dataclasses import dataclass

from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.compression import calibrate, compress
from helpers.compression.calibrate import Format
from helpers.experiments import sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, llama, shipped
from helpers.training.fit import mean_loss
from helpers.training.rounding import rounded_copy

RESULTS = artifacts.ROOT / "data" / "grid.json"
BITS = (2, 3, 4, 5, 6, 8)
TOKENS = (320_000, 800_000, 2_000_000, 5_000_000)
GROUP = 32  # weights that share a scale and a minimum in the finer way to round
PILOT_TOKENS = 1_000_000
PILOTS = (2e-3, 4e-3, 8e-3, 1.6e-2)  # peaks of the learning rate, tried at a million tokens; the best of each shape:
RATES = {"32 wide": 1.6e-2, "64 wide": 8e-3, "128 wide": 8e-3, "192 wide": 4e-3}


@dataclass(frozen=True)
class Training:
    """One model of the grid."""

    shape: str
    tokens: int
    seed: int
    rate: float

    @property
    def name(self) -> str:
        return f"grid-{self.shape.replace(' ', '-')}-{self.tokens}-{self.rate}-{self.seed}"

    def measure(self) -> dict:
        """Train; return the held-out loss in FP32, after rounding every matrix per row and in groups, by bits, and
        how many numbers the matrices and the whole model hold. The embedding stays as it is.
        """
        model, held_out = self.trained(), corpus.held_out_tokens(corpus.story_tokenizer(), 300)
        rounded = {
            "row": {str(b): round(mean_loss(rounded_copy(model, b), held_out), 5) for b in BITS},
            "group": {str(b): round(mean_loss(in_groups(model, b), held_out), 5) for b in BITS},
        }
        matrices = sum(module.weight.numel() for module in compress.matrices(model).values())
        measured = {"loss": round(mean_loss(model, held_out), 5), "rounded": rounded}
        return measured | {"matrices": matrices, "parameters": model.num_parameters()}

    def trained(self) -> LlamaForCausalLM:
        """Return the trained model; the one that ships (`shipped.small`) is not trained twice."""
        if (self.shape, self.tokens, self.rate) == (shipped.SMALL, shipped.SMALL_TOKENS, shipped.SMALL_RATE):
            return shipped.small(self.seed)
        return shipped.train(self.shape, self.tokens, self.rate, self.seed)


def in_groups(model: LlamaForCausalLM, bits: int) -> LlamaForCausalLM:
    """Return a copy whose matrices have 2^bits levels in each group of GROUP weights."""
    form = Format(bits, symmetric=False, group=GROUP)
    return compress.changed(model, lambda _, w: calibrate.in_groups(w, form, calibrate.widest))


def tasks() -> list[Training]:
    """Return every task, short ones first: the grid, the pilots of its rates, and what `precision` starts from."""
    grid = [Training(*case, RATES[case[0]]) for case in itertools.product(llama.SHAPES, TOKENS, SEEDS)]
    pilots = [Training(shape, PILOT_TOKENS, 0, rate) for shape, rate in itertools.product(llama.SHAPES, PILOTS)]
    same = [Training("64 wide", PILOT_TOKENS, seed, RATES["64 wide"]) for seed in SEEDS]  # as precision's "FP32"
    return sorted(
        dict.fromkeys([*pilots, *grid, *same]), key=lambda task: (task.tokens, llama.SHAPES[task.shape].hidden)
    )


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
