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
    still: str  # SVG
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


def still(lines: list[str], width: int = 640, row: int = 18) -> str:
    """Return lines of text as an SVG of their own colour on any background."""
    texts = "".join(
        f'<text x="8" y="{row * (i + 1)}" xml:space="preserve">{html.escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    box = f'viewBox="0 0 {width} {row * len(lines) + 8}" style="max-width:{width}px;width:100%"'
    look = 'fill="currentColor" font-family="monospace" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {look}>{texts}</svg>'
