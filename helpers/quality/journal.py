"""What was measured so far, so that an interruption costs one measurement: a line of JSON for each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


class Journal:
    """Measurements by (label, type): the KL of each window, (windows,), in memory and in a file."""

    def __init__(self, path: Path):
        self.path, self.kl = path, {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                label, kind, kl = json.loads(line)
            except ValueError:  # the end of a file whose writer was stopped
                continue
            self.kl[label, kind] = np.array(kl)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self.kl

    def __getitem__(self, key: tuple[str, str]) -> np.ndarray:
        return self.kl[key]

    def add(self, label: str, kind: str, kl: np.ndarray) -> None:
        """Keep one measurement."""
        line = json.dumps([label, kind, [float(f"{value:.9g}") for value in kl]])
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"\n{line}" if file.tell() else line)  # after an unfinished line a new one begins
        self.kl[label, kind] = kl
