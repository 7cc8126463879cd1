"""The main job at 3 M, 135 M and 1.1 B parameters: conversion, quantization, generation. About eight minutes.

`story`, SmolLM2, and random weights in TinyLlama's exact shape (a `model.safetensors` of 2,200,119,864 bytes) go
through `convert.to_gguf`, whose peer is the converter called directly; then to Q4_K_M, whose peer is llama.cpp's
quantizer called directly; then each file generates, under the limit that the memory's bandwidth sets. Each step runs
in a process of its own. Needs 10 GB of disk below `artifacts/bench`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Row, measured, race
from helpers import artifacts
from helpers.pipeline import catalogue, gguf_file, llama_tools
from helpers.pipeline.checkpoint import read as read_checkpoint

GROUP = "The main job"
SIZE = 2_200_119_864
REPEAT = 3
PROOF_SECONDS = {"TinyLlama's shape": 60}  # 10 for the smaller ones
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


PEER_CONVERT = """
import os, subprocess, sys
subprocess.run([sys.executable, {script!r}, {checkpoint!r}, "--outfile", {out!r}, "--outtype", "f16"],
    check=True, capture_output=True, env={{**os.environ, "HF_HUB_OFFLINE": "1"}})"""
KEY = """
from helpers import artifacts
extra = {{"key": artifacts.key({checkpoint!r})}}"""
CONVERT = """
from pathlib import Path
from helpers.pipeline import convert
Path({out!r}).unlink(missing_ok=True)
convert.to_gguf(Path({checkpoint!r}), "f16")"""
PEER_QUANTIZE = """
import ctypes, os
import llama_cpp
from helpers.pipeline import runtime
parameters = llama_cpp.llama_model_quantize_default_params()
parameters.ftype, parameters.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M, os.cpu_count()
with runtime.log_to():
    assert not llama_cpp.llama_model_quantize({f16!r}.encode(), {out!r}.encode(), ctypes.byref(parameters))"""
QUANTIZE = """
from pathlib import Path
from helpers.pipeline import convert
Path({out!r}).unlink(missing_ok=True)
convert.requantize(Path({f16!r}), "Q4_K_M")"""
PROVE = """
from helpers.pipeline.proof import same_model
proof = same_model({checkpoint!r}, {f16!r})
extra = {{"passed": proof.passed}}"""
GENERATE = """
from pathlib import Path
from helpers.pipeline import runtime
llm = runtime.load(Path({path!r}), n_ctx=256)
extra = {{"speed": runtime.tokens_per_second(llm).generation}}"""
IMPORT = """
from helpers import artifacts, install
from helpers.checks import nb05
from helpers.figures import pipeline as figures
from helpers.pipeline import catalogue, convert, gguf_file, hub, llama_tools, runtime
"""
BANDWIDTH = """
import torch
matrix, times = torch.ones(25_000, 4_000), []
for _ in range(12):
    begun = time.perf_counter()
    matrix.sum()
    times.append(time.perf_counter() - begun)
extra = {"bandwidth": matrix.nbytes / min(times) / 1e9}"""


def reading(rows: list[Row]) -> str:
    """Say what the rows show."""

    def growth(key: str) -> float:
        found = sorted((row.size, row.ours) for row in rows if row.key == key)
        return found[-1][1] / found[0][1]

    sizes = [row.size for row in rows if row.key == "convert seconds"]
    shares = {row.what.rsplit(" ", 1)[0]: [] for row in rows if row.key == "generate"}
    for row in rows:
        if row.key == "generate":
            shares[row.what.rsplit(" ", 1)[0]].append(row.ratio)
    small, *_, large = ([f"{share:.0%}" for share in (min(found), max(found))] for found in shares.values())
    return (
        f"With {max(sizes) / min(sizes):.0f} times as many parameters conversion takes {growth('convert seconds'):.1f} "
        "times as long, because starting Python and torch is most of the work for a small model, and "
        f"{growth('convert GB'):.1f} times the memory, because tensors are handled one after the other. Quantization "
        f"takes {growth('quantize seconds'):.0f} times as long; SmolLM2's rows are no multiple of 256, so many of its "
        "tensors fall back to simpler types that cost less search. Generation reaches "
        f"{large[0]} to {large[1]} of the memory's limit with the largest model and {small[0]} to {small[1]} with the "
        "smallest, whose time goes into the work between the matrices. A share above 100% is the error of measuring "
        "the bandwidth."
    )


def rows() -> Iterator[Row]:
    """Measure start-up, conversion, quantization and generation."""
    bare, whole = race(lambda: python("pass"), lambda: python(IMPORT), rounds=5)
    yield Row(GROUP, "import helpers", whole.best - bare.best, "s", spread=whole.spread, note="budget 0.3 s")
    offline = measured(
        "from helpers.pipeline.hub import session; extra = {'answers': session.answers('http://192.0.2.1')}"
    )
    yield Row(GROUP, "finding that no Hub answers", offline["seconds"], "s", note="budget 3 s")

    tools = llama_tools.tools()
    base = artifacts.folder("bench")
    inside = {"COURSE_ARTIFACTS": str(base), "LLAMA_CPP_DIR": str(tools)}
    shape = base / "tinyshape"
    measured(f"from pathlib import Path; from benchmarks import main_job as m; m.tinyllama_shape(Path({str(shape)!r}))")
    assert (shape / "model.safetensors").stat().st_size == SIZE, "as TinyLlama's"
    fetched = {name: catalogue.CATALOGUE[name].fetch() for name in ("story", "smollm2")}
    checkpoints = {"story": fetched["story"], "SmolLM2": fetched["smollm2"], "TinyLlama's shape": shape}
    ggufs: dict[str, list[Path]] = {}
    for name, checkpoint in checkpoints.items():
        read_checkpoint(checkpoint)
        key = measured(KEY.format(checkpoint=str(checkpoint)), 1, inside)["key"]
        f16, q4_k_m = (base / "gguf" / f"{key}-{kind}.gguf" for kind in ("F16", "Q4_K_M"))
        peer_file = base / "peer.gguf"
        steps = {
            "convert": (CONVERT, PEER_CONVERT, "the converter alone", f16),
            "quantize": (QUANTIZE, PEER_QUANTIZE, "llama_model_quantize", q4_k_m),
        }
        for step, (ours, peers, peer, out) in steps.items():
            given = {"script": str(tools / "convert_hf_to_gguf.py"), "checkpoint": str(checkpoint), "f16": str(f16)}
            ours, peers = ours.format(**given, out=str(out)), peers.format(**given, out=str(peer_file))
            theirs, mine = measured(peers, REPEAT, inside), measured(ours, REPEAT, inside)
            same = tensor_data(peer_file) == tensor_data(out)  # what the files say of themselves is not the same
            peer_file.unlink()
            size = sum(tensor.elements for tensor in gguf_file.summary(out).tensors)
            what = f"{step} {name} to {'F16' if step == 'convert' else 'Q4_K_M'}"
            note = f"same tensors: {'yes' if same else 'NO'}"
            seconds = (mine["seconds"], "s", peer, theirs["seconds"], mine["spread"])
            yield Row(GROUP, what, *seconds, note, f"{step} seconds", size)
            yield Row(GROUP, f"{what}, memory", mine["GB"], "GB", peer, theirs["GB"], None, "", f"{step} GB", size)
        proof = measured(PROVE.format(checkpoint=str(checkpoint), f16=str(f16)), 1, inside)
        note = f"{'passed' if proof['passed'] else 'FAILED'}; budget {PROOF_SECONDS.get(name, 10)} s"
        yield Row(GROUP, f"prove {name}'s F16 against its checkpoint", proof["seconds"], "s", note=note)
        yield Row(GROUP, f"prove {name}'s F16, memory", proof["GB"], "GB", note="budget 6 GB")
        measured(QUANTIZE.replace("Q4_K_M", "Q8_0").format(out=str(base / "none"), f16=str(f16)), 1, inside)
        ggufs[name] = [f16, f16.with_name(f"{key}-F16-Q8_0.gguf"), q4_k_m]
    for name, paths in ggufs.items():
        # The bandwidth is measured beside each model: other guests of the same machine change it.
        bandwidth = measured(BANDWIDTH, 3)["bandwidth"]
        for path in paths:
            runs = [measured(GENERATE.format(path=str(path)), 1, inside) for _ in range(REPEAT)]
            found = sorted(run["speed"] for run in runs)
            read = bytes_per_token(path) / 1e9
            note = f"{runs[0]['GB']:.2f} GB of memory, load included {runs[0]['seconds']:.1f} s"
            kind, limit = path.stem.rsplit("-", 1)[1], bandwidth / read
            peer = f"{bandwidth:.0f} GB/s ÷ {read:.3g} GB"
            speeds = (found[-1], "tokens/s", peer, limit, found[-1] / found[REPEAT // 2] - 1)
            yield Row(GROUP, f"generate {name} {kind}", *speeds, note, "generate", read)


def bytes_per_token(path: Path) -> int:
    """Return the bytes of weights that each token reads: all, except an input embedding that is only looked up."""
    file = gguf_file.summary(path)
    untied = any(tensor.name == "output.weight" for tensor in file.tensors)
    return sum(t.n_bytes for t in file.tensors if not (untied and t.name == "token_embd.weight"))


def tensor_data(path: Path) -> dict[str, str]:
    """Return tensor name → type and SHA-256 of its bytes."""
    import gguf

    tensors = gguf.GGUFReader(path).tensors
    return {t.name: f"{t.tensor_type.name} {hashlib.sha256(t.data.tobytes()).hexdigest()}" for t in tensors}


def python(code: str) -> None:
    """Run Python code in a process of its own."""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=artifacts.ROOT)
