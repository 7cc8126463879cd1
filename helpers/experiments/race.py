"""The one-megabyte race (notebook 14): `story`, 5.8 MB in FP16, in a sixth of that, by every means of the course.

Every entry ends within SIZE bytes, embedding, scales and permutations counted, and may spend as many operations on
training as STEPS steps of the whole model with itself as teacher take; a smaller student gets more steps for them. Two
thirds of the training are in floats, the rest goes through the rounding that the entry is stored with.
"""

import contextlib
import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.compression import calibrate, compress, distill, prune
from helpers.compression.calibrate import Format
from helpers.compression.kronecker import KroneckerLinear
from helpers.experiments import oneshot, pruning, sweep
from helpers.experiments.methods import rounder
from helpers.experiments.pruning import Step
from helpers.experiments.sweep import SEEDS
from helpers.training import corpus, llama, rounding, shipped, stories
from helpers.training.corpus import BATCH, CONTEXT
from helpers.training.fit import fit, mean_loss, recall

RESULTS = artifacts.ROOT / "data" / "race.json"
SIZE = 1_000_000  # bytes
STEPS = 160  # of the whole model with its teacher: 330,000 tokens
EMBEDDING = Format(8, True)  # rounded after the training
PROBES = 150  # facts asked
PILOTS = (5e-4, 1e-3, 2e-3, 4e-3)  # peaks of the learning rate; each entry has the best after PILOT of the training
PILOTS_NEW = (2e-3, 4e-3, 8e-3)  # for those that begin with random numbers, which need larger ones
PILOT = 0.3


def every_second_layer(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Keep layers 0 and 2."""
    return prune.remove_layers(model, (1, 3))


def kronecker(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Halve every matrix: permuted, then a sum of four Kronecker products, as TQCompressor has them."""
    model = copy.deepcopy(model)
    for name in compress.matrices(model):
        b_shape = (2, 4) if name.endswith("down_proj") else (4, 2)
        compress.kroneckerize(model, [name], b_shape, rank=4, permute=True, restarts=10, swaps=1)
    return model


@dataclass(frozen=True)
class Entry:
    """How an entry is made smaller, what its matrices are stored in, and how it learns."""

    form: Format
    steps: tuple[Step, ...] = ()  # each is followed by its share of the training in floats
    rate: float = 1e-3
    new: bool = False  # two layers of random numbers instead of `story`, with the usual recipe
    taught: bool = True  # half of the loss from `story`; otherwise all from the text
    pilots: tuple[float, ...] = PILOTS


FOUR = Format(4, True, 64)
TWO = Format(2, False, 256)
UNTRAINED = "2 bits, GPTQ, no training"
ENTRIES = {
    UNTRAINED: Entry(TWO),
    "2 bits, trained through them": Entry(TWO),
    "pruned in rounds, 4 bits": Entry(
        Format(4, True), tuple(pruning.wanda(s) for s in (0.3, 0.5, 0.65, 0.73)), rate=2e-3
    ),
    "a fifth of the neurons, 4 bits": Entry(FOUR, (pruning.neurons(256), pruning.neurons(96)), rate=2e-3),
    "every second layer, 4 bits": Entry(FOUR, (every_second_layer,), rate=2e-3),
    "two new layers, taught, 4 bits": Entry(FOUR, rate=4e-3, new=True, pilots=PILOTS_NEW),
    "two new layers, not taught, 4 bits": Entry(FOUR, rate=4e-3, new=True, taught=False, pilots=PILOTS_NEW),
    "Kronecker products, 4 bits": Entry(FOUR, (kronecker,)),
    "low rank, 4 bits": Entry(FOUR, (oneshot.thin(0.5),)),
}


@dataclass(frozen=True)
class Race:
    """One entry at a peak rate, with a share of the training and a text of its own."""

    entry: str
    rate: float
    share: float
    seed: int

    @property
    def name(self) -> str:
        return f"race-{sweep.slug(self.entry)}-{self.rate}-{self.share}-{self.seed}"

    def measure(self) -> dict:
        """Return the held-out loss of `story` and of what is stored, facts recalled, bytes, steps and operations."""
        original, tokenizer = shipped.story(), corpus.story_tokenizer()
        form, steps, spent = ENTRIES[self.entry].form, 0, 0
        if self.entry == UNTRAINED:
            moments = compress.inputs_of(original, pruning.text())
            model = compress.changed(original, lambda name, w: calibrate.gptq_clipped(w, moments[name], form))
        else:
            model, steps, spent = self.trained(original)
        table = model.model.embed_tokens.weight
        with torch.no_grad():
            table.copy_(calibrate.clipped(table, None, EMBEDDING))
        held_out = corpus.held_out_tokens(tokenizer, 300)
        losses = {"whole": mean_loss(original, held_out), "loss": mean_loss(model, held_out)}
        found = {name: round(loss, 5) for name, loss in losses.items()}
        found |= {"recall": round(recall(model, tokenizer, stories.probes()[:PROBES]), 3)}
        return found | {"bytes": stored(model, form), "steps": steps, "operations": spent}

    def trained(self, original: LlamaForCausalLM) -> tuple[LlamaForCausalLM, int, int]:
        """Return the entry's model, its steps of training and how many operations they took."""
        entry, teacher = ENTRIES[self.entry], distill.objective(original, alpha=0.5)
        objective = teacher if entry.taught else None
        batches = corpus.story_batches(corpus.story_tokenizer(), seed=f"race {self.seed}")
        budget, counted = self.share * STEPS * operations(original, teacher), []

        def train(share: float) -> None:
            each = operations(model, objective)
            steps = round(share * budget / each)
            settings = {"objective": objective, "warmup": 10, "weight_decay": shipped.USUAL_DECAY if entry.new else 0.0}
            fit(model, batches, steps, self.rate, progress=False, **settings)
            counted.append((steps, steps * each))

        fresh = llama.small_llama(layers=2, seed=self.seed, initializer_range=0.02)
        model = fresh if entry.new else copy.deepcopy(original)
        in_floats = 2 / 3 if entry.new or entry.steps else 0
        for step in entry.steps or ([lambda same: same] if entry.new else []):
            model = step(model)
            with prune.zeros_stay(model):
                train(in_floats / max(1, len(entry.steps)))
        with stored_in(model, entry.form):
            train(1 - in_floats)
        steps, spent = (sum(column) for column in zip(*counted, strict=True))
        return model, steps, spent


@contextlib.contextmanager
def stored_in(model: LlamaForCausalLM, form: Format) -> Iterator[None]:
    """Inside the block the matrices pass through a format on their way into each forward pass; then they stay so."""
    products = [module for module in model.modules() if isinstance(module, KroneckerLinear)]
    with prune.zeros_stay(model):
        rounding.fake_quantize_by(model, functools.partial(rounder, form))
        for module in products:
            rounded = rounder(form, module.a.detach().flatten(0, 1))
            through = rounding.FakeQuantize(lambda a, by=rounded: by(a.flatten(0, 1)).view_as(a))
            parametrize.register_parametrization(module, "a", through)
        yield
        for module in products:
            parametrize.remove_parametrizations(module, "a")


def operations(model: LlamaForCausalLM, objective) -> int:
    """Return the floating-point operations of one step of training, forward and backward, as PyTorch counts them."""
    tokens = torch.zeros(1, CONTEXT, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        loss = objective(model, tokens) if objective else model(input_ids=tokens, labels=tokens).loss
        loss.backward()
    model.zero_grad()
    return BATCH * counter.get_total_flops()


def stored(model: LlamaForCausalLM, form: Format) -> int:
    """Return the bytes that a model takes: matrices in a format, the embedding in 8 bits, everything else in FP16.

    A matrix is kept dense, or as a bit for every weight and the codes of those that are not zero, whichever is smaller.
    """
    table, held, bits = model.model.embed_tokens.weight, compress.held(model), 0.0
    left = held.parameters
    for _, matrix in quantized(model):
        dense = matrix.numel() * form.bits_per_weight(matrix.shape[1])
        sparse = dense - int((matrix == 0).sum()) * form.bits + matrix.numel()
        bits, left = bits + min(dense, sparse), left - matrix.numel()
    bits += table.numel() * EMBEDDING.bits_per_weight(table.shape[1]) + 16 * (left - table.numel())
    return round((bits + held.indices * held.largest_index.bit_length()) / 8)


def quantized(model: LlamaForCausalLM) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield name and matrix (rows, columns) of everything that an entry's format applies to."""
    for name, module in compress.matrices(model).items():
        yield name, module.weight.detach()
    for name, module in model.named_modules():
        if isinstance(module, KroneckerLinear):
            yield name, module.a.detach().flatten(0, 1)


def tasks() -> list[Race]:
    """Return every task: the pilots, then each entry at its rate with every seed."""
    trained = {name: entry for name, entry in ENTRIES.items() if name != UNTRAINED}
    pilots = [Race(name, rate, PILOT, 9) for name, entry in trained.items() for rate in entry.pilots]
    whole = [Race(name, entry.rate, 1.0, seed) for seed in SEEDS for name, entry in trained.items()]
    return [Race(UNTRAINED, 0.0, 0.0, 0), *pilots, *whole]


def results() -> list[dict]:
    """Return the shipped results; raises InputError if the file is missing."""
    return sweep.shipped(RESULTS)
