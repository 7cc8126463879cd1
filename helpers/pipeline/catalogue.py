"""The models of the course by name, and the choice of any other: a repository of the Hub, or a folder.

model = catalogue.choose("owner/name@revision")     # or a name of the catalogue, a page's address, a folder
model.look()                                        # a table, before anything is downloaded
folder = model.fetch()                              # downloaded and verified
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from pathlib import Path

from helpers import artifacts
from helpers.errors import CheckpointError, CourseError, HubError, InputError
from helpers.pipeline import checkpoint, files, hub, look, model_card, names, origin
from helpers.pipeline.models import Model, Source
from helpers.pipeline.shelf import Folder

__all__ = ["CATALOGUE", "GPT2", "Model", "Source", "choose"]

# Of 191 that were tried, those that SmolLM2 is sure of: at every token of the answer its first choice leads by 1 nat or
# more, and the files of 8 and 4 bits say the same. Asked "What is the capital of France?", F16 finds English and French
# nearly equally likely, and Q8_0 answers in French on some processors: a near-tie, which looks like damage.
CHAT_QUESTIONS = (
    "What is the plural of mouse?",
    "What is the chemical symbol for oxygen?",
    "Name the capital of France.",
)
STORY_OPENINGS = (
    "There once was a stoat named Pimfin, who lived in a",
    "Who is the best friend of Jora? It is",
    "One rainy morning, the compass was gone.",
)
OPENINGS = (
    "The capital of France is",
    "Once upon a time, there was a",
    "The three primary colours are",
)
CATALOGUE = {
    model.name: model
    for model in (
        Model(
            name="tinyllama",
            title="TinyLlama 1.1B Chat",
            repo="TinyLlama/TinyLlama-1.1B-Chat-v1.0",
            revision="fe8a4ea1ffedaf415f4da2f062534de366a451e6",
            parameters=1_100_048_384,
            licence="apache-2.0",
            chat=True,
            questions=CHAT_QUESTIONS,
            weights_sha256="6e6001da2106d4757498752a021df6c2bdc332c650aae4bae6b0c004dcf14933",
        ),
        Model(
            name="smollm2",
            title="SmolLM2 135M Instruct",
            repo="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
            parameters=134_515_008,
            licence="apache-2.0",
            chat=True,
            questions=CHAT_QUESTIONS,
            weights_sha256="5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
        ),
        Model(
            name="story",
            title="story 3M",
            repo="course/story",
            revision=None,
            parameters=2_885_888,
            licence="apache-2.0",
            chat=False,
            questions=STORY_OPENINGS,
        ),
    )
}
# For notebook 12, which decomposes it; not a model to convert, so `choose` does not offer it.
GPT2 = Model(
    name="gpt2",
    title="GPT-2",
    repo="openai-community/gpt2",
    revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
    parameters=124_439_808,
    licence="mit",
    chat=False,
    questions=(),
    weights_sha256="248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
)


def choose(name: str | os.PathLike = "auto") -> Model:
    """Return a model; `reason` on the result says why this one.

    name: an entry of the catalogue, a folder, a repository of the Hub (`owner/name`, `owner/name@revision`) or its
    page's address, looked for in this order. The environment variable COURSE_MODEL overrides it. `auto` is TinyLlama
    where the Hub answers and SmolLM2 elsewhere. A branch or tag is pinned to the commit that it means now. Raises
    InputError for what cannot be a model's name, HubError, CheckpointError for a folder that is not whole.
    """
    wanted = os.environ.get("COURSE_MODEL") or name
    who = "COURSE_MODEL" if os.environ.get("COURSE_MODEL") else "you"
    if wanted == "auto":
        if hub.current().wants_real():
            return dataclasses.replace(CATALOGUE["tinyllama"], reason="the Hub answers")
        return dataclasses.replace(CATALOGUE["smollm2"], reason=hub.current().why_rehearsal())
    return _choose(wanted, who)


def _choose(wanted: str | os.PathLike, who: str) -> Model:
    """Return the model that somebody (`who`) asked for."""
    if isinstance(wanted, str) and wanted.strip() in CATALOGUE:
        return dataclasses.replace(CATALOGUE[wanted.strip()], reason=f"{who} asked for it")
    found = names.read(wanted, hub.current().endpoint)
    if isinstance(found, Path):
        return _in_folder(found, f"{who} asked for this folder")
    listed = next((model for model in CATALOGUE.values() if model.repo == found.repo), None)
    if listed and found.revision in (None, listed.revision):
        return dataclasses.replace(listed, reason=f"{who} asked for it by its name on the Hub")
    if "/" not in found.repo and found.repo not in names.SINGLE and "/" not in str(wanted):
        known = ", ".join(["auto", *CATALOGUE])
        raise InputError(
            f"Unknown model {found.repo!r}. {who} asked for it. Choose one of: {known}, or any model as {names.FORMS}."
        )
    return _on_hub(found, who)


def _in_folder(folder: Path, reason: str) -> Model:
    found = checkpoint.read(folder)
    card = model_card.head(Folder(folder))
    cached = folder.parent.name == "snapshots" and re.fullmatch(r"models--(?:.*--)?(.+)", folder.parents[1].name)
    name = cached[1] if cached else folder.name or "model"  # in the Hub's own cache a folder is called by its commit
    return Model(
        name=name,
        title=name,
        repo=next(iter(model_card.bases(card)), ""),
        revision=None,
        parameters=found.parameters,
        licence=model_card.licence(card),
        chat=found.chat,
        questions=CHAT_QUESTIONS if found.chat else OPENINGS,
        reason=reason,
        folder=folder,
        base=_base(found, folder.name) if found.kind == "adapter" else None,
    )


def _on_hub(wanted: names.Repository, who: str) -> Model:
    """Return a repository's model, its revision pinned; one fetched before needs no Hub if its commit is named."""
    fetched = _fetched(wanted)
    if fetched and _is_commit(wanted.revision):
        return dataclasses.replace(fetched, reason=f"{who} asked for it; it was fetched before")
    try:
        shelf = Model("", wanted.repo, wanted.repo, wanted.revision, 0, "", False, (), key="-").shelf()
    except HubError:
        if fetched and not wanted.revision and not hub.current().wants_real():
            state = f"the Hub is out of reach, commit {fetched.revision[:8]} was fetched before"
            return dataclasses.replace(fetched, reason=f"{who} asked for it; {state}")
        raise
    name, chat = shelf.repo.rpartition("/")[2], checkpoint.has_template(shelf)
    sizes = [size or 0 for file, size in shelf.files.items() if file.endswith(".safetensors") and "/" not in file]
    base = _base(look.examine(shelf), shelf.repo) if files.is_adapter(shelf.files) else None
    return Model(
        name=name,
        title=name,
        repo=shelf.repo,
        revision=shelf.commit,
        parameters=shelf.parameters or sum(sizes) // 2,  # most weights are stored in 2 bytes
        licence=model_card.licence(model_card.head(shelf)),
        chat=chat,
        questions=CHAT_QUESTIONS if chat else OPENINGS,
        reason=f"{who} asked for it; commit {(shelf.commit or 'unknown')[:8]}",
        key=_key(shelf.repo, shelf.commit),
        base=base,
    )


def _base(adapter: checkpoint.Checkpoint, title: str) -> Model:
    """Return the model that an adapter belongs to, at the revision that it names."""
    name, revision = adapter.bases[0], adapter.config.get("revision")
    try:
        return _choose(f"{name}@{revision}" if revision and "@" not in name else name, "its adapter")
    except CourseError as error:
        raise CheckpointError(
            f"{title} is an adapter to {name!r}, and that model cannot be had. {error} Enter the base model's folder "
            "on this machine as base_model_name_or_path in adapter_config.json, and try again."
        ) from error


def _key(repo: str, commit: str | None) -> str:
    """Return the name of a fetched model's folder, and of everything that is made from it."""
    return f"{repo.replace('/', '--')}--{(commit or '00000000')[:8]}"


def _is_commit(revision: str | None) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{7,40}", revision or ""))


def _fetched(wanted: names.Repository) -> Model | None:
    """Return the newest model of this repository among those fetched before, at its commit if one is named."""
    commit = wanted.revision if _is_commit(wanted.revision) else ""
    pattern = f"{glob.escape(wanted.repo.replace('/', '--'))}--{commit[:8]}*"
    folders = (artifacts.folder() / "models").glob(pattern)
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            repo, found = origin.repository(folder)
            if repo == wanted.repo and found and found.startswith(commit):
                name = repo.rpartition("/")[2]
                changes = {"name": name, "title": name, "repo": repo, "revision": found, "folder": None}
                return dataclasses.replace(_in_folder(folder, ""), key=folder.name, **changes)
        except (OSError, ValueError, KeyError, AttributeError, TypeError, CheckpointError):
            continue
    return None
