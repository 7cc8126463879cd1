"""A model in memory whose tensors can be exchanged one by one: what does it cost to store this one in fewer bits?

    with Exchange(f16, text, window=256, most=16) as model:
        model.divergences()                       # (windows,) KL to the unchanged model: all exactly 0
        model.put("blk.0.ffn_down.weight", "Q2_K", importance)
        model.divergences()                       # now that tensor's price
        model.put("blk.0.ffn_down.weight", "F16") # as it was

A file of its own for each question would take a write, a read and a load. Here the type's codes are turned back into
the model's own floats and written over the tensor, so that everything else is computed as before.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from helpers import machine
from helpers.errors import InputError
from helpers.pipeline import gguf_file, quantizer_call
from helpers.pipeline.proof import stored
from helpers.pipeline.quantizer_request import Request
from helpers.quality import candidates, evaluate, ggml_tensor, scoring
from helpers.quality.scoring import Scorer
from helpers.setup.gpu import CPU_ONLY

FLOATS = {"F16": np.float16, "F32": np.float32}


class Exchange(Scorer):
    """A `Scorer` of a model of floats that remembers its first log-probabilities, and whose tensors can be replaced.

    Needs the model's memory, that of the kept log-probabilities (2 bytes for each of the vocabulary at each scored
    token) and less than one tensor: originals are read again from the file.
    """

    def __init__(
        self, wide: str | Path, text: str | Iterable[str], window: int, most: int | None, threads: int | None = None
    ):
        file = gguf_file.summary(wide)
        if not set(file.types) <= set(FLOATS):
            raise InputError(
                f"{file.path.name} holds {', '.join(sorted(file.types))}. Tensors are exchanged in a model of F16 or "
                "F32 numbers. Convert the checkpoint with to_gguf(checkpoint, 'f16')."
            )
        super().__init__(file.path, text, window, None, threads, use_mmap=False, **CPU_ONLY)
        try:
            self.windows = scoring.evenly(self.windows, most)
            # Prices are no report: nearly all tokens count, because more of them tell more than a longer past does.
            self.first, self.count = window // 8, window - 1 - window // 8
            self.threads = threads or machine.cores()
            self.files, self.file_bytes = file.parts or (file.path,), file.file_bytes
            self.tensors = {tensor.name: tensor for tensor in file.tensors}
            self.types = {name: tensor.type for name, tensor in self.tensors.items()}  # what they are rounded to now
            self.originals = {tensor.name: tensor for tensor in stored.tensors(file.path)}
            self._places = _places(self.llm, _quantized(file))
            kept = 2 * len(self.windows) * self.count * self.vocabulary_size
            machine.require_memory(kept, f"keeping the log-probabilities of {len(self.windows)} windows")
            self._codes = np.empty((len(self.windows), self.count, self.vocabulary_size), np.uint16)
            for codes, (logits, targets) in zip(self._codes, self.scored(), strict=True):
                self.checked(scoring.losses_of(logits, targets))
                scoring.encode(logits, out=codes)
        except BaseException:
            self.llm.close()
            raise

    @property
    def exchangeable(self) -> tuple[str, ...]:
        """The matrices that llama.cpp computes with and may quantize, in the order of the file."""
        return tuple(name for name in self.tensors if name in self._places)

    def put(self, name: str, kind: str, importance: np.ndarray | None = None) -> None:
        """Replace a tensor by what it is after being stored as `kind`; its own type brings the original back.

        importance: (experts × columns,), or None; always the same for a tensor, which is not rounded again to a type
        that it has. Raises InputError for a tensor that is not there.
        """
        if name not in self.exchangeable:
            raise InputError(
                f"There is no matrix {name!r:.80} in {self.path.name} that can be exchanged. Its matrices are "
                f"{', '.join(self.exchangeable[:3])} and so on. See `exchangeable`."
            )
        if kind == self.types[name]:
            return
        tensor, original = self.tensors[name], self.originals[name]
        floats = FLOATS[tensor.type]

        def write(start: int, rows: np.ndarray, weights: np.ndarray | None) -> None:
            changed = rows if kind == tensor.type else candidates.rounded(rows, kind, weights)
            data = np.ascontiguousarray(changed, floats)
            place = start * original.columns * data.itemsize
            for address in self._places[name]:
                ggml_tensor.library().ggml_backend_tensor_set(address, data.ctypes.data, place, data.nbytes)

        with ThreadPoolExecutor(self.threads) as pool:
            for start, rows, weights in candidates.slabs(original, candidates.experts(tensor.shape), importance):
                step = -(-len(rows) // self.threads)
                parts = range(0, len(rows), step)
                list(pool.map(lambda i: write(start + i, rows[i : i + step], weights), parts))  # noqa: B023
        self.types[name] = kind

    def error(self, name: str, kind: str, importance: np.ndarray | None = None) -> float:
        """Return a tensor's error as `kind`, weighted by importance: see `candidates.error`."""
        return candidates.error(self.originals[name], candidates.experts(self.tensors[name].shape), kind, importance)

    def divergences(self) -> np.ndarray:
        """Return KL(model as it was ‖ model as it is now) of each window, in nats per token: (windows,) float64."""
        codes, means = np.empty(self._codes.shape[1:], np.uint16), []
        for before, (logits, _) in zip(self._codes, self.scored(quiet=True), strict=True):
            scoring.encode(logits, out=codes)
            means.append(evaluate.divergence(before, codes).mean(dtype=np.float64))
        return np.array(means)


def _quantized(file: gguf_file.Summary) -> set[str]:
    """Return the tensors that llama.cpp's quantizer changes: no vectors, no router of experts."""
    failed, log = quantizer_call.run(Request(file, "Q8_0"), {})
    if failed:
        raise InputError(
            f"llama.cpp cannot quantize {file.path.name}: {log[-1].strip() if log else 'it does not say why'}. Convert "
            "the checkpoint again."
        )
    return {name for name, kind in quantizer_call.planned_types(log).items() if kind not in FLOATS}


def _places(llm, names: set[str]) -> dict[str, set[int]]:
    """Return the addresses of a model's tensors: what stands as a source in the graph of two tokens."""
    import llama_cpp

    ggml_tensor.library()
    found: dict[str, set[int]] = {}

    def look(address: int, ask: bool, _) -> bool:
        node = ggml_tensor.Tensor.from_address(address)
        for source in node.src:
            if source and (name := ggml_tensor.Tensor.from_address(source).text) in names:
                found.setdefault(name, set()).add(source)
        return False

    settings = type(llm.context_params).from_buffer_copy(llm.context_params)
    settings.cb_eval = llama_cpp.ggml_backend_sched_eval_callback(look)
    context = llama_cpp.llama_init_from_model(llm.model, settings)
    if not context:
        raise InputError(
            "llama.cpp could not make a second context. Memory may be short. Use a smaller window or close other "
            "programs."
        )
    batch = llama_cpp.llama_batch_init(2, 0, 1)
    try:
        batch.n_tokens = 2
        for i in range(2):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 0, i, 1, 0, 1
        failed = llama_cpp.llama_decode(context, batch)
    finally:
        llama_cpp.llama_batch_free(batch)
        llama_cpp.llama_free(context)
    if failed or not found:
        raise InputError(
            "llama.cpp read two tokens, and none of the model's matrices was seen in use. Memory may be short, or its "
            "architecture is computed in another way. Close other programs, or quantize it by a recipe."
        )
    return found
