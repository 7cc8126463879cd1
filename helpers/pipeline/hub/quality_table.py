"""The table of a model card by which files can be compared: size, bits per weight, what was lost, how each was made.

| file | type | size | bits per weight | KL divergence, nats | same top token | made |
|---|---|---|---|---|---|---|
| `m-IQ3_M.gguf` | IQ3_M | 1.4 MB | 4.01 | 0.0058 [0.0055, 0.0061] | 97.1 % | importance from … |
"""

from __future__ import annotations

from helpers import artifacts
from helpers.pipeline import gguf_file, model_card
from helpers.pipeline.hub import preflight

FLOATS = ("F32", "F16", "BF16")
ENOUGH = 8  # windows; drawing fewer again and again makes an interval that is too narrow
INTERVAL, FEW = "Intervals hold 95 %, windows being drawn again.", "These are too few windows for an interval."
LOST, TOP, MADE = "KL divergence, nats", "same top token", "made"  # columns that are not always there


def lines(files: list[gguf_file.Summary], measured: dict[str, object]) -> list[str]:
    """Return the lines of the table, an empty one last.

    measured: a mean KL divergence in nats by the file's name, or a `Comparison`, which adds the share of equal top
    tokens, what both were measured on and, of 8 windows or more, the interval. What was not measured says so.
    """
    rows = [_row(file, measured.get(file.path.name)) for file in files]
    compared = [each for each in measured.values() if hasattr(each, "interval")]
    shown = {
        LOST: measured,
        TOP: compared,
        MADE: any(key.startswith("quantize.") for file in files for key in file.metadata),
    }
    titles = [title for title in rows[0] if shown.get(title, True)] if rows else []
    table = [titles, ["---"] * len(titles), *([row[title] for title in titles] for row in rows)]
    return [*(f"| {' | '.join(row)} |" for row in table), "", *_measured_on(compared)]


def _row(file: gguf_file.Summary, found: object) -> dict[str, str]:
    pieces = preflight.parts(file.path)
    return {
        "file": f"`{file.path.name}`" + (f" and {len(pieces) - 1} more" if len(pieces) > 1 else ""),
        "type": file.file_type,
        "size": artifacts.size_text(sum(part.stat().st_size for part in pieces)),
        "bits per weight": f"{file.bits_per_weight:.2f}",
        LOST: _divergence(found),
        TOP: f"{100 * found.top1:.1f} %" if hasattr(found, "interval") else "not measured",
        MADE: made(file),
    }


def made(file: gguf_file.Summary) -> str:
    """Return how a file was made, as its metadata say: `importance from calibration 1a2b3c4d, 40 windows (29c3cd)`."""
    said = file.metadata
    ways = []
    if text := said.get("quantize.imatrix.dataset") or said.get("quantize.imatrix.file"):
        windows, checksum = said.get("quantize.imatrix.chunks_count"), said.get("quantize.imatrix.sha256")
        windows = f", {windows:,} windows" if isinstance(windows, int) else ""
        ways.append(f"importance from {text}{windows}" + (f" ({str(checksum)[:6]})" if checksum else ""))
    if count := said.get("quantize.types.count"):
        ways.append(f"types of {count} tensors chosen ({str(said.get('quantize.types.sha256'))[:6]})")
    return model_card.line("; ".join(ways)) or ("converted" if file.main_type in FLOATS else "without importance")


def _divergence(found: object) -> str:
    if found is None:
        return "not measured"
    value = f"{float(getattr(found, 'kl', found)):.4f}"
    if not hasattr(found, "interval") or len(found.divergences) < ENOUGH:
        return value
    low, high = found.interval()
    return f"{value} [{low:.4f}, {high:.4f}]"


def _measured_on(compared: list) -> list[str]:
    """Return what the figures rest on, one sentence for each reference and number of windows."""
    on = dict.fromkeys((model_card.line(each.reference.name), *each.divergences.shape) for each in compared)
    return [
        f"KL divergence and top tokens are compared with {name} on {windows:,} windows, {tokens:,} tokens each. "
        f"{INTERVAL if windows >= ENOUGH else FEW}\n"
        for name, windows, tokens in on
    ]
