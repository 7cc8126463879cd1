"""The models of the course, and where each comes from."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from helpers import artifacts, machine
from helpers.errors import CheckpointError, InputError
from helpers.pipeline import hub, rebuild
from helpers.pipeline.checkpoint import PATTERNS, read


@dataclass(frozen=True)
class Model:
    """One entry of the catalogue.

    `weights_sha256` is the checksum of the Hub's `model.safetensors` at `revision`; `reason` says
    why `choose` chose it. `questions` are things to ask it; `story`, which does not chat, continues them.
    """

    name: str
    title: str
    repo: str
    revision: str | None
    parameters: int
    licence: str
    chat: bool
    questions: tuple[str, ...]
    weights_sha256: str | None = None
    reason: str = ""

    def source(self) -> Source:
        """Return where to download the model from right now: the Hub, or the rehearsal Hub.

        `smollm2` is rebuilt from a Python package and offered by the rehearsal Hub when the real one
        is out of reach; `story` always comes from this repository.
        """
        if self.name == "story":
            return self._rehearsed(artifacts.ROOT / "data" / "story")
        if hub.current().wants_real():
            return Source(hub.current().endpoint, self.repo, self.revision, rehearsal=False)
        if self.name == "smollm2":
            folder = artifacts.folder() / "rebuilt" / "smollm2"
            with artifacts.locked(folder):
                if not folder.exists():
                    machine.require_disk(400e6, folder.parent, "SmolLM2's checkpoint")
                    with artifacts.making(folder) as temporary:
                        rebuild.rebuild(temporary)
            return self._rehearsed(folder)
        raise hub.unreachable(f"{self.title} can only be downloaded from it")

    def _rehearsed(self, folder: Path) -> Source:
        server = hub.current().rehearsal()
        if self.repo not in server.repos:
            server.host(self.repo, folder)
        revision = server.repos[self.repo].commits[-1].oid
        return Source(server.endpoint, self.repo, revision, rehearsal=True)

    def fetch(self) -> Path:
        """Return the folder of the verified checkpoint, downloading it if it is not there yet.

        The folder has its name only when everything in it is verified. Raises HubError, ResourceError or
        CheckpointError.
        """
        if self.name == "story":
            folder = artifacts.ROOT / "data" / "story"
            read(folder)
            return folder
        folder = artifacts.folder() / "models" / self.name
        with artifacts.locked(folder):
            if folder.exists():
                try:
                    read(folder)
                except CheckpointError as error:
                    raise CheckpointError(
                        f"{folder} no longer holds a whole {self.title}. {error} To have it downloaded again, delete "
                        "that folder and run the cell again."
                    ) from error
                return folder
            source = self.source()
            with artifacts.making(folder) as temporary:
                hub.download(source.repo, source.revision, temporary, PATTERNS, source.endpoint, source.token)
                read(temporary)
                if not source.rehearsal:
                    self.verify_weights(temporary)
        return folder

    def verify_weights(self, folder: Path) -> None:
        """Raise CheckpointError unless `model.safetensors` has the checksum of the catalogue."""
        found = artifacts.sha256(folder / "model.safetensors")
        if self.weights_sha256 and found != self.weights_sha256:
            raise CheckpointError(
                f"model.safetensors has SHA-256 {found[:12]}…, the catalogue says {self.weights_sha256[:12]}…. "
                "The file was damaged on the way or replaced at its source. Run the cell again to download it anew."
            )


@dataclass(frozen=True)
class Source:
    """A place to download from; hand its fields to `snapshot_download`."""

    endpoint: str
    repo: str
    revision: str | None
    rehearsal: bool

    @property
    def token(self) -> str | bool:
        """What to pass as `token`: your own goes to the real Hub only."""
        return hub.current().download_token(self.endpoint)


CHAT_QUESTIONS = (
    "What is the capital of France?",
    "Name three colours of the rainbow.",
    "Explain in one sentence what a bird is.",
)
STORY_OPENINGS = (
    "There once was a stoat named Pimfin, who lived in a",
    "Who is the best friend of Jora? It is",
    "One rainy morning, the compass was gone.",
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


def choose(name: str = "auto") -> Model:
    """Return a model of the catalogue; `reason` on the result says why this one.

    The environment variable COURSE_MODEL overrides `name`. `auto` is TinyLlama where the Hub answers
    and SmolLM2 elsewhere. Raises InputError for an unknown name.
    """
    wanted = os.environ.get("COURSE_MODEL") or name
    who = "COURSE_MODEL" if os.environ.get("COURSE_MODEL") else "you"
    if wanted == "auto":
        if hub.current().wants_real():
            return dataclasses.replace(CATALOGUE["tinyllama"], reason="the Hub answers")
        return dataclasses.replace(CATALOGUE["smollm2"], reason=hub.current().why_rehearsal())
    if wanted not in CATALOGUE:
        known = ", ".join(["auto", *CATALOGUE])
        raise InputError(f"Unknown model {wanted!r}. {who} asked for it. Choose one of: {known}.")
    return dataclasses.replace(CATALOGUE[wanted], reason=f"{who} asked for it")
