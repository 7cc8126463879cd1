"""Where a checkpoint comes from, as a GGUF's metadata say it: name, licence, authors, base model, who converted it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from helpers.pipeline import llama_tools, model_card
from helpers.pipeline.checkpoint import Checkpoint

FETCHED = ".fetched.json"  # in the folder of a fetched model
TOOL = f"From Bits to GGUF, with llama.cpp {llama_tools.COMMIT[:9]}"


@dataclass(frozen=True)
class Origin:
    """What is known of a checkpoint. `id` is the name that metadata are guessed from: `SmolLM2-135M-Instruct`."""

    id: str
    title: str
    licence: str | None = None
    metadata: dict = field(default_factory=dict)

    def card(self) -> str:
        """Return the model card for the converter: the licence, which it takes from nowhere else."""
        return f"---\nlicense: {json.dumps(self.licence, ensure_ascii=False)}\n---\n" if self.licence else ""


def of(source: Checkpoint, given: dict | None = None) -> Origin:
    """Return what the folder tells of its origin; `given` are further metadata by their GGUF names, which count first.

    The name is that of the repository, else of the folder. The folder's README.md is read as text, leniently: what is
    not as expected in it is left out.
    """
    card = model_card.at(source.folder)
    repo, commit = repository(source.folder)
    owner, _, name = (repo or "").rpartition("/")
    name = name or source.folder.resolve().name or "model"
    metadata: dict[str, object] = {"general.quantized_by": TOOL}
    if owner:
        metadata |= {"general.organization": owner, "general.source.repo_url": model_card.HUB + repo}
    if models := [repo] if repo else bases(source.folder):
        metadata["general.base_models"] = [_base(base) for base in models]
    for key, found in (("tags", card.get("tags")), ("languages", card.get("language"))):
        if texts := model_card.texts(found):
            metadata[f"general.{key}"] = texts
    for key, found in model_card.licence_fields(card, repo, commit).items():
        metadata[f"general.{key.replace('_', '.')}"] = found if isinstance(found, str) else ",".join(found)
    metadata |= given or {}
    title = str(metadata.pop("general.name", None) or _title(name))
    licence = metadata.pop("general.license", None)
    return Origin(name, harmless(title, source), licence, metadata)


def repository(folder: Path) -> tuple[str | None, str | None]:
    """Return the repository (`owner/name`) and the commit that the course fetched a folder from, or twice None."""
    try:
        note = json.loads((folder / FETCHED).read_text(encoding="utf-8"))
        return str(note["repo"]), str(note["commit"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


def remember(folder: Path, repo: str, commit: str | None) -> None:
    """Note in a fetched folder where it comes from, for `repository`."""
    (folder / FETCHED).write_text(json.dumps({"repo": repo, "commit": commit}), encoding="utf-8")


def bases(folder: Path) -> list[str]:
    """Return the repositories that a folder's model card names as its base models."""
    return model_card.bases(model_card.at(folder))


def harmless(title: str, source: Checkpoint) -> str:
    """Return a name that llama.cpp does not react to, or only where it should.

    Where a GGUF's name contains phi3 or phi-3, llama.cpp strips the blanks after special tokens, as Phi-3's tokenizer
    does, and refuses the file if the tokens of Phi-3 are not all there.
    """
    title = re.sub(r"phi-?3", "Phi 3", title, flags=re.IGNORECASE)
    if str(source.config.get("model_type")).startswith("phi3") and _strips_blanks(source.folder / "tokenizer.json"):
        named = re.sub(r"phi 3", "Phi-3", title, flags=re.IGNORECASE)
        return named if "Phi-3" in named else f"{title} (Phi-3)"
    return title


def _strips_blanks(tokenizer: Path) -> bool:
    try:
        said = json.loads(tokenizer.read_text(encoding="utf-8"))
        added = {token["content"]: token for token in said["added_tokens"]}
        known = {*added, *said["model"]["vocab"]}
        return any(token["rstrip"] for token in added.values()) and known >= {"<s>", "</s>", "<unk>", "<|endoftext|>"}
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _base(repo: str) -> dict[str, str]:
    owner, _, name = repo.removeprefix(model_card.HUB).rpartition("/")
    if not re.fullmatch(r"[\w.-]+", owner):
        return {"name": _title(name or repo)}
    return {"name": _title(name), "organization": owner, "repo_url": f"{model_card.HUB}{owner}/{name}"}


def _title(name: str) -> str:
    """Return a repository's name as a title, the way the converter does: my-model-7b → My Model 7b."""
    words = name.replace("-", " ").split()
    return " ".join(word.title() if word.islower() and not word[0].isdigit() else word for word in words) or name
