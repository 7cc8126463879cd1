"""Record what flows into one layer of SmolLM2, for notebooks 02 and 03: `python -m tools.activations`.

Writes data/activations/smollm2.safetensors: the inputs of the attention of layer 15 for the first 128 tokens of
data/evaluation.txt (128 × 576), and the key projection that they are multiplied with (192 × 576), both in FP16. One of
the 576 channels is some 20 times larger than the others in nearly every token.
"""

from __future__ import annotations

import json

import numpy as np

from helpers import artifacts
from helpers.pipeline import catalogue

PATH = artifacts.ROOT / "data" / "activations" / "smollm2.safetensors"
LAYER, TOKENS = 15, 128


def record() -> dict[str, np.ndarray]:
    """Run SmolLM2 in FP32 over the text; return `activations` (tokens, inputs) and `weights` (outputs, inputs)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = catalogue.CATALOGUE["smollm2"].fetch()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    text = (artifacts.ROOT / "data" / "evaluation.txt").read_text()
    ids = tokenizer(text[: 20 * TOKENS], return_tensors="pt").input_ids[:, :TOKENS]
    projection = model.model.layers[LAYER].self_attn.k_proj
    seen = []
    projection.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
    with torch.inference_mode():
        model(ids)
    found = {"activations": seen[0], "weights": projection.weight}
    return {name: tensor.detach().numpy().astype(np.float16) for name, tensor in found.items()}


def main() -> None:
    from safetensors.numpy import save_file

    source = json.dumps({"model": catalogue.CATALOGUE["smollm2"].repo, "layer": str(LAYER)})
    PATH.parent.mkdir(parents=True, exist_ok=True)
    with artifacts.making(PATH) as temporary:
        save_file(record(), temporary, metadata={"source": source})
    print(f"{PATH.relative_to(artifacts.ROOT)}: {artifacts.size_text(PATH.stat().st_size)}")


if __name__ == "__main__":
    main()
