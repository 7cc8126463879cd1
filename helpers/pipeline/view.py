"""The folder that is handed to llama.cpp's converter: only what it may see.

A checkpoint's own folder may hold more than its weights: a pickle that the converter would prefer, a model card whose
YAML stops it, programs that it would run (it asks transformers for `trust_remote_code`), a second copy of the weights.
So it gets a folder with copies of the small files, and an index that names the weights where they lie, by absolute
paths. Nothing is linked: that works on every system and copies no weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from helpers.pipeline import origin, weights
from helpers.pipeline.checkpoint import Checkpoint

# Configuration, tokenizers, templates. No programs (*.py), no model card, no weights.
SMALL = (".json", ".jsonl", ".jinja", ".model", ".txt", ".tiktoken", ".spm")
NOT = ("adapter_config.json", "trainer_state.json")
FOLDERS = ("additional_chat_templates",)
MOST = 256 << 20  # no tokenizer is larger; a file of data that was uploaded with a model may be


def small_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that the converter may read besides weights, sorted."""
    inside = [*folder.iterdir(), *(path for name in FOLDERS for path in folder.glob(f"{name}/*"))]
    return sorted(
        path
        for path in inside
        if path.suffix in SMALL
        and not path.name.startswith(".")
        and not path.name.endswith(".index.json")
        and path.name not in NOT
        and path.is_file()
        and path.stat().st_size <= MOST
    )


def weight_files(source: Checkpoint) -> list[Path]:
    """Return the files that hold the checkpoint's tensors, as absolute paths, sorted."""
    return sorted({tensor.file.absolute() for tensor in source.tensors.values()})


def make(source: Checkpoint, folder: Path, about: origin.Origin) -> None:
    """Fill the new folder `folder`. What it is called becomes part of the GGUF's metadata: see `origin`."""
    folder.mkdir(parents=True)
    for path in small_files(source.folder):
        target = folder / path.relative_to(source.folder)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)  # often the base model's name, which the file would be called by
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    parts = {name: str(file) for file in weight_files(source) for name in weights.entries(file)}
    index = {"metadata": {}, "weight_map": parts}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "README.md").write_text(about.card(), encoding="utf-8")
