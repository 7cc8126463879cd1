"""Pruning as people do it (notebook 11): look for what is not needed, prune, train again, quantize.

The small models, half of their matrix weights (or more) removed in one shot or in rounds, healed with the whole model
as teacher for as many steps in all; and what rounding the result to 4 bits adds.
"""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.compression import calibrate, compress, distill, prune
from helpers.compression.calibrate import Format
from helpers.experiments import sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, shipped, stories
from helpers.training.fit import fit, mean_loss

RESULTS = artifacts.ROOT / "data" / "pruning.json"
STEPS, RATE = 240, 2e-3  # of training in all, however many rounds
FOUR_BITS = Format(4, False, 32)
Step = Callable[[LlamaForCausalLM], LlamaForCausalLM]


@functools.cache
def text() -> np.ndarray:
    """Return the calibration text, as token ids."""
    return corpus.encode(stories.stories(5, 60), corpus.story_tokenizer())


def norms_of(model: LlamaForCausalLM) -> dict[str, torch.Tensor]:
    """Return the norm of each input of each matrix over the calibration text."""
    return {name: m.diag().clamp(min=0).sqrt() for name, m in compress.inputs_of(model, text()).items()}


def wanda(sparsity: float) -> Step:
    """Return a step that drops this share of each matrix by Wanda's score; what is zero already is dropped first."""

    def step(model: LlamaForCausalLM) -> LlamaForCausalLM:
        norms = norms_of(model)
        return compress.masked(model, lambda name, w: prune.wanda(w, norms[name], sparsity))

    return step


def two_of_four(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Keep two of every four neighbours, by Wanda's score."""
    norms = norms_of(model)
    return compress.masked(model, lambda name, w: prune.n_of_m(w, norms=norms[name]))


def neurons(count: int) -> Step:
    """Return a step that keeps so many neurons of each layer, by their use."""

    def step(model: LlamaForCausalLM) -> LlamaForCausalLM:
        norms = norms_of(model)
        scores = [
            layer.mlp.down_proj.weight.detach().norm(dim=0) * norms[f"model.layers.{i}.mlp.down_proj"]
            for i, layer in enumerate(model.model.layers)
        ]
        return prune.remove_neurons(model, count, scores)

    return step


def channels(width: int) -> Step:
    """Return a step that keeps so many channels of the residual stream, by the sizes that the norms give."""

    def step(model: LlamaForCausalLM) -> LlamaForCausalLM:
        sizes = [norm for name, norm in norms_of(model).items() if name.endswith(("q_proj", "gate_proj"))]
        return prune.remove_channels(model, width, torch.stack([size / size.mean() for size in sizes]).mean(dim=0))

    return step


def least_needed_layer(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Remove the layer without which the calibration text is predicted best."""
    without = [prune.remove_layers(model, [index]) for index in range(len(model.model.layers))]
    return min(without, key=lambda each: mean_loss(each, text()))


WAYS: dict[str, list[Step]] = {  # steps, each followed by its share of the training
    "nothing": [copy.deepcopy],
    "Wanda, 50 %": [wanda(0.5)],
    "Wanda, 75 %": [wanda(0.75)],
    "Wanda, 75 %, in four rounds": [wanda(0.3), wanda(0.5), wanda(0.65), wanda(0.75)],
    "2:4": [two_of_four],
    "half of the neurons": [neurons(160)],
    "half of the neurons, in four rounds": [neurons(278), neurons(240), neurons(198), neurons(160)],
    "half of the channels": [channels(64)],
    "one layer of three": [least_needed_layer],
}


@dataclass(frozen=True)
class Pruning:
    """A small model, pruned in one of WAYS and healed."""

    way: str
    seed: int

    @property
    def name(self) -> str:
        return f"pruning-{sweep.slug(self.way)}-{self.seed}"

    def measure(self) -> dict:
        """Return the held-out loss whole, pruned in one go (`before`), healed, and healed and in 4 bits; and sizes."""
        original, held_out = shipped.small(self.seed), corpus.held_out_tokens(corpus.story_tokenizer(), 200)
        steps = WAYS[self.way]
        before, healed = steps[-1](original), original
        batches = corpus.story_batches(corpus.story_tokenizer(), seed=f"prune {self.seed}")
        teacher = distill.objective(original, alpha=0.5)
        for step in steps:
            healed = step(healed)
            with prune.zeros_stay(healed):
                fit(healed, batches, STEPS // len(steps), RATE, progress=False, objective=teacher, warmup=10)
        moments = compress.inputs_of(healed, text())
        four = compress.changed(healed, lambda name, w: calibrate.gptq_clipped(w, moments[name], FOUR_BITS) * (w != 0))
        models = {"whole": original, "before": before, "loss": healed, "four_bits": four}
        held = compress.held(healed)
        found = {name: round(mean_loss(model, held_out), 5) for name, model in models.items()}
        return found | {"parameters": held.parameters, "zeros": held.zeros}


@dataclass(frozen=True)
class Scan:
    """What a small model loses if one matrix, or one layer, is damaged and nothing else."""

    seed: int

    @property
    def name(self) -> str:
        return f"pruning-scan-{self.seed}"

    def measure(self) -> dict:
        """Return the loss added by half of one matrix's weights (Wanda), and by the absence of one layer."""
        model, held_out = shipped.small(self.seed), corpus.held_out_tokens(corpus.story_tokenizer(), 100)
        whole = mean_loss(model, held_out)
        norms = norms_of(model)

        def without(chosen: str) -> float:
            def mask(name: str, w: torch.Tensor) -> torch.Tensor:
                return prune.wanda(w, norms[name], 0.5 if name == chosen else 0.0)

            return mean_loss(compress.masked(model, mask), held_out) - whole

        layers = range(len(model.model.layers))
        gone = [mean_loss(prune.remove_layers(model, [index]), held_out) - whole for index in layers]
        matrices = {name: round(without(name), 5) for name in compress.matrices(model)}
        return {"matrices": matrices, "layers": np.round(gone, 5).tolist()}


def tasks() -> list[Pruning | Scan]:
    """Return every task."""
    return [*(Scan(seed) for seed in SEEDS), *(Pruning(way, seed) for seed in SEEDS for way in WAYS)]


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
