"""The model card of a GGUF repository, made from the original's: what it inherits, what was done, and what was proven.

original = card.original(model)                  # what the model's own card says
text = card.build(original, paths, "ada/mine-GGUF", proof=proof)
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from helpers.pipeline import gguf_file, hub_rules, llama_tools, model_card
from helpers.pipeline.hub import preflight, quality_table

OURS = ("gguf", "llama.cpp", "quantized")
# Tags of an original that speak of its files, or that the Hub makes by itself.
OF_ITS_FILES = re.compile(
    r".*:.*|safetensors|transformers|pytorch|tensorboard|onnx|jax|tf|keras|peft|lora|adapter|trl|sft|dpo|"
    r"generated_from_trainer|text-generation-inference|endpoints_compatible|autotrain_compatible|.*16|fp8|gptq|awq|exl2|mlx"
)
LANGUAGE = re.compile(r"([a-z]{2,3}|code|multilingual)(-.*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Original:
    """The model that GGUF files are made from; `repo` is its name on the Hub, None if it is in no repository.

    `head` holds the fields of its card, every value a text or a list of texts.
    """

    title: str
    repo: str | None = None
    revision: str | None = None
    head: dict = field(default_factory=dict)


def original(model) -> Original:
    """Return what is known of a `catalogue.Model`: its card's fields, or its licence in the catalogue."""
    return read(model.fetch(), model.repo if model.revision else None, model.revision, model.title, model.licence)


def read(
    folder: Path | str,
    repo: str | None = None,
    revision: str | None = None,
    title: str | None = None,
    licence: str | None = None,
) -> Original:
    """Return what a checkpoint folder's README.md says; `licence` counts where it says none.

    What is odd in it is left out, since other people's cards are not ours to correct.
    """
    head = model_card.at(folder)
    if licence and not _texts(head.get("license")):
        head = {**head, "license": licence}
    name = (repo or Path(folder).resolve().name).rpartition("/")[2]
    return Original(title or " ".join(name.split("-")) or "model", repo or None, revision or None, head)


def fields(source: Original) -> dict:
    """Return the fields of the new card: licence, base model and relation, language, tags, task."""
    head = model_card.licence_fields(source.head, source.repo, source.revision)
    bases = [source.repo] if source.repo else _bases(source)
    if bases:
        head["base_model"] = bases[0] if len(bases) == 1 else bases
        # Without a repository the model itself is on no page, and what its card names is what it was made from.
        relation = "quantized" if source.repo else "".join(_texts(source.head.get("base_model_relation"))[:1])
        head["base_model_relation"] = relation if relation in hub_rules.RELATIONS else "finetune"
    spoken = [found[1].lower() for text in _texts(source.head.get("language")) if (found := LANGUAGE.fullmatch(text))]
    if spoken:
        spoken = list(dict.fromkeys(spoken))
        head["language"] = spoken[0] if len(spoken) == 1 else spoken
    tags = [tag for tag in _texts(source.head.get("tags")) if not OF_ITS_FILES.fullmatch(tag.lower())]
    head["tags"] = list(dict.fromkeys([*OURS, *tags]))
    head["pipeline_tag"] = (_texts(source.head.get("pipeline_tag")) or ["text-generation"])[0]
    return head


def build(
    source: Original,
    files: Iterable[Path | str] | Path | str,
    repo: str,
    proof=None,
    kl: Mapping[str, object] | None = None,
) -> str:
    """Return the text of a model card for GGUF files that will stand in `repo` (`owner/name`).

    proof: a `Proof` of one of them, or of the file they were quantized from. kl: by file name, their measured KL
    divergence from the original in nats, or the `Comparison` that it comes from, which says more. Nothing is claimed
    that was not measured. Raises InputError for a damaged file.
    """
    from huggingface_hub.utils import yaml_dump

    firsts = dict.fromkeys(preflight.parts(path)[0] for path in preflight.require_files(files))
    summaries = [gguf_file.summary(path) for path in firsts if path.suffix.lower() == ".gguf"]
    measured = dict(kl or {})
    title, head = model_card.line(source.title), fields(source)
    link = f"[{source.repo}]({model_card.HUB}{source.repo})" if source.repo else title
    commit = f" at revision `{source.revision}`" if source.revision else ""
    lines = [f"---\n{yaml_dump(head).strip()}\n---\n", f"# {title}, quantized to GGUF\n"]
    lines.append(f"Made from {link}{commit} with the converter and the quantizer of {made_with()}.\n")
    lines += quality_table.lines(summaries, measured)
    if not measured:
        lines.append("Quality was not measured; the original's model card says what the model is for.\n")
    if proof is not None:
        lines += ["## Is it the same model?\n", proof.markdown().strip() + "\n"]
    lines += _how_to_run(summaries, repo)
    if "license" in head:
        named = head.get("license_name") or head["license"]
        text = named if isinstance(named, str) else ", ".join(named)
        where = f" ({head['license_link']})" if "license_link" in head else ""
        lines += ["## Licence\n", f"The original's licence, {text}{where}, applies to these files, too.\n"]
    return "\n".join(lines)


def _how_to_run(summaries: list[gguf_file.Summary], repo: str) -> list[str]:
    if not summaries:
        return []
    file = min(summaries, key=lambda summary: summary.file_bytes)
    lines = ["## Run it\n", "| program | line |", "|---|---|"]
    lines.append(f"| llama.cpp | `llama-cli -hf {repo}:{file.file_type}` |")
    lines.append(f"| Ollama | `ollama run hf.co/{repo}:{file.file_type}` |")
    lines.append(f'| llama-cpp-python | `Llama.from_pretrained("{repo}", filename="{file.path.name}")` |\n')
    if "tokenizer.chat_template" not in file.metadata:
        lines.append("It has no chat template: it continues a text, and does not answer questions.\n")
    return lines


def made_with() -> str:
    """Return which llama.cpp converts and quantizes here."""
    own = os.environ.get("LLAMA_CPP_DIR")
    pinned = not own or llama_tools.fingerprint(llama_tools.tools()) == llama_tools.SHA256
    tree = f"llama.cpp at commit `{llama_tools.COMMIT[:9]}`" if pinned else "llama.cpp (not the tree that is pinned)"
    try:
        return f"{tree} (llama-cpp-python {importlib.metadata.version('llama_cpp_python')})"
    except importlib.metadata.PackageNotFoundError:
        return tree


def gaps(file: gguf_file.Summary, head: dict) -> list[str]:
    """Return what a GGUF does not say of itself, or says otherwise than its card; the Hub's viewer shows it."""
    name, said = file.path.name, file.metadata
    wanted = {"its name": "general.name", "who made it with what": "general.quantized_by"}
    wanted |= {"its licence": "general.license"} if "license" in head else {}
    wanted |= {"its base model": "general.base_model.0.name"} if "base_model" in head else {}
    absent = [f"{what} ({key})" for what, key in wanted.items() if not said.get(key)]
    found = [f"{name} does not say {', '.join(absent)}. Converted again it would."] if absent else []
    values, inside = head.get("license"), said.get("general.license")
    outside = ",".join(values) if isinstance(values, list) else values
    if inside and outside and inside != outside:
        found.append(f"{name} says that its licence is {inside}, the card says {outside}. Correct one of them.")
    return found


def _bases(source: Original) -> list[str]:
    """Return the models that the original's card names as its base, those only that can be on the Hub."""
    named = [text.removeprefix(model_card.HUB).strip("/") for text in _texts(source.head.get("base_model"))]
    return [name for name in named if "/" in name and not hub_rules.name_problem(name)]


def _texts(value: object) -> list[str]:
    """Return a card's value as texts that cannot break the new card."""
    return [line for text in model_card.texts(value) if (line := model_card.line(text))]
