"""Draw docs/overview.png, TinyLlama's weights in ten GGUF files: `python -m tools.overview`. 4 GB of disk, 4 minutes.

Sizes and types depend on shapes and names alone, so the checkpoint is of TinyLlama's shape and full of zeros: the real
converter and quantizer make the files, and nothing has to be downloaded.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from helpers import artifacts
from helpers.figures import pipeline as figures
from helpers.pipeline import convert
from helpers.pipeline.gguf_file import Summary

PICTURE = artifacts.ROOT / "docs" / "overview.png"
TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q5_0", "Q4_K_M", "Q4_1", "Q4_0", "Q3_K_M", "Q2_K")
# config.json of TinyLlama/TinyLlama-1.1B-Chat-v1.0, as far as shapes follow from it.
TINYLLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TITLE = "One model, ten files: TinyLlama's 1.1 billion weights in each of them"


def zeros(config: dict, folder: Path) -> Path:
    """Fill `folder` with a checkpoint of this shape whose weights are all zero; on most disks it takes no room."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shutil.copytree(artifacts.ROOT / "data" / "story", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    header, end = {}, 0
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config["tie_word_embeddings"]:
            continue
        size = 2 * tensor.numel()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return folder


def files(checkpoint: Path) -> list[Summary]:
    """Make the ten files one after the other; return what their headers say."""
    f16 = convert.to_gguf(checkpoint, "f16")
    found = [convert.summary(f16)]
    for kind in TYPES:
        made = convert.requantize(f16, kind)
        found.append(convert.summary(made))
        made.unlink()
    f16.unlink()
    return found


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="overview-") as temporary:
        figure = figures.type_sizes(files(zeros(TINYLLAMA, Path(temporary) / "zeros")), TITLE)
    figure.savefig(PICTURE, dpi=110)
    print(f"docs/{PICTURE.name} is drawn")


if __name__ == "__main__":
    main()
