"""The two formats in which llama.cpp's llama-imatrix keeps importance, written and read.

GGUF (since 2025): for every matrix `<name>.in_sum2` (experts, columns) and `<name>.counts` (experts, 1), with what was
read in the metadata. Before, a list of records with means instead of sums (`.dat`): no counts of experts.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np

from helpers import artifacts
from helpers.errors import InputError
from helpers.pipeline import gguf_header

Content = tuple[dict[str, np.ndarray], dict[str, np.ndarray], tuple[str, ...], int, int]
WINDOW = 512  # llama-imatrix's own, for files that do not say it: the older format, and forks


def write(path: Path, sums: dict, counts: dict, datasets: tuple[str, ...], window: int, windows: int) -> Path:
    """Write (sums, counts, datasets, window, windows) and return the path, whole or not at all."""
    if not sums:
        raise InputError("This importance is empty. llama.cpp reads no file without tensors. Record some text first.")
    form = _write_old if path.suffix == ".dat" else _write_gguf
    with artifacts.making(path) as temporary:
        form(temporary, sums, counts, datasets, window, windows)
    return path


def read(path: str | os.PathLike) -> Content:
    """Return (sums, counts, datasets, window, windows) of a file. Raises InputError for a damaged or another one."""
    path = gguf_header.located(path)
    with open(path, "rb") as file:
        begin = file.read(4)
    content = _read_gguf(path) if begin == b"GGUF" else _read_old(path)
    for name, sums in content[0].items():
        if not np.isfinite(sums).all() or sums.min() < 0:
            raise InputError(
                f"{path.name} holds negative or infinite sums of squares for {name!r:.80}. It is damaged, or was "
                "recorded from a damaged model. Record it again."
            )
    return content


def _write_gguf(path: Path, sums: dict, counts: dict, datasets: tuple[str, ...], window: int, windows: int) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, "imatrix")
    del writer.kv_data[0][gguf.Keys.General.ARCHITECTURE]  # it has none
    writer.add_type(gguf.GGUFType.IMATRIX)
    writer.add_array(gguf.Keys.IMatrix.DATASETS, list(datasets) or [""])
    writer.add_uint32(gguf.Keys.IMatrix.CHUNK_COUNT, windows)
    writer.add_uint32(gguf.Keys.IMatrix.CHUNK_SIZE, window)
    for name in sorted(sums):
        writer.add_tensor(f"{name}.in_sum2", np.ascontiguousarray(sums[name], np.float32))
        writer.add_tensor(f"{name}.counts", counts[name].astype(np.float32)[:, None])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _read_gguf(path: Path) -> Content:
    import gguf

    metadata, tensors = gguf_header.read(path)
    if metadata.get("general.type") != "imatrix":
        raise InputError(
            f"{path.name} is no importance matrix: its type is {metadata.get('general.type', 'model')!r:.80}. "
            "llama-imatrix writes `imatrix` there. Pass what importance.collect or llama-imatrix saved."
        )
    data = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
    names = {tensor.name.removesuffix(end) for tensor in tensors for end in (".in_sum2", ".counts")}
    sums, counts = {}, {}
    for name in sorted(names & {tensor.name.rpartition(".")[0] for tensor in tensors}):
        both = [data.get(f"{name}.{part}") for part in ("in_sum2", "counts")]
        if any(part is None or part.dtype != np.float32 for part in both) or both[0].size % both[1].size:
            raise InputError(
                f"{path.name} is damaged: sums and counts of {name!r:.80} do not belong together. Both are F32, a row "
                "of sums to each count. Record it again."
            )
        counts[name] = np.rint(both[1].ravel()).astype(np.int64)
        sums[name] = both[0].reshape(counts[name].size, -1).copy()
    datasets = tuple(text for text in metadata.get("imatrix.datasets", ()) if text)
    window, windows = (metadata.get(f"imatrix.chunk_{what}") for what in ("size", "count"))
    return sums, counts, datasets, window or WINDOW, windows or 0


def _write_old(path: Path, sums: dict, counts: dict, datasets: tuple[str, ...], window: int, windows: int) -> None:
    """As `IMatrixCollector::save_imatrix_legacy`: means × calls; an expert without inputs gets ones."""
    with open(path, "wb") as file:
        file.write(struct.pack("<i", len(sums)))
        for name in sorted(sums):
            calls = -(-int(counts[name].max()) // window)
            chosen = counts[name][:, None] > 0
            means = np.where(chosen, sums[name] / np.maximum(counts[name], 1)[:, None], 1)
            raw = name.encode()
            file.write(struct.pack("<i", len(raw)) + raw + struct.pack("<ii", calls, means.size))
            file.write((means * calls).astype("<f4").tobytes())
        text = "+".join(datasets).encode()
        file.write(struct.pack("<ii", windows, len(text)) + text)


def _read_old(path: Path) -> Content:
    """As `common_imatrix_load_legacy`: all experts of a tensor are in one row, with one count."""
    data, place = path.read_bytes(), 0

    def take(n: int) -> bytes:
        nonlocal place
        if n < 0 or place + n > len(data):
            raise InputError(
                f"{path.name} is no importance matrix, or is cut short: {n:,} bytes are announced where "
                f"{len(data) - place:,} are left. Pass what importance.collect or llama-imatrix saved."
            )
        place += n
        return data[place - n : place]

    def number() -> int:
        return struct.unpack("<i", take(4))[0]

    sums, counts = {}, {}
    for _ in range(number()):
        name = take(number()).decode(errors="replace")
        calls, values = number(), number()
        means = np.frombuffer(take(4 * values), "<f4") / np.float32(max(calls, 1))
        counts[name] = np.array([max(calls, 1) * WINDOW])
        sums[name] = (means * np.float32(counts[name][0]))[None]
    if not sums:
        raise InputError(
            f"{path.name} is no importance matrix: it names no tensor. Pass what importance.collect saved."
        )
    windows = number() if place < len(data) else 0
    text = take(number()).decode(errors="replace") if place < len(data) else ""
    return sums, counts, (text,) if text else (), WINDOW, windows
