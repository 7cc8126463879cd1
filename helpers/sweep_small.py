"""The sweeps of Part IV: healing (notebook 12), students with and without a teacher (13), shapes of equal size (14).

    python -m helpers.sweep_small             # what is missing, on all cores
    python -m helpers.sweep_small --collect   # write healed.json, students.json and shapes.json in data/

The machinery is that of `helpers.sweep`: one file for each task, so that it can be stopped and taken up again.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers import artifacts, compress, distill, sweep, train

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

COMMAND = "python -m helpers.sweep_small"
SHAPE_RESULTS = artifacts.ROOT / "data" / "shapes.json"
STUDENT_RESULTS = artifacts.ROOT / "data" / "students.json"
HEALED_RESULTS = artifacts.ROOT / "data" / "healed.json"
SHAPES = {1: (128, 312), 2: (96, 256), 4: (72, 192), 8: (56, 124)}  # layers: (width, FFN); all near 300,000 parameters
LOOKS = (150, 300, 500, 750, 1000, 1500)  # steps after which a shape is measured
STUDENT_STEPS = 400
METHODS = ((0.0, 1.0), (0.5, 1.0), (0.5, 2.0), (0.5, 4.0), (1.0, 1.0))  # (the teacher's share alpha, temperature)
TEXTS = (60_000, None)  # tokens of text, read again and again; None: always fresh
HEAL_STEPS = {"tiny": 150, "story": 100}  # for each layer
HEALINGS = {  # how the feed-forward matrices are halved, layer by layer?, the teacher's share alpha
    "not compressed": ("none", False, 0.5),
    "Kronecker": ("kronecker", True, 0.5),
    "permuted Kronecker": ("permuted", True, 0.5),
    "SVD": ("svd", True, 0.5),
    "permuted, all layers at once": ("permuted", False, 0.5),
    "permuted, without the teacher": ("permuted", True, 0.0),
}


@dataclass(frozen=True)
class Heal:
    """A model whose feed-forward matrices are halved and that is then trained again (arXiv 2401.16367 in miniature)."""

    model: str  # tiny or story
    method: str
    seed: int

    @property
    def name(self) -> str:
        return f"heal-{self.model}-{self.method.replace(',', '').replace(' ', '_')}-{self.seed}"

    def measure(self) -> dict:
        """Return the held-out loss whole, halved (`before`) and healed (`loss`), and what the model then holds."""
        tokenizer = train.story_tokenizer()
        held_out = train.held_out_tokens(tokenizer, 200)
        original = teacher() if self.model == "story" else sweep.trained(self.seed)
        layers = list(range(len(original.model.layers)))
        kind, one_by_one, alpha = HEALINGS[self.method]
        halved, student = copy.deepcopy(original), copy.deepcopy(original)
        halve(halved, layers, kind)
        steps, batches = (
            HEAL_STEPS[self.model],
            train.story_batches(tokenizer, seed=f"heal {self.seed}", batch=sweep.BATCH),
        )
        groups = [[layer] for layer in layers] if one_by_one else [layers]
        distill.heal(
            student,
            original,
            lambda model, group: halve(model, groups[group], kind),
            range(len(groups)),
            batches,
            steps * len(layers) // len(groups),
            progress=False,
            alpha=alpha,
        )
        held = compress.held(student)
        losses = {"whole": original, "before": halved, "loss": student}
        return {
            **{name: round(train.mean_loss(model, held_out), 5) for name, model in losses.items()},
            "parameters": held.parameters,
            "indices": held.indices,
        }


def halve(model: LlamaForCausalLM, layers: list[int], kind: str) -> None:
    """Replace the feed-forward matrices of some layers by factors with half of their parameters, in place.

    kind: none, kronecker or permuted (rank 4, B of 4 × 2 or 2 × 4, as TQCompressor has), or svd, equally large.
    """
    for layer in layers if kind != "none" else ():
        for matrix, b_shape in (("gate_proj", (4, 2)), ("up_proj", (4, 2)), ("down_proj", (2, 4))):
            names = [f"model.layers.{layer}.mlp.{matrix}"]
            if kind == "svd":
                size = model.get_submodule(names[0]).weight.numel()
                compress.factorize(model, names, 4 * (size // 8 + 8) / size)
            else:
                compress.kroneckerize(model, names, b_shape, rank=4, permute=kind == "permuted", restarts=10, swaps=1)


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
        model = train.small_llama(
            hidden=width, layers=self.layers, heads=4, kv_heads=2, ffn=ffn, seed=self.seed, initializer_range=0.05
        )
        train.share_layers(model, self.times)
        return model

    def measure(self) -> dict:
        """Train at a constant rate; return the held-out loss after each of LOOKS steps, and the parameters."""
        model, tokenizer = self.model(), train.story_tokenizer()
        held_out = train.held_out_tokens(tokenizer, 200)
        losses = {}

        def look(step: int) -> None:
            if step in LOOKS:
                losses[str(step)] = round(train.mean_loss(model, held_out), 5)

        train.fit(
            model, sweep.batches(tokenizer, self.seed), LOOKS[-1], 3e-3, "constant", progress=False, after_step=look
        )
        return {"losses": losses, "parameters": model.num_parameters()}


@dataclass(frozen=True)
class Student:
    """The tiny model of `helpers.sweep`, taught by `story` with weight `alpha` at a temperature."""

    text: int | None
    alpha: float
    temperature: float
    seed: int

    @property
    def name(self) -> str:
        return f"student-{self.text or 'fresh'}-{self.alpha}-{self.temperature}-{self.seed}"

    def measure(self) -> dict:
        """Train on a cosine; return the held-out loss, after rounding to 4 and 3 bits too, and the parameters."""
        model = self.train()
        held_out = train.held_out_tokens(train.story_tokenizer(), 200)
        rounded = {str(b): round(train.mean_loss(train.rounded_copy(model, b), held_out), 5) for b in (4, 3)}
        return {
            "loss": round(train.mean_loss(model, held_out), 5),
            "rounded": rounded,
            "parameters": model.num_parameters(),
        }

    def train(self, progress: bool = False) -> LlamaForCausalLM:
        model, tokenizer = sweep.tiny(self.seed), train.story_tokenizer()
        batches = sweep.batches(tokenizer, self.seed)
        if self.text:
            batches = repeated(batches, self.text, self.seed)
        objective = distill.objective(teacher(), self.temperature, self.alpha) if self.alpha else None
        train.fit(model, batches, STUDENT_STEPS, peak_rate=5e-3, progress=progress, objective=objective)
        return model


def teacher() -> LlamaForCausalLM:
    """Return the shipped `story` model, 2.9 million parameters, in FP32."""
    import torch
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(train.STORY_FOLDER, dtype=torch.float32, local_files_only=True).eval()


def repeated(batches: Iterator[np.ndarray], tokens: int, seed: int) -> Iterator[np.ndarray]:
    """Yield batches without end from the first `tokens` tokens of `batches`, shuffled anew in each round."""
    count = -(-tokens // (sweep.BATCH * train.CONTEXT))
    windows = np.concatenate(list(itertools.islice(batches, count)))[: tokens // train.CONTEXT]
    random = np.random.default_rng(seed)
    pool = np.zeros((0, train.CONTEXT), dtype=windows.dtype)
    while True:
        while len(pool) < sweep.BATCH:
            pool = np.concatenate([pool, random.permutation(windows)])
        yield pool[: sweep.BATCH]
        pool = pool[sweep.BATCH :]


def shape_tasks() -> list[Shape]:
    """Return every task of notebook 14: four shapes, and the one of four layers with each called twice."""
    return [Shape(*case, seed) for case in (*((n, 1) for n in SHAPES), (4, 2)) for seed in sweep.SEEDS]


def student_tasks() -> list[Student]:
    """Return every task of notebook 13."""
    return [Student(text, *method, seed) for text in TEXTS for method in METHODS for seed in sweep.SEEDS]


def heal_tasks() -> list[Heal]:
    """Return every task of notebook 12, and two of `story` for notebook 14."""
    tasks = [Heal("tiny", method, seed) for method in HEALINGS for seed in sweep.SEEDS]
    return [*tasks, *(Heal("story", method, 0) for method in ("permuted Kronecker", "SVD"))]


def healed() -> list[dict]:
    """Return the shipped results of healing; raises InputError if the file is missing."""
    return sweep.results(HEALED_RESULTS, COMMAND)


def shapes() -> list[dict]:
    """Return the shipped results of the shapes; raises InputError if the file is missing."""
    return sweep.results(SHAPE_RESULTS, COMMAND)


def students() -> list[dict]:
    """Return the shipped results of the students; raises InputError if the file is missing."""
    return sweep.results(STUDENT_RESULTS, COMMAND)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the models of notebooks 12 to 14.")
    parser.add_argument("--folder", type=Path, default=artifacts.folder("sweep"), help="results, one file each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--dask", help="address of a Dask scheduler")
    parser.add_argument("--collect", action="store_true", help="write the files in data/ from what is there")
    given = parser.parse_args()
    if given.collect:
        sweep.collect(given.folder, SHAPE_RESULTS, shape_tasks(), COMMAND)
        sweep.collect(given.folder, STUDENT_RESULTS, student_tasks(), COMMAND)
        sweep.collect(given.folder, HEALED_RESULTS, heal_tasks(), COMMAND)
        return
    sweep.run_all([*heal_tasks(), *student_tasks(), *shape_tasks()], given.folder, given.jobs, given.dask)


if __name__ == "__main__":
    main()
