"""Where quantization ends (notebook 10): tiny LLaMAs trained on more and more text, then rounded to 2 … 8 bits."""

import itertools
from dataclasses import dataclass

from helpers import artifacts
from helpers.experiments import sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, llama
from helpers.training.corpus import BATCH, CONTEXT
from helpers.training.fit import fit, mean_loss
from helpers.training.rounding import fake_quantize, rounded_copy

RESULTS = artifacts.ROOT / "data" / "limits.json"
BITS = (2, 3, 4, 5, 6, 8)
SIZES = (250_000, 1_000_000, 3_000_000, 10_000_000)  # tokens read: 2.5 to 100 for each parameter


@dataclass(frozen=True)
class Task:
    """One model to train. `bits` is None for training in FP32, else the width of fake-quantized matrices."""

    tokens: int
    schedule: str
    seed: int
    bits: int | None = None

    @property
    def name(self) -> str:
        width = f"-{self.bits}bits" if self.bits else ""
        return f"{self.tokens}-{self.schedule}{width}-{self.seed}"

    def measure(self) -> dict:
        """Train; return the held-out loss in FP32 (`loss`), after rounding every matrix per row (`rounded`, by bits),
        and the parameters. Training and rounding leave the embedding alone.
        """
        model = llama.tiny(self.seed)
        if self.bits:
            fake_quantize(model, self.bits)
        steps = max(1, self.tokens // (BATCH * CONTEXT))
        tokenizer = corpus.story_tokenizer()
        fit(model, corpus.seed_batches(tokenizer, self.seed), steps, 5e-3, self.schedule, progress=False)
        held_out = corpus.held_out_tokens(tokenizer, 300)
        rounded = {} if self.bits else {b: mean_loss(rounded_copy(model, b), held_out) for b in BITS}
        return {
            "loss": round(mean_loss(model, held_out), 5),
            "rounded": {str(b): round(value, 5) for b, value in rounded.items()},
            "parameters": model.num_parameters(),
        }


def tasks() -> list[Task]:
    """Return every task of notebook 10, the short ones first."""
    tasks = [Task(*case) for case in itertools.product(SIZES, ("cosine", "constant"), SEEDS)]
    tasks += [Task(1_000_000, "cosine", seed, bits) for bits, seed in itertools.product((2, 3, 4, 8), SEEDS)]
    return sorted(tasks, key=lambda task: task.tokens)


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
