"""The pipeline that tests/long/soak.py strikes: from the Hub's checkpoint to published files and back, in one process.

Prints `step: NAME` before each step and at the end one line of JSON with what came out; exit code 3 means that one of
our errors stopped it. HF_ENDPOINT is the address of the Hub; SOAK_FILE_LIMIT, SOAK_FREE and SOAK_PATIENT make faults.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import sys
import time
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from helpers import artifacts
from helpers.errors import CourseError
from helpers.pipeline import catalogue, convert, hub, runtime

REFUSED = 3
NAME = "soaked"
CARD = "---\nlicense: apache-2.0\n---\n# Story, quantized\n"


def pipeline() -> dict:
    """Run all steps; one whose product is there already is short, as in the notebooks."""
    step("fetch")
    weights = artifacts.sha256(artifacts.ROOT / "data" / "story" / "model.safetensors")
    model = dataclasses.replace(catalogue.CATALOGUE["story"], name=NAME, weights_sha256=weights)
    checkpoint = model.fetch()
    step("convert")
    f16 = convert.to_gguf(checkpoint, "f16")
    step("quantize")
    files = [f16, convert.requantize(f16, "Q8_0"), convert.requantize(f16, "Q4_K_M")]
    step("ask")
    llm = runtime.load(files[-1], n_ctx=128)
    answer = runtime.ask(llm, model.questions[0], max_tokens=8)
    llm.close()
    step("publish")
    here = hub.connect()
    published = hub.publish(here, NAME, files, CARD, update=True)
    hub.keep_receipt(published, here)
    step("download")
    folder = artifacts.folder("downloads") / NAME
    with artifacts.making(folder) as temporary:
        hub.download(published.repo, published.revision, temporary, ("*",), here.endpoint, here.token)
    back = {path.name: artifacts.sha256(folder / path.name) for path in files}
    assert back == published.files, "what comes back is what was published"
    return {"answer": answer, "files": back}


def step(name: str) -> None:
    print(f"step: {name}", flush=True)


def prepare() -> None:
    """Make the faults that the environment asks for, and the rehearsal Hub the real one for this process.

    Then the code takes the path of the real Hub: with the token, and with the catalogue's checksum of the weights.
    """
    from huggingface_hub import constants

    # The client writes pieces of 10 MB. Smaller ones leave half files of story as they leave them of larger models.
    constants.DOWNLOAD_CHUNK_SIZE = 2**16
    if limit := os.environ.get("SOAK_FILE_LIMIT"):  # writing beyond it fails half-way, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    if free := os.environ.get("SOAK_FREE"):
        shutil.disk_usage = lambda path: types.SimpleNamespace(total=2**40, used=2**40 - int(free), free=int(free))
    if not os.environ.get("SOAK_PATIENT"):  # the client pauses up to 8 seconds between its attempts
        pause = time.sleep
        time.sleep = lambda seconds: pause(min(seconds, 0.02))


def main() -> int:
    prepare()
    try:
        print(json.dumps(pipeline()))
    except CourseError as error:
        print(f"refused: {type(error).__name__}: {error}")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
