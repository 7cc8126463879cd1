"""The sweep: resumable, local or on a Dask cluster, with results that say what they are; and notebook 09's methods."""

import itertools
import json
import re
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from notebook_functions import functions

from helpers import artifacts
from helpers.compression import compress
from helpers.compression.kronecker import KroneckerEmbedding, KroneckerLinear
from helpers.errors import InputError
from helpers.experiments import __main__ as experiments
from helpers.experiments import designs, files, grid, halves, healing, oneshot, precision, pruning, race, recipes, sweep
from helpers.experiments import methods as equal_terms
from helpers.training import corpus, fit, llama, rounding, shipped

SHORT = [designs.Design("1 layer, 96 wide", 4096, 8e-3, 0), designs.Design("4 layers, each twice", 4096, 8e-3, 1)]


@dataclass(frozen=True)
class Quick:
    """A task that trains nothing, for what has to do with files and threads."""

    name: str

    def measure(self) -> dict:
        return {"threads": torch.get_num_threads()}


def without_time(results):
    return [{key: value for key, value in result.items() if key not in ("seconds", "made")} for result in results]


def test_a_finished_task_is_not_run_again(tmp_path):
    first = sweep.run(SHORT[0], tmp_path)
    assert first["loss"] > 3 and first["matrices"] == first["used"] < first["parameters"]
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
    assert [result["seed"] for result in local] == [0, 1] and local[1]["used"] == 2 * local[1]["matrices"]


def test_no_cluster_at_the_address(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "PATIENCE", 0.5)
    with pytest.raises(InputError, match="No Dask cluster answers"):
        sweep.run_all(SHORT, tmp_path, dask="tcp://127.0.0.1:1")


def test_what_is_finished_can_be_collected_and_taken_up_elsewhere(tmp_path):
    tasks = [Quick("one"), Quick("two"), Quick("three")]
    with pytest.raises(InputError, match=r"None of the 3 tasks of all is finished: one"):
        sweep.collect(tmp_path, tmp_path / "all.json", tasks)
    for task in tasks[:2]:
        sweep.run(task, tmp_path)
    first = sweep.collect(tmp_path, tmp_path / "all.json", tasks)
    assert [row["name"] for row in first] == ["one", "two"]
    sweep.unpack(tmp_path / "all.json", tmp_path / "elsewhere", tasks)
    assert sorted(path.name for path in (tmp_path / "elsewhere").glob("*.json")) == ["one.json", "two.json"]
    sweep.run(tasks[2], tmp_path / "elsewhere")
    again = sweep.collect(tmp_path / "elsewhere", tmp_path / "all.json", tasks)
    assert again[:2] == first and sweep.shipped(tmp_path / "all.json") == again and len(again) == 3
    with pytest.raises(InputError, match=r"none.json is missing.*helpers.experiments none"):
        sweep.shipped(tmp_path / "none.json")


def test_collected_results_say_what_made_them(tmp_path):
    for task, way in (("one", "here"), ("two", "there"), ("three", "here")):
        made = {"task": task, "name": task, "threads": 1, "seconds": 0.1, "made": way}
        (tmp_path / f"{task}.json").write_text(json.dumps(made))
    tasks = [Quick("one"), Quick("two"), Quick("three")]
    found = sweep.collect(tmp_path, tmp_path / "all.json", tasks)
    stored = json.loads((tmp_path / "all.json").read_text())
    assert stored["made"] == ["here", "there"] and [row["made"] for row in found] == [0, 1, 0]
    way = sweep.run(Quick("four"), tmp_path)["made"]
    assert re.match(r"commit \w+, Python [\d.]+, numpy \S+, torch \S+, transformers \S+, \w+$", way)


@pytest.mark.parametrize("trouble", ["no git", "no history"])
def test_results_are_kept_where_the_commit_is_not_known(tmp_path, monkeypatch, trouble):
    if trouble == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        monkeypatch.setattr(artifacts, "ROOT", tmp_path)
    assert sweep.made().startswith("commit unknown, Python ")


def test_the_grid_has_sizes_texts_and_seeds_and_pilots_that_chose_its_rates():
    tasks = grid.tasks()
    assert len({task.name for task in tasks}) == len(tasks)
    for shape in llama.SHAPES:
        cells = {(task.tokens, task.seed) for task in tasks if (task.shape, task.rate) == (shape, grid.RATES[shape])}
        assert cells >= set(itertools.product(grid.TOKENS, sweep.SEEDS)) and len(grid.TOKENS) >= 4
        rates = {task.rate for task in tasks if (task.shape, task.tokens, task.seed) == (shape, 1_000_000, 0)}
        assert rates == set(grid.PILOTS)
    assert len(llama.SHAPES) >= 4 and tasks[0].tokens == min(grid.TOKENS)


def test_a_training_of_the_grid():
    found = grid.Training("32 wide", 4096, 0, 8e-3).measure()
    assert found["matrices"] == 24_576 and found["parameters"] == 57_504 and 5 < found["loss"] < 7.5
    for way in ("row", "group"):
        assert set(found["rounded"][way]) == {str(bits) for bits in grid.BITS}
        assert abs(found["rounded"][way]["8"] - found["loss"]) < 0.01


def test_recipes_look_along_the_way(monkeypatch):
    tasks = recipes.tasks()
    assert len({task.name for task in tasks}) == len(tasks) == 36
    monkeypatch.setattr(recipes, "STEPS", 6)
    monkeypatch.setattr(recipes, "LOOKS", 3)
    monkeypatch.setattr(
        corpus, "held_out_tokens", lambda tokenizer, count, whole=corpus.held_out_tokens: whole(tokenizer, 8)
    )
    looks = recipes.Recipe(0.1, 0.1, "wsd", 0).measure()["looks"]
    assert [look["step"] for look in looks] == [2, 4, 6]
    assert looks[0]["loss"] > looks[-1]["loss"] and looks[0]["averaged"]["loss"] > looks[0]["loss"] - 0.05
    assert set(looks[0]["added"]) == {"2", "3", "4"} and 1.5 < looks[0]["peaks"] < 4


def test_precisions(monkeypatch):
    tasks = precision.tasks()
    assert len({task.name for task in tasks}) == len(tasks) == 3 * len(precision.PRECISIONS)
    monkeypatch.setattr(precision, "TOKENS", 20 * 2048)
    found = precision.LowPrecision("NVFP4, stochastic and Hadamard", 0).measure()
    assert found["loss"] < 7 and len(found["curve"]) == 1 and found["gradients"] == "nvfp4" and found["hadamard"]


def test_methods_on_equal_terms(monkeypatch):
    tasks = equal_terms.tasks()
    assert [task.name for task in tasks[:2]] == ["methods-tiny-0", "methods-tiny-1"] and len(tasks) == 6
    assert {(form.symmetric, form.group) for form in equal_terms.FORMATS} == set(
        itertools.product((True, False), (None, 64))
    )
    monkeypatch.setattr(equal_terms, "STEPS", 10)
    monkeypatch.setattr(equal_terms, "FORMATS", equal_terms.FORMATS[2:3])
    found = equal_terms.Methods("tiny", 0).measure()
    (row,) = found["formats"]
    assert (row["bits"], row["symmetric"], row["group"]) == (2, False, None) and 2.4 < row["width"] < 2.6
    assert set(row["added"]) == {*equal_terms.METHODS, equal_terms.TRAINED, *equal_terms.CONTROLS}
    assert row["added"]["GPTQ, clipped"] < row["added"]["RTN"]


def test_pruning_in_rounds_and_the_scan(monkeypatch):
    tasks = pruning.tasks()
    assert len({task.name for task in tasks}) == len(tasks) == 3 * (1 + len(pruning.WAYS))
    monkeypatch.setattr(shipped, "small", lambda seed: shipped.small_shape().model(seed))
    monkeypatch.setattr(pruning, "STEPS", 4)
    few = corpus.held_out_tokens(corpus.story_tokenizer(), 8)
    monkeypatch.setattr(corpus, "held_out_tokens", lambda tokenizer, count: few)
    found = {way: pruning.Pruning(way, 0).measure() for way in ("nothing", "Wanda, 75 %, in four rounds", "2:4")}
    matrices = 516_096
    assert found["nothing"]["zeros"] == 0 and found["2:4"]["zeros"] == matrices // 2
    assert abs(found["Wanda, 75 %, in four rounds"]["zeros"] / matrices - 0.75) < 0.01
    assert all(abs(each["whole"] - each["four_bits"]) < 1 for each in found.values())
    smaller = {way: pruning.Pruning(way, 0).measure()["parameters"] for way in list(pruning.WAYS)[-3:]}
    assert smaller["half of the channels"] < 0.55 * 648_064 < smaller["one layer of three"] < 648_064
    scan = pruning.Scan(0).measure()
    assert len(scan["layers"]) == 3 and len(scan["matrices"]) == 21


def test_students_from_every_second_layer(monkeypatch):
    tasks = halves.tasks()
    assert len({task.name for task in tasks}) == len(tasks)
    assert len([task for task in tasks if task.rate == halves.RATE and task.start in ("layers", "random")]) == 12
    for start, best in halves.RATES.items():
        tried = {task.rate for task in tasks if (task.start, task.cosine, task.seed) == (start, False, 0)}
        assert best in halves.PILOTS and tried == set(halves.PILOTS)
        assert {task.seed for task in tasks if (task.start, task.rate) == (start, best)} == set(sweep.SEEDS)
    monkeypatch.setattr(halves, "STEPS", 8)
    few = corpus.held_out_tokens(corpus.story_tokenizer(), 6)
    monkeypatch.setattr(corpus, "held_out_tokens", lambda tokenizer, count: few)
    copied, random = (halves.Half(start, True, 1).measure() for start in ("layers", "random"))
    assert list(copied["losses"]) == ["0", "2", "4", "6", "8"] and copied["parameters"] == random["parameters"]
    assert copied["losses"]["8"] < random["losses"]["8"], "a head start"
    assert copied["tokens_per_second"]["student"] > copied["tokens_per_second"]["teacher"]
    story = shipped.story().model.layers
    taken = halves.Half("layers", False, 0).student().model.layers
    assert torch.equal(taken[1].mlp.up_proj.weight, story[2].mlp.up_proj.weight) and len(taken) == 2
    half, fresh = halves.Half("embedding", False, 0).student(), halves.Half("fresh", False, 0).student()
    table = shipped.story().model.embed_tokens.weight
    assert torch.equal(half.model.embed_tokens.weight, table) and torch.equal(half.lm_head.weight, table)
    assert torch.equal(half.model.layers[1].mlp.up_proj.weight, fresh.model.layers[1].mlp.up_proj.weight)
    assert fresh.model.embed_tokens.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_designs_are_equally_large_and_shared_layers_compute_like_different_ones():
    tasks = designs.tasks()
    assert len({task.name for task in tasks}) == len(tasks)
    sizes = {name: designs.sizes(designs.Design(name, 0, 0.0, 0).model()) for name in designs.DESIGNS}
    different = "8 different layers"
    for name, size in sizes.items():
        assert size["matrices"] == 2 * sizes["4 layers, 48 wide"]["matrices"] or name != different
        assert abs(size["matrices"] / 50_000 - 1) < 0.02 or name == different
    assert sizes["4 layers, each twice"]["used"] == sizes[different]["used"] > 1.9 * 50_000


def test_a_design(monkeypatch):
    found = designs.Design("4 layers, each twice", 3 * 2048, 8e-3, 0).measure()
    assert 5 < found["loss"] < 7.5 and found["used"] == 2 * found["matrices"]


@pytest.fixture
def short_race(monkeypatch):
    monkeypatch.setattr(race, "STEPS", 6)
    monkeypatch.setattr(race, "PROBES", 4)
    few = corpus.held_out_tokens(corpus.story_tokenizer(), 6)
    monkeypatch.setattr(corpus, "held_out_tokens", lambda tokenizer, count: few)


@pytest.mark.parametrize("entry", [race.UNTRAINED, "pruned in rounds, 4 bits", "two new layers, not taught, 4 bits"])
def test_every_entry_of_the_race_has_one_megabyte_and_the_same_operations(short_race, entry):
    found = race.Race(entry, 1e-3, 1.0, 0).measure()
    assert 0.95 * race.SIZE < found["bytes"] <= race.SIZE
    if entry != race.UNTRAINED:
        budget = 6 * 47.24e9  # 8 operations for each of 2.88 million parameters and 2,048 tokens, a step
        assert abs(found["operations"] / budget - 1) < 0.15 and found["steps"] >= 6


def test_every_entry_of_the_race_has_the_best_of_its_pilots():
    tasks = race.tasks()
    assert len({task.name for task in tasks}) == len(tasks)
    for name, entry in race.ENTRIES.items():
        if name != race.UNTRAINED:
            mine = [task for task in tasks if task.entry == name]
            assert {task.rate for task in mine if task.share == race.PILOT} == set(entry.pilots) >= {entry.rate}
            whole = {(task.rate, task.seed) for task in mine if task.share == 1}
            assert whole == {(entry.rate, seed) for seed in sweep.SEEDS}


def test_what_is_stored_is_what_was_trained():
    """After the block the matrices hold few values in each group; Kronecker's factors too, and zeros stay."""
    model = oneshot.thin(0.5)(llama.small_llama(layers=1))
    name, layer = next(iter(compress.matrices(model).items()))
    product = KroneckerLinear(torch.randn(4, 8, 64), torch.randn(4, 2, 2))
    compress.replace(model, name, product)
    other, other_layer = next(iter(compress.matrices(model).items()))
    other_layer.weight.data[:, 0] = 0
    with race.stored_in(model, race.FOUR):
        product(torch.randn(3, 128)).sum().backward()
        assert len(product.a[0, 0].unique()) <= 15 and product.parametrizations.a.original.grad.any()
    assert len(product.a[0, 0].unique()) <= 15 and len(other_layer.weight[0, :64].unique()) <= 15
    assert not other_layer.weight[:, 0].any() and dict(race.quantized(model))[other].shape == other_layer.weight.shape
    assert type(layer) is torch.nn.Linear and race.stored(model, race.FOUR) < race.stored(model, race.EMBEDDING)


def test_the_files_of_a_model(monkeypatch):
    assert [task.name for task in files.tasks()][:1] == ["files-smollm2"]
    monkeypatch.setattr(files, "KINDS", ("Q8_0", "Q2_K"))
    monkeypatch.setattr(files, "QUESTIONS", 1)
    monkeypatch.setattr(files, "WINDOW", 64)
    found = files.Files("story").measure()
    assert list(found["files"]) == ["F16", "Q8_0", "Q2_K"] and len(found["questions"]["right"]) == 12
    q2, f16 = found["files"]["Q2_K"], found["files"]["F16"]
    assert q2["bytes"] < f16["bytes"] and f16["kl"] == 0 < q2["kl_interval"][0] < q2["kl"] < q2["kl_interval"][1]
    assert len(q2["answers"]) == 12 and found["scored_tokens"] == 31 * found["windows"]


@pytest.mark.parametrize("hub_answers", [False, True])
@pytest.mark.parametrize("kept", [["smollm2"], ["smollm2", "tinyllama"], ["tinyllama"]])
def test_what_another_machine_measured_of_a_model_is_kept(monkeypatch, tmp_path, kept, hub_answers):
    """A row made where the Hub answers is not lost by collecting where it does not."""
    monkeypatch.setattr(files, "RESULTS", tmp_path / "files.json")
    monkeypatch.setattr(type(files.hub.current()), "wants_real", lambda _: hub_answers)
    rows = [{"task": f"files-{model}", "model": model, "made": 0} for model in kept]
    files.RESULTS.write_text(json.dumps({"made": ["elsewhere"], "results": rows}))
    sweep.unpack(files.RESULTS, tmp_path / "tasks", files.tasks())
    sweep.collect(tmp_path / "tasks", files.RESULTS, files.tasks())
    assert {row["model"] for row in files.results()} == set(kept)
    here = {"smollm2", "tinyllama"} if hub_answers else {"smollm2"}
    assert {task.model for task in files.tasks()} == here | set(kept)


def test_one_shot_counts_what_its_models_store():
    story = shipped.story()
    inner, made = oneshot.numbers(story), {}
    for way in ("F16", "Q4_K", "Wanda 50 %, F16", "2:4, F16", "half of the neurons, F16", "SVD 80 %, F16"):
        made[way] = oneshot.WAYS[way](story)
    bits = {way: bits / inner for way, (_, bits) in made.items()}
    assert bits["F16"] == 16 and bits["Q4_K"] == 4.5
    assert bits["half of the neurons, F16"] == pytest.approx(0.7 * 16, rel=0.01), "feed-forward layers are 3 fifths"
    assert bits["2:4, F16"] == 9 and bits["Wanda 50 %, F16"] == pytest.approx(9, abs=0.01)
    assert bits["SVD 80 %, F16"] == pytest.approx(0.8 * 16, rel=0.02)
    sparse, in_four = made["2:4, F16"][0], oneshot.masked(lambda same: same, oneshot.FOUR)
    rounded, fewer = in_four(sparse)
    lost = inner // 2 - sum(int((m.weight != 0).sum()) for m in compress.matrices(rounded).values())
    assert fewer == inner * (0.5 * 4 + 16 / 64 + 1) - 4 * lost and lost < 0.1 * inner, "four bits find more zeros"
    assert oneshot.numbers(story) == inner, "none of them changes the model"


def test_sparse_matrices_take_a_bit_for_every_weight():
    model = llama.small_llama(layers=1)
    whole = race.stored(model, race.FOUR)
    pruned = pruning.wanda(0.75)(model)
    weights = sum(matrix.numel() for _, matrix in race.quantized(pruned))
    assert whole - race.stored(pruned, race.FOUR) == pytest.approx((0.75 * 4 - 1) * weights / 8, rel=0.01)


def test_kngpt2_halves_every_second_layer_and_the_embedding_but_not_the_head():
    model = llama.tiny(0)
    healing.halve(model, [0, 1], "kngpt2")
    assert isinstance(model.model.embed_tokens, KroneckerEmbedding)
    names = [name for name, module in model.named_modules() if isinstance(module, KroneckerLinear)]
    assert len(names) == 6 and all(name.startswith("model.layers.1.") and "o_proj" not in name for name in names)
    held = compress.held(model).parameters
    assert held > 100_080, "the head needs the whole table, so that the model grows"
    assert healing.Heal("tiny", "KnGPT-2's recipe", 0).name == "heal-tiny-KnGPT-2s_recipe-0"


def test_training_through_a_format_keeps_its_share_of_the_range():
    w = torch.randn(16, 64, generator=torch.Generator().manual_seed(0)) ** 3
    form = equal_terms.Format(3, True, 64)
    rounded = equal_terms.rounder(form, w)
    assert torch.allclose(rounded(w), equal_terms.METHODS["RTN, clipped"](w, None, form))
    assert torch.allclose(rounded(2 * w), 2 * rounded(w), atol=1e-5), "the range follows the weights"
    wider = w.clone()
    wider[0] *= 3
    assert torch.equal(rounded(wider)[1:], rounded(w)[1:]) and len(rounded(wider)[0].unique()) <= 7


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
    return functions("09", rounding=rounding, Format=equal_terms.Format, pd=pd)


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


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_clipping_never_has_a_larger_squared_error_than_rounding(methods, bits):
    w = torch.distributions.StudentT(3).sample((64, 48))
    clipped = methods["clipped"](w, bits)
    errors = [(made - w).square().sum(dim=1) for made in (clipped, rounding.round_rows(w, bits))]
    assert (errors[0] <= errors[1]).all() and errors[0].sum() < errors[1].sum()
    same = equal_terms.METHODS["RTN, clipped"](w, None, equal_terms.Format(bits, symmetric=True))
    assert torch.allclose(clipped, same, atol=1e-4), "the notebook's is that of calibrate"


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


def test_the_command_takes_up_what_is_shipped_and_says_how_much_that_is(tmp_path, monkeypatch, capsys):
    before = healing.RESULTS.read_text()
    command = ["experiments", "healed", "--collect", "--folder", str(tmp_path / "tasks")]
    monkeypatch.setattr(sys, "argv", command)
    assert experiments.main() == 0 and healing.RESULTS.read_text() == before
    assert f"healed.json: {len(healing.results())} of {len(healing.tasks())} tasks" in capsys.readouterr().out
    monkeypatch.setattr(healing, "RESULTS", tmp_path / "healed.json")
    monkeypatch.setattr(sys, "argv", [*command[:-1], str(tmp_path / "empty")])
    assert experiments.main() == 1
    told = capsys.readouterr().err
    assert f"None of the {len(healing.tasks())} tasks of healed is finished" in told and "Traceback" not in told
