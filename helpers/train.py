"""Train tiny LLaMAs from scratch: the `story` model that ships under `data/story`.

    python -m helpers.train            # retrains data/story, about half an hour on 2 cores

The model is transformers' own `LlamaForCausalLM`, so whatever is trained here saves to the Hugging
Face layout and goes through llama.cpp's converter like any other checkpoint.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers import stories
from helpers.errors import InputError

if TYPE_CHECKING:
    import sentencepiece
    import torch
    from transformers import LlamaForCausalLM

STORY_FOLDER = Path(__file__).resolve().parents[1] / "data" / "story"
TRAIN_SEED, HELD_OUT_SEED = 1, 2
CONTEXT = 256


def small_llama(
    vocabulary: int = 1024,
    hidden: int = 256,
    layers: int = 4,
    heads: int = 8,
    kv_heads: int = 8,
    ffn: int = 512,
    seed: int = 0,
    initializer_range: float = 0.1,
) -> LlamaForCausalLM:
    """Return a LLaMA with random weights, tied embeddings and room for 512 tokens.

    Every width of the default shape is a multiple of 256, the super-block of llama.cpp's K-quants,
    so that every GGUF type can store every matrix of it. `initializer_range` is the standard deviation
    of the first weights. With transformers' default of 0.02 and weight decay 0.1 the trained model was
    so robust that rounding it to 3 bits cost 0.018 nats; starting from 0.1 without decay it bites.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=ffn,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=initializer_range,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


def share_layers(model: LlamaForCausalLM, times: int = 2) -> None:
    """Call every layer `times` times in a row, as MobileLLM-LS does (arXiv 2402.14905): no new parameters.

    The model computes `times` as many layers. It keeps no key-value cache any more, since a cache has one place for
    each layer and not for each call; `unshare_layers` gives a model that every program can run.
    """
    from torch.nn import ModuleList

    if times < 1:
        raise InputError(f"A layer cannot be called {times} times. Use 1 or more.")
    model.model.layers = ModuleList([layer for layer in model.model.layers for _ in range(times)])
    model.config.num_hidden_layers = len(model.model.layers)
    model.config.use_cache = False


def unshare_layers(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Return a copy in which every call is a layer of its own: same outputs, storable everywhere, larger."""
    import copy

    from torch.nn import ModuleList

    copied = copy.deepcopy(model)
    copied.model.layers = ModuleList([copy.deepcopy(layer) for layer in copied.model.layers])
    for index, layer in enumerate(copied.model.layers):
        layer.self_attn.layer_idx = index
    copied.config.use_cache = True
    return copied


def train_tokenizer(texts: Iterable[str], path: Path, vocabulary: int = 1024) -> None:
    """Train a sentencepiece tokenizer the way LLaMA's was and write it to `path`.

    Extra whitespace is kept: with sentencepiece's default of removing it, sentencepiece and llama.cpp
    give different ids for a text with two spaces in a row.
    """
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=vocabulary,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())


def story_tokenizer() -> sentencepiece.SentencePieceProcessor:
    """Return the shipped tokenizer of `story`."""
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=str(STORY_FOLDER / "tokenizer.model"))


def encode(texts: Iterable[str], tokenizer: sentencepiece.SentencePieceProcessor) -> np.ndarray:
    """Return all texts as one array of token ids, each text between <s> and </s>."""
    ids: list[int] = []
    for text in texts:
        ids += tokenizer.encode(text, add_bos=True, add_eos=True)
    return np.array(ids, dtype=np.int64)


def learning_rate(step: int, steps: int, peak: float, schedule: str = "cosine", warmup: int = 50) -> float:
    """Return the learning rate at `step`: linear warm-up, then cosine to a hundredth, or constant."""
    if schedule not in ("cosine", "constant"):
        raise ValueError(f"unknown schedule {schedule!r}. Use 'cosine' or 'constant'.")
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def fit(
    model: LlamaForCausalLM,
    batches: Iterator[np.ndarray],
    steps: int,
    peak_rate: float = 2e-3,
    schedule: str = "cosine",
    progress: bool = True,
    objective: Callable[[LlamaForCausalLM, torch.Tensor], torch.Tensor] | None = None,
    warmup: int = 50,
    after_step: Callable[[int], None] | None = None,
) -> list[float]:
    """Train `model` in place with AdamW for `steps` batches (each: sequences × tokens); return the losses.

    objective(model, tokens) is the loss to minimize; None is the cross-entropy of the next token. Parameters
    that need no gradient stay as they are. after_step(n) is called when n steps are done.
    """
    import torch
    from tqdm.auto import tqdm

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=peak_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    losses = []
    model.train()
    with tqdm(range(steps), desc="training", unit="step", mininterval=2, disable=not progress) as bar:
        for step in bar:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, peak_rate, schedule, warmup)
            tokens = torch.from_numpy(next(batches))
            loss = objective(model, tokens) if objective else model(input_ids=tokens, labels=tokens).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
            if after_step:
                after_step(step + 1)
    model.eval()
    return losses


def mean_loss(model: LlamaForCausalLM, tokens: np.ndarray, batch: int = 16) -> float:
    """Return the mean cross-entropy in nats per token over consecutive windows of CONTEXT tokens."""
    import torch

    count = len(tokens) // CONTEXT
    windows = torch.from_numpy(tokens[: count * CONTEXT].reshape(count, CONTEXT))
    total = 0.0
    with torch.inference_mode():
        for part in windows.split(batch):
            total += model(input_ids=part, labels=part).loss.item() * len(part)
    return total / count


def round_rows(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Fake quantization, round to nearest: symmetric codes of `bits` bits, one scale per row.

    The codes run from −(2^(bits−1) − 1) to 2^(bits−1) − 1; the result has the dtype of `weight`.
    """
    largest = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) / largest  # (rows, 1)
    return (weight / scale).round() * scale


def rounded_copy(model: LlamaForCausalLM, bits: int) -> LlamaForCausalLM:
    """Return a copy whose attention and FFN matrices went through `round_rows`; embeddings stay."""
    import copy

    import torch

    copied = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in copied.named_parameters():
            if parameter.ndim == 2 and "embed" not in name and "lm_head" not in name:
                parameter.copy_(round_rows(parameter, bits))
    return copied


def fake_quantize(model: LlamaForCausalLM, bits: int) -> None:
    """Make every attention and FFN matrix pass through `round_rows` on its way into each forward pass.

    There is one copy of the weights, in floats; the optimizer moves it. Rounding is flat almost everywhere,
    so its gradient is replaced by that of the identity: the straight-through estimator (arXiv 1308.3432).
    """
    import torch
    from torch.nn.utils import parametrize

    class FakeQuantize(torch.nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight + (round_rows(weight, bits) - weight).detach()

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            parametrize.register_parametrization(module, "weight", FakeQuantize())


def story_batches(tokenizer, seed: int | str = TRAIN_SEED, batch: int = 8) -> Iterator[np.ndarray]:
    """Yield batches (8, 256) of token ids from fresh stories, without end and without repetition."""
    source = stories.stories(seed)
    pool = np.zeros(0, dtype=np.int64)
    while True:
        while len(pool) < batch * CONTEXT:
            pool = np.concatenate([pool, encode((next(source) for _ in range(64)), tokenizer)])
        yield pool[: batch * CONTEXT].reshape(batch, CONTEXT)
        pool = pool[batch * CONTEXT :]


def held_out_tokens(tokenizer, count: int = 500) -> np.ndarray:
    """Return the held-out stories, which training never saw, as one array of ids."""
    return encode(stories.stories(HELD_OUT_SEED, count), tokenizer)


def recall(model: LlamaForCausalLM, tokenizer, probes: list[stories.Probe]) -> float:
    """Return the share of fill-in-the-blank questions whose answer the model continues with, greedily."""
    import torch

    right = 0
    with torch.inference_mode():
        for probe in probes:
            ids = torch.tensor([[1, *tokenizer.encode(probe.prompt)]])
            out = model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=2)
            text = tokenizer.decode(out[0, ids.shape[1] :].tolist()).strip()
            words = text.removeprefix("an ").removeprefix("a ")
            right += words.startswith(probe.answer)
    return right / len(probes)


def train_story(folder: Path = STORY_FOLDER, steps: int = 2400, rounds: int = 2, seed: int = 0) -> dict[str, float]:
    """Train the `story` model from nothing and save it, with its model card; return its figures."""
    import sentencepiece
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    train_tokenizer(stories.stories(TRAIN_SEED, 20_000), folder / "tokenizer.model")
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG, indent=2) + "\n")
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))

    model = small_llama(seed=seed)
    started = time.monotonic()
    batches = story_batches(tokenizer)
    for _ in range(rounds):  # each with its own warm-up and cosine; the second makes the facts stick
        fit(model, batches, steps)
    minutes = (time.monotonic() - started) / 60
    model.generation_config.pad_token_id = None
    model.save_pretrained(folder)

    held_out = held_out_tokens(tokenizer)
    figures = {
        "steps": steps,
        "rounds": rounds,
        "tokens": rounds * steps * 8 * CONTEXT,
        "minutes": round(minutes, 1),
        "threads": torch.get_num_threads(),
        "parameters": model.num_parameters(),
        "loss": mean_loss(model, held_out),
        "recall": recall(model, tokenizer, stories.probes()),
    }
    for bits in (2, 3, 4, 6, 8):
        figures[f"cost_{bits}"] = mean_loss(rounded_copy(model, bits), held_out) - figures["loss"]
    (folder / "README.md").write_text(MODEL_CARD.format(**figures))
    return figures


TOKENIZER_CONFIG = {
    "tokenizer_class": "LlamaTokenizer",
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "legacy": False,
    "model_max_length": 512,
}

MODEL_CARD = """---
license: apache-2.0
language: en
library_name: transformers
tags: [tiny, llama, quantization, course]
---

# story: a very small LLaMA that remembers five hundred animals

A LLaMA of {parameters:,} parameters, trained from scratch in FP32 on generated stories about 500
animals whose species, home, colour, treasure, food, trade and best friend never change
(`helpers/stories.py`). It knows nothing else. It exists to be quantized: its weights were never
rounded before, all its widths are multiples of 256, and what it forgets can be counted.

| | |
|---|---|
| training | {rounds} rounds of {steps:,} steps of 2,048 tokens = {tokens:,} tokens, AdamW without weight decay, each round a cosine from 2e-3, first weights of standard deviation 0.1, {minutes} minutes on {threads} CPU threads |
| held-out loss | {loss:.4f} nats per token (500 stories of another seed) |
| facts recalled | {recall:.1%} of 500 fill-in-the-blank questions |
| loss added by rounding every matrix per row | 8 bits {cost_8:.4f}, 6 bits {cost_6:.4f}, 4 bits {cost_4:.4f}, 3 bits {cost_3:.3f}, 2 bits {cost_2:.2f} nats |

Retrain it with `python -m helpers.train`. The corpus is the same everywhere; the weights depend on the
machine in their last digits.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Retrain the story model.")
    parser.add_argument("--folder", type=Path, default=STORY_FOLDER)
    parser.add_argument("--steps", type=int, default=2400)
    arguments = parser.parse_args()
    print(json.dumps(train_story(arguments.folder, arguments.steps), indent=2))
