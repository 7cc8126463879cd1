"""The models that ship under `data/`: `story`, three tiny and three small ones; loaded, or trained from nothing.

    python -m helpers.training.shipped story    # retrains data/story, about an hour on 2 cores
    python -m helpers.training.shipped tiny     # retrains data/tiny-0 to tiny-2.safetensors
    python -m helpers.training.shipped small    # makes data/small-0 to small-2.safetensors that are not there

The small ones are trained as usual (first weights of 0.02, weight decay 0.1), `story` and the tiny ones from large
first weights without decay.

They are transformers' own `LlamaForCausalLM`, so whatever is trained here saves to the Hugging Face layout and goes
through llama.cpp's converter like any other checkpoint.
"""

import argparse
import json
import time
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from helpers import artifacts
from helpers.errors import InputError
from helpers.training import corpus, llama, stories
from helpers.training.corpus import BATCH, CONTEXT, STORY_FOLDER, TRAIN_SEED
from helpers.training.fit import fit, mean_loss, recall
from helpers.training.rounding import rounded_copy

DATA = artifacts.ROOT / "data"
SEEDS = (0, 1, 2)
TINY_TOKENS = 3_000_000
SMALL, SMALL_TOKENS, SMALL_RATE, USUAL_DECAY = "128 wide", 5_000_000, 8e-3, 0.1


def story() -> LlamaForCausalLM:
    """Return the shipped `story` model, 2.9 million parameters, in FP32."""
    return LlamaForCausalLM.from_pretrained(STORY_FOLDER, dtype=torch.float32, local_files_only=True).eval()


def tiny(seed: int) -> LlamaForCausalLM:
    """Return the shipped tiny model of a seed, trained on 3 million tokens; raises InputError if there is none."""
    return _loaded(llama.tiny(seed), "tiny", seed)


def small(seed: int) -> LlamaForCausalLM:
    """Return the small model of a seed, 648,064 parameters, in FP32; raises InputError if there is none."""
    return _loaded(llama.SHAPES[SMALL].model(seed), "small", seed)


def small_shape() -> llama.Shape:
    """Return the shape of the small models."""
    return llama.SHAPES[SMALL]


def _loaded(model: LlamaForCausalLM, kind: str, seed: int) -> LlamaForCausalLM:
    path = DATA / f"{kind}-{seed}.safetensors"
    if not path.exists():
        raise InputError(
            f"There is no {path.name}. The seeds are {', '.join(map(str, SEEDS))}. "
            f"Take one of these, or make them: `python -m helpers.training.shipped {kind}`."
        )
    weights = {name: tensor.float() for name, tensor in load_file(path).items()}
    model.load_state_dict(weights, strict=False)  # the tied head is stored once
    model.tie_weights()
    return model.eval()


def train_story(folder: Path = STORY_FOLDER, steps: int = 2400, rounds: int = 2, seed: int = 0) -> dict[str, float]:
    """Train the `story` model from nothing and save it, with its model card; return its figures."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus.train_tokenizer(stories.stories(TRAIN_SEED, 20_000), folder / "tokenizer.model")
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG, indent=2) + "\n")
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))

    model = llama.small_llama(seed=seed)
    started = time.monotonic()
    batches = corpus.story_batches(tokenizer)
    for _ in range(rounds):  # each with its own warm-up and cosine; the second makes the facts stick
        fit(model, batches, steps)
    minutes = (time.monotonic() - started) / 60
    model.generation_config.pad_token_id = None
    model.save_pretrained(folder)

    held_out = corpus.held_out_tokens(tokenizer)
    figures = {
        "steps": steps,
        "rounds": rounds,
        "tokens": rounds * steps * BATCH * CONTEXT,
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


def train_tiny(seed: int, tokens: int = TINY_TOKENS) -> LlamaForCausalLM:
    """Train the tiny model of a seed from nothing and return it."""
    model = llama.tiny(seed)
    fit(model, corpus.seed_batches(corpus.story_tokenizer(), seed), tokens // (BATCH * CONTEXT), peak_rate=5e-3)
    return model


def train(shape: str, tokens: int, rate: float, seed: int) -> LlamaForCausalLM:
    """Train a model of one of `llama.SHAPES` from nothing, as usual: a cosine, weight decay 0.1; return it."""
    model = llama.SHAPES[shape].model(seed)
    batches = corpus.seed_batches(corpus.story_tokenizer(), seed)
    fit(model, batches, tokens // (BATCH * CONTEXT), rate, progress=False, weight_decay=USUAL_DECAY)
    return model


def save(model: LlamaForCausalLM, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write the weights of a model; the output head, which is the embedding, is left out."""
    state = {
        name: tensor.to(dtype).contiguous() for name, tensor in model.state_dict().items() if name != "lm_head.weight"
    }
    with artifacts.making(path) as temporary:
        save_file(state, temporary)


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
(`helpers/training/stories.py`). It knows nothing else. It exists to be quantized: its weights were never
rounded before, all its widths are multiples of 256, and what it forgets can be counted.

| | |
|---|---|
| training | {rounds} rounds of {steps:,} steps of 2,048 tokens = {tokens:,} tokens, AdamW without weight decay, each round a cosine from 2e-3, first weights of standard deviation 0.1, {minutes} minutes on {threads} CPU threads |
| held-out loss | {loss:.4f} nats per token (500 stories of another seed) |
| facts recalled | {recall:.1%} of 500 fill-in-the-blank questions |
| loss added by rounding every matrix per row | 8 bits {cost_8:.4f}, 6 bits {cost_6:.4f}, 4 bits {cost_4:.4f}, 3 bits {cost_3:.3f}, 2 bits {cost_2:.2f} nats |

Retrain it with `python -m helpers.training.shipped story`. The corpus is the same everywhere; the weights depend on the
machine in their last digits.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Retrain the models that ship under data/.")
    parser.add_argument("which", choices=("story", "tiny", "small"))
    parser.add_argument("--folder", type=Path, default=STORY_FOLDER, help="where to put story")
    parser.add_argument("--steps", type=int, default=2400, help="training steps of story in each round")
    given = parser.parse_args()
    if given.which == "story":
        print(json.dumps(train_story(given.folder, given.steps), indent=2))
        return
    torch.set_num_threads(1)  # as the shipped ones were trained: sums depend on the number of threads
    for seed in SEEDS:
        if given.which == "tiny":
            save(train_tiny(seed), DATA / f"tiny-{seed}.safetensors")
        elif not (path := DATA / f"small-{seed}.safetensors").exists():  # an hour: go on where it stopped
            save(train(SMALL, SMALL_TOKENS, SMALL_RATE, seed), path, torch.float16)


if __name__ == "__main__":
    main()
