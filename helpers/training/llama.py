"""LLaMAs with random weights: of any small shape, and with layers that are called more than once."""

import copy
from dataclasses import asdict, dataclass

import torch
from torch.nn import ModuleList
from transformers import LlamaConfig, LlamaForCausalLM

from helpers.errors import InputError


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
    if times < 1:
        raise InputError(f"A layer cannot be called {times} times. Use 1 or more.")
    model.model.layers = ModuleList([layer for layer in model.model.layers for _ in range(times)])
    model.config.num_hidden_layers = len(model.model.layers)
    model.config.use_cache = False


def unshare_layers(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Return a copy in which every call is a layer of its own: same outputs, storable everywhere, larger."""
    copied = copy.deepcopy(model)
    copied.model.layers = ModuleList([copy.deepcopy(layer) for layer in copied.model.layers])
    for index, layer in enumerate(copied.model.layers):
        layer.self_attn.layer_idx = index
    copied.config.use_cache = True
    return copied


@dataclass(frozen=True)
class Shape:
    """A shape of LLaMA; each width is a multiple of 32, so that blocks and groups fit into its rows."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int

    def model(self, seed: int) -> LlamaForCausalLM:
        """Return a model with random weights of the usual standard deviation, 0.02."""
        return small_llama(**asdict(self), seed=seed, initializer_range=0.02)


SHAPES = {
    "32 wide": Shape(32, 2, 2, 1, 96),
    "64 wide": Shape(64, 2, 4, 2, 192),
    "128 wide": Shape(128, 3, 4, 2, 320),
    "192 wide": Shape(192, 2, 6, 2, 512),
}


def tiny(seed: int, initializer_range: float = 0.05) -> LlamaForCausalLM:
    """Return the model of the sweep: 100,080 parameters, two layers, 48 wide, the vocabulary of `story`."""
    shape = {"hidden": 48, "layers": 2, "heads": 4, "kv_heads": 2, "ffn": 128}
    return small_llama(**shape, seed=seed, initializer_range=initializer_range)
