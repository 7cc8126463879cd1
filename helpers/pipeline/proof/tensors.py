"""Is every tensor of the checkpoint in the GGUF, and which one is it there?

    accounts = account(checkpoint, file)
    accounts.pairs["model.norm.weight"]        # 'output_norm.weight'
    accounts.missing                           # must be empty

Names are translated by llama.cpp's own table. What the table does not know has to balance layer by layer: a converter
may join q, k and v into one tensor or divide one into three, but no weight may get lost.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from helpers.pipeline.checkpoint import Checkpoint
from helpers.pipeline.gguf_file import Summary
from helpers.pipeline.proof.rows import FAILED, PASSED, Row, some

# No tensors in a GGUF, and rightly: computed from the configuration, a causal mask, what became a setting (xIELU).
COMPUTED = re.compile(r"rotary_emb\.|rotary_pos_emb|inv_freq$|masked_bias$|act_fn\.(alpha_[np]|beta|eps)$")
# The names by which the converter knows what belongs to seeing and hearing (conversion/base.py, filter_tensors).
SENSES = re.compile(
    r"visual|vision|audio|(^|\.)(vit|vpm|siglip2|conformer|resampler|merger)\.|projector|image_newline|view_seperator"
    r"|patch_embed|patch_merge|model\.connector\.|pre_mm_projector_norm|talker\.|token2wav|code2wav"
)
# Codes, scales and orders of a quantized checkpoint, which the converter turns into the weights of their module.
CODES = re.compile(
    r"\.(qweight|qzeros|scales|g_idx|weight_(packed|shape|scale|scale_2|scale_inv|zero_point|global_scale|g_idx)"
    r"|(input|output|activation|k|v|q)_(scale|zero_point|global_scale))$"
)
SPECULATIVE = re.compile(r"(^|\.)(mtp|nextn|eh_proj|enorm|hnorm|shared_head)\.")
GENERATED = re.compile(r"^rope_(freqs|factors)|\.(attn_rot_embd|rope_freqs)")  # in the GGUF, from the configuration

NAME = "tensors"


@dataclass
class Accounts:
    """Where each tensor of a checkpoint went: `pairs` by name, the others by what became of them."""

    pairs: dict[str, str] = field(default_factory=dict)  # checkpoint → GGUF
    experts: dict[str, int] = field(default_factory=dict)  # which slice of a GGUF tensor that holds all experts
    computed: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    senses: list[str] = field(default_factory=list)
    speculative: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    tied: str = ""  # the head's name, if the file has none because it shall be the embedding


def account(checkpoint: Checkpoint, file: Summary) -> Accounts:
    """Find every tensor of a checkpoint in a GGUF."""
    result, there = Accounts(), {tensor.name: tensor for tensor in file.tensors}
    translate, rest = _table(file), []
    for name, tensor in checkpoint.tensors.items():
        plain, expert = _without_expert(name)
        target = translate(plain)
        if COMPUTED.search(name) or (name.endswith(("attn.bias", "attention.bias")) and len(tensor.shape) == 4):
            result.computed.append(name)
        elif checkpoint.quantization and CODES.search(name) and translate(CODES.sub(".weight", plain)) in there:
            result.codes.append(name)
        elif SENSES.search(name):
            result.senses.append(name)
        elif target in there and expert is not None:
            result.pairs[name], result.experts[name] = target, expert
        elif target in there and there[target].elements == tensor.elements:
            result.pairs[name] = target
        elif target == "output.weight" and target not in there:
            result.tied = name  # whether it may be is a question of values
        elif SPECULATIVE.search(name) or _layer(name) >= file.metadata.get(_key(file, "block_count"), 1 << 30):
            result.speculative.append(name)
        else:
            rest.append(name)
    _balance(checkpoint, there, rest, result)
    fed = {_layer(name) for name in (*result.pairs.values(), *result.joined)}
    if not {_layer(name) for name in there} <= fed | {
        -1
    }:  # a layer of the file came from elsewhere: numbers are shifted
        result.missing += result.speculative
        result.speculative = []
    return result


def compare(checkpoint: Checkpoint, file: Summary, accounts: Accounts) -> Row:
    """Return the row about names and numbers of tensors."""
    count = len(checkpoint.tensors)
    if not file.tensors:
        return Row(
            NAME,
            FAILED,
            f"the file holds no tensors, the checkpoint {count}",
            "The converter reads model.safetensors, or what the index names. Rename the weights and convert again.",
        )
    if accounts.missing:
        return Row(
            NAME,
            FAILED,
            f"{len(accounts.missing)} of {count} are not in the file: {some(accounts.missing)}",
            "Look whether the configuration names the right architecture, and whether this is the file of this folder.",
        )
    there = count - len(accounts.senses) - len(accounts.speculative)
    notes = [f"all {there} accounted for"]
    if accounts.computed:
        notes.append(f"{len(accounts.computed)} of them computed or kept as settings")
    if accounts.codes:
        notes.append(f"{len(accounts.codes)} of them codes and scales that were turned into weights")
    if accounts.joined:
        notes.append(f"{len(accounts.joined)} stored joined or divided")
    left_out = " and ".join(
        f"{what} ({len(names)} tensor{'s' if len(names) > 1 else ''})"
        for what, names in (
            ("its part for pictures or sound", accounts.senses),
            ("its layers that guess ahead", accounts.speculative),
        )
        if names
    )
    if left_out:
        notes.append(f"left out: {left_out}")
    return Row(NAME, PASSED, "; ".join(notes), left_out=left_out)


def _table(file: Summary):
    """Return a function that translates a checkpoint's name, by llama.cpp's table; None where it has none."""
    import gguf

    numbers = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
    architecture = numbers.get(file.metadata.get("general.architecture"))
    if architecture is None:  # newer than this gguf-py: everything has to balance
        return lambda name: None
    table = gguf.get_tensor_name_map(architecture, int(file.metadata.get(_key(file, "block_count"), 0)))

    def translate(name: str) -> str | None:
        bare = name.replace("language_model.", "")
        for spelled in (bare, f"model.{bare}", f"transformer.{bare}", bare.removeprefix("model.")):
            if found := table.get_name(spelled, try_suffixes=(".weight", ".bias")):
                return found
        return None

    return translate


def _balance(checkpoint: Checkpoint, there: dict, rest: list[str], result: Accounts) -> None:
    """Settle what has no partner: right if each layer's leftovers have as many weights on both sides."""
    used = set(result.pairs.values())
    theirs = Counter()
    for name, tensor in there.items():
        if name not in used and not GENERATED.search(name):
            theirs[_layer(name)] += tensor.elements
    ours = Counter()
    for name in rest:
        ours[_layer(name)] += checkpoint.tensors[name].elements
    for name in rest:
        balanced = ours[_layer(name)] == theirs[_layer(name)]
        (result.joined if balanced else result.missing).append(name)


def _without_expert(name: str) -> tuple[str, int | None]:
    """Take the expert's number out of a name: the GGUF keeps all experts of a layer in one tensor."""
    if found := re.search(r"experts\.(\d+)\.", name):
        return name.replace(found[0], "experts."), int(found[1])
    return name, None


def _layer(name: str) -> int:
    """Return the number of the layer that a name is about, −1 for what lies outside the layers."""
    found = re.search(r"(?:^|\.)(?:layers?|blocks?|blk|h)\.(\d+)\.", name)
    return int(found[1]) if found else -1


def _key(file: Summary, key: str) -> str:
    return f"{file.metadata.get('general.architecture')}.{key}"
