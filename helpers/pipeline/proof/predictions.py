"""What llama.cpp predicts for given tokens, computed in a process of its own.

llama.cpp answers some files with a C assertion, which ends the process: here a child's, not the notebook's.
`python -m helpers.pipeline.proof.predictions` is the child.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from helpers import artifacts, machine
from helpers.errors import ConversionError, CourseError, InputError
from helpers.pipeline import runtime
from helpers.setup.gpu import CPU_ONLY

REFUSED = 3  # the exit code of a child that ends with an error of the course


def of(gguf: Path, tokens: list[int], keep: list[int], threads: int | None = None) -> tuple[np.ndarray, int]:
    """Return llama.cpp's logits after the tokens of `keep`, (kept, vocabulary) float32, and its sliding window or 0.

    Raises InputError for a file that llama.cpp does not open or run, ConversionError if it ends the process.
    """
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "question.npz", Path(folder) / "answer.npz"
        np.savez(question, tokens=tokens, keep=keep, threads=threads or 0)
        command = [sys.executable, "-m", __name__, str(gguf.resolve()), str(question), str(answer)]
        path = os.pathsep.join(filter(None, [str(artifacts.ROOT), os.environ.get("PYTHONPATH")]))
        environment = machine.child_environment(PYTHONPATH=path)
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
        said = [line.strip() for line in ended.stderr.decode(errors="replace").splitlines() if line.strip()]
        if ended.returncode == REFUSED:
            raise InputError(said[-1])
        if ended.returncode:
            reason = next((line for line in said if "ASSERT" in line or "fatal" in line), (said or ["nothing"])[-1])
            raise ConversionError(
                f"llama.cpp ended its process on {gguf.name} (code {ended.returncode}). It said: "
                f"{reason.rpartition('llama.cpp/')[2]}. It cannot run what its converter wrote. Report it there."
            )
        with np.load(answer) as found:
            return found["logits"], int(found["window"])


def compute(gguf: Path, tokens: list[int], keep: list[int], threads: int | None) -> tuple[np.ndarray, int]:
    """Do in this process what `of` promises."""
    import llama_cpp

    size = min(512, len(tokens))
    # The cache keeps F32: what its F16 costs is the runtime's choice and not a matter of the file.
    options = CPU_ONLY | {"n_batch": size, "type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
    llm = runtime.load(gguf, n_ctx=len(tokens), threads=threads, **options)
    wanted, rows, window = set(keep), [], llama_cpp.llama_model_n_swa(llm.model)
    batch = llama_cpp.llama_batch_init(size, 0, 1)
    try:
        for start in range(0, len(tokens), size):
            places = range(start, min(start + size, len(tokens)))
            batch.n_tokens = len(places)
            for i, place in enumerate(places):
                batch.token[i], batch.pos[i], batch.logits[i] = tokens[place], place, place in wanted
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            if llama_cpp.llama_decode(llm.ctx, batch) != 0:
                raise InputError(
                    f"llama.cpp could not run {gguf.name} on {len(tokens)} tokens. Memory may be short. Close other "
                    "programs and try again."
                )
            if count := sum(place in wanted for place in places):
                shape = count, llm.n_vocab()
                rows.append(np.ctypeslib.as_array(llama_cpp.llama_get_logits(llm.ctx), shape).copy())
    finally:
        llama_cpp.llama_batch_free(batch)
        llm.close()
    return np.concatenate(rows), window


def main(gguf: str, question: str, answer: str) -> None:
    """Be the child: read a question, write the answer, or end with the words of an error and the code REFUSED."""
    with np.load(question) as asked:
        tokens, keep, threads = asked["tokens"].tolist(), asked["keep"].tolist(), int(asked["threads"]) or None
    try:
        logits, window = compute(Path(gguf), tokens, keep, threads)
    except CourseError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        raise SystemExit(REFUSED) from None
    np.savez(answer, logits=logits, window=window)


if __name__ == "__main__":
    main(*sys.argv[1:])
