"""Every method on equal terms (notebook 09): {RTN, clipped, HQQ, AWQ, GPTQ, QAT} × {symmetric, affine} × {row, group}.

All of it on the three tiny models and on the three small ones, in 2, 3 and 4 bits; two controls for training: as many
steps without the rounding, and rounded then.
"""

import copy
import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.compression import calibrate, compress
from helpers.compression.calibrate import METHODS, Format
from helpers.experiments import sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, rounding, shipped, stories
from helpers.training.fit import fit, mean_loss

RESULTS = artifacts.ROOT / "data" / "methods.json"
FORMATS = tuple(Format(bits, sym, group) for bits in (2, 3, 4) for sym in (True, False) for group in (None, 64))
MODELS = {"tiny": shipped.tiny, "small": shipped.small}
STEPS, RATE = 150, 1e-3  # of the trainings
TRAINED, CONTROLS = "QAT", ("trained on, then RTN", "trained on, then GPTQ, clipped")


@dataclass(frozen=True)
class Methods:
    """All methods and formats on one model."""

    model: str  # tiny or small
    seed: int

    @property
    def name(self) -> str:
        return f"methods-{self.model}-{self.seed}"

    def measure(self) -> dict:
        """Return the held-out loss, and for each format, method by method, what it adds."""
        model, tokenizer = MODELS[self.model](self.seed), corpus.story_tokenizer()
        held_out = corpus.held_out_tokens(tokenizer, 150)
        calibration = corpus.encode(stories.stories(5, 60), tokenizer)
        moments, whole = compress.inputs_of(model, calibration), mean_loss(model, held_out)
        longer = trained_on(model, None)
        later = compress.inputs_of(longer, calibration)

        def added(changed: LlamaForCausalLM) -> float:
            return round(mean_loss(changed, held_out) - whole, 5)

        rows = []
        for form in FORMATS:
            lost = {name: added(quantized(model, name, form, moments)) for name in METHODS}
            lost[TRAINED] = added(trained_on(model, form))
            for control in CONTROLS:
                lost[control] = added(quantized(longer, control.split("then ")[1], form, later))
            widths = [form.bits_per_weight(m.weight.shape[1]) for m in compress.matrices(model).values()]
            sizes = [m.weight.numel() for m in compress.matrices(model).values()]
            rows.append(asdict(form) | {"width": round(float(np.average(widths, weights=sizes)), 3), "added": lost})
        return {"loss": round(whole, 5), "formats": rows}


def quantized(model: LlamaForCausalLM, method: str, form: Format, moments: dict) -> LlamaForCausalLM:
    """Return a copy of a model whose matrices went through one of METHODS."""
    return compress.changed(model, lambda name, w: METHODS[method](w, moments[name], form))


def trained_on(model: LlamaForCausalLM, form: Format | None) -> LlamaForCausalLM:
    """Return a copy that was trained on for STEPS steps, through fake quantization if there is a format.

    Each group keeps the share of its range that was best at the beginning (`calibrate.clipped_grid`), and so clips.
    """
    student = copy.deepcopy(model)
    if form:
        rounding.fake_quantize_by(student, functools.partial(rounder, form))
    batches = corpus.story_batches(corpus.story_tokenizer(), seed="more")
    fit(student, batches, STEPS, peak_rate=RATE, progress=False)
    return student.eval()


def rounder(form: Format, w: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function that rounds a matrix as it changes, each group within its share of the range of `w`."""
    parts = w.split(form.group or w.shape[1], dim=1)
    shares = [calibrate.clipped_grid(part, form).scale / calibrate.widest(part, form).scale for part in parts]

    def rounded(changed: torch.Tensor) -> torch.Tensor:
        groups = changed.split(form.group or changed.shape[1], dim=1)
        grids = (calibrate.widest(part, form, share) for part, share in zip(groups, shares, strict=True))
        return torch.cat([grid.round(part) for grid, part in zip(grids, groups, strict=True)], dim=1)

    return rounded


def tasks() -> list[Methods]:
    """Return every task, the quick ones first."""
    return [Methods(model, seed) for model in MODELS for seed in SEEDS]


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
