"""The graphics card: a stand-in for `nvidia-smi` on PATH, and a stand-in index. None of this ran on a real card."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from place import somewhere

from helpers import install
from helpers.errors import InputError, InstallError
from helpers.setup import gpu, llama_wheel, packages, pip

T4 = ("Tesla T4, 7.5", "12.4")
BANNER = "| NVIDIA-SMI 550.54.15     Driver Version: 550.54.15     {}: {}     |"


@pytest.fixture(autouse=True)
def nobody_asked(monkeypatch):
    monkeypatch.delenv(gpu.VARIABLE, raising=False)
    monkeypatch.setattr(gpu, "_asked", False)


@pytest.fixture
def smi(monkeypatch, tmp_path):
    """Put a program onto PATH that answers as nvidia-smi does: its two answers, and how it ends."""

    def make(fields: str, cuda: str, code: int = 0, label: str = "CUDA Version"):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "nvidia-smi"
        told = BANNER.format(label, cuda)
        program.write_text(f'#!/bin/sh\nif [ $# -gt 0 ]; then echo "{fields}"; else echo "{told}"; fi\nexit {code}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return make


@pytest.fixture
def calls(monkeypatch):
    """Note what pip is asked; the index has a wheel if `calls.there`, which loads if `calls.loads`."""

    class Calls(list):
        there = loads = True

        @property
        def indexes(self):
            return [arguments[arguments.index("--index-url") + 1] for arguments in self if "--index-url" in arguments]

    made = Calls()

    def run(arguments, what):
        made.append(arguments)
        if "--index-url" in arguments and not made.there:
            raise InstallError("no wheel")

    monkeypatch.setattr(pip, "run", run)
    monkeypatch.setattr(gpu, "offloads", lambda: made.loads)
    monkeypatch.setattr(llama_wheel, "install", lambda constraints: made.append(["cpu"]))
    monkeypatch.delitem(sys.modules, "llama_cpp", raising=False)
    return made


@pytest.mark.parametrize(
    ("fields", "cuda", "build"),
    [
        (*T4, "cu124"),
        ("Tesla T4, 7.5\nTesla T4, 7.5", "12.4", "cu124"),  # Kaggle has two
        ("NVIDIA L4, 8.9", "12.8", "cu125"),
        ("NVIDIA A100-SXM4-40GB, 8.0", "13.0", "cu125"),
        ("Tesla P100-PCIE-16GB, 6.0", "12.6", "cu125"),
        ("Tesla T4, 7.5", "12.2", None),
        ("Tesla T4, 7.5", "11.8", None),
        ("Tesla K80, 3.7", "12.4", None),
    ],
)
def test_the_build_fits_the_card_and_its_driver(smi, fields, cuda, build):
    smi(fields, cuda)
    card = gpu.card()
    assert card.name == fields.split(",")[0] and gpu.build_for(card) == build


def test_a_newer_driver_calls_its_version_otherwise(smi):
    smi(*T4, label="CUDA UMD Version")
    assert gpu.card().cuda == (12, 4)


@pytest.mark.parametrize(("fields", "cuda", "code"), [("", "", 9), ("No devices were found", "12.4", 0), (*T4, 1)])
def test_a_program_without_a_card_is_none(smi, fields, cuda, code):
    smi(fields, cuda, code)
    assert gpu.card() is None


def test_without_the_program_there_is_no_card(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert gpu.card() is None


def test_by_default_nothing_changes_and_the_card_is_mentioned(monkeypatch, smi, calls, capsys):
    smi(*T4)
    somewhere(monkeypatch, "Colab")
    install.ready()
    assert not calls and "Tesla T4 is here and not used. USE_GPU = True" in capsys.readouterr().out
    assert gpu.llama_options() == gpu.CPU_ONLY and gpu.torch_device() == "cpu"


@pytest.mark.parametrize("place", ["Colab", "Kaggle"])
def test_there_the_build_for_the_card_replaces_the_other(monkeypatch, smi, calls, capsys, place):
    smi(*T4)
    somewhere(monkeypatch, place)
    built = iter([False, False, True])  # asked before, and for the sentence
    monkeypatch.setattr(gpu, "built_in", lambda: next(built, True))
    install.ready(use_gpu=True)
    assert calls.indexes == [gpu.INDEX.format(build="cu124")] and ["cpu"] not in calls
    assert "--only-binary" in calls[0], "a build from source without CUDA is none"
    assert all("-c" in arguments for arguments in calls[1:]), "nothing else moves"


@pytest.mark.parametrize("loads", [False, True])
def test_a_fresh_runtime_gets_one_build_only(monkeypatch, smi, calls, capsys, loads):
    smi(*T4)
    somewhere(monkeypatch, "Colab")
    monkeypatch.setattr(packages, "missing", lambda: [llama_wheel.LLAMA])
    monkeypatch.setattr(gpu, "built_in", lambda: False)
    calls.loads = loads
    install.ready(use_gpu=True)
    assert (["cpu"] in calls) != loads
    assert ("does not load" in capsys.readouterr().out) or loads


def test_an_index_that_is_late_leaves_the_cpu_build(monkeypatch, smi, calls, capsys):
    smi(*T4)
    somewhere(monkeypatch, "Colab")
    monkeypatch.setattr(gpu, "built_in", lambda: False)
    calls.there = False
    install.ready(use_gpu=True)
    assert len(calls) == 1 and "on the CPU: its build for CUDA was not to be had" in capsys.readouterr().out


def test_a_build_that_does_not_load_is_taken_back(monkeypatch, smi, calls):
    smi(*T4)
    somewhere(monkeypatch, "Colab")
    built = iter([False, True])
    monkeypatch.setattr(gpu, "built_in", lambda: next(built, False))
    calls.loads = False
    install.ready(use_gpu=True)
    assert calls[-1] == ["cpu"]


def test_elsewhere_nothing_is_installed_behind_ones_back(monkeypatch, smi, calls, capsys):
    smi(*T4)
    somewhere(monkeypatch, "elsewhere")
    install.ready(use_gpu=True)
    assert not calls and "python -m helpers.install --gpu" in capsys.readouterr().out


def test_the_command_takes_it(monkeypatch, smi, calls, capsys):
    smi(*T4)
    somewhere(monkeypatch, "elsewhere")
    monkeypatch.setattr(packages, "has", lambda pinned: True)
    monkeypatch.setattr(llama_wheel, "uses_amx", lambda: False)
    install.everything(use_gpu=True)
    assert gpu.INDEX.format(build="cu124") in calls.indexes


@pytest.mark.parametrize(
    ("fields", "cuda", "told"),
    [("Tesla K80, 3.7", "12.4", "compute capability 3.7"), ("Tesla T4, 7.5", "12.2", "driver for CUDA 12.2")],
)
def test_a_card_without_a_build_is_named_and_nothing_is_installed(monkeypatch, smi, calls, capsys, fields, cuda, told):
    smi(fields, cuda)
    somewhere(monkeypatch, "Colab")
    install.ready(use_gpu=True)
    assert not calls and told in capsys.readouterr().out


def test_no_card_is_said_and_computed_without(monkeypatch, calls, capsys):
    somewhere(monkeypatch, "Colab")
    monkeypatch.setattr(gpu, "card", lambda: None)
    install.ready(use_gpu=True)
    assert not calls and "No NVIDIA card answers" in capsys.readouterr().out


def test_metal_needs_no_other_build(monkeypatch, calls, capsys):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(gpu, "card", lambda: None)
    install.ready(use_gpu=True)
    assert not calls and "Metal" in capsys.readouterr().out


def test_a_build_that_was_loaded_before_needs_a_new_kernel(monkeypatch, smi, calls, tmp_path):
    smi(*T4)
    monkeypatch.setitem(sys.modules, "llama_cpp", object())
    with pytest.raises(InstallError, match=r"Tesla T4.*Restart the kernel"):
        gpu.install(tmp_path / "c.txt", gpu.card())


@pytest.mark.parametrize(("value", "asked", "wanted"), [("1", False, True), ("0", True, False), (None, True, True)])
def test_the_variable_overrides_the_cell(monkeypatch, value, asked, wanted):
    if value:
        monkeypatch.setenv(gpu.VARIABLE, value)
    gpu.choose(asked)
    assert gpu.wanted() == wanted


def test_the_build_that_is_installed_here_is_for_the_cpu():
    assert not gpu.built_in() and gpu.offloads() == (sys.platform == "darwin")


@pytest.fixture
def stand_in_card(monkeypatch):
    """Let llama-cpp-python say that it can use a GPU, and note with what each model is opened."""
    import llama_cpp

    opened, real = [], llama_cpp.Llama

    def opens(path, **options):
        opened.append({name: options.get(name) for name in gpu.CPU_ONLY})
        if options["n_gpu_layers"] == -1 and opens.full:
            raise ValueError("Failed to load model from file")
        return real(path, **options)

    opens.full = False
    monkeypatch.setattr(llama_cpp, "llama_supports_gpu_offload", lambda: True)
    monkeypatch.setattr(llama_cpp, "Llama", opens)
    gpu.choose(True)
    return opened, opens


def test_a_model_is_opened_on_the_card(stand_in_card, story_f16):
    from helpers.pipeline import runtime

    opened, _ = stand_in_card
    runtime.load(story_f16, n_ctx=64).close()
    assert opened == [{"n_gpu_layers": -1, "offload_kqv": None, "op_offload": None}]
    runtime.load(story_f16, n_ctx=64, n_gpu_layers=3).close()
    assert opened[1]["n_gpu_layers"] == 3, "what the reader says is done"
    gpu.choose(False)
    runtime.load(story_f16, n_ctx=64).close()
    assert opened[2] == gpu.CPU_ONLY


def test_what_looks_into_llama_cpp_stays_on_the_cpu(stand_in_card, story_f16):
    """Weights are exchanged and products watched in the memory of this process; proofs compare F32 with F32."""
    from helpers.pipeline.proof import predictions
    from helpers.quality import importance
    from helpers.quality.exchange import Exchange
    from helpers.training import stories

    opened, text = stand_in_card[0], " ".join(stories.stories(seed=3, count=20))
    importance.collect(story_f16, text, window=64)
    with Exchange(story_f16, text, window=64, most=2):
        pass
    predictions.compute(story_f16, [1, 5, 6], [1], None)
    assert len(opened) == 3 and all(options == gpu.CPU_ONLY for options in opened)


def test_a_model_too_large_for_the_card_is_opened_on_the_cpu(stand_in_card, story_f16):
    from helpers.pipeline import runtime

    opened, opens = stand_in_card
    opens.full = True
    with pytest.warns(RuntimeWarning, match="could not be opened on the GPU.*on the CPU"):
        runtime.load(story_f16, n_ctx=64).close()
    assert [options["n_gpu_layers"] for options in opened] == [-1, 0]


def test_a_damaged_file_is_refused_there_as_here(stand_in_card, story_f16, tmp_path):
    from helpers.pipeline import runtime

    whole = Path(story_f16).read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError):
        runtime.load(tmp_path / "cut.gguf", n_ctx=64)


def test_trainings_move_to_the_device_and_come_back(monkeypatch):
    """With torch's device without numbers in the card's place: it is reached, and that is all it can show."""
    from helpers.training import fit, llama

    model, seen = llama.tiny(0), []

    class Reached(Exception):
        pass

    def objective(there, tokens):
        seen.append((there.device.type, tokens.device.type))
        raise Reached

    monkeypatch.setattr(gpu, "torch_device", lambda: "meta")
    monkeypatch.setattr(model, "to", lambda device: seen.append(device) or type(model).to(model, "cpu"))
    with pytest.raises(Reached):
        fit.fit(model, iter([np.ones((2, 8), np.int64)]), 1, progress=False, objective=objective)
    assert seen == ["meta", ("cpu", "cpu"), "cpu"] and model.device.type == "cpu"


class Predicts(torch.nn.Module):
    """As much of a language model as a loss asks for; on torch's device without numbers, too."""

    def __init__(self, device: str):
        super().__init__()
        self.table = torch.nn.Embedding(8, 8, device=device)

    @property
    def device(self):
        return self.table.weight.device

    def forward(self, input_ids, **_):
        return SimpleNamespace(logits=self.table(input_ids))


def test_a_teacher_follows_its_student_and_stays_where_it_was():
    from helpers.compression import distill

    teacher = Predicts("cpu")
    loss = distill.objective(teacher)
    for device in ("meta", "cpu", "meta"):
        found = loss(Predicts(device), torch.ones(2, 8, dtype=torch.long, device=device))
        assert found.device.type == device and teacher.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card: the course was not run on one")
def test_on_a_card_trainings_give_nearly_the_same():
    from helpers.training import corpus, fit, llama

    losses = []
    for use in (False, True):
        gpu.choose(use)
        model = llama.tiny(0)
        losses.append(fit.fit(model, corpus.seed_batches(corpus.story_tokenizer(), 0), 20, progress=False)[-1])
        assert model.device.type == "cpu"
    assert losses[1] == pytest.approx(losses[0], abs=0.01)
