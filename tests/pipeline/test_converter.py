"""What the converter is given and what it remarks: its folder, its metadata, its warnings. All with the real one."""

import json
import pickle
import shutil
import warnings
from pathlib import Path

import gguf
import numpy as np
import pytest
import tiny_checkpoints as tiny

from helpers import artifacts
from helpers.errors import CheckpointError, InputError, ResourceError
from helpers.pipeline import convert, converter, gguf_file, llama_tools, origin, view
from helpers.pipeline.checkpoint import read


def metadata(folder: Path, **options) -> dict:
    return convert.summary(convert.to_gguf(folder, "f16", **options)).metadata


# The folder


class Trap:
    """A pickle that makes a file when somebody loads it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_beside_safetensors_of_another_name_is_not_read(elsewhere, tmp_path):
    """The converter looks for model*.safetensors and else takes pytorch_model.bin, without a word."""
    folder = tiny.write(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "my-finetune.safetensors")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "loaded")))
    with pytest.raises(CheckpointError, match="only as pickles"):
        convert.to_gguf(folder, "f32")
    config = json.loads((folder / "config.json").read_text()) | {"transformers_weights": "my-finetune.safetensors"}
    (folder / "config.json").write_text(json.dumps(config))
    made = convert.summary(convert.to_gguf(folder, "f32"))
    assert len(made.tensors) == len(tiny.llama_tensors()) and not (tmp_path / "loaded").exists()


def test_the_converter_sees_neither_programs_nor_cards_nor_other_weights(tmp_path):
    folder = tiny.write(tmp_path / "model")
    for name in (
        "README.md",
        "tokenization_evil.py",
        "pytorch_model.bin",
        "model.safetensors.index.json",
        "._config.json",
    ):
        (folder / name).write_text("---\n: [odd\n---\n")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tools.jinja").write_text("{{ messages }}")
    (folder / "checkpoint-500").mkdir()
    names = [str(path.relative_to(folder)) for path in view.small_files(folder)]
    expected = ["additional_chat_templates/tools.jinja", "config.json", "tokenizer.model", "tokenizer_config.json"]
    assert sorted(names) == expected


def test_weights_are_named_not_copied(elsewhere, tmp_path):
    folder = tiny.write(tmp_path / "model")
    source = read(folder)
    view.make(source, tmp_path / "view", origin.of(source))
    assert not list((tmp_path / "view").glob("*.safetensors"))
    index = json.loads((tmp_path / "view" / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {name: str(folder / "model.safetensors") for name in source.tensors}


def test_shards_and_links_as_the_hub_keeps_them(elsewhere, tmp_path):
    """The Hub's cache holds links to files that are named by their checksums."""
    from safetensors.numpy import save_file

    folder = tiny.write(tmp_path / "model")
    tensors, blobs = tiny.llama_tensors(), tmp_path / "blobs"
    blobs.mkdir()
    weight_map = {}
    for i, names in enumerate((list(tensors)[:4], list(tensors)[4:]), 1):
        name = f"model-0000{i}-of-00002.safetensors"
        save_file({n: tensors[n] for n in names}, blobs / f"{i}abc")
        (folder / name).symlink_to(blobs / f"{i}abc")
        weight_map |= dict.fromkeys(names, name)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    for tensor in gguf.GGUFReader(convert.to_gguf(folder, "f32")).tensors:
        if tensor.name == "output.weight":
            assert np.array_equal(tensor.data, tensors["lm_head.weight"])


# Metadata

ODD_CARDS = {
    "no YAML": "---\nlicense: [unclosed\n  - : :\n---\n",
    "a date and a number": "---\nlicense: 2024-01-01\nbase_model: 7\nlanguage: no\n---\n",
    "numbers as names": "---\nmodel_name: 12\nlicense:\n  name: x\ntags: {a: b}\n---\n",
    "not closed": "---\nlicense: mit\n",
    "not UTF-8": b"---\nlicense: \xff\xfe\n---\n",
}


@pytest.mark.parametrize("card", ODD_CARDS.values(), ids=ODD_CARDS)
def test_an_odd_model_card_stops_nothing(elsewhere, tmp_path, card):
    folder = tiny.write(tmp_path / "my-model")
    (folder / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode())
    assert metadata(folder)["general.name"] == "My Model"


def test_what_is_known_of_the_origin_stands_in_the_file(elsewhere, tmp_path):
    models = artifacts.folder("models")
    folder = tiny.write(models / "ada--Tiny-Chat-7b--0123abcd", _name_or_path="meta-llama/Llama-2-7b-hf")
    origin.remember(folder, "ada/Tiny-Chat-7b", "0123abcd" * 5)
    (folder / "README.md").write_text(
        "---\nlicense: other\nlicense_name: mine\nlicense_link: L.txt\nlanguage: [no, en]\ntags: [a]\n---\n"
    )
    found = metadata(folder, metadata={"general.author": "Ada"})
    assert found["general.name"] == "Tiny Chat 7b"
    assert found["general.organization"] == "ada" and found["general.author"] == "Ada"
    assert found["general.license"] == "other" and found["general.license.name"] == "mine"
    assert found["general.license.link"].endswith(f"/ada/Tiny-Chat-7b/blob/{'0123abcd' * 5}/L.txt") and found[
        "general.languages"
    ] == ["no", "en"]
    assert found["general.base_model.0.repo_url"] == "https://huggingface.co/ada/Tiny-Chat-7b"
    assert llama_tools.COMMIT[:9] in found["general.quantized_by"]


def test_smollm2_says_who_it_is(smollm2):
    about = origin.of(read(smollm2))
    assert about.title == "SmolLM2 135M Instruct" and about.licence == "apache-2.0"
    assert about.metadata["general.base_models"][0]["repo_url"].endswith("/HuggingFaceTB/SmolLM2-135M-Instruct")


def test_the_base_model_of_a_local_folder_comes_from_its_card(tmp_path):
    folder = tiny.write(tmp_path / "tuned")
    (folder / "README.md").write_text("---\nbase_model:\n- ada/base\n- https://huggingface.co/bob/other\n- odd\n---\n")
    urls = [base.get("repo_url") for base in origin.of(read(folder)).metadata["general.base_models"]]
    assert urls == ["https://huggingface.co/ada/base", "https://huggingface.co/bob/other", None]


@pytest.mark.parametrize("name", ["my-phi3-tuned", "Phi-3", "PHI3"])
def test_phi3_in_a_name_is_harmless(elsewhere, tmp_path, name):
    """llama.cpp reacts to the name in the file: it would refuse this one for want of <|endoftext|>."""
    from helpers.pipeline import runtime

    path = convert.to_gguf(tiny.write(tmp_path / name), "f16")
    assert "phi 3" in convert.summary(path).metadata["general.name"].lower()
    runtime.load(path, n_ctx=64).close()


def test_a_real_phi3_keeps_the_name_that_llama_cpp_reacts_to(tmp_path):
    folder = tiny.write(tmp_path / "tuned", model_type="phi3")
    assert origin.of(read(folder)).title == "Tuned"
    added = [{"content": "<|endoftext|>", "rstrip": False}, {"content": "<|end|>", "rstrip": True}]
    said = {"added_tokens": added, "model": {"vocab": {"<s>": 1, "</s>": 2, "<unk>": 0}}}
    (folder / "tokenizer.json").write_text(json.dumps(said))
    assert origin.of(read(folder)).title == "Tuned (Phi-3)"
    named = Path(shutil.copytree(folder, tmp_path / "Phi-3-mini"))
    assert origin.of(read(named)).title == "Phi-3 Mini"


# Remarks


def test_a_real_remark_of_the_converter_is_shown_now_and_when_the_file_is_reused(elsewhere, tmp_path):
    tensors = tiny.llama_tensors()
    tensors["model.layers.0.mlp.down_proj.weight"] = np.ones((tiny.WIDTH, 50), np.float32)
    for part in ("gate", "up"):
        tensors[f"model.layers.0.mlp.{part}_proj.weight"] = np.ones((50, tiny.WIDTH), np.float32)
    folder = tiny.write(tmp_path / "narrow", tensors, intermediate_size=50)
    for _ in range(2):
        with pytest.warns(converter.ConverterWarning, match="Q8_0.gguf: .*falling back to F16"):
            convert.to_gguf(folder, "q8_0")


def test_a_usual_model_comes_without_a_word(elsewhere, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert.to_gguf(tiny.write(tmp_path / "model"), "f16")


def test_many_alike_are_one():
    said = [f"ignore token {i}: id is out of range, max={9}" for i in range(10, 14)]
    usual = ["", "**** WARNING", "Trying to load config.json instead", "Unknown RoPE type: default"]
    assert converter.worth_showing([*usual, *said, "other"]) == [f"{said[0]} (and 3 more like it)", "other"]


# Keys that transformers leaves out


@pytest.mark.parametrize("written_by", ["transformers 4", "transformers 5"])
@pytest.mark.parametrize("architecture", ["gpt_neox", "cohere2"])
def test_a_key_that_transformers_drops_is_read_from_the_file(elsewhere, tmp_path, smollm2, architecture, written_by):
    import torch
    from transformers import AutoModelForCausalLM, Cohere2Config, GPTNeoXConfig

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    kind = {"gpt_neox": GPTNeoXConfig, "cohere2": Cohere2Config}[architecture]
    torch.manual_seed(0)
    folder = tmp_path / architecture
    AutoModelForCausalLM.from_config(kind(vocab_size=49152, **sizes)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(smollm2 / name, folder)
    rotated = {"gpt_neox": 4, "cohere2": 16}[architecture]  # a quarter of a head, all of it
    if written_by == "transformers 4":
        config = json.loads((folder / "config.json").read_text())
        config |= {"rotary_pct": rotated / 16, "rope_theta": 10000.0}
        del config["rope_parameters"]
        (folder / "config.json").write_text(json.dumps(config))
    name = architecture.replace("_", "")
    assert metadata(folder)[f"{name}.rope.dimension_count"] == rotated


def test_the_pinned_converter_stays_as_it_is():
    assert llama_tools.fingerprint(llama_tools.tools()) == llama_tools.SHA256


# Parts, quantized checkpoints, pictures


def test_a_file_in_parts(elsewhere, tmp_path):
    folder = tiny.write(tmp_path / "large", tiny.llama_tensors(layers=2), num_hidden_layers=2, hidden_size=tiny.WIDTH)
    tensors = tiny.llama_tensors()
    tensors |= {name: np.tile(tensors[name], (16, 1)) for name in ("model.embed_tokens.weight", "lm_head.weight")}
    tiny.write(folder, tensors, vocab_size=16 * tiny.VOCABULARY)
    first = convert.to_gguf(folder, "f16", split_bytes=1_100_000)
    parts = sorted(first.parent.glob("*-of-*.gguf"))
    assert parts[0] == first and first.name.endswith("-F16-00001-of-00002.gguf") and len(parts) == 2
    assert convert.to_gguf(folder, "f16", split_bytes=1_100_000) == first
    whole = convert.to_gguf(folder, "f16")
    assert whole != first and first.exists()
    small = convert.requantize(first, "Q4_0")
    assert small.name == f"{artifacts.key(folder)}-Q4_0.gguf"
    from_parts = convert.summary(small).tensors
    assert from_parts == convert.summary(convert.requantize(whole, "Q4_0")).tensors
    parts[1].write_bytes(b"cut")
    assert convert.to_gguf(folder, "f16", split_bytes=1_100_000) == first and parts[1].stat().st_size > 1000


def test_one_part_is_no_part(elsewhere, tmp_path):
    assert convert.to_gguf(tiny.write(tmp_path / "model"), "f16", split_bytes=10**9).name.endswith("-F16.gguf")
    with pytest.raises(InputError, match="Parts so small"):
        convert.to_gguf(tmp_path / "model", split_bytes=1000)


def test_mmproj_of_a_model_without_eyes(elsewhere, tmp_path):
    with pytest.raises(Exception, match="does not know this architecture|config.json lacks"):
        convert.mmproj(tiny.write(tmp_path / "model"))
    with pytest.raises(InputError, match="cannot write 'q4'"):
        convert.mmproj(tmp_path / "model", "q4")


def of_kind(folder: Path, kind: str):
    """A checkpoint that the reader of folders calls so."""
    source = read(tiny.write(folder))
    object.__setattr__(source, "kind", kind)
    return source


def test_an_adapter_is_sent_to_be_merged(elsewhere, tmp_path):
    with pytest.raises(CheckpointError, match=r"changes to a model, not the model.*adapters\.merge"):
        convert.to_gguf(of_kind(tmp_path / "adapter", "adapter"))


def test_of_a_vision_model_the_text_part_is_converted_and_that_is_said(elsewhere, tmp_path):
    with pytest.warns(converter.ConverterWarning, match="the text part only; mmproj"):
        convert.to_gguf(of_kind(tmp_path / "seeing", "vision"))


def test_a_folder_that_cannot_be_copied(elsewhere, tmp_path, monkeypatch):
    folder = tiny.write(tmp_path / "model")
    monkeypatch.setattr("shutil.copyfile", lambda *given: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ResourceError, match="could not be copied for the converter: No space left"):
        convert.to_gguf(folder)


def test_gptq_in_4_bits_is_turned_back(elsewhere, tmp_path):
    """Eight codes in each number of 32 bits, zero points stored less one: w = scale · (code − zero)."""
    import torch
    from safetensors.torch import save_file

    name = "model.layers.0.mlp.up_proj"
    tensors = {n: torch.from_numpy(x) for n, x in tiny.llama_tensors().items()}
    del tensors[f"{name}.weight"]
    codes = np.random.default_rng(0).integers(0, 16, (tiny.WIDTH, tiny.INNER))  # (in, out)
    packed = sum(codes[i::8].astype(np.int64) << (4 * i) for i in range(8)).astype(np.uint32).view(np.int32)
    zeros = np.full((1, tiny.INNER // 8), sum(7 << (4 * i) for i in range(8)), np.uint32).view(np.int32)
    tensors |= {
        f"{name}.qweight": torch.from_numpy(packed),
        f"{name}.qzeros": torch.from_numpy(zeros),
        f"{name}.scales": torch.full((1, tiny.INNER), 0.25, dtype=torch.float16),
        f"{name}.g_idx": torch.zeros(tiny.WIDTH, dtype=torch.int32),
    }
    folder = tiny.write(tmp_path / "model", quantization_config={"quant_method": "gptq", "bits": 4})
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    source = read(folder)
    with pytest.warns(converter.ConverterWarning, match="gptq once"):
        path = convert.to_gguf(source, "f32", dequantize=True)
    [found] = [t.data for t in gguf.GGUFReader(path).tensors if t.name == "blk.0.ffn_up.weight"]
    assert np.array_equal(found, 0.25 * (codes.T - 8))


FP8 = {  # how it is called → the name of its scales, their shape, further settings
    "fp8": ("_scale_inv", (), {}),
    "modelopt": ("_scale", (), {"quant_algo": "FP8"}),
    "compressed-tensors": (
        "_scale",
        (tiny.INNER, 1),
        {
            "format": "float-quantized",
            "config_groups": {"0": {"weights": {"strategy": "channel", "num_bits": 8, "type": "float"}}},
        },
    ),
}


@pytest.mark.parametrize("method", FP8)
def test_a_quantized_checkpoint_is_converted_only_when_asked_for(elsewhere, tmp_path, method):
    import torch
    from safetensors.torch import save_file

    suffix, shape, settings = FP8[method]
    name = "model.layers.0.mlp.up_proj.weight"
    tensors = {n: torch.from_numpy(x) for n, x in tiny.llama_tensors().items()}
    exact = tensors[name].clone()
    tensors[name] = (exact * 100).to(torch.float8_e4m3fn)
    tensors[name + suffix] = torch.full(shape, 0.01)
    folder = tiny.write(tmp_path / "model", quantization_config={"quant_method": method, **settings})
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    source = read(folder)
    with pytest.raises(CheckpointError, match=rf"\({method}\).*dequantize=True"):
        convert.to_gguf(source, "f32")
    with pytest.warns(converter.ConverterWarning, match=f"{method} once: the GGUF keeps that loss"):
        path = convert.to_gguf(source, "f32", dequantize=True)
        assert gguf_file.is_whole(convert.sixteen_bits(source, dequantize=True))
    [found] = [t.data for t in gguf.GGUFReader(path).tensors if t.name == "blk.0.ffn_up.weight"]
    assert np.allclose(found, exact, rtol=2**-4, atol=1e-4) and not np.array_equal(found, exact)


@pytest.mark.parametrize("method", ["bitsandbytes", "awq"])
def test_what_the_converter_cannot_turn_back_is_refused_naming_the_base(elsewhere, tmp_path, method):
    folder = tiny.write(tmp_path / "model")
    (folder / "README.md").write_text("---\nbase_model: ada/base\n---\n")
    source = read(folder)
    source.config["quantization_config"] = {"quant_method": method}
    with pytest.raises(CheckpointError, match=f"{method}.*base model instead: ada/base"):
        convert.to_gguf(source, "f32", dequantize=True)


def test_a_vision_models_two_files(elsewhere, tmp_path, smollm2):
    import torch
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    text = sizes | {
        "model_type": "llama",
        "vocab_size": 49152,
        "pad_token_id": 0,
        "architectures": ["VLlama3ForCausalLM"],
    }
    eyes = sizes | {"image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    config = Idefics3Config(text_config=text, vision_config=eyes, scale_factor=2, pad_token_id=0)
    folder = tmp_path / "seeing"
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(smollm2 / name, folder)
    side = {"longest_edge": 32}
    pictures = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": side, "max_image_size": side}
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    text_part, eyes_part = convert.summary(convert.to_gguf(folder, "f16")), convert.summary(convert.mmproj(folder))
    assert text_part.metadata["general.architecture"] == "llama"
    assert eyes_part.metadata["general.type"] == "mmproj" and eyes_part.path.name.endswith("-mmproj-F16.gguf")
    assert all(t.name.startswith(("v.", "mm.")) for t in eyes_part.tensors)
    assert not any(t.name.startswith(("v.", "mm.")) for t in text_part.tensors)
