"""Importance: how large the inputs of every weight matrix are on a text, so that quantization can spare what matters.

    seen = importance.collect(gguf, calibration.PATH)     # a text, a list of documents, or the path of a text
    convert.requantize(gguf, "IQ3_XXS", importance=seen)
    seen.save("model.imatrix.gguf")                       # llama.cpp's own tools read it, and `read` reads theirs

A product W·x makes an error of (w − w′)·x in each weight, so its square grows with the mean square of x: one number for
each column. It is recorded while llama.cpp reads the text (`watching`), as llama.cpp's own `llama-imatrix` does it.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import artifacts, machine
from helpers.errors import InputError
from helpers.pipeline import convert, gguf_file, runtime
from helpers.quality import calibration, imatrix_file, squares, watching
from helpers.quality.scoring import Scorer, evenly
from helpers.setup.gpu import CPU_ONLY

FLOOR = 1e-4  # of a row's mean: ggml makes zeros of a block of weights that all matter nothing
SAVE_EVERY = 15  # seconds: what a crash costs at most
METHOD = "flash attention, 512 at once"  # a kept recording made in another way is not gone on with
AT_ONCE = 512  # tokens read together, as in llama.cpp's own tools: fewer waits between two matrices


@dataclass(frozen=True, eq=False)
class Importance:
    """What a model's matrices saw: for each, by its name in the GGUF, sums of squared inputs and how many were added.

    sums (experts, columns) float32 and counts (experts,) int64; a matrix that is no mixture of experts has one row.
    `datasets` says what was read, in `windows` windows of `window` tokens.
    """

    sums: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    datasets: tuple[str, ...]
    window: int
    windows: int

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors, sorted."""
        return tuple(sorted(self.sums))

    @property
    def name(self) -> str:
        """What was read, in at most 120 bytes of ASCII: for a file's metadata, whose texts llama.cpp cuts at 127."""
        text = f"{self.windows} x {self.window} tokens of {' + '.join(self.datasets) or 'an unnamed text'}"
        return text.encode("ascii", "replace").decode()[:120]

    @property
    def checksum(self) -> str:
        """SHA-256 of all names, sums and counts as 64 hexadecimal digits; what the texts were called does not count."""
        total = hashlib.sha256()
        for name in self.names:
            sums, counts = self.sums[name], self.counts[name]
            total.update(repr((name, sums.shape)).encode())
            total.update(sums.astype("<f4").tobytes() + counts.astype("<i8").tobytes())
        return total.hexdigest()

    def weights(self, name: str) -> np.ndarray:
        """Return the mean square of each input of a matrix, (experts × columns,) float32, every one above zero.

        An expert that was never chosen gets the mean of the others, and a column that is always zero FLOOR of its row:
        what matters nothing at all would come out as zeros. Raises InputError for a tensor that was not seen.
        """
        if name not in self.sums:
            raise InputError(
                f"No importance was recorded of {name!r:.80}. It is no tensor of this model, or its inputs are not "
                "multiplied with it. See importance.names."
            )
        sums, counts = self.sums[name].astype(np.float64), self.counts[name]
        if not counts.any():
            return np.ones(sums.size, np.float32)
        means = sums / np.maximum(counts, 1)[:, None]
        means[counts == 0] = sums.sum(axis=0) / counts.sum()
        of_rows = means.mean(axis=1, keepdims=True)
        means = np.where(of_rows > 0, np.maximum(means, FLOOR * of_rows), 1)
        return means.astype(np.float32).ravel()

    def save(self, path: str | os.PathLike) -> Path:
        """Write llama-imatrix's format: GGUF, or the older one if the name ends in .dat. Returns the path."""
        return imatrix_file.write(Path(path), self.sums, self.counts, self.datasets, self.window, self.windows)


def read(path: str | os.PathLike) -> Importance:
    """Read what `save`, or llama.cpp's llama-imatrix, wrote: GGUF or the older format, told by its first bytes.

    Raises InputError for a file that is neither, is damaged, or holds negative or infinite numbers.
    """
    return Importance(*imatrix_file.read(path))


def merge(*several: Importance) -> Importance:
    """Return the importance of several texts read one after the other, as if they were one.

    Raises InputError for none at all, or for matrices of different sizes: they come from different models.
    """
    if not several:
        raise InputError("There is nothing to merge. At least one importance is needed. Pass what collect returned.")
    first, *others = several
    sums, counts = dict(first.sums), dict(first.counts)
    for other in others:
        for name in other.sums:
            if name in sums and sums[name].shape != other.sums[name].shape:
                raise InputError(
                    f"{name} has the shape {sums[name].shape} in one importance and {other.sums[name].shape} in "
                    "another. They come from different models. Merge what was recorded of one."
                )
            sums[name] = sums[name] + other.sums[name] if name in sums else other.sums[name]
            counts[name] = counts[name] + other.counts[name] if name in counts else other.counts[name]
    datasets = tuple(dict.fromkeys(text for each in several for text in each.datasets))
    tokens = sum(each.window * each.windows for each in several)
    return Importance(sums, counts, datasets, first.window, tokens // first.window)


def collect(
    gguf: str | Path,
    text: str | Path | Iterable[str],
    window: int = 256,
    most: int | None = None,
    threads: int | None = None,
    name: str | None = None,
) -> Importance:
    """Record the importance of a GGUF's matrices on a text, over at most `most` windows, taken evenly from it.

    text: the text itself, a list of documents, or a Path; `window` is in tokens. `name` says what the text is in files
    made with it; by default the path's name, and always with 8 digits of the text's SHA-256. A recording is kept in
    artifacts/importance: a second call returns it, and one that was interrupted goes on where it stopped. Record from
    F16 or Q8_0: a coarser file sees inputs that its own errors have changed. Raises InputError as `scoring.perplexity`
    does, and for inputs that are not finite or incomplete.
    """
    text, name = calibration.named(text, name)
    with Scorer(gguf, text, window, None, threads, **CPU_ONLY) as model:
        model.windows = evenly(model.windows, most)
        file = gguf_file.summary(model.path)
        path = artifacts.folder("importance") / f"{model.path.stem}-{_key(file, model.windows, name)}.gguf"
        with artifacts.locked(path):
            return _continued(model, file, path, name)


def weighed(gguf: str | Path, type_name: str = "Q4_K_M", most: int = 20, threads: int | None = None) -> Path:
    """Return a file as the course publishes it: quantized with the importance of the course's own calibration text.

    `most` windows of 256 tokens are read; a few thousand tokens of mixed text bring most of what more would. A model
    whose matrices cannot be watched (InputError) gets the same file without importance, and a warning says so. Raises
    what `convert.requantize` raises.
    """
    try:
        window = min(256, runtime.trained_context(gguf_file.summary(gguf)) // 2 * 2)
        seen = collect(gguf, calibration.PATH, window, most, threads)
    except InputError as error:
        warnings.warn(f"{Path(gguf).name} is quantized without importance. {error}", stacklevel=2)
        seen = None
    return convert.requantize(gguf, type_name, threads, importance=seen)


def _key(file: gguf_file.Summary, windows: np.ndarray, name: str) -> str:
    """Return what a recording depends on, as 12 digits."""
    import llama_cpp

    what = (METHOD, artifacts.stamp(*(file.parts or (file.path,))), windows.shape, name, llama_cpp.__version__)
    return hashlib.sha256(repr(what).encode() + windows.tobytes()).hexdigest()[:12]


def _continued(model: Scorer, file: gguf_file.Summary, path: Path, name: str) -> Importance:
    """Record the windows that the file at `path` does not have yet, and keep them there."""
    from tqdm.auto import tqdm

    total, window = model.windows.shape
    so_far = _kept(path) or Importance({}, {}, (name,), window, 0)
    if so_far.windows == total:
        return so_far
    # Sums of this window, of all windows, and of both: three times one row for each matrix (of each expert).
    numbers = sum(tensor.elements // tensor.shape[-2] for tensor in file.tensors if len(tensor.shape) > 1)
    machine.require_memory(3 * 4 * numbers, f"the importance of {model.path.name}")
    saved, seen = time.monotonic(), squares.Squares()
    at_once, names = max(1, AT_ONCE // window), {tensor.name for tensor in file.tensors}
    progress = {"initial": so_far.windows, "total": total, "unit": "window", "disable": total < 3}
    whole = so_far  # replaced in one step, so that an interruption cannot leave half a window in it
    try:
        with (
            watching.watched(model.llm, names, seen.add, at_once) as read_windows,
            tqdm(desc=f"recording {model.path.stem}", **progress) as bar,
        ):
            while whole.windows < total:
                some = model.windows[whole.windows : whole.windows + at_once]
                read_windows(some)
                found = seen.taken(model.path.name, some.size)
                whole = merge(whole, Importance(*found, (name,), window, len(some)))
                bar.update(len(some))
                if time.monotonic() - saved > SAVE_EVERY:
                    whole.save(path)
                    saved = time.monotonic()
    finally:
        if whole.windows > so_far.windows:
            whole.save(path)
    return whole


def _kept(path: Path) -> Importance | None:
    """Return what was recorded before, if the file is there and whole."""
    try:
        return read(path)
    except InputError:
        return None
