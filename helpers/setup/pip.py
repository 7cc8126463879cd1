"""pip, with one line that tells how long it takes, and its last words if it fails."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from helpers import machine
from helpers.errors import InstallError

FAIL_FAST = ["--retries", "0", "--timeout", "10"]  # where another way is tried next


def run(arguments: list[str], what: str) -> None:
    """Run pip, showing one line with the time it has taken; raise InstallError with pip's last words."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=machine.child_environment())
        between, end = (5, "\r") if sys.stdout.isatty() else (60, "\n")  # seconds
        shown = 0.0
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if (elapsed := time.monotonic() - started) - shown >= between:
                    shown = elapsed
                    _say(f"{what} … {_minutes(elapsed)}", end)
        except BaseException:
            process.kill()
            raise
        if process.returncode == 0:
            if (elapsed := time.monotonic() - started) > 2:
                _say(f"{what}: done in {_minutes(elapsed)}")
            return
        log.seek(0)
        lines = [line for line in log.read().splitlines() if line.strip() and not line.startswith("WARNING")]
    raise InstallError(
        f"pip failed while {what}. Its last words: {' | '.join(_without_secrets(lines[-3:]))}. "
        "Check the network and the free disk space, then run this again: finished downloads are kept."
    )


def download(requirement: str, folder: Path, source: bool = False) -> Path:
    """Fetch one package file with pip, without its dependencies; `source` asks for the source archive."""
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        name = re.split(r"[=<>\[]", requirement)[0]
        kind = ["--no-binary", name] if source else []
        arguments = ["download", "--no-deps", "--dest", inside, *kind, requirement]
        run(arguments, f"downloading {requirement}")
        found = next(Path(inside).iterdir())
        return found.rename(folder / found.name)


def _without_secrets(lines: list[str]) -> list[str]:
    return [re.sub(r"//[^/@\s]+:[^/@\s]+@", "//", line) for line in lines]


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _say(text: str, end: str = "\n") -> None:
    print(f"\x1b[2K{text}" if sys.stdout.isatty() else text, end=end, flush=True)
