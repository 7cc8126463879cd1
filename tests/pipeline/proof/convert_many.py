"""Run llama.cpp's converter for many tiny checkpoints: `python convert_many.py jobs.json`, jobs [folder, out, outtype].

PyTorch and transformers are imported once, which takes 6 of the 7 seconds of a small conversion; each job is a fork.
"""

import json
import os
import runpy
import sys
from pathlib import Path

import torch
import transformers  # noqa: F401


def convert(tools: Path, folder: str, out: str, outtype: str) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.argv = [str(tools / "convert_hf_to_gguf.py"), folder, "--outfile", out, "--outtype", outtype]
    sys.path.insert(0, str(tools))
    with open(f"{out}.log", "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    torch.set_num_threads(1)
    jobs, running = json.loads(Path(sys.argv[1]).read_text()), set()
    while jobs or running:
        while jobs and len(running) < 2:
            job, pid = jobs.pop(), os.fork()
            if pid == 0:
                code = 1
                try:
                    convert(Path(os.environ["TOOLS"]), *job)
                    code = 0
                finally:
                    os._exit(code)
            running.add(pid)
        running.discard(os.wait()[0])
