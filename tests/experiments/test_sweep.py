"""The sweep: resumable, local or on a Dask cluster, with results that say what they are; and notebook 09's methods."""

import itertools
import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from notebook_functions import functions

from helpers import artifacts
from helpers.errors import InputError
from helpers.experiments import limits, sweep
from helpers.training import corpus, fit, llama, rounding, shipped

SHORT = [limits.Task(4096, "cosine", 0), limits.Task(4096, "constant", 1), limits.Task(4096, "cosine", 0, bits=2)]


@dataclass(frozen=True)
class Quick:
    """A task that trains nothing, for what has to do with files and threads."""

    name: str

    def measure(self) -> dict:
        return {"threads": torch.get_num_threads()}


def without_time(results):
    return [{key: value for key, value in result.items() if key != "seconds"} for result in results]


def test_tasks_are_named_apart_and_cover_the_plan():
    tasks = limits.tasks()
    assert len({task.name for task in tasks}) == len(tasks)
    for schedule in ("cosine", "constant"):
        sizes = {task.tokens for task in tasks if task.schedule == schedule and task.bits is None}
        assert len(sizes) >= 4 and max(sizes) / llama.tiny(0).num_parameters() > 99
        assert {task.seed for task in tasks if task.schedule == schedule} == set(sweep.SEEDS)


def test_a_finished_task_is_not_run_again(tmp_path):
    first = sweep.run(SHORT[0], tmp_path)
    assert first["loss"] > 3 and set(first["rounded"]) == {str(b) for b in limits.BITS}
    path = tmp_path / f"{SHORT[0].name}.json"
    path.write_text(json.dumps(first | {"loss": -1}))
    assert sweep.run(SHORT[0], tmp_path)["loss"] == -1
    path.unlink()
    assert without_time([sweep.run(SHORT[0], tmp_path)]) == without_time([first]), "the same for a seed"


def test_the_threads_of_this_process_are_given_back(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert sweep.run(Quick("one"), tmp_path)["threads"] == 1 and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_processes_and_a_dask_cluster_give_the_same(tmp_path):
    from distributed import LocalCluster

    local = sweep.run_all(SHORT, tmp_path / "local", jobs=2)
    here = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(host="127.0.0.1", protocol="tcp://", **here) as cluster:  # asked over TCP, as one elsewhere
        remote = sweep.run_all(SHORT, tmp_path / "dask", dask=cluster.scheduler_address)
    assert without_time(local) == without_time(remote)
    assert [result["bits"] for result in local] == [None, None, 2] and local[2]["rounded"] == {}


def test_no_cluster_at_the_address(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "PATIENCE", 0.5)
    with pytest.raises(InputError, match="No Dask cluster answers"):
        sweep.run_all(SHORT, tmp_path, dask="tcp://127.0.0.1:1")


def test_collecting_says_what_is_missing(tmp_path):
    tasks = [Quick("one"), Quick("two"), Quick("three")]
    for task in tasks[:2]:
        sweep.run(task, tmp_path)
    with pytest.raises(InputError, match=r"1 of 3 tasks are not finished: three"):
        sweep.collect(tmp_path, tmp_path / "all.json", tasks)
    sweep.run(tasks[2], tmp_path)
    assert sweep.collect(tmp_path, tmp_path / "all.json", tasks) == sweep.shipped(tmp_path / "all.json")
    with pytest.raises(InputError, match=r"none.json is missing.*helpers.experiments none"):
        sweep.shipped(tmp_path / "none.json")


def test_shipped_results_are_complete_and_grow_with_the_text():
    """At 2 bits the damage grows with every step of the text, at 3 bits from the least to the most."""
    results = limits.results()
    assert len(results) == len(limits.tasks()) and {r["parameters"] for r in results} == {100_080}

    def added(size: int, bits: int) -> np.ndarray:
        runs = [r for r in results if (r["tokens"], r["schedule"], r["bits"]) == (size, "cosine", None)]
        assert {r["seed"] for r in runs} == set(sweep.SEEDS)
        return np.array([r["rounded"][str(bits)] - r["loss"] for r in runs])

    for less, more in itertools.pairwise(limits.SIZES):
        assert added(less, 2).max() < added(more, 2).min()
    assert added(limits.SIZES[0], 3).max() < added(limits.SIZES[-1], 3).min()


def test_shipped_models():
    held_out = corpus.held_out_tokens(corpus.story_tokenizer(), 60)
    for seed in sweep.SEEDS:
        model = shipped.tiny(seed)
        assert model.num_parameters() == 100_080 and fit.mean_loss(model, held_out) < 1.1
        assert (artifacts.ROOT / "data" / f"tiny-{seed}.safetensors").stat().st_size < 500_000
    with pytest.raises(InputError, match="no tiny-9.safetensors"):
        shipped.tiny(9)


def test_fake_quantization_keeps_one_copy_and_passes_gradients():
    model = llama.tiny(0)
    before = sum(p.numel() for p in model.parameters())
    rounding.fake_quantize(model, 2)
    assert sum(p.numel() for p in model.parameters()) == before
    linear = model.model.layers[0].mlp.up_proj
    original = linear.parametrizations.weight.original
    assert torch.allclose(linear.weight, rounding.round_rows(original, 2), atol=1e-7)
    linear.weight.sum().backward()
    assert torch.equal(original.grad, torch.ones_like(original)), "straight through"


@pytest.fixture(scope="module")
def methods() -> dict:
    return functions("09", rounding=rounding)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("seed", range(5))
def test_gptq_and_awq_never_lose_to_rounding_on_calibration_data(methods, bits, seed):
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(48, 48, generator=random)
    x = torch.randn(2000, 48, generator=random) @ mixing  # correlated inputs, as real ones are
    w = torch.randn(32, 48, generator=random)
    plain = methods["output_error"](w, rounding.round_rows(w, bits), x)
    assert methods["output_error"](w, methods["gptq"](w, x, bits), x) <= plain
    assert methods["output_error"](w, methods["awq"](w, x, bits), x) <= plain
    levels = [len(row.unique()) for row in methods["gptq"](w, x, bits)]
    assert max(levels) <= 2**bits - 1


def test_gptq_equals_rounding_for_independent_inputs(methods):
    """With inputs that have nothing to do with each other, no column can repair another."""
    x = torch.eye(48).repeat(50, 1)
    w = torch.randn(16, 48, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(methods["gptq"](w, x, 4), rounding.round_rows(w, 4), atol=1e-6)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_hqq_beats_plain_affine_rounding_on_its_own_norm(methods, bits):
    w = torch.distributions.StudentT(3).sample((64, 128))
    steps = (w.amax(dim=1, keepdim=True) - w.amin(dim=1, keepdim=True)) / (2**bits - 1)
    norms = [((w - methods["hqq"](w, bits, rounds=rounds)) / steps).abs().pow(0.7).mean() for rounds in (0, 20)]
    assert norms[1] < norms[0]
    assert max(len(np.unique(row)) for row in methods["hqq"](w, bits).numpy()) <= 2**bits


def test_the_command_says_what_is_missing_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "helpers.experiments", "limits", "--collect", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=artifacts.ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "36 of 36 tasks are not finished" in done.stderr
    assert "Traceback" not in done.stderr
