"""Importance against hooks in torch, dense and with experts; merging, resuming, faults."""

import types

import llama_cpp
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from helpers import artifacts
from helpers.errors import InputError, InstallError, ResourceError
from helpers.pipeline import catalogue, convert, gguf_file
from helpers.quality import calibration, ggml_tensor, importance, scoring, squares, watching
from helpers.training import stories
from tests.zoo import build

STORIES = list(stories.stories("importance", 40))
TEXT = (artifacts.ROOT / "data" / "lighthouse.txt").read_text()


@pytest.fixture(scope="module")
def seen(story_f16) -> importance.Importance:
    """`story` on 40 stories in windows of 128 tokens."""
    return importance.collect(story_f16, STORIES, window=128, name="stories")


def inputs_in_torch(checkpoint, windows: np.ndarray, modules: list[str]) -> dict[str, np.ndarray]:
    """Return all inputs (tokens, columns) of some modules of a checkpoint, by hooks."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, local_files_only=True).eval()
    kept = {name: [] for name in modules}
    for name in modules:
        model.get_submodule(name).register_forward_pre_hook(
            lambda module, args, kept=kept[name]: kept.append(args[0].detach().flatten(0, -2).numpy())
        )
    with torch.inference_mode():
        for ids in windows:
            model(torch.from_numpy(ids.astype(np.int64))[None])
    return {name: np.concatenate(arrays).astype(np.float64) for name, arrays in kept.items()}


def close(sums: np.ndarray, expected: np.ndarray) -> bool:
    print(f"{np.abs(sums - expected).max() / expected.max():.1e} of the maximum")
    return np.abs(sums - expected).max() <= 1e-3 * expected.max()


def test_equals_hooks_in_torch(story_f16, seen):
    with scoring.Scorer(story_f16, STORIES, 128, None, None) as model:
        windows = model.windows
    names = {name: gguf_file.checkpoint_name(name).removesuffix(".weight") for name in seen.names}
    assert len(names) == 29
    names["token_embd.weight"] = "lm_head"  # one matrix for both
    inputs = inputs_in_torch(catalogue.CATALOGUE["story"].fetch(), windows, list(names.values()))
    for name, module in names.items():
        assert seen.counts[name].tolist() == [windows.size] == [len(inputs[module])], name
        assert close(seen.sums[name][0], np.square(inputs[module]).sum(axis=0)), name


@pytest.fixture
def experts_f32(tmp_path, elsewhere):
    checkpoint = build("granitemoe", tmp_path)
    return checkpoint, convert.to_gguf(checkpoint, "f32")


def test_experts_equal_torch(experts_f32, monkeypatch):
    """Which experts, by the router's largest scores; their inputs, and from these those of the way down.

    Without flash attention, whose rounding sends one token in a thousand to another expert of these random weights.
    """
    monkeypatch.setattr(llama_cpp, "LLAMA_FLASH_ATTN_TYPE_AUTO", llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED)
    checkpoint, gguf = experts_f32
    found = importance.collect(gguf, TEXT, window=64)
    with scoring.Scorer(gguf, TEXT, 64, None, None) as model:
        windows = model.windows
    layers = [f"model.layers.{i}.block_sparse_moe" for i in (0, 1)]
    inputs = inputs_in_torch(checkpoint, windows, layers)
    weights = load_file(checkpoint / "model.safetensors")
    for i, layer in enumerate(layers):
        x = torch.from_numpy(inputs[layer]).float()
        scores = x @ weights[f"{layer}.router.layer.weight"].T
        chosen = scores.topk(2).indices
        both, down = (weights[f"{layer}.{part}_linear.weight"] for part in ("input", "output"))
        expected = {"gate": [], "up": [], "down": []}
        for expert in range(len(down)):
            rows = x[(chosen == expert).any(dim=1)]
            gate, up = (rows @ both[expert].T).chunk(2, dim=1)
            hidden = torch.nn.functional.silu(gate) * up
            for part, seen in (("gate", rows), ("up", rows), ("down", hidden)):
                expected[part].append(seen.double().square().sum(dim=0).numpy())
                assert found.counts[f"blk.{i}.ffn_{part}_exps.weight"][expert] == len(rows) > 0
        for part, sums in expected.items():
            assert close(found.sums[f"blk.{i}.ffn_{part}_exps.weight"], np.stack(sums)), (i, part)
        assert found.counts[f"blk.{i}.ffn_up_exps.weight"].sum() == 2 * windows.size


def test_weights_are_means_and_never_zero():
    sums = np.array([[1, 3, 0, 4], [0, 0, 0, 0], [5, 5, 5, 5]], np.float32)
    seen = importance.Importance({"a": sums}, {"a": np.array([2, 4, 0])}, (), 8, 1)
    first, dead, absent = seen.weights("a").reshape(3, 4)
    assert first.tolist() == pytest.approx([0.5, 1.5, importance.FLOOR * 1, 2])
    assert dead.tolist() == [1, 1, 1, 1], "an expert that only ever saw zeros"
    assert absent.tolist() == pytest.approx([11 / 6, 11 / 6 + 2 / 6, 5 / 6, 9 / 6], rel=1), (
        "never chosen: as the others"
    )
    assert absent.min() > 0 and absent.dtype == np.float32
    nothing = importance.Importance({"a": sums * 0}, {"a": np.array([0, 0, 0])}, (), 8, 1)
    assert nothing.weights("a").tolist() == [1] * 12
    with pytest.raises(InputError, match="No importance was recorded of 'b'"):
        seen.weights("b")


def test_two_texts_merged_are_one_text(story_f16, seen, elsewhere):
    """Windows begin anew at each, so the two halves of a text in whole windows give what the text gives."""
    one, two = (
        importance.collect(story_f16, text, window=128, most=4, name=name)
        for text, name in ((STORIES[:20], "one"), (STORIES[20:], "two"))
    )
    both = importance.merge(one, two)
    assert both.windows == 8 and both.window == 128 and len(both.datasets) == 2
    for name in both.names:
        assert both.counts[name].tolist() == [1024]
        assert np.allclose(both.sums[name], one.sums[name] + two.sums[name])
    assert importance.merge(one).checksum == one.checksum != both.checksum
    assert importance.merge(one, one).datasets == one.datasets
    assert importance.merge(two, one).checksum == both.checksum, "their order does not matter"


def test_merging_different_models_or_nothing(seen):
    other = importance.Importance({seen.names[0]: np.ones((1, 7), np.float32)}, {seen.names[0]: np.ones(1)}, (), 8, 1)
    with pytest.raises(InputError, match="come from different models"):
        importance.merge(seen, other)
    with pytest.raises(InputError, match="nothing to merge"):
        importance.merge()


def test_name_and_checksum_say_what_was_read(seen):
    assert seen.name.endswith("x 128 tokens of stories (SHA-256 " + seen.datasets[0][-9:])
    long = importance.Importance(seen.sums, seen.counts, ("é" * 300,), 128, 3)
    assert len(long.name.encode()) == 120 and long.checksum == seen.checksum
    changed = {name: sums.copy() for name, sums in seen.sums.items()}
    changed[seen.names[3]][0, 5] *= 1.001
    assert importance.Importance(changed, seen.counts, (), 128, 3).checksum != seen.checksum


class Stop(Exception):
    pass


def stopping_after(monkeypatch, batches: int, error: type[BaseException]) -> list:
    """Let recording fail in the callback, in the middle of a batch of 4 windows; return what counts the batches."""
    finished, add, taken = [], squares.Squares.add, squares.Squares.taken

    def failing(self, name, node):
        if len(finished) >= batches and name == "blk.2.ffn_up.weight":
            raise error
        add(self, name, node)

    def counting(self, model, tokens):
        finished.append(tokens)
        return taken(self, model, tokens)

    monkeypatch.setattr(squares.Squares, "add", failing)
    monkeypatch.setattr(squares.Squares, "taken", counting)
    return finished


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop])
def test_an_interrupted_recording_goes_on(story_f16, elsewhere, monkeypatch, error):
    """The exception in the callback arrives here, and only the windows that are missing are read later."""
    with monkeypatch.context() as patch:
        stopping_after(patch, 2, error)
        with pytest.raises(error):
            importance.collect(story_f16, STORIES, window=128, most=18, name="x")
    (kept,) = (elsewhere / "importance").glob("story-F16-*.gguf")
    assert importance.read(kept).windows == 8
    finished = stopping_after(monkeypatch, 100, error)
    resumed = importance.collect(story_f16, STORIES, window=128, most=18, name="x")
    assert finished == [512, 512, 256] and resumed.windows == 18
    kept.unlink()
    assert importance.collect(story_f16, STORIES, window=128, most=18, name="x").checksum == resumed.checksum
    assert len(finished) == 8
    importance.collect(story_f16, STORIES, window=128, most=18, name="x")
    assert len(finished) == 8, "a whole recording is kept"
    kept.write_bytes(kept.read_bytes()[:5000])
    importance.collect(story_f16, STORIES, window=128, most=18, name="x")
    assert len(finished) == 13, "a damaged one is not used"


def test_windows_read_together_do_not_see_each_other(story_f16, elsewhere, monkeypatch):
    together = importance.collect(story_f16, STORIES, window=128, most=5, name="together")
    monkeypatch.setattr(importance, "AT_ONCE", 1)
    alone = importance.collect(story_f16, STORIES, window=128, most=5, name="alone")
    for name in alone.names:
        assert together.counts[name].tolist() == alone.counts[name].tolist() == [640]
        assert np.allclose(together.sums[name], alone.sums[name], rtol=1e-3, atol=1e-4 * alone.sums[name].max()), name


def test_a_crash_costs_seconds_at_most(story_f16, elsewhere, monkeypatch):
    """What is kept is written while recording, not only at the end."""
    monkeypatch.setattr(importance, "SAVE_EVERY", 0)
    saved = []
    monkeypatch.setattr(importance.Importance, "save", lambda self, path: saved.append(self.windows))
    importance.collect(story_f16, STORIES, window=128, most=6)
    assert saved == [4, 6, 6]


def test_another_text_window_or_file_is_another_recording(story_f16, elsewhere):
    for text, window in ((STORIES, 64), (STORIES, 128), (STORIES[1:], 64)):
        importance.collect(story_f16, text, window=window, most=2)
    assert len(list((elsewhere / "importance").glob("*.gguf"))) == 3


def test_a_window_of_which_some_tokens_are_missing(story_f16, elsewhere, monkeypatch):
    """Without logits of every token the last layer sees one row: the trap that nothing else would notice."""
    decode = llama_cpp.llama_decode

    def fewer(context, batch):
        np.ctypeslib.as_array(batch.logits, (batch.n_tokens,))[:-1] = 0
        return decode(context, batch)

    monkeypatch.setattr(llama_cpp, "llama_decode", fewer)
    with pytest.raises(InputError, match=r"blk\.3\.\w+\.weight saw 1 inputs of 256 tokens"):
        importance.collect(story_f16, STORIES, window=128, most=2)


def test_inputs_that_are_not_finite(story_f16, elsewhere, monkeypatch):
    def poisoned(tensor):
        numbers = array(tensor).copy()
        numbers[..., 3] = np.nan
        return numbers

    array = squares.array
    monkeypatch.setattr(squares, "array", poisoned)
    with pytest.raises(InputError, match="are NaN or infinite"):
        importance.collect(story_f16, STORIES, window=128, most=2)
    assert not list((elsewhere / "importance").glob("*.gguf"))


def test_operations_under_other_names(story_f16, elsewhere, monkeypatch):
    monkeypatch.setattr(watching, "MUL_MAT", 99)
    with pytest.raises(InputError, match="multiplied no inputs with the weights of story-F16"):
        importance.collect(story_f16, STORIES, window=128, most=2)


def test_a_window_that_llama_cpp_cannot_run(story_f16, elsewhere, monkeypatch):
    monkeypatch.setattr(llama_cpp, "llama_decode", lambda context, batch: 1)
    with pytest.raises(InputError, match="could not run a window of 128 tokens"):
        importance.collect(story_f16, STORIES, window=128, most=2)
    monkeypatch.setattr(llama_cpp, "llama_init_from_model", lambda model, settings: None)
    with pytest.raises(InputError, match="could not make a second context of 128 tokens"):
        with scoring.Scorer(story_f16, STORIES, 128, 2, None) as model:
            monkeypatch.setattr(llama_cpp, "llama_init_from_model", lambda model, settings: None)
            with watching.watched(model.llm, (), print):
                pass


def test_memory_is_asked_for(story_f16, elsewhere, monkeypatch):
    asked = []
    monkeypatch.setattr(importance.machine, "require_memory", lambda n, what: asked.append((n, what)))
    importance.collect(story_f16, STORIES, window=128, most=1)
    columns = 4 * (6 * 256 + 512) + 256
    assert (12 * columns, "the importance of story-F16.gguf") in asked


def test_a_matrix_of_several_matrices_lies_in_one_row():
    """As llama-imatrix keeps the third dimension of weights that are no experts: one count, columns side by side."""
    x = np.random.default_rng(0).standard_normal((1, 3, 5, 4)).astype(np.float32)
    shape = types.SimpleNamespace(ne=[4, 9, 3, 1])
    node = types.SimpleNamespace(source=lambda number: (shape, x)[number])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(squares, "array", lambda tensor: tensor)
        sums, counts = squares._of_matrix(node)
    assert counts.tolist() == [5]
    assert np.allclose(sums, np.square(x[0]).sum(axis=1).reshape(1, 12))


def test_names_of_copies_on_other_devices():
    tensor = ggml_tensor.Tensor(name=b"CUDA0#blk.0.attn_q.weight#0")
    assert tensor.text == "blk.0.attn_q.weight" and ggml_tensor.Tensor(name=b"a#b").text == "a#b"


@pytest.mark.parametrize(
    "function, answer, said",
    [
        ("ggml_tensor_overhead", 376, "a tensor takes 344 bytes, not 336"),
        ("ggml_op_name", b"ADD", "its operations have other numbers"),
        ("ggml_type_name", b"q4_0", "its types have other numbers"),
        ("ggml_get_data", 12345, "data is"),
    ],
)
def test_another_layout_of_tensors_is_noticed(function, answer, said):
    ggml = ggml_tensor.library()

    class Other:
        def __getattr__(self, name):
            return (lambda *_: answer) if name == function else getattr(ggml, name)

    with pytest.raises(InstallError, match=f"another layout of tensors: {said}"):
        ggml_tensor.require_known_layout(Other())


def test_a_struct_with_a_field_more_is_noticed(monkeypatch):
    fields = list(ggml_tensor.Tensor._fields_)
    fields.insert(5, ("new", type(fields[4][1]()) * 2))
    fields[-1] = ("padding", fields[-1][1]._type_ * 0)
    shifted = type("Tensor", (ggml_tensor.Tensor.__base__,), {"_fields_": fields})
    shifted.text, shifted.source = ggml_tensor.Tensor.text, ggml_tensor.Tensor.source
    monkeypatch.setattr(ggml_tensor, "Tensor", shifted)
    with pytest.raises(InstallError, match="another layout of tensors"):
        ggml_tensor.require_known_layout(ggml_tensor.library())


def test_a_library_that_hides_its_functions(monkeypatch):
    from llama_cpp import llama_cpp

    monkeypatch.setattr(llama_cpp, "_lib", object())
    with pytest.raises(InstallError, match="hides a function of ggml"):
        ggml_tensor.library.__wrapped__()


def test_texts_by_path_and_by_hand(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("Grüße aus dem Leuchtturm.", encoding="utf-8")
    text, name = calibration.named(path)
    assert text == calibration.text(path) == "Grüße aus dem Leuchtturm." and name.startswith("mine.txt (SHA-256 ")
    assert calibration.named(text)[1] == name.replace("mine.txt", "text")
    assert calibration.named([text], "letters")[1] == name.replace("mine.txt", "letters")
    assert calibration.named(["a", "b"])[1] != calibration.named(["ab"])[1]
    path.write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(InputError, match=r"mine\.txt is no text in UTF-8: byte 2 "):
        calibration.text(path)
    with pytest.raises(InputError, match="There is no file 'other.txt'"):
        calibration.named(tmp_path / "other.txt")


def test_what_scoring_refuses_is_refused(story_f16):
    for text, window, error in (
        (" ", 128, "text is empty"),
        ("x", 128, "whole window"),
        ("x", 7, "window of 7 tokens"),
    ):
        with pytest.raises((InputError, ResourceError), match=error):
            importance.collect(story_f16, text, window=window)
