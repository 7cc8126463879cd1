"""Look first, download later: what a model is and what it needs, from its small files and its tables of tensors.

A refusal comes here, before gigabytes. What can be done but has its price stands in the table's notes.
"""

from __future__ import annotations

import dataclasses
import html
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from helpers import artifacts, machine
from helpers.artifacts import size_text
from helpers.errors import InstallError
from helpers.pipeline import architectures, checkpoint, files, headers, model_card
from helpers.pipeline.checkpoint import Checkpoint
from helpers.pipeline.shelf import Folder, Shelf, json_object

MOST = 10_000_000  # bytes of a tokenizer.json that is read for looking; some have 30 million
AT_ONCE = 8  # headers read at the same time
PER_TENSOR = 200  # bytes that one tensor takes in a header, a generous guess
CONNECTION = 10e6  # bytes per second of a usual one
# Seconds for 10⁹ parameters on two cores, measured at TinyLlama's shape: converting twice, quantizing once.
SECONDS = 14 + 19 + 60


@dataclass(frozen=True, repr=False)
class Look:
    """What was seen of a model. Prints as a table; `rows` are its lines (name, text).

    files: what will be downloaded, with sizes in bytes (None: the Hub does not tell), {} for a folder that is here.
    """

    title: str
    repo: str | None
    commit: str | None
    licence: str
    checkpoint: Checkpoint
    files: dict[str, int | None]
    parameters: int | None
    notes: tuple[str, ...]

    @property
    def download_bytes(self) -> int | None:
        """How much will be downloaded; None if the Hub does not tell."""
        sizes = self.files.values()
        return None if any(size is None for size in sizes) else sum(sizes)

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The lines of the table."""
        kinds = Counter(tensor.dtype for tensor in self.checkpoint.tensors.values() if len(tensor.shape) > 1)
        types = ", ".join(kind for kind, _ in kinds.most_common(3))
        many = f"{self.parameters:,}" + (f", stored in {types}" if types else "") if self.parameters else "unknown"
        found = [
            ("model", self.title),
            ("kind", f"{self.checkpoint.kind}: {KINDS[self.checkpoint.kind]}"),
            ("architecture", architectures.name_of(self.checkpoint.config) or "that of its base model"),
            ("parameters", many),
            ("licence", self.licence),
        ]
        if self.repo:
            found.append(("commit", self.commit or "unknown: the Hub names none"))
            found.append(("download", _download(self.files, self.download_bytes)))
        if self.parameters and self.checkpoint.kind != "adapter":
            found += _needs(self.checkpoint, self.download_bytes or 0)
        return found + [("note", note) for note in self.notes]

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows)
        return "\n".join(f"{name:{width}}  {text}" for name, text in self.rows)

    __repr__ = __str__  # what a notebook stores beside the table

    def _repr_html_(self) -> str:
        cell = '<tr><th style="text-align:left">{}</th><td style="text-align:left">{}</td></tr>'
        lines = [cell.format(html.escape(name), html.escape(text)) for name, text in self.rows]
        return f"<table>{''.join(lines)}</table>"


KINDS = {
    "causal": "answers, by a chat template",
    "base": "continues a text",
    "recurrent": "keeps a state while it reads",
    "vision": "sees or hears; its text part is converted",
    "quantized": "stored as codes; converted only on request",
    "adapter": "changes to another model, into which they are merged",
}


def at(shelf: Shelf, folder: Path | None = None, known: bool = False) -> Look:
    """Return what is on a shelf: a repository of a Hub, or a folder that is here. Raises what `examine` raises."""
    found = examine(shelf, folder, known)
    notes = list(found.notes)
    card = model_card.head(shelf)
    notes += _shortages(found)
    remote = folder is None
    return Look(
        title=shelf.title,
        repo=getattr(shelf, "repo", None),
        commit=getattr(shelf, "commit", None),
        licence=model_card.licence(card),
        checkpoint=found,
        files={name: shelf.files[name] for name in found.files} if remote else {},
        parameters=found.parameters or None,
        notes=tuple(notes),
    )


def examine(shelf: Shelf, folder: Path | None = None, known: bool = False) -> Checkpoint:
    """Return the checkpoint on a shelf, whose architecture the converter has. Raises CheckpointError, HubError.

    A folder that is here is read as closely as `checkpoint.read` does; of a repository the small files, at most MOST
    bytes of each, and the beginnings of the weights. known: do not ask the converter, which may have to be fetched.
    """
    if folder is not None:
        found = checkpoint.examine(shelf, folder)
    else:
        found = checkpoint.examine(shelf, Path(shelf.title), MOST, _Tables())
    if found.kind == "adapter" or known:
        return found
    try:
        architectures.check(found.config, shelf.title)
    except InstallError:
        unknown = "whether the converter knows the architecture is unknown: it could not be fetched"
        return dataclasses.replace(found, notes=(*found.notes, unknown))
    return found


def folder(path: Path) -> Look:
    """Return what is in a folder; see `at`."""
    return at(Folder(path), path)


class _Tables:
    """Reads tables of tensors, several at once: a large model has a hundred files, and each answer takes a while."""

    def __init__(self):
        self._read: dict[str, dict] = {}
        self._lock = threading.Lock()

    def __call__(self, shelf: Shelf, name: str) -> dict[str, dict]:
        with self._lock:
            if not self._read:
                self._read_all(shelf, name)
        return self._read[name] if name in self._read else headers.read(shelf, name)

    def _read_all(self, shelf: Shelf, name: str) -> None:
        """Read the tables of all shards that belong together, each with as much as it probably needs."""
        if files.INDEX in shelf.files and name != files.SINGLE:
            parts = Counter(json_object(shelf, files.INDEX)["weight_map"].values())
        else:
            parts = Counter({name: headers.FIRST // PER_TENSOR})
        with ThreadPoolExecutor(AT_ONCE) as pool:
            lengths = [1000 + PER_TENSOR * count for count in parts.values()]
            self._read = dict(zip(parts, pool.map(lambda *ask: headers.read(shelf, *ask), parts, lengths), strict=True))


def _download(listed: dict[str, int | None], total: int | None) -> str:
    weights = [name for name in listed if name.endswith(".safetensors")]
    shown = [name for name in listed if name not in weights] + weights[:1]
    more = f" and {len(weights) - 1} more parts" if len(weights) > 1 else ""
    size = "size unknown: the Hub tells none" if total is None else size_text(total)
    return f"{size} in {len(listed)} files: {', '.join(shown)}{more}"


def _needs(found: Checkpoint, download: int) -> list[tuple[str, str]]:
    """Return what work on the model needs, beside what this machine has."""
    made = _made(found)
    free = shutil.disk_usage(artifacts.folder()).free
    largest = max((tensor.elements for tensor in found.tensors.values()), default=0)
    seconds = SECONDS * found.parameters / 1e9 * 2 / machine.cores()
    time = f"about {_minutes(seconds)} to convert and quantize on {machine.cores()} cores"
    if download:
        time = f"{_minutes(download / CONNECTION)} to download at {size_text(CONNECTION)}/s, {time}"
    parts = " + ".join(f"{name} {size_text(size)}" for name, size in made.items())
    disk = f"{size_text(download + sum(made.values()))} ({'download + ' if download else ''}{parts})"
    return [
        ("disk", f"{disk}; {size_text(free)} are free"),
        (
            "memory",
            f"{size_text(0.6e9 + 10 * largest)} to convert, {size_text(made['Q8_0'] + 0.5e9)} to run Q8_0, "
            f"{size_text(made['Q4_K_M'] + 0.5e9)} to run Q4_K_M; {size_text(machine.available_memory())} of "
            f"{size_text(machine.total_memory())} are free",
        ),
        ("time", time),
    ]


def _made(found: Checkpoint) -> dict[str, float]:
    """Return about how many bytes the three files will have that the course makes.

    Where a row is no multiple of 256 weights, Q4_K_M falls back to 5.5 bits, and for the output head (in a tied model
    that is the embedding) from 6.6 to 8.5.
    """
    vocabulary = architectures.text_part(found.config).get("vocab_size")
    of_words = [name for name, tensor in found.tensors.items() if tensor.shape[:1] == (vocabulary,)]
    head = max(of_words, key=lambda name: bool(re.search("head|output|embed_out", name)), default="")
    four_bits = 0.0
    for name, tensor in found.tensors.items():
        whole = not tensor.shape or tensor.shape[-1] % 256 == 0
        four_bits += tensor.elements * ((6.6 if whole else 8.5) if name == head else (4.9 if whole else 5.5))
    return {"F16": found.parameters * 2, "Q8_0": found.parameters * 8.5 / 8, "Q4_K_M": four_bits / 8}


def _shortages(found: Checkpoint) -> Iterable[str]:
    """Say what this machine is too small for; a warning only, since everything here is an estimate."""
    total = machine.total_memory()
    made = _made(found)
    fitting = [name for name, size in made.items() if size + 0.5e9 <= total]
    if "Q4_K_M" not in fitting:
        yield "no file of this model fits into this machine's memory at once: it will run from disk, very slowly"
    elif "Q8_0" not in fitting:
        yield "Q8_0 does not fit into this machine's memory, Q4_K_M does"
    if shutil.disk_usage(artifacts.folder()).free < sum(made.values()):
        yield "the disk is too small for all three files: free some space, or set COURSE_ARTIFACTS"


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
