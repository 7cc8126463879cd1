"""Runs llama.cpp's converter as a process of its own: progress as a bar, remarks collected, failures explained."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from helpers import machine
from helpers.pipeline.failures import explain_failure

START = Path(__file__).with_name("start_converter.py")
BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
# Remarks that say nothing about the file: what the course asked for, or what the converter repairs itself.
USUAL = r"Failed to load model config|load config\.json instead|Duplicated key|not splitting|type: default|^\**$|^\*\*"


class ConverterWarning(UserWarning):
    """Something that llama.cpp's converter remarked and that may make the file differ from the checkpoint."""


def run(script: Path, arguments: list[str], name: str, where: Path) -> list[str]:
    """Run the converter in the folder `where` and return its remarks; `name` stands at the progress bar.

    Raises ConversionError or ResourceError in plain words.
    """
    from tqdm.auto import tqdm

    # An empty HF_HOME and no network: programs of repositories that other software downloaded are not found either.
    environment = machine.child_environment(HF_HUB_OFFLINE="1", HF_HOME=str(where / "hub"), PYTHONUNBUFFERED="1")
    command = [sys.executable, str(START), str(script), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, cwd=where)
    log: list[str] = []
    remarks: list[str] = []
    with process:  # closes its pipe
        try:
            with tqdm(total=100, desc=f"writing {name}", unit="%", bar_format=BAR) as bar:
                for line in _lines(process.stderr):
                    if percent := re.search(r"Writing:\s+(\d+)%", line):
                        bar.update(int(percent[1]) - bar.n)
                    elif line.strip():
                        line = line.replace(f"{where}{os.sep}", "")  # a folder that is gone when the message is read
                        log = [*log[-200:], line]
                        if remark := re.match(r"(?:WARNING|ERROR):[\w.-]+:(.*)", line):
                            remarks.append(remark[1].strip())
                if process.wait() == 0:
                    bar.update(100 - bar.n)
        except BaseException:  # interrupted: do not leave the converter running
            process.kill()
            process.wait()
            raise
    if process.returncode != 0:
        raise explain_failure(process.returncode, log)
    return worth_showing(remarks)


def warn(name: str, remarks: Iterable[str]) -> None:
    """Show remarks on a model or a file as one ConverterWarning; nothing if there are none."""
    if listed := "; ".join(remarks):
        warnings.warn(f"{name}: {listed}.", ConverterWarning, stacklevel=4)


def worth_showing(remarks: list[str]) -> list[str]:
    """Return the remarks that a user should see: without the usual ones, and of many alike the first with a count."""
    kinds: dict[str, list[str]] = {}
    for remark in remarks:
        if not re.search(USUAL, remark):
            kinds.setdefault(re.sub(r"\d+|'[^']*'|\"[^\"]*\"", "…", remark), []).append(remark)
    return [alike[0] + (f" (and {len(alike) - 1} more like it)" if len(alike) > 1 else "") for alike in kinds.values()]


def _lines(stream) -> Iterator[str]:
    """Yield lines that end in a line feed or, as progress bars do, in a carriage return."""
    rest = b""
    while piece := stream.read1(65536):
        *lines, rest = re.split(rb"[\r\n]", rest + piece)
        yield from (line.decode(errors="replace") for line in lines)
    yield rest.decode(errors="replace")
