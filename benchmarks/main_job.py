"""Time and memory of the main job at TinyLlama's exact shape: `python -m benchmarks.main_job`.

Random weights in the shape of TinyLlama 1.1B (a `model.safetensors` of 2,200,119,864 bytes) go through
`convert.to_gguf`, and through the converter called directly, which is the peer; then to Q4_K_M, and
both files generate. Needs 8 GB of disk below `artifacts/bench` and about 5 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

from helpers import artifacts, llama_tools, models

SIZE = 2_200_119_864
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}


def tinyllama_shape(folder: Path) -> Path:
    """Write a checkpoint of TinyLlama's shape with random BF16 weights; tokens beyond ours are unused."""
    import torch
    from safetensors.torch import save_file

    if (folder / "model.safetensors").exists():
        return folder
    d, ffn, kv = CONFIG["hidden_size"], CONFIG["intermediate_size"], 256
    shapes = {"lm_head.weight": (32000, d), "model.embed_tokens.weight": (32000, d), "model.norm.weight": (d,)}
    for i in range(CONFIG["num_hidden_layers"]):
        layer = {
            "input_layernorm": (d,),
            "mlp.down_proj": (d, ffn),
            "mlp.gate_proj": (ffn, d),
            "mlp.up_proj": (ffn, d),
            "post_attention_layernorm": (d,),
            "self_attn.k_proj": (kv, d),
            "self_attn.o_proj": (d, d),
            "self_attn.q_proj": (d, d),
            "self_attn.v_proj": (kv, d),
        }
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
    random = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.ones(shape, dtype=torch.bfloat16)
        if len(shape) == 1
        else torch.randn(shape, generator=random).mul_(0.02).to(torch.bfloat16)
        for name, shape in shapes.items()
    }
    with artifacts.making(folder) as temporary:
        shutil.copytree(artifacts.ROOT / "data" / "story", temporary, ignore=shutil.ignore_patterns("*.safetensors"))
        save_file(tensors, temporary / "model.safetensors", metadata={"format": "pt"})
        (temporary / "config.json").write_text(json.dumps(CONFIG))
    return folder


def measured(code: str, repeat: int = 1) -> dict[str, float]:
    """Run Python code in a process of its own; return its best time in seconds and its peak memory in GB."""
    wrapped = f"""
import json, resource, time
started = time.perf_counter()
{code}
seconds = time.perf_counter() - started
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print()
print(json.dumps({{"seconds": seconds, "GB": peak * 1024 / 1e9, **globals().get("extra", {{}})}}))
"""
    runs = []
    for _ in range(repeat):
        done = subprocess.run([sys.executable, "-c", wrapped], capture_output=True, text=True, cwd=artifacts.ROOT)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        runs.append(json.loads(done.stdout.strip().splitlines()[-1]))
    return min(runs, key=lambda run: run["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=2, help="runs of each conversion; the best counts")
    repeat = parser.parse_args().repeat
    base = artifacts.folder("bench")
    os.environ["COURSE_ARTIFACTS"] = str(base)
    os.environ["LLAMA_CPP_DIR"] = str(_tools())
    checkpoint = base / "tinyshape"
    # In a process of its own: a child's peak memory, as Linux counts it, includes that of its parent.
    measured(
        f"from pathlib import Path; from benchmarks import main_job as m; m.tinyllama_shape(Path({str(checkpoint)!r}))"
    )
    size = (checkpoint / "model.safetensors").stat().st_size
    print(f"{_machine()}\ncheckpoint {size:,} bytes ({'as' if size == SIZE else 'NOT as'} TinyLlama's)\n")
    models.verify(checkpoint)

    rows = []

    def row(what: str, seconds: float, memory: float | None = None, note: str = "") -> None:
        rows.append((what, f"{seconds:8.2f} s", f"{memory:5.2f} GB" if memory else "", note))
        print("{:44s} {:>10s} {:>8s}  {}".format(*rows[-1]), flush=True)

    bare = _wall([sys.executable, "-c", "pass"])
    row("import helpers and its modules", _wall([sys.executable, "-c", IMPORT]) - bare, note="budget 0.3 s")
    offline = "from helpers import hub; extra = {'answers': hub.answers('http://192.0.2.1')}"
    row("finding that no Hub answers", measured(offline)["seconds"], note="budget 3 s")

    script = Path(os.environ["LLAMA_CPP_DIR"]) / "convert_hf_to_gguf.py"
    for outtype in ("q8_0", "f16"):
        name = f"tinyshape-{outtype.upper()}.gguf"
        peer = f"""
import subprocess, sys, os
subprocess.run([sys.executable, {str(script)!r}, {str(checkpoint)!r}, "--outfile", {str(base / "peer.gguf")!r},
    "--outtype", {outtype!r}], check=True, capture_output=True, env={{**os.environ, "HF_HUB_OFFLINE": "1"}})"""
        ours = f"""
from pathlib import Path
from helpers import convert
(Path({str(base)!r}) / "gguf" / {name!r}).unlink(missing_ok=True)
path = convert.to_gguf(Path({str(checkpoint)!r}), {outtype!r})"""
        direct, helped = measured(peer, repeat), measured(ours, repeat)
        same = artifacts.sha256(base / "peer.gguf") == artifacts.sha256(base / "gguf" / name)
        (base / "peer.gguf").unlink()
        row(f"converter called directly, {outtype}", direct["seconds"], direct["GB"])
        ratio = helped["seconds"] / direct["seconds"]
        row(f"convert.to_gguf, {outtype}", helped["seconds"], helped["GB"], f"ratio {ratio:.2f}, same bytes: {same}")

    quantize = f"""
from pathlib import Path
from helpers import convert
folder = Path({str(base)!r}) / "gguf"
(folder / "tinyshape-Q4_K_M.gguf").unlink(missing_ok=True)
convert.requantize(folder / "tinyshape-F16.gguf", "Q4_K_M")"""
    result = measured(quantize)
    row("convert.requantize, Q4_K_M from F16", result["seconds"], result["GB"])

    for kind in ("F16", "Q8_0", "Q4_K_M"):
        path = base / "gguf" / f"tinyshape-{kind}.gguf"
        result = measured(f"""
from pathlib import Path
from helpers import runtime
llm = runtime.load(Path({str(path)!r}), n_ctx=256)
extra = {{"speed": runtime.tokens_per_second(llm).generation}}""")
        note = f"{result['speed']:.1f} tokens/s, file {artifacts.size_text(path.stat().st_size)}"
        row(f"load and generate, {kind}", result["seconds"], result["GB"], note)


IMPORT = "from helpers import " + ", ".join(
    ["artifacts", "checks", "convert", "gguf_file", "hub", "install", "llama_tools", "models", "plots", "runtime"]
)


def _tools() -> Path:
    os.environ.pop("COURSE_ARTIFACTS", None)
    tools = llama_tools.tools()
    os.environ["COURSE_ARTIFACTS"] = str(artifacts.folder("bench"))
    return tools


def _wall(command: list[str], repeat: int = 5) -> float:
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        subprocess.run(command, check=True, cwd=artifacts.ROOT)
        times.append(time.perf_counter() - started)
    return min(times)


def _machine() -> str:
    import psutil

    memory = artifacts.size_text(psutil.virtual_memory().total)
    version = importlib.metadata.version
    versions = f"Python {platform.python_version()}, torch {version('torch')}, transformers {version('transformers')}"
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory} of memory; {versions}"


if __name__ == "__main__":
    main()
