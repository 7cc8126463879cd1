"""A model folder is read once, and refused in plain words when something is missing or damaged."""

import json

import pytest

from helpers.errors import CheckpointError
from helpers.pipeline import checkpoint as module
from helpers.pipeline import convert
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


@pytest.mark.parametrize("name", ["tokenization_odd.py", "code/modeling_odd.py", ".hidden/configuration_odd.py"])
def test_code_in_the_folder_is_refused_and_not_run(checkpoint, elsewhere, tmp_path, name):
    """The converter trusts remote code for some models (GLM among them), as `auto_map` of the tokenizer asks it to."""
    code = checkpoint / name
    code.parent.mkdir(exist_ok=True)
    code.write_text(f"open({str(tmp_path / 'it ran')!r}, 'w')")
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["x.Odd", None]}}))
    with pytest.raises(CheckpointError, match="brings code of its own"):
        convert.to_gguf(checkpoint, "f16")
    assert not (tmp_path / "it ran").exists() and not list(elsewhere.rglob("*.gguf"))


def test_no_tokenizer(checkpoint):
    (checkpoint / "tokenizer.model").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        read(checkpoint)


def test_damaged_configuration(checkpoint):
    (checkpoint / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read(checkpoint)


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq"])
def test_already_quantized(checkpoint, method):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": method}}))
    with pytest.raises(CheckpointError, match=f"already quantized \\({method}\\)"):
        read(checkpoint)


def test_pickles_only(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="runs code"):
        read(checkpoint)


def test_no_weights(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        read(checkpoint)


def test_missing_shard(checkpoint):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="1 of 2 weight files are missing.*00002-of-00002"):
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


def test_every_tensor_counts_whatever_its_name(checkpoint):
    """torch.compile puts `_orig_mod.` before names; only `__metadata__` is no tensor."""
    damage(checkpoint, "model.safetensors", lambda data: data.replace(b'"model.norm.weight"', b'"_orig_mod.weight_"'))
    assert "_orig_mod.weight_" in read(checkpoint).tensors and "__metadata__" not in read(checkpoint).tensors


def test_shards_are_read_as_one_table(checkpoint):
    from safetensors.numpy import load_file, save_file

    whole = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    names = sorted(whole)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, inside in parts.items():
        save_file({name: whole[name] for name in inside}, checkpoint / file)
    weight_map = {name: file for file, inside in parts.items() for name in inside}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert {name: tensor.file.name for name, tensor in read(checkpoint).tensors.items()} == weight_map


def test_converting_reads_the_headers_once(checkpoint, elsewhere, monkeypatch):
    read_headers, original = [], module.header
    monkeypatch.setattr(module, "header", lambda path: read_headers.append(path) or original(path))
    convert.to_gguf(checkpoint, "f16")
    assert len(read_headers) == 1
