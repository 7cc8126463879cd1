"""What `story` loses in one shot, by every method of the course that does not train it again (notebook 14)."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.compression import calibrate, compress
from helpers.compression.calibrate import Format
from helpers.experiments import pruning, sweep
from helpers.numbers import blocks, ggml
from helpers.training import corpus, shipped
from helpers.training.fit import mean_loss

RESULTS = artifacts.ROOT / "data" / "oneshot.json"
TYPES = ("Q8_0", "Q6_K", "Q4_K", "Q3_K", "Q2_K")
METHODS = {"RTN": calibrate.rtn, "HQQ": calibrate.hqq, "AWQ": calibrate.awq, "GPTQ": calibrate.gptq_clipped}
FOUR = Format(4, True, 64)
Smaller = tuple[LlamaForCausalLM, float]  # a model and the bits that its matrices take


def in_type(kind: str) -> Callable[[LlamaForCausalLM], Smaller]:
    """Return a way to round every matrix to one of GGUF's block types."""

    def rounded(w: torch.Tensor) -> torch.Tensor:
        packed = ggml.quantize(w.contiguous().numpy(), kind)
        return torch.from_numpy(blocks.dequantize(packed, kind).reshape(w.shape).copy())

    def smaller(story: LlamaForCausalLM) -> Smaller:
        made = compress.changed(story, lambda _, w: rounded(w))
        return made, numbers(made) * blocks.BITS_PER_WEIGHT[kind]

    return smaller


def by(method: str, bits: int) -> Callable[[LlamaForCausalLM], Smaller]:
    """Return a way to round every matrix by a method of notebook 09, to 2^bits levels in groups of 64."""
    form = Format(bits, symmetric=False, group=64)

    def smaller(story: LlamaForCausalLM) -> Smaller:
        moments = compress.inputs_of(story, pruning.text())
        made = compress.changed(story, lambda name, w: METHODS[method](w, moments[name], form))
        return made, bits_of(made, form)

    return smaller


def masked(step: pruning.Step, form: Format | None = None) -> Callable[[LlamaForCausalLM], Smaller]:
    """Return a way to drop half of the weights: a bit says which are there, and only those are stored."""

    def smaller(story: LlamaForCausalLM) -> Smaller:
        made = step(story)
        if form is not None:
            made = compress.changed(made, lambda _, w: calibrate.rtn(w, None, form))
        kept = sum(int((module.weight != 0).sum()) for module in compress.matrices(made).values())
        left_out = numbers(made) - kept
        return made, bits_of(made, form) - left_out * (form.bits if form else 16) + numbers(made)

    return smaller


def whole(step: pruning.Step) -> Callable[[LlamaForCausalLM], Smaller]:
    """Return a way whose result is stored in FP16, every number of it."""

    def smaller(story: LlamaForCausalLM) -> Smaller:
        made = step(story)
        return made, 16.0 * (compress.held(made).parameters - others(story))

    return smaller


def thin(share: float) -> pruning.Step:
    """Return a step that makes of every matrix two thin ones with this share of its numbers, best for its inputs."""

    def step(model: LlamaForCausalLM) -> LlamaForCausalLM:
        moments, made = compress.inputs_of(model, pruning.text()), copy.deepcopy(model)
        compress.factorize(made, list(compress.matrices(made)), share, moments)
        return made

    return step


WAYS = {
    "F16": whole(lambda story: story),
    **{kind: in_type(kind) for kind in TYPES},
    **{f"{method}, {bits} bits": by(method, bits) for bits in (3, 2) for method in METHODS},
    "Wanda 50 %, F16": masked(pruning.wanda(0.5)),
    "Wanda 50 %, 4 bits": masked(pruning.wanda(0.5), FOUR),
    "2:4, F16": masked(pruning.two_of_four),
    "half of the neurons, F16": whole(pruning.neurons(256)),
    "a layer less, F16": whole(pruning.least_needed_layer),
    "SVD 80 %, F16": whole(thin(0.8)),
}


@dataclass(frozen=True)
class OneShot:
    """`story`, made smaller in one of WAYS."""

    way: str

    @property
    def name(self) -> str:
        return f"oneshot-{sweep.slug(self.way)}"

    def measure(self) -> dict:
        """Return the held-out loss, and the bytes: the embedding and the norms take 8.5 bits a number, unrounded."""
        story = shipped.story()
        model, bits = WAYS[self.way](story)
        loss = mean_loss(model, corpus.held_out_tokens(corpus.story_tokenizer(), 300))
        return {"loss": round(loss, 5), "bytes": round((bits + 8.5 * others(story)) / 8)}


def numbers(model: LlamaForCausalLM) -> int:
    """Return how many numbers the matrices of a model have, zeros included."""
    return sum(module.weight.numel() for module in compress.matrices(model).values())


def others(model: LlamaForCausalLM) -> int:
    """Return how many numbers are in no matrix: the embedding and the norms."""
    return model.num_parameters() - numbers(model)


def bits_of(model: LlamaForCausalLM, form: Format | None) -> float:
    """Return the bits that the matrices of a model take in a format, scales included; None: FP16."""
    matrices = [module.weight for module in compress.matrices(model).values()]
    return sum(w.numel() * (form.bits_per_weight(w.shape[1]) if form else 16) for w in matrices)


def tasks() -> list[OneShot]:
    """Return every way."""
    return [OneShot(way) for way in WAYS]


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
