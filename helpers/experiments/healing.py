"""Halve the feed-forward matrices of a model, then train it again (notebook 12)."""

import copy
from dataclasses import dataclass

from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.compression import compress, distill, kronecker
from helpers.experiments import sweep
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, shipped
from helpers.training.fit import mean_loss

RESULTS = artifacts.ROOT / "data" / "healed.json"
HEAL_STEPS = {"tiny": 150, "small": 100, "story": 100}  # for each layer
INSIDE = {"hidden": 1.0, "attention": 1.0}  # KnGPT-2's further losses; the first hidden state is the embedding's
HEALINGS = {  # how the matrices are halved, layer by layer?, the teacher's share alpha and further losses
    "not compressed": ("none", False, {"alpha": 0.5}),
    "Kronecker": ("kronecker", True, {"alpha": 0.5}),
    "permuted Kronecker": ("permuted", True, {"alpha": 0.5}),
    "SVD": ("svd", True, {"alpha": 0.5}),
    "permuted, all layers at once": ("permuted", False, {"alpha": 0.5}),
    "permuted, without the teacher": ("permuted", True, {"alpha": 0.0}),
    "KnGPT-2's recipe": ("kngpt2", False, {"alpha": 0.5} | INSIDE),
    "KnGPT-2's shapes, logits alone": ("kngpt2", False, {"alpha": 0.5}),
}
LARGER = ("not compressed", "Kronecker", "permuted Kronecker", "SVD", "KnGPT-2's recipe")  # also on the small models
MODELS = {"tiny": shipped.tiny, "small": shipped.small, "story": lambda _: shipped.story()}


@dataclass(frozen=True)
class Heal:
    """A model whose feed-forward matrices are halved and that is then trained again (arXiv 2401.16367 in miniature)."""

    model: str  # tiny, small or story
    method: str
    seed: int

    @property
    def name(self) -> str:
        return f"heal-{self.model}-{sweep.slug(self.method)}-{self.seed}"

    def measure(self) -> dict:
        """Return the held-out loss whole, halved (`before`) and healed (`loss`), and what the model then holds."""
        tokenizer = corpus.story_tokenizer()
        held_out = corpus.held_out_tokens(tokenizer, 200)
        original = MODELS[self.model](self.seed)
        layers = list(range(len(original.model.layers)))
        kind, one_by_one, terms = HEALINGS[self.method]
        if "attention" in terms:
            original.set_attn_implementation("eager")  # the fast kernels keep no attention probabilities
        halved, student = copy.deepcopy(original), copy.deepcopy(original)
        halve(halved, layers, kind)
        batches = corpus.story_batches(tokenizer, seed=f"heal {self.seed}")
        groups = [[layer] for layer in layers] if one_by_one else [layers]
        steps = HEAL_STEPS[self.model] * len(layers) // len(groups)  # for each group

        def compress_group(model: LlamaForCausalLM, group: int) -> None:
            halve(model, groups[group], kind)

        distill.heal(student, original, compress_group, range(len(groups)), batches, steps, progress=False, **terms)
        held = compress.held(student)
        losses = {"whole": original, "before": halved, "loss": student}
        return {
            **{name: round(mean_loss(model, held_out), 5) for name, model in losses.items()},
            "parameters": held.parameters,
            "indices": held.indices,
        }


def halve(model: LlamaForCausalLM, layers: list[int], kind: str) -> None:
    """Replace the feed-forward matrices of some layers by factors with half of their parameters, in place.

    kind: none, kronecker or permuted (rank 4, B of 4 × 2 or 2 × 4, as TQCompressor has), or svd, equally large; or
    kngpt2: rank 1, B of two numbers, for query, key, value and the feed-forward matrices of every second layer, and for
    the embedding, whose whole table stays as output head.
    """
    if kind == "kngpt2":
        parts = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
        for layer in layers[1::2]:
            names = [f"model.layers.{layer}.{part}" for part in parts]
            compress.kroneckerize(model, names, (2, 1))
            compress.kroneckerize(model, [f"model.layers.{layer}.mlp.down_proj"], (1, 2))
        model.model.embed_tokens = kronecker.KroneckerEmbedding(model.model.embed_tokens.weight.detach(), 2)
        model.config.tie_word_embeddings = False
        return
    for layer in layers if kind != "none" else ():
        for matrix, b_shape in (("gate_proj", (4, 2)), ("up_proj", (4, 2)), ("down_proj", (2, 4))):
            names = [f"model.layers.{layer}.mlp.{matrix}"]
            if kind == "svd":
                size = model.get_submodule(names[0]).weight.numel()
                compress.factorize(model, names, 4 * (size // 8 + 8) / size)
            else:
                compress.kroneckerize(model, names, b_shape, rank=4, permute=kind == "permuted", restarts=10, swaps=1)


def tasks() -> list[Heal]:
    """Return every task of notebook 12; those of `story` start from one model and differ in their text."""
    tasks = [Heal("tiny", method, seed) for method in HEALINGS for seed in SEEDS]
    tasks += [Heal("small", method, seed) for method in LARGER for seed in SEEDS]
    return [*tasks, *(Heal("story", method, seed) for seed in SEEDS for method in ("permuted Kronecker", "SVD"))]


def results() -> list[dict]:
    """Return the shipped results of healing; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
