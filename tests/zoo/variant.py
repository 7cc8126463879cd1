"""One animal of the zoo: how it is made and what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Variant:
    """A checkpoint, and its fate.

    `settings` go to transformers' configuration, `changes` are done to the finished folder. `ready` returns the folder
    to convert from it (an adapter is merged first), and `options` are handed to `convert.to_gguf`. Then:
    `refused` is a pattern of the course's error, empty if it converts, and `unsaid` what must not stand in it (a wrong
    diagnosis that was seen); `differs` names the rows of the proof that must fail, with commas;
    `unproven` those that cannot be compared; `runs` tells whether llama.cpp opens it and answers, `dies` that it ends
    the process instead.
    """

    name: str
    architecture: str = "llama"
    note: str = ""
    settings: dict = field(default_factory=dict)
    changes: tuple[Callable[[Path], object], ...] = ()
    dtype: str = "float32"
    outtype: str = "f32"
    options: dict = field(default_factory=dict)
    ready: Callable[[Path], Path] | None = None
    refused: str = ""
    unsaid: str = ""
    differs: str = ""
    unproven: str = ""
    runs: bool = True
    dies: bool = False
    group: str = ""
