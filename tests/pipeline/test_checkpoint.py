"""A model folder is read once, and refused in plain words when something is missing or damaged."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers.errors import CheckpointError
from helpers.pipeline import architectures, convert, files, headers, llama_tools
from helpers.pipeline.checkpoint import header, read


def damage(folder, name, change):
    data = bytearray((folder / name).read_bytes())
    (folder / name).write_bytes(change(data))


def test_the_shipped_checkpoint_is_whole(checkpoint):
    found = read(checkpoint)
    assert found.folder == checkpoint and found.config["num_hidden_layers"] == 4
    norm = found.tensors["model.norm.weight"]
    assert (norm.dtype, norm.shape, norm.elements, norm.file.name) == ("F32", (256,), 256, "model.safetensors")
    assert found.parameters == 2_885_888


def test_not_a_model_folder(tmp_path):
    with pytest.raises(CheckpointError, match="config.json is missing"):
        read(tmp_path)


def test_no_tokenizer(checkpoint):
    (checkpoint / "tokenizer.model").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        read(checkpoint)


def test_damaged_configuration(checkpoint):
    (checkpoint / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read(checkpoint)


def test_pickles_only(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="runs code"):
        read(checkpoint)


def test_no_weights(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        read(checkpoint)


@pytest.mark.parametrize("keep", [0, 5, 100, 1_000_000, -1])
def test_short_shard(checkpoint, keep):
    damage(checkpoint, "model.safetensors", lambda data: data[:keep])
    with pytest.raises(CheckpointError):
        read(checkpoint)


def test_damaged_header(checkpoint):
    damage(checkpoint, "model.safetensors", lambda data: data[:8] + b"\xff" * 50 + data[58:])
    with pytest.raises(CheckpointError, match="damaged header"):
        read(checkpoint)


@pytest.mark.parametrize(
    "good, bad",
    [
        (b'"data_offsets"', b'"data_offsetz"'),
        (b'"shape":[', b'"shapf":['),
        (b'"dtype"', b'"dtypd"'),
        (b'"data_offsets":[0,', b'"data_offsets":[9e9,'),
        (b'"shape":[', b'"shape":[-'),
    ],
)
def test_a_header_with_one_wrong_letter(checkpoint, good, bad):
    """Still JSON, but no longer a table of tensors."""
    path = checkpoint / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    altered = data[8 : 8 + length].replace(good, bad, 1)
    assert altered != data[8 : 8 + length]
    path.write_bytes(len(altered).to_bytes(8, "little") + altered + data[8 + length :])
    with pytest.raises(CheckpointError, match="damaged header"):
        header(path)


def test_absurd_header_length(checkpoint):
    damage(checkpoint, "model.safetensors", lambda data: (2**62).to_bytes(8, "little") + data[8:])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        read(checkpoint)


def test_converting_reads_the_headers_once(checkpoint, elsewhere, monkeypatch):
    read_headers, original = [], headers.read
    monkeypatch.setattr(headers, "read", lambda *given: read_headers.append(given) or original(*given))
    convert.to_gguf(checkpoint, "f16")
    assert len(read_headers) == 1


# What changes a folder


SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def edit(folder, name="config.json", **entries):
    """Set entries of a JSON file; ... removes one."""
    content = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    content = {key: value for key, value in (content | entries).items() if value is not ...}
    (folder / name).write_text(json.dumps(content))


def reweigh(folder, change, name=SINGLE):
    """Replace the weights by what `change` makes of them."""
    save_file(change(load_file(folder / name)), folder / name, {"format": "pt"})


def renamed(old, new):
    return lambda tensors: {name.replace(old, new, 1): value for name, value in tensors.items()}


def without(part):
    return lambda tensors: {name: value for name, value in tensors.items() if part not in name}


def divide(folder, parts=3, pattern="model-{:05d}-of-{:05d}.safetensors"):
    """Divide the weights among files and write the index; return tensor → file."""
    whole = load_file(folder / SINGLE)
    places = {name: pattern.format(1 + i % parts, parts) for i, name in enumerate(sorted(whole))}
    for file in set(places.values()):
        save_file({name: whole[name] for name in whole if places[name] == file}, folder / file)
    (folder / SINGLE).unlink()
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return places


def refused(folder, words):
    with pytest.raises(CheckpointError, match=words):
        read(folder)


# Which files count


def test_text_for_a_path(checkpoint):
    assert read(str(checkpoint)).tensors == read(checkpoint).tensors
    assert header(str(checkpoint / SINGLE)) == header(checkpoint / SINGLE)
    refused(checkpoint / "config.json", "it is a file")
    refused(checkpoint / "nowhere", "does not exist")


def test_shards_are_read_as_one_table(checkpoint):
    places = divide(checkpoint)
    assert {name: tensor.file.name for name, tensor in read(checkpoint).tensors.items()} == places
    assert [name for name in read(checkpoint).files if "-of-" in name] == sorted(set(places.values()))


@pytest.mark.parametrize("pattern", ["part_{:d}_{:d}.safetensors", "model-{:05d}-of-{:05d}.safetensors"])
def test_exactly_the_shards_of_the_index(checkpoint, pattern):
    """Not what a pattern finds: another save may lie beside them."""
    places = divide(checkpoint, pattern=pattern)
    save_file({"odd": np.zeros(4, np.float32)}, checkpoint / "model-00001-of-00009.safetensors")
    save_file({"odd": np.zeros(4, np.float32)}, checkpoint / "ema.safetensors")
    assert set(read(checkpoint).tensors) == set(places)


def test_missing_shard(checkpoint):
    divide(checkpoint)
    (checkpoint / "model-00002-of-00003.safetensors").unlink()
    refused(checkpoint, "1 of 3 weight files are missing.*00002-of-00003")


def test_transformers_takes_the_single_file_where_both_are_there(checkpoint):
    """A stale index stays behind when a model is saved again in one piece; the reverse is not to be told apart."""
    shutil.copy(checkpoint / SINGLE, checkpoint / "kept")
    divide(checkpoint)
    (checkpoint / "kept").rename(checkpoint / SINGLE)
    found = read(checkpoint)
    assert {tensor.file.name for tensor in found.tensors.values()} == {SINGLE}
    assert any("are both there" in note for note in found.notes)
    (checkpoint / INDEX).unlink()
    assert any("another save" in note for note in read(checkpoint).notes)


def test_an_index_of_the_single_file_is_not_stale(checkpoint):
    (checkpoint / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(header(checkpoint / SINGLE), SINGLE)}))
    assert not any("both" in note for note in read(checkpoint).notes)


def test_transformers_agrees_on_the_files(checkpoint):
    """The rule is its own, so ask it: which file does it open where both are there?"""
    from transformers import AutoModelForCausalLM

    shutil.copy(checkpoint / SINGLE, checkpoint / "kept")
    divide(checkpoint)
    (checkpoint / "kept").rename(checkpoint / SINGLE)
    reweigh(checkpoint, lambda all_: all_ | {"model.norm.weight": np.full(256, 7, np.float32)})
    model = AutoModelForCausalLM.from_pretrained(checkpoint, local_files_only=True)
    assert float(model.model.norm.weight.detach()[0]) == 7


def test_shards_without_an_index(checkpoint):
    divide(checkpoint)
    (checkpoint / INDEX).unlink()
    found = read(checkpoint)
    assert len(found.tensors) == 38 and any("index.json is missing" in note for note in found.notes)
    (checkpoint / "model-00003-of-00003.safetensors").unlink()
    refused(checkpoint, "1 of 3 weight files are missing")


def test_shards_of_two_saves_without_an_index(checkpoint):
    divide(checkpoint)
    (checkpoint / INDEX).unlink()
    shutil.copy(checkpoint / "model-00001-of-00003.safetensors", checkpoint / "model-00001-of-00002.safetensors")
    refused(checkpoint, "shards of 2 different saves")


@pytest.mark.parametrize(
    "content", [[1], "text", 3, {}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": {"a": 1}}]
)
def test_an_index_of_another_form(checkpoint, content):
    divide(checkpoint)
    (checkpoint / INDEX).write_text(json.dumps(content))
    refused(checkpoint, "another form|no weight_map")


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "sub/model.safetensors", "pytorch_model.bin"])
def test_an_index_never_leads_outside_or_to_a_pickle(checkpoint, name):
    (checkpoint / SINGLE).unlink()
    (checkpoint / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    refused(checkpoint, "never a pickle and nothing outside")


def test_an_index_that_lists_what_no_file_holds(checkpoint):
    places = divide(checkpoint)
    (checkpoint / INDEX).write_text(json.dumps({"weight_map": places | {"lost": places["model.norm.weight"]}}))
    refused(checkpoint, "in no file although the index lists them, such as lost")


@pytest.mark.parametrize(
    "name, words",
    [
        ("my-finetune.safetensors", "rename it to model.safetensors"),
        ("model.fp16.safetensors", "rename it to model.safetensors"),
        ("consolidated.safetensors", "Mistral's own form"),
        ("adapter.gguf", "converted already"),
        ("tf_model.h5", "other programs only"),
        ("weights.npz", "other programs only"),
        ("model.pt", "only as pickles .model.pt."),
    ],
)
def test_weights_under_another_name(checkpoint, name, words):
    (checkpoint / SINGLE).rename(checkpoint / name)
    refused(checkpoint, words)


def test_weights_that_the_configuration_names(checkpoint):
    """transformers 5 has a setting for it."""
    (checkpoint / SINGLE).rename(checkpoint / "my-finetune.safetensors")
    edit(checkpoint, transformers_weights="my-finetune.safetensors")
    assert {tensor.file.name for tensor in read(checkpoint).tensors.values()} == {"my-finetune.safetensors"}


def test_never_a_pickle_beside_a_stray_file(checkpoint):
    """The converter would take the pickle, and transformers, too."""
    (checkpoint / "pytorch_model.bin").write_bytes(b"pickle")
    assert len(read(checkpoint).tensors) == 38
    (checkpoint / SINGLE).rename(checkpoint / "ema.safetensors")
    refused(checkpoint, "only as pickles.*ema.safetensors beside it does not count")


def test_weights_in_a_folder_below(checkpoint):
    (checkpoint / "onnx").mkdir()
    shutil.copy(checkpoint / SINGLE, checkpoint / "onnx")
    assert {tensor.file.parent for tensor in read(checkpoint).tensors.values()} == {checkpoint}


def test_the_folder_below_is_named(checkpoint):
    outer = checkpoint.parent / "snapshots"
    outer.mkdir()
    shutil.move(checkpoint, outer / "a1b2c3")
    refused(outer, "its folder a1b2c3 has one")
    refused(outer.parent, "its folder snapshots/a1b2c3 has one")


def test_hidden_files_of_macos(checkpoint):
    for name in (SINGLE, "config.json", "tokenizer.json", "model-00001-of-00002.safetensors"):
        (checkpoint / f"._{name}").write_bytes(b"\0\5\x16\7" + bytes(60))
    assert len(read(checkpoint).tensors) == 38


def test_the_list_of_files():
    """What a repository with everything would cost: nothing from below, no pickles, all of the tokenizer."""
    taken = (
        "config.json generation_config.json tokenizer.json tokenizer.model tokenizer_config.json vocab.json merges.txt "
        "special_tokens_map.json added_tokens.json spiece.model qwen.tiktoken chat_template.jinja chat_template.json "
        "additional_chat_templates/tools.jinja hf_quant_config.json LICENSE LICENSE.txt NOTICE README.md"
    ).split()
    left = (
        "pytorch_model.bin model.safetensors onnx/model.onnx checkpoint-500/config.json original/tokenizer.model a.png "
        "trainer_state.json optimizer.pt modeling_x.py sub/LICENSE fp32/model.safetensors deep/er/README.md"
    ).split()
    assert files.small(taken + left) == sorted(taken)


# What is in the files


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 11547624\n"


@pytest.mark.parametrize("name", [SINGLE, "tokenizer.model", "tokenizer.json", "config.json", "chat_template.jinja"])
@pytest.mark.parametrize(
    "content, words",
    [
        (POINTER, "git lfs pull"),
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><p>", "is a web page"),
        (b" \n", "is empty"),
    ],
)
def test_something_else_under_the_name(checkpoint, name, content, words):
    (checkpoint / name).write_bytes(content)
    refused(checkpoint, f"{name} of copy {words}|{name} of copy is .*{words}")


def test_pointers_in_place_of_shards(checkpoint):
    places = divide(checkpoint)
    for name in set(places.values()):
        (checkpoint / name).write_bytes(POINTER)
    refused(checkpoint, "git lfs pull")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    "content, words", [("[1]", "a list"), ('"text"', "a str"), ("7", "an? int"), ("null", "a None")]
)
def test_json_of_another_form(checkpoint, name, content, words):
    (checkpoint / name).write_text(content)
    refused(checkpoint, f"{name} of copy is JSON of another form: {words}")


@pytest.mark.parametrize(
    "content", [{}, {"model": 1}, {"model": {"vocab": 3}}, {"model": {"vocab": {}}, "added_tokens": [1]}]
)
def test_a_tokenizer_without_a_vocabulary(checkpoint, content):
    (checkpoint / "tokenizer.json").write_text(json.dumps(content))
    refused(checkpoint, "holds no vocabulary")


def test_a_deep_nest_is_no_traceback(checkpoint):
    (checkpoint / "config.json").write_text("[" * 100_000)
    refused(checkpoint, "not valid JSON")


def write_header(path, table, size=8):
    text = json.dumps(table).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))


@pytest.mark.parametrize(
    "entry, words",
    [
        ({"dtype": "F32", "shape": [1.5], "data_offsets": [0, 8]}, "damaged header"),
        ({"dtype": "F32", "shape": [True], "data_offsets": [0, 8]}, "damaged header"),
        ({"dtype": "F32", "shape": ["2"], "data_offsets": [0, 8]}, "damaged header"),
        ({"dtype": "F32", "shape": 2, "data_offsets": [0, 8]}, "damaged header"),
        ({"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}, "damaged header"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}, "damaged header"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0]}, "damaged header"),
        ("text", "damaged header"),
        ({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}, "takes 12 bytes from 0 on"),
        ({"dtype": "F16", "shape": [2], "data_offsets": [0, 8]}, "takes 4 bytes"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, "from 0 on, the header says 4 to 8"),
        ({"dtype": "Q4_0", "shape": [2], "data_offsets": [0, 8]}, "of type 'Q4_0'"),
    ],
)
def test_headers_that_contradict_themselves(tmp_path, entry, words):
    write_header(tmp_path / "a.safetensors", {"a": entry})
    with pytest.raises(CheckpointError, match=words):
        header(tmp_path / "a.safetensors")


def test_two_tensors_in_one_place(tmp_path):
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    write_header(tmp_path / "a.safetensors", {"a": entry, "b": entry})
    with pytest.raises(CheckpointError, match="b in a.safetensors does not fit"):
        header(tmp_path / "a.safetensors")


def test_types_smaller_than_a_byte(tmp_path):
    write_header(tmp_path / "a.safetensors", {"a": {"dtype": "F4", "shape": [4, 4], "data_offsets": [0, 8]}})
    assert header(tmp_path / "a.safetensors")["a"]["shape"] == [4, 4]


@pytest.mark.parametrize("table", [{}, {"__metadata__": {"format": "pt"}}])
def test_a_header_without_tensors(checkpoint, table):
    write_header(checkpoint / SINGLE, table, size=0)
    refused(checkpoint, "has no tensors")


# Weights against the configuration


@pytest.mark.parametrize(
    "change, words",
    [
        (renamed("", "_orig_mod."), "torch.compile put it there"),
        (renamed("model.layers", "_orig_mod.model.layers"), "torch.compile"),
        (renamed("", "base_model.model."), "PEFT put it there.*merge_and_unload"),
        (renamed("q_proj.weight", "q_proj.base_layer.weight"), "not merged.*merge_and_unload"),
        (renamed("", "module."), "DataParallel put it there"),
        (renamed("", "_fsdp_wrapped_module."), "FSDP put it there"),
        (without("layers.2."), "lacks whole layers: 2 of 4"),
        (without("layers.3."), "lacks whole layers: 3 of 4"),
        (without("layers.2.mlp.up_proj"), "layer 2 has no mlp.up_proj.weight"),
        (without("layers.1.input_layernorm"), "layer 1 has no input_layernorm.weight"),
        (without("embed_tokens"), "lacks a tensor: model.embed_tokens"),
        (without("model.norm"), "lacks a tensor: model.norm.weight"),
        (lambda all_: all_ | {"v_head.summary.weight": np.zeros((1, 256), np.float32)}, "a head that judges text"),
        (lambda all_: all_ | {"score.weight": np.zeros((2, 256), np.float32)}, "a head that judges text"),
        (
            lambda all_: {n: v.astype(np.uint8) if "proj" in n else v for n, v in all_.items()},
            "no quantization_config: .* is U8",
        ),
        (
            lambda all_: all_ | {"layers.0.proj.weight.absmax": np.zeros(4, np.float32)},
            "bitsandbytes writes it",
        ),
        (lambda all_: all_ | {"model.layers.0.mlp.up_proj.qweight": np.zeros(4, np.int32)}, "GPTQ or AWQ writes it"),
    ],
)
def test_tensors_that_do_not_fit(checkpoint, change, words):
    reweigh(checkpoint, change)
    refused(checkpoint, words)


@pytest.mark.parametrize(
    "entries, words",
    [
        ({"num_hidden_layers": 3}, "has 4 layers, its configuration says 3"),
        ({"num_hidden_layers": 5}, "lacks whole layers: 4 of 5"),
        ({"vocab_size": 1000}, "vocab_size in config.json is 1000"),
        ({"hidden_size": 512}, "hidden_size in config.json is 512"),
        ({"intermediate_size": 640}, "intermediate_size in config.json is 640"),
        ({"num_key_value_heads": 2}, "num_key_value_heads × head_dim in config.json is 64"),
        ({"head_dim": 64}, "head_dim in config.json is 512"),
        ({"tie_word_embeddings": False}, "lm_head.weight.*tie_word_embeddings"),
        ({"architectures": ...}, "names no architecture"),
        ({"architectures": []}, "names no architecture"),
        ({"architectures": "LlamaForCausalLM"}, "names no architecture"),
        ({"quantization_config": "4bit"}, "quantization_config of copy has another form: a str"),
        ({"quantization_config": [4]}, "another form: a list"),
    ],
)
def test_a_configuration_of_another_model(checkpoint, entries, words):
    config = json.loads((checkpoint / "config.json").read_text())
    if "tie_word_embeddings" in entries and not config.get("tie_word_embeddings"):
        reweigh(checkpoint, without("lm_head"))
    edit(checkpoint, **entries)
    refused(checkpoint, words)


def test_a_judge_inside_the_layers_is_none(checkpoint):
    """Routers of experts have parts that are called so."""
    names = ("router.classifier.weight", "gate.score.weight")
    reweigh(
        checkpoint, lambda all_: all_ | {f"model.layers.0.mlp.{name}": np.zeros((2, 2), np.float32) for name in names}
    )
    assert read(checkpoint).kind == "base"


def test_wide_numbers_are_no_codes(checkpoint):
    reweigh(checkpoint, lambda all_: {name: value.astype(np.float64) for name, value in all_.items()})
    assert read(checkpoint).tensors["model.norm.weight"].dtype == "F64"


def test_one_layer_that_lacks_what_all_others_have(checkpoint):
    """Of a family without a list: hybrids have layers of several kinds, which is no fault."""
    edit(checkpoint, model_type="somebody", architectures=["OlmoForCausalLM"])
    reweigh(checkpoint, without("layers.1.mlp.up_proj"))
    refused(checkpoint, "layer 1 has no mlp.up_proj")
    reweigh(checkpoint, without("layers.2.mlp.up_proj"))
    assert len(read(checkpoint).tensors) == 36


# The tokenizer


def add_tokens(folder, first, count, listed=False):
    """Put tokens into tokenizer.json, and where older converters look if `listed`."""
    added = [{"id": first + i, "content": f"<tool{i}>"} for i in range(count)]
    vocab = {f"t{i}": i for i in range(1024)}
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"type": "BPE", "vocab": vocab}, "added_tokens": added})
    )
    if listed:
        edit(folder, "added_tokens.json", **{token["content"]: token["id"] for token in added})


def resize(folder, rows):
    def change(all_):
        wide = {name for name in all_ if "embed_tokens" in name or "lm_head" in name}
        return {n: np.resize(v, (rows, v.shape[1])) if n in wide else v for n, v in all_.items()}

    reweigh(folder, change)
    edit(folder, vocab_size=rows)


def test_added_tokens_without_embeddings_vanish(checkpoint):
    add_tokens(checkpoint, 1024, 5)
    assert any('vanish: "<tool0>" (1024)' in note and "2 more" in note for note in read(checkpoint).notes)
    (checkpoint / "tokenizer.model").unlink()
    refused(checkpoint, r"resize_token_embeddings\(len\(tokenizer")


def test_added_tokens_with_embeddings(checkpoint):
    resize(checkpoint, 1026)
    add_tokens(checkpoint, 1024, 2)
    assert any("become [PAD…]" in note for note in read(checkpoint).notes)
    add_tokens(checkpoint, 1024, 2, listed=True)
    assert not any("[PAD" in note for note in read(checkpoint).notes)
    (checkpoint / "added_tokens.json").unlink()
    decoder = {str(1024 + i): {"content": f"<tool{i}>"} for i in range(2)}
    edit(checkpoint, "tokenizer_config.json", added_tokens_decoder=decoder)
    assert not any("[PAD" in note for note in read(checkpoint).notes)


def test_a_tokenizer_of_another_model(checkpoint):
    resize(checkpoint, 1000)
    refused(checkpoint, "has 1,024 tokens, the table of embeddings 1,000 rows")


def test_more_embeddings_than_tokens_are_no_fault(checkpoint):
    resize(checkpoint, 1088)
    assert read(checkpoint).tensors["model.embed_tokens.weight"].shape == (1088, 256)


@pytest.mark.parametrize("names", ["vocab.json merges.txt", "qwen.tiktoken", "tekken.json"])
def test_tokenizers_of_other_kinds(checkpoint, names):
    (checkpoint / "tokenizer.model").unlink()
    for name in names.split():
        (checkpoint / name).write_text("{}" if name.endswith(".json") else "a b")
    assert read(checkpoint).kind == "base"
    (checkpoint / names.split()[-1]).unlink()
    refused(checkpoint, "has no tokenizer")


# Kinds


def test_a_chat_template_makes_the_kind(checkpoint):
    assert read(checkpoint).kind == "base" and not read(checkpoint).chat
    (checkpoint / "chat_template.jinja").write_text("{{ messages }}")
    assert read(checkpoint).kind == "causal" and read(checkpoint).chat
    (checkpoint / "chat_template.jinja").unlink()
    edit(checkpoint, "tokenizer_config.json", chat_template=[{"name": "default", "template": "x"}])
    assert read(checkpoint).chat
    edit(checkpoint, "tokenizer_config.json", chat_template="")
    assert not read(checkpoint).chat


@pytest.mark.parametrize(
    "settings",
    [
        {"quant_method": "fp8"},
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "compressed-tensors", "format": "pack-quantized"},
        {"quant_method": "modelopt"},
    ],
)
def test_codes_that_can_be_turned_back(checkpoint, settings):
    edit(checkpoint, quantization_config=settings)
    found = read(checkpoint)
    assert found.kind == "quantized" and any("dequantize=True" in note for note in found.notes)
    assert found.quantization["quant_method"] == settings["quant_method"]


def test_modelopt_in_a_file_of_its_own(checkpoint):
    (checkpoint / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')
    assert read(checkpoint).kind == "quantized"


@pytest.mark.parametrize(
    "settings, method",
    [
        ({"quant_method": "bitsandbytes"}, "bitsandbytes"),
        ({"load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"quant_method": "torchao"}, "torchao"),
        ({"quant_method": "gptq", "bits": 3}, "GPTQ with 3 bits"),
        ({"quant_method": "compressed-tensors", "format": "marlin-24"}, "marlin-24"),
        ({"bits": 4}, "an unnamed method"),
    ],
)
def test_already_quantized(checkpoint, settings, method):
    edit(checkpoint, quantization_config=settings)
    refused(checkpoint, f"{method}.*its model card should name it")
    (checkpoint / "README.md").write_text("---\nbase_model: owner/original\n---\n")
    refused(checkpoint, "made from: owner/original")


def test_settings_of_old_quantizers(checkpoint):
    (checkpoint / "quantize_config.json").write_text('{"bits": 4}')
    refused(checkpoint, "already quantized .gptq., and its settings lie in quantize_config.json only")


@pytest.mark.parametrize(
    "entries, words",
    [
        (
            {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
            "encoder-decoder",
        ),
        ({"is_encoder_decoder": True}, "encoder-decoder"),
        ({"model_type": "bart", "architectures": ["BartForConditionalGeneration"]}, "encoder-decoder"),
        ({"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]}, "speech"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "embeddings or classification"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "embeddings or classification"),
        ({"architectures": ["LlamaModel"]}, "embeddings or classification"),
        ({"architectures": ["ModernBertModel"], "model_type": "modernbert"}, "embeddings or classification"),
        ({"architectures": ["LLaDAModelLM"]}, "diffusion"),
        ({"architectures": ["LlamaForCausalLMEagle3"]}, "helps another model"),
    ],
)
def test_models_that_do_not_write(checkpoint, entries, words):
    edit(checkpoint, **entries)
    refused(checkpoint, words)


def test_an_embedding_model_that_calls_itself_causal(checkpoint):
    """Qwen3-Embedding does; its modules.json is what sentence-transformers reads."""
    (checkpoint / "modules.json").write_text("[]")
    refused(checkpoint, "embeddings or classification")


def test_a_picture_model(tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    refused(tmp_path, "makes pictures")


def test_gguf_files_only(tmp_path):
    for name in ("a-Q4_K_M.gguf", "a-Q8_0.gguf", "README.md"):
        (tmp_path / name).write_text("x")
    refused(tmp_path, "GGUF files only .a-Q4_K_M.gguf, a-Q8_0.gguf")


def test_a_vision_model_says_what_is_left_out(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    text = {key: value for key, value in config.items() if key != "architectures"}
    edit(
        checkpoint, text_config=text, vision_config={"hidden_size": 8}, architectures=["Gemma3ForConditionalGeneration"]
    )
    reweigh(checkpoint, lambda all_: all_ | {"vision_tower.layers.9.mlp.up_proj.weight": np.zeros((2, 2), np.float32)})
    found = read(checkpoint)
    assert found.kind == "vision" and any("without vision_config" in note for note in found.notes)


@pytest.mark.parametrize("entries", [{"model_type": "mamba"}, {"layer_types": ["conv", "full_attention"]}])
def test_recurrent(checkpoint, entries):
    edit(checkpoint, **entries)
    (checkpoint / "chat_template.jinja").write_text("{{ messages }}")
    assert read(checkpoint).kind == "recurrent"


# Adapters


@pytest.fixture
def adapter(tmp_path):
    folder = tmp_path / "lora"
    folder.mkdir()
    edit(folder, "adapter_config.json", base_model_name_or_path="owner/base", peft_type="LORA")
    save_file({"base_model.model.q_proj.lora_A.weight": np.zeros((2, 8), np.float32)}, folder / files.ADAPTER)
    return folder


def test_an_adapter(adapter):
    found = read(adapter)
    assert (found.kind, found.bases) == ("adapter", ("owner/base",)) and files.ADAPTER in found.files


def test_an_adapter_with_its_bases_configuration(adapter, checkpoint):
    """Training programs copy config.json and the tokenizer to it."""
    shutil.copy(checkpoint / "config.json", adapter)
    assert read(adapter).kind == "adapter"


def test_an_adapter_beside_a_whole_model(adapter, checkpoint):
    shutil.copytree(checkpoint, adapter, dirs_exist_ok=True)
    assert read(adapter).kind == "base"


@pytest.mark.parametrize("base", [..., None, "", 3])
def test_an_adapter_without_a_base(adapter, base):
    edit(adapter, "adapter_config.json", base_model_name_or_path=base)
    refused(adapter, "names no base model")
    (adapter / "README.md").write_text("---\nbase_model: owner/other\n---\n")
    assert read(adapter).bases == ("owner/other",)


def test_an_adapter_as_a_pickle(adapter):
    (adapter / files.ADAPTER).rename(adapter / "adapter_model.bin")
    refused(adapter, "only a pickle")
    (adapter / "adapter_model.bin").unlink()
    refused(adapter, "are missing")


# Architectures


def test_the_table_is_that_of_the_converter():
    """Asking the program itself gives the same names, in seconds in place of milliseconds."""
    import subprocess
    import sys
    import time

    tools = llama_tools.tools()
    command = [sys.executable, str(tools / "convert_hf_to_gguf.py"), "--print-supported-models"]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    architectures.text_models.cache_clear()
    started = time.perf_counter()
    found = architectures.text_models(tools)
    assert time.perf_counter() - started < 1
    printed = set(said.split())
    assert len(found) > 200 and sum(name in printed for name in found) > 0.95 * len(found)


@pytest.mark.parametrize(
    "config, name",
    [
        ({"architectures": ["LlamaForCausalLM"]}, "LlamaForCausalLM"),
        ({"architectures": ["A"], "text_config": {"architectures": ["B"]}}, "B"),
        ({"architectures": ["A"], "llm_config": {"architectures": ["B"]}, "vision_config": {}}, "B"),
        (
            {"architectures": ["StepVLForX"], "text_config": {"architectures": ["B"]}},
            "StepVLForX",
        ),
        ({"architectures": ["A"], "text_config": {}}, "A"),
        ({"ssm_cfg": {"layer": "Mamba2"}}, "Mamba2ForCausalLM"),
        ({"ssm_cfg": {}}, "MambaForCausalLM"),
        ({"architectures": None}, None),
        ({"architectures": [7]}, None),
    ],
)
def test_the_name_by_which_the_converter_chooses(config, name):
    assert architectures.name_of(config) == name


def test_an_architecture_that_the_converter_lacks():
    architectures.check({"architectures": ["Qwen3ForCausalLM"]}, "it")
    with pytest.raises(CheckpointError, match="it is a OPTForCausalLM. The converter does not know"):
        architectures.check({"architectures": ["OPTForCausalLM"]}, "it")
    with pytest.raises(CheckpointError, match="the converter calls MPTForCausalLM"):
        architectures.check({"architectures": ["MptForCausalLM"]}, "it")


def test_another_tree_without_the_table(tmp_path):
    (tmp_path / "conversion").mkdir()
    (tmp_path / "conversion" / "__init__.py").write_text("X = {}\n")
    with pytest.raises(CheckpointError, match="has no table of architectures"):
        architectures.text_models(tmp_path)


# Anything at all


@pytest.mark.parametrize(
    "name", ["tokenizer_config.json", "tokenizer.json", "added_tokens.json", "generation_config.json", INDEX]
)
def test_odd_values_in_every_small_file(checkpoint, name):
    """A result or our error, never a traceback."""
    keys = "added_tokens_decoder chat_template model added_tokens weight_map metadata vocab a".split()
    odd = [None, [], {}, "x", -1, 1.5, True, ["x"], {"a": 1}, {"1": {}}, {"vocab": ["x"]}, {"vocab": {"a": "b"}}]
    for key in keys:
        for value in odd:
            (checkpoint / name).write_text(json.dumps({key: value}))
            try:
                read(checkpoint)
            except CheckpointError as error:
                assert str(error).count(". ") >= 1


@pytest.mark.parametrize("key", ["dtype", "shape", "data_offsets"])
def test_odd_values_in_a_header(tmp_path, key):
    good = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    for value in (None, [], {}, "x", -1, 1.5, True, ["x"], [None], [[1]], {"a": 1}, [0, 8, 9], [2**70, 2**71], [1e300]):
        write_header(tmp_path / "a.safetensors", {"a": good | {key: value}})
        if (key, value) == ("shape", []):
            continue
        with pytest.raises(CheckpointError):
            header(tmp_path / "a.safetensors")


def test_a_tokenizer_model_of_another_format(checkpoint):
    for content in (b"{}", b"\x0a\xff", b"\x0a\x01" * 50, b"IQ== 0\nIg== 1\n", bytes(100)):
        (checkpoint / "tokenizer.model").write_bytes(content)
        assert read(checkpoint).kind == "base"
