"""Put data, a script and a still picture together into something that a notebook shows."""

from __future__ import annotations

import hashlib
import html
import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
LARGEST = 60_000  # bytes: a notebook is stored with its figures
COMMON, MORE = ["common.js"], {"blocks": ["layouts.js"], "microscope": ["layouts.js"]}


@dataclass(frozen=True)
class Explorable:
    """A figure to play with: the name of its script, its data, and what stands in its place where no script runs."""

    name: str
    data: dict
    still: str  # HTML
    alt: str

    def _repr_html_(self) -> str:
        data = json.dumps(self.data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
        identity = hashlib.sha256(f"{self.name} {data}".encode()).hexdigest()[:8]
        scripts = [*COMMON, *MORE.get(self.name, []), f"{self.name}.js"]
        style = (FOLDER / "common.css").read_text()
        code = "\n".join(_packed((FOLDER / name).read_text()) for name in scripts)
        figure = f'<div class="explorable" data-id="{identity}" role="figure" aria-label="{html.escape(self.alt)}">'
        script = f"{code}\nmount({json.dumps(identity)}, {json.dumps(style)}, (live) => build(live, {data}));"
        return f"{figure}{self.still}</div>\n<script>(() => {{\n{script}\n}})();</script>"

    def __repr__(self) -> str:
        return f"<figure to play with: {self.alt}>"


def _packed(script: str) -> str:
    """Return a script without indentation and without lines that are comments."""
    lines = (line.strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def still(lines: list[str]) -> str:
    """Return lines of text as a picture that stands even where scripts, drawings and addresses of pictures are cut out.

    JupyterLab does that to a notebook which has not been run on this machine, until the cell is run.
    """
    text = "\n".join(html.escape(line) for line in [*lines, "(Run the cell to play with it.)"])
    return f'<pre style="font-size: 12px; line-height: 1.5; overflow-x: auto">{text}</pre>'
