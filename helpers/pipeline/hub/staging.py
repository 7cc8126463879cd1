"""Files under the names that readers and programs look for: `Model-TYPE.gguf`, whatever they are called here."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from helpers import artifacts, machine
from helpers.errors import ResourceError
from helpers.pipeline import gguf_file, hub_rules


def stage(paths: Iterable[Path | str], name: str) -> list[Path]:
    """Return GGUF files under publishing names, in artifacts/publish/<name>: `<name>-Q8_0.gguf`.

    name: what the model is called; letters that the Hub does not take are replaced. Files in parts stay in parts. The
    files are linked, or copied where the disk knows no links. Raises InputError for what is no whole GGUF, and
    ResourceError.
    """
    name = hub_rules.valid_name(name)
    folder = artifacts.folder("publish", name)
    staged = []
    for path in paths:
        file = gguf_file.summary(path)
        for part in file.parts or (file.path,):
            count = found["count"] if (found := gguf_file.PART.fullmatch(part.name)) and file.parts else None
            ending = f"-{found['number']}-of-{count}" if count else ""
            target = folder / f"{name}-{file.file_type}{ending}.gguf"
            _place(part, target)
            staged.append(target)
    return staged


def repository_name(name: str, owner: str = "") -> str:
    """Return what the repository of a model's GGUF files is usually called: `SmolLM2-135M` → `SmolLM2-135M-GGUF`.

    A long name is cut, so that `owner/name` is not longer than the Hub allows.
    """
    return f"{hub_rules.valid_name(name, f'{owner}-GGUF')}-GGUF"


def _place(source: Path, target: Path) -> None:
    with contextlib.suppress(OSError):
        if target.samefile(source):
            return
    try:
        with artifacts.making(target) as temporary:
            try:
                os.link(source, temporary)
            except OSError:  # another disk, or one without links
                machine.require_disk(source.stat().st_size, target.parent, target.name)
                shutil.copyfile(source, temporary)
    except OSError as error:
        raise ResourceError(
            f"{source.name} could not be copied to {target.name}: {error.strerror}. The disk is full, or a folder is "
            "read-only. Free some space, or set COURSE_ARTIFACTS to another folder."
        ) from error
