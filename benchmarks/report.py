"""What all benchmarks share: rows, races against peers, and the page with the table and the figure.

A row compares one thing of ours with one named peer, measured in the same run. The best of several rounds counts, so
that a busy moment of the machine hurts neither; `spread` tells how much longer the median round took.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from helpers import artifacts

RESULTS = artifacts.ROOT / "benchmarks" / "results.json"
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"  # a busy program; ends with its parent
PAGE = artifacts.ROOT / "docs" / "BENCHMARKS.md"
FIGURE = artifacts.ROOT / "docs" / "benchmarks.png"
VERSIONS = ("numpy", "torch", "transformers", "huggingface_hub", "gguf", "llama-cpp-python")
FASTER_IS_MORE = ("million weights/s", "tokens/s")  # in all other units, less is better


@dataclass(frozen=True)
class Row:
    """One measurement: `ours` in `unit`, and a peer's in the same unit. `key` names it for the figure."""

    group: str
    what: str
    ours: float
    unit: str
    peer: str = ""
    theirs: float | None = None
    spread: float | None = None
    note: str = ""
    key: str = ""
    size: float | None = None  # parameters or GB: the place on the figure's horizontal axis

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the peer, or as small: above 1 is better for us."""
        if self.theirs is None:
            return None
        return self.ours / self.theirs if self.unit in FASTER_IS_MORE else self.theirs / self.ours

    def cells(self) -> list[str]:
        """Return the row of the table as texts."""
        amounts = ["" if value is None else f"{value:,.{digits(value)}f}" for value in (self.ours, self.theirs)]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        spread = "" if self.spread is None else f"{self.spread:.0%}"
        return [self.what, amounts[0], self.unit, spread, self.peer, amounts[1], ratio, self.note]


def digits(value: float) -> int:
    """Return how many decimals show three digits of a number, or two of a small one."""
    return 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3


@dataclass(frozen=True)
class Time:
    """The best seconds of several rounds, and how much longer the median round took, as a share."""

    best: float
    spread: float


def race(*competitors: Callable[[], object], rounds: int = 15) -> list[Time]:
    """Let the competitors run in turns and time each."""
    times: list[list[float]] = [[] for _ in competitors]
    for _ in range(rounds):
        for mine, run in zip(times, competitors, strict=True):
            started = time.perf_counter()
            run()
            mine.append(time.perf_counter() - started)
    return [Time(min(mine), statistics.median(mine) / min(mine) - 1) for mine in times]


def measured(code: str, repeat: int = 1, environment: dict[str, str] | None = None) -> dict[str, float]:
    """Run Python code in a process of its own; return best seconds, spread, and peak memory in GB (children too).

    The code may set `extra`, a dictionary that is returned, too.
    """
    wrapped = f"""
import json, os, resource, sys, time
started = time.perf_counter()
{code}
seconds = time.perf_counter() - started
unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
children, own = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
if os.path.exists("/proc/self/status"):  # there, ru_maxrss of a new process begins with that of the one that began it
    own = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print()
print(json.dumps({{"seconds": seconds, "GB": max(own, children) * unit / 1e9, **globals().get("extra", {{}})}}))
"""
    runs = []
    for _ in range(repeat):
        command, surroundings = [sys.executable, "-c", wrapped], {**os.environ, **(environment or {})}
        done = subprocess.run(command, capture_output=True, text=True, cwd=artifacts.ROOT, env=surroundings)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        runs.append(json.loads(done.stdout.strip().splitlines()[-1]))
    best = min(runs, key=lambda run: run["seconds"])
    return best | {"spread": statistics.median(run["seconds"] for run in runs) / best["seconds"] - 1}


def show(row: Row) -> None:
    """Print a row while the others are still being measured."""
    what, ours, unit, spread, peer, theirs, ratio, note = row.cells()
    against = f"{peer} {theirs}, ratio {ratio}" if peer else ""
    print(f"  {what:44s} {ours:>9s} {unit:18s} {f'±{spread}' if spread else '':6s} {against}  {note}", flush=True)


# The page


def save(group: str, rows: list[Row], seconds: float, keep: bool = False) -> None:
    """Replace the rows of one group in the results; the others stay, each with its own machine and date.

    keep: rows of the group that are not measured again stay, too, in the order of their names.
    """
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if keep and group in kept:
        old = {row["what"]: Row(**row) for row in kept[group]["rows"]}
        rows = [row for _, row in sorted((old | {row.what: row for row in rows}).items())]
    kept[group] = {
        "machine": machine(),
        "date": date.today().isoformat(),
        "seconds": round(seconds),
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    with artifacts.making(RESULTS) as temporary:
        temporary.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def load() -> dict[str, dict]:
    """Return the results by group, their rows as Rows."""
    kept = json.loads(RESULTS.read_text())
    return {name: group | {"rows": [Row(**row) for row in group["rows"]]} for name, group in kept.items()}


def machine() -> str:
    """Describe hardware and versions in one line."""
    import psutil

    memory = artifacts.size_text(psutil.virtual_memory().total)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    hardware = f"{os.cpu_count()} cores ({processor()}), {memory} of memory, {platform.system()}"
    return f"{hardware}; Python {platform.python_version()}, {versions}"


def processor() -> str:
    """Return the processor's name, as far as the system tells."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


HEAD = ["what", "ours", "unit", "spread", "peer", "peer's", "ratio", "note"]
INTRODUCTION = """# How fast is it?

Written by `make bench`; nothing here is edited by hand. Most rows compare something of ours with a *peer*: another
program that does the same work, measured in the same run. gguf-py is llama.cpp's Python package, ggml its C
library. **Ratio** above 1 means that ours is so many times as fast, or needs so many times less memory. The best
round counts (some rows have one round only); **spread** is how much longer the median round took. A ratio that is
nearer to 1 than the spread says nothing. A *budget* is the limit we set ourselves, in the row's unit, or as a ratio
where a peer is named. Compare ratios, not times: another machine has other times.

![{alt}](benchmarks.png)
"""
ALT = (
    "Four pictures: encoding speed of ours, gguf-py and ggml for each block type; seconds of conversion and "
    "quantization against parameters; their peak memory; tokens per second under the limit that the bandwidth sets"
)


def write_page(readings: dict[str, Callable[[list[Row]], str]]) -> None:
    """Write docs/BENCHMARKS.md and its figure from the stored results.

    readings: for some groups a function that says what their rows show.
    """
    groups = load()
    text = [INTRODUCTION.format(alt=ALT)]
    for name, group in groups.items():
        text.append(f"\n## {name}\n\n{group['machine']}. {group['date']}, {group['seconds']:,} s.\n")
        if name in readings:
            text.append(readings[name](group["rows"]) + "\n")
        text.append("| " + " | ".join(HEAD) + " |")
        text.append("|---|--:|---|--:|---|--:|--:|---|")
        text += ["| " + " | ".join(row.cells()) + " |" for row in group["rows"]]
    with artifacts.making(PAGE) as temporary:
        temporary.write_text("\n".join(text) + "\n")
    rows = [row for group in groups.values() for row in group["rows"]]
    with artifacts.making(FIGURE) as temporary:
        picture(rows).savefig(temporary, format="png", dpi=110)


def picture(rows: list[Row]):
    """Draw encoders, growth of time and memory with the model, and speed under the roofline."""
    from helpers.figures import style

    finding = "Encoding blocks: NumPy beside C"
    figure, ((encoders, times), (memory, speeds)) = style.new_figure(finding, 8.5, width=11, rows=2, columns=2)
    by_key: dict[str, list[Row]] = {}
    for row in rows:
        by_key.setdefault(row.key, []).append(row)

    names = list(dict.fromkeys(row.what for row in by_key.get("encode", [])))
    for peer, colour, marker in (("gguf-py", style.ORANGE, "s"), ("ggml", style.VERMILION, "^")):
        seen = [(names.index(row.what), row.theirs) for row in by_key.get("encode", []) if row.peer == peer]
        encoders.scatter(*zip(*seen, strict=True), color=colour, marker=marker, label=peer) if seen else None
    ours = {row.what: row.ours for row in by_key.get("encode", [])}
    encoders.scatter(range(len(names)), [ours[name] for name in names], color=style.BLUE, label="ours", zorder=3)
    encoders.set_xticks(range(len(names)), [name.removeprefix("encode ") for name in names], rotation=60, fontsize=8)
    encoders.set(yscale="log", ylabel="million weights per second")

    kinds = (("convert", style.BLUE, "o"), ("convert peer", style.GREY, "s"), ("quantize", style.VERMILION, "^"))
    labels = {"convert": "conversion to F16", "convert peer": "the converter alone", "quantize": "Q4_K_M from F16"}
    for axes, unit in ((times, "seconds"), (memory, "GB")):
        for key, colour, marker in kinds:
            found = by_key.get(f"{key.removesuffix(' peer')} {unit}", [])
            values = [(row.size, row.theirs if key.endswith("peer") else row.ours) for row in found]
            if values:
                filled = "none" if key.endswith("peer") else "full"  # both lie on each other
                look = {"color": colour, "marker": marker, "fillstyle": filled, "label": labels[key]}
                axes.plot(*zip(*sorted(values), strict=True), **look)
        axes.set(xscale="log", yscale="log", xlabel="parameters")
    times.set_ylabel("seconds")
    memory.set_ylabel("peak memory (GB)")
    style.write_title(times, "Time: start-up first, then the model")
    style.write_title(memory, "Peak memory grows far less than the model")

    points = by_key.get("generate", [])
    if points:
        sizes = sorted(row.size for row in points)
        bandwidth = points[0].theirs * points[0].size
        speeds.plot(
            sizes, [bandwidth / size for size in sizes], color=style.VERMILION, label=f"{bandwidth:.0f} GB/s ÷ GB"
        )
        for kind, marker in (("F16", "o"), ("Q8_0", "s"), ("Q4_K_M", "^")):
            mine = [row for row in points if row.what.endswith(kind)]
            place = [row.size for row in mine], [row.ours for row in mine]
            speeds.scatter(*place, color=style.BLUE, marker=marker, label=kind, zorder=3)
        for row in points:
            if row.what.endswith("Q8_0"):
                name = row.what.removeprefix("generate ").rsplit(" ", 1)[0]
                place = {"xytext": (-6, -6), "textcoords": "offset points"}
                speeds.annotate(name, (row.size, row.ours), ha="right", va="top", fontsize=9, **place)
    speeds.set(xscale="log", yscale="log", xlabel="weights read for each token (GB)", ylabel="tokens per second")
    style.write_title(speeds, "Generation: under the limit of the memory")
    for axes in (encoders, times, memory, speeds):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:  # while not all groups are measured, a picture may be empty
            axes.legend(frameon=False, fontsize=8)
        style.plain_log_ticks(axes.yaxis)
    return figure
