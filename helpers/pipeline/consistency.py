"""Do the tensors of a checkpoint fit to its configuration? Names, layers and shapes; no weight is read."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

from helpers.errors import CheckpointError
from helpers.pipeline.architectures import text_part

EMBEDDING = (
    r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|backbone\.embeddings?|rwkv\.embeddings)\.weight$"
)
HEADS = (
    r"((model|transformer|pretrained_model)\.)?(v_head|value_head|score|classifier|reward_head|regression_head)(\.|$)"
)
LAYER = r"(?P<stem>(?:.*\.)?(?:layers|h|blocks|block))\.(?P<i>\d+)\.(?P<rest>.+)"
ELSEWHERE = r"vision|visual|audio|image|speech|mtp|tower|draft|projector"  # layers that are not the language model's
COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
WIDTHS = ("hidden_size", "n_embd", "d_model")
# Where rows of the embedding may differ from vocab_size, or columns from the width, and the configuration says why.
EXCUSES = ("padded_vocab_size", "pad_vocab_size_multiple", "embedding_size", "word_embed_proj_dim", "ssm_cfg")
# Families whose layers all hold exactly these tensors.
LLAMAS = ("llama", "mistral", "qwen2", "qwen3", "gemma")
IN_LAYER = [f"self_attn.{part}_proj" for part in "qkvo"] + [f"mlp.{part}_proj" for part in ("gate", "up", "down")]
IN_LAYER += ["input_layernorm", "post_attention_layernorm"]

PREFIXES = {
    "_orig_mod.": (
        "torch.compile put it there",
        "Save the model from inside (model._orig_mod.save_pretrained), or load the weights, strip it from the names, "
        "and save them again",
    ),
    "base_model.model.": (
        "PEFT put it there, around a model with an adapter",
        "Merge and save: model.merge_and_unload().save_pretrained(folder)",
    ),
    "module.": (
        "DataParallel put it there",
        "Save the model from inside (model.module.save_pretrained), or strip it from the names",
    ),
    "_fsdp_wrapped_module.": (
        "FSDP put it there",
        "Save with a full state dict (accelerate does), or strip it from the names",
    ),
}


def check(tensors: dict, config: dict, where: str, quantized: bool) -> None:
    """Raise CheckpointError where names, layers or shapes contradict the configuration.

    tensors: name → something with a `shape`. Shapes of quantized weights are those of their codes and are not compared.
    """
    _prefixes(tensors, where)
    _heads(tensors, where)
    text = text_part(config)
    layers = _layers(tensors)
    _number(layers, text, where)
    if not quantized:
        _within(layers, text, where)
        _outside(tensors, text, where, alone=text is config)
        _shapes(tensors, text, where)


def embedding(tensors: dict) -> str | None:
    """Return the name of the table of token embeddings, None if there is none under a usual name."""
    found = [name for name in tensors if re.search(EMBEDDING, name) and not re.search(ELSEWHERE, name)]
    return min(found, key=len) if found else None


def number(config: dict, names: tuple[str, ...]) -> int | None:
    """Return the first of several settings that is a whole number."""
    return next((config[name] for name in names if type(config.get(name)) is int), None)


def _prefixes(tensors: dict, where: str) -> None:
    for prefix, (who, remedy) in PREFIXES.items():
        if name := next((name for name in tensors if name.startswith(prefix) or f".{prefix}" in name), None):
            if prefix == "module." and not all(name.startswith(prefix) for name in tensors):
                continue
            raise CheckpointError(f"{where} has tensors called {prefix}…, such as {name}: {who}. Neither transformers "
                                  f"nor the converter finds them. {remedy}.")  # fmt: skip
    if name := next((name for name in tensors if ".base_layer." in name or ".lora_A" in name), None):
        raise CheckpointError(
            f"{where} holds an adapter that was not merged: {name}. The whole model was saved with the adapter's parts "
            "in it, and without merging their changes are lost. Merge and save: model.merge_and_unload()."
            "save_pretrained(folder)."
        )


def _heads(tensors: dict, where: str) -> None:
    if name := next((name for name in tensors if re.match(HEADS, name)), None):
        raise CheckpointError(
            f"{where} has a head that judges text: {name}. It comes from training with rewards or labels, and GGUF has "
            "no place for it. If the model writes text, load it with AutoModelForCausalLM.from_pretrained and save it "
            "again: that leaves the head out."
        )


def _layers(tensors: dict) -> dict[int, set[str]]:
    """Return layer → what it holds, of the stack with most tensors: that of the language model."""
    stacks: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name in tensors:
        found = re.match(LAYER, name)
        if found and not re.search(ELSEWHERE, found["stem"]):
            stacks[found["stem"]][int(found["i"])].add(found["rest"])
    return max(stacks.values(), key=lambda stack: sum(map(len, stack.values())), default={})


def _number(layers: dict[int, set[str]], text: dict, where: str) -> None:
    wanted = number(text, COUNTS)
    if not layers or not wanted or "block_configs" in text:
        return
    extra = number(text, ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers")) or 0
    if missing := sorted(set(range(wanted)) - set(layers)):
        raise CheckpointError(
            f"{where} lacks whole layers: {_some(missing)} of {wanted}. The configuration belongs to a larger model, "
            "or a part of the weights was left out. Download it again; if you removed layers, correct "
            "num_hidden_layers and number the others without gaps."
        )
    if max(layers) >= wanted + extra:
        raise CheckpointError(
            f"{where} has {max(layers) + 1} layers, its configuration says {wanted}. The others would be left out "
            "without a word. Correct num_hidden_layers, or take the configuration of the same save."
        )


def _within(layers: dict[int, set[str]], text: dict, where: str) -> None:
    """Find a tensor that one layer lacks: by the family's list, or because all other layers have it."""
    if "block_configs" in text:
        return
    if text.get("model_type") in LLAMAS:
        wanted = {f"{part}.weight" for part in IN_LAYER}
        lacking = {i: wanted - held for i, held in layers.items() if not wanted <= held}
    else:
        common, times = Counter(map(frozenset, layers.values())).most_common(1)[0] if layers else (frozenset(), 0)
        lacking = {i: common - held for i, held in layers.items() if held < common}
        if not (len(lacking) == 1 and times == len(layers) - 1 and times >= 2):
            return  # layers of several kinds are part of many architectures
    for i, parts in sorted(lacking.items()):
        raise CheckpointError(
            f"{where} lacks a tensor: layer {i} has no {min(parts)}. It would be filled with random numbers. "
            "Download the weights again, or save the model again as a whole."
        )


def _outside(tensors: dict, text: dict, where: str, alone: bool) -> None:
    """Find what stands before and after the layers. alone: models of several senses say elsewhere if they are tied."""
    if text.get("model_type") not in LLAMAS:
        return
    tied = text.get("tie_word_embeddings", text["model_type"] == "gemma")
    wanted = {r"(^|\.)norm\.weight$": "model.norm.weight", EMBEDDING: "model.embed_tokens.weight"}
    if alone and not tied:
        wanted[r"(^|\.)lm_head\.weight$"] = "lm_head.weight"
    for pattern, name in wanted.items():
        if not any(re.search(pattern, held) for held in tensors):
            hint = " (or set tie_word_embeddings, if the embedding serves as head)" if name == "lm_head.weight" else ""
            raise CheckpointError(
                f"{where} lacks a tensor: {name}. It would be filled with random numbers. Download the "
                f"weights again, or save the model again as a whole{hint}."
            )


def _shapes(tensors: dict, text: dict, where: str) -> None:
    width, rows = number(text, WIDTHS), number(text, ("vocab_size",))
    wanted: dict[str, list[tuple[int, str, int | None]]] = {}
    name = embedding(tensors)
    if name and len(tensors[name].shape) == 2 and not any(key in text for key in EXCUSES):
        wanted[name] = [(0, "vocab_size", rows), (1, "hidden_size", width)]
    if text.get("model_type") in LLAMAS:
        heads, inner = number(text, ("num_attention_heads",)), number(text, ("intermediate_size",))
        size = number(text, ("head_dim",)) or (width // heads if width and heads else None)
        kv = number(text, ("num_key_value_heads",)) or heads
        for name in tensors:
            if re.search(ELSEWHERE, name) or len(tensors[name].shape) != 2:
                continue
            if name.endswith("self_attn.q_proj.weight"):
                wanted[name] = [(0, "num_attention_heads × head_dim", heads and size and heads * size)]
            elif name.endswith(("self_attn.k_proj.weight", "self_attn.v_proj.weight")):
                wanted[name] = [(0, "num_key_value_heads × head_dim", kv and size and kv * size)]
            elif name.endswith("mlp.down_proj.weight"):
                wanted[name] = [(0, "hidden_size", width), (1, "intermediate_size", inner)]
    for name, sides in wanted.items():
        shape = tensors[name].shape
        for side, setting, value in sides:
            if value and shape[side] != value:
                raise CheckpointError(
                    f"{name} of {where} has shape {shape}, but {setting} in config.json is {value}. Configuration and "
                    "weights belong to different models, or the weights were resized without it. Take both from the "
                    "same save."
                )


def _some(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:4])) + (" …" if len(numbers) > 4 else "")
