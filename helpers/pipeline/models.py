"""A model to work with: where it comes from, what it needs, and its verified folder."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from helpers import artifacts, machine
from helpers.errors import CheckpointError
from helpers.pipeline import adapters, hub, look, origin, rebuild
from helpers.pipeline.checkpoint import read
from helpers.pipeline.hub.reading import Repository
from helpers.pipeline.shelf import Folder

STORY = artifacts.ROOT / "data" / "story"


@dataclass(frozen=True)
class Model:
    """A model to work with: an entry of the catalogue, a repository of the Hub, or a folder (`folder`).

    `revision` is a commit, so that the model stays the same; `parameters` is 0 where nobody counted them. `reason` says
    why `choose` chose it. `weights_sha256` is the checksum of the Hub's `model.safetensors` at `revision`. `questions`
    are things to ask it; a model that does not chat continues them. `key` is what the folder of a repository's model
    is called below `artifacts/models`, `base` the model that an adapter belongs to.
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
    folder: Path | None = None
    key: str = ""
    base: Model | None = None

    def look(self) -> look.Look:
        """Return a table of what the model is and needs, without downloading it.

        Raises CheckpointError for what cannot be converted, HubError.
        """
        here = self._here()
        if here.is_dir():
            return look.at(Folder(here), here, self.is_listed)
        return look.at(self.shelf(), None, self.is_listed)

    def fetch(self) -> Path:
        """Return the folder of the verified checkpoint, downloading it if it is not there yet.

        The folder has its name only when everything in it is verified. An adapter comes merged into its base model.
        Raises HubError, ResourceError or CheckpointError.
        """
        folder = self.fetch_as_saved()
        return adapters.merge(folder, self.base.fetch()) if self.base else folder

    def fetch_as_saved(self) -> Path:
        """Return the folder of the model as it was saved; of an adapter, its changes alone. Raises as `fetch`."""
        folder = self._here()
        if self.folder or self.is_story:
            look.examine(Folder(folder), folder, self.is_listed)
            return folder
        with artifacts.locked(folder):
            if folder.exists():
                try:
                    read(folder)
                except CheckpointError as error:
                    raise CheckpointError(
                        f"{folder} no longer holds a whole {self.title}. {error} To have it downloaded again, delete "
                        "that folder and run the cell again."
                    ) from error
                if self.is_listed and not origin.repository(folder)[0]:  # fetched by an earlier version of the course
                    origin.remember(folder, self.repo, self.revision)
                return folder
            source = self.source()
            with artifacts.making(folder) as temporary:
                shelf = self.shelf(source)
                files = look.examine(shelf, None, self.is_listed).files
                self._link_what_is_here(files, temporary)
                wanted = [glob.escape(name) for name in files]
                hub.download(source.repo, shelf.commit, temporary, wanted, source.endpoint, source.token)
                read(temporary)
                if not source.rehearsal:
                    self.verify_weights(temporary)
                known = self.is_listed  # SmolLM2 comes from another commit when it is rebuilt; it is the same model
                origin.remember(temporary, *((self.repo, self.revision) if known else (shelf.repo, shelf.commit)))
        return folder

    def source(self) -> Source:
        """Return where to download the model from right now: the Hub, or the rehearsal Hub.

        `smollm2` is rebuilt from a Python package and offered by the rehearsal Hub when the real one
        is out of reach; `story` always comes from this repository.
        """
        if self.is_story:
            return self._rehearsed(STORY)
        if hub.current().wants_real():
            return Source(hub.current().endpoint, self.repo, self.revision, rehearsal=False)
        if self.is_listed and self.name == "smollm2":
            folder = artifacts.folder() / "rebuilt" / "smollm2"
            with artifacts.locked(folder):
                if not folder.exists():
                    machine.require_disk(400e6, folder.parent, "SmolLM2's checkpoint")
                    with artifacts.making(folder) as temporary:
                        rebuild.rebuild(temporary)
            return self._rehearsed(folder)
        if not self.is_listed and self.repo in hub.current().rehearsal().repos:
            return Source(hub.current().rehearsal().endpoint, self.repo, self.revision, rehearsal=True)
        raise hub.unreachable(f"{self.title} can only be downloaded from it")

    def _rehearsed(self, folder: Path) -> Source:
        server = hub.current().rehearsal()
        if self.repo not in server.repos:
            server.host(self.repo, folder)
        revision = server.repos[self.repo].commits[-1].oid
        return Source(server.endpoint, self.repo, revision, rehearsal=True)

    def verify_weights(self, folder: Path) -> None:
        """Raise CheckpointError unless `model.safetensors` has the checksum of the catalogue."""
        found = self.weights_sha256 and artifacts.sha256(Path(folder) / "model.safetensors")
        if found != self.weights_sha256:
            raise CheckpointError(
                f"model.safetensors has SHA-256 {found[:12]}…, the catalogue says {self.weights_sha256[:12]}…. "
                "The file was damaged on the way or replaced at its source. Run the cell again to download it anew."
            )

    @property
    def is_listed(self) -> bool:
        """Tell whether the course knows the model by name, so that nothing about it has to be found out."""
        return not (self.folder or self.key)

    @property
    def is_story(self) -> bool:
        """Tell whether this is the small model that lies in the course's own folder."""
        return self.is_listed and self.name == "story"

    def shelf(self, source: Source | None = None) -> Repository:
        """Return the repository that the model comes from, to be read in parts. Raises HubError."""
        source = source or self.source()
        return Repository(source.endpoint, source.repo, source.revision, source.token)

    def _link_what_is_here(self, files: Iterable[str], folder: Path) -> None:
        """Put weights that notebook 04 downloaded by hand into a folder, so that they are not downloaded twice.

        The client computes their checksum, and downloads what has another one.
        """
        by_hand = artifacts.folder() / "downloads" / (self.key or self.name)
        for name in files:
            with contextlib.suppress(OSError):  # not there, or a disk without links
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.link(by_hand / name, folder / name)

    def _here(self) -> Path:
        """Return the folder where the model is or will be."""
        if self.folder:
            return self.folder
        return STORY if self.is_story else artifacts.folder() / "models" / (self.key or self.name)


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
