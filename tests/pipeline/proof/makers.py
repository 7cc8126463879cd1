"""Tiny checkpoints: copies of `story`, which has learned something, and random models of other architectures."""

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from helpers import artifacts
from tests.zoo.architectures import COMMON

STORY = artifacts.ROOT / "data" / "story"
SIZES = COMMON | {"vocab_size": 1024}
CHAT = (
    "{% for m in messages %}<s>[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<s>[assistant] {% endif %}"
)


def story(folder: Path, config: dict | None = None, tokenizer: dict | None = None) -> Path:
    """Copy `story`, with entries of config.json and tokenizer_config.json changed; None takes one out."""
    shutil.copytree(STORY, folder)
    for name, changes in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        edit(folder / name, **(changes or {}))
    return folder


def edit(path: Path, **changes) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}, indent=1))


def weights(folder: Path, change, name: str = "model.safetensors") -> None:
    """Let `change` change the weights of a checkpoint (a dict of tensors) and write them back."""
    tensors = load_file(folder / "model.safetensors")
    tensors = change(tensors) or tensors
    (folder / "model.safetensors").unlink()
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / name, metadata={"format": "pt"})


def random(folder: Path, model_type: str, tokenizer: Path = STORY, **settings) -> Path:
    """Write a random model of an architecture, whose norms and biases are not ones and zeros, with a tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    chosen = {key: value for key, value in (SIZES | settings).items() if value != "absent"}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[model_type](**chosen), dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if any(part in name for part in ("A_log", "conv1d", "dt_", ".D")):
                continue  # Mamba's time constants: other values blow up
            spread = 0.3 if weight.ndim == 1 else weight.shape[-1] ** -0.5
            weight.copy_((weight if weight.ndim == 1 else 0) + spread * torch.randn_like(weight))
    model.save_pretrained(folder)
    return with_tokenizer(folder, tokenizer)


def with_tokenizer(folder: Path, tokenizer: Path = STORY, blank: str = "▁") -> Path:
    """Copy a tokenizer; `story`'s also as the tokenizer.json that published models have beside tokenizer.model.

    From tokenizer.model alone transformers 5 makes another one for Mistral than for LLaMA, without the first blank.
    Gemma's has none: `blank=""`.
    """
    for name in ("tokenizer.model", "tokenizer.json", "tokenizer_config.json"):
        if (tokenizer / name).exists():
            shutil.copy(tokenizer / name, folder)
    if tokenizer == STORY:
        from tokenizers import normalizers
        from transformers import AutoTokenizer

        backend = AutoTokenizer.from_pretrained(STORY).backend_tokenizer
        steps = [normalizers.Prepend(blank)] if blank else []
        backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
        content = json.loads(backend.to_str()) | {"pre_tokenizer": None}
        (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


def as_tokenizer_json(folder: Path, *added: str) -> Path:
    """Write tokenizer.json beside tokenizer.model, as saving with transformers does, with added tokens in it alone."""
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    backend = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    if added:
        backend.add_tokens([AddedToken(token, normalized=False) for token in added])
    backend.save(str(folder / "tokenizer.json"))
    return folder
