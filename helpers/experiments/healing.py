"""Halve the feed-forward matrices of a model, then train it again (notebook 12)."""

import copy
from dataclasses import dataclass

from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.compression import compress, distill
from helpers.experiments import sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, shipped
from helpers.training.fit import mean_loss

RESULTS = artifacts.ROOT / "data" / "healed.json"
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
        tokenizer = corpus.story_tokenizer()
        held_out = corpus.held_out_tokens(tokenizer, 200)
        original = shipped.story() if self.model == "story" else shipped.tiny(self.seed)
        layers = list(range(len(original.model.layers)))
        kind, one_by_one, alpha = HEALINGS[self.method]
        halved, student = copy.deepcopy(original), copy.deepcopy(original)
        halve(halved, layers, kind)
        batches = corpus.story_batches(tokenizer, seed=f"heal {self.seed}")
        groups = [[layer] for layer in layers] if one_by_one else [layers]
        steps = HEAL_STEPS[self.model] * len(layers) // len(groups)  # for each group

        def compress_group(model: LlamaForCausalLM, group: int) -> None:
            halve(model, groups[group], kind)

        distill.heal(student, original, compress_group, range(len(groups)), batches, steps, progress=False, alpha=alpha)
        held = compress.held(student)
        losses = {"whole": original, "before": halved, "loss": student}
        return {
            **{name: round(mean_loss(model, held_out), 5) for name, model in losses.items()},
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


def tasks() -> list[Heal]:
    """Return every task of notebook 12, and two of `story` for notebook 14."""
    tasks = [Heal("tiny", method, seed) for method in HEALINGS for seed in SEEDS]
    return [*tasks, *(Heal("story", method, 0) for method in ("permuted Kronecker", "SVD"))]


def results() -> list[dict]:
    """Return the shipped results of healing; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
