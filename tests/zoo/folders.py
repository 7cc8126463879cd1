"""Rows about weights and files: types, shards, names, what is missing, damaged or foreign."""

from . import changes as c
from .variant import Variant

FIRST = "model.layers.0.mlp.up_proj.weight"
UP = "model.layers.1.mlp.up_proj.weight"
QUANTIZED = "probably quantized"  # the diagnosis that every unknown tensor got
CODE = """import os
with open(os.environ.get("ZOO_MARK", os.devnull), "w") as mark:
    mark.write("code of the checkpoint was run")
from transformers import PreTrainedTokenizerFast as Odd
"""
AUTO_MAP = {"AutoTokenizer": ["odd.Odd", "odd.Odd"]}


def _twice(folder):
    """The index and shards of one save, the single file of another, as transformers leaves them."""
    older = c.load(folder)
    c.shard(2)(folder)
    c.save({name: value.flip(0) for name, value in older.items()}, folder)


def _merged(folder):
    from helpers.pipeline import adapters

    return adapters.merge(folder, c.base_of(folder))


ROWS = [
    Variant("f16", dtype="float16", outtype="f16"),
    Variant("bf16", dtype="bfloat16", outtype="bf16"),
    Variant("bf16-to-f16", dtype="bfloat16", outtype="f16"),
    Variant("f64", dtype="float64"),
    Variant("q8_0", outtype="q8_0"),
    Variant("mixed-types", changes=(c.as_type("mlp", "bfloat16"), c.as_type("self_attn", "float16"))),
    Variant("tied", settings={"tie_word_embeddings": True}),
    Variant(
        "tied-with-own-head",
        settings={"tie_word_embeddings": True},
        changes=(c.extra("lm_head.weight", (1024, 64)),),
        note="config.json says tied, the file holds a head: transformers and the converter both take the head",
    ),
    Variant(
        "untied-without-head",
        changes=(c.drop("lm_head"),),
        refused="lm_head",
        note="config.json promises a head of its own, the file has none",
    ),
    Variant("sharded", changes=(c.shard(3),)),
    Variant("sharded-other-names", changes=(c.shard(2, "part{}of{}.safetensors"),)),
    Variant(
        "shards-without-index",
        changes=(c.shard(3), c.delete("model.safetensors.index.json")),
        note="transformers cannot load it; the converter can",
    ),
    Variant(
        "shard-missing",
        changes=(c.shard(3), c.delete("model-00002-of-00003.safetensors")),
        refused="00002",
        note="a file that the index names is not there",
    ),
    Variant(
        "index-and-single",
        changes=(_twice,),
        note="transformers takes the single file, the converter the index",
    ),
    Variant(
        "other-name",
        changes=(c.move(c.WEIGHTS, "my-finetune.safetensors"),),
        refused="my-finetune",
        note="transformers reads model.safetensors and what an index names",
    ),
    Variant(
        "consolidated",
        changes=(c.move(c.WEIGHTS, "consolidated.safetensors"),),
        refused="consolidated",
        note="the name of Mistral's own format",
    ),
    Variant(
        "pickle-only",
        changes=(c.pickle(), c.delete(c.WEIGHTS)),
        refused="pickle",
        note="loading a pickle runs whatever its author put there",
    ),
    Variant("pickle-beside", changes=(c.pickle(),), note="the safetensors file is read"),
    Variant(
        "pickle-and-stray",
        changes=(c.pickle(), c.move(c.WEIGHTS, "ema.safetensors")),
        refused="pickle|ema.safetensors",
        note="a pickle, beside a safetensors file of another name",
    ),
    Variant("macos", changes=(c.write("._model.safetensors", b"\0\5\x16\7" + b"\0" * 60),)),
    Variant("subfolders", changes=(c.copy_into("checkpoint-500"),), note="only the top level is read"),
    Variant(
        "lfs-weights",
        changes=(c.lfs_pointer(c.WEIGHTS),),
        refused="git lfs pull",
        note="cloned without Git LFS: a pointer of three lines",
    ),
    Variant(
        "lfs-tokenizer",
        changes=(c.lfs_pointer("tokenizer.model"), c.delete("tokenizer.json")),
        refused="git lfs pull",
        note="the same for tokenizer.model",
    ),
    Variant(
        "lfs-tokenizer-json",
        changes=(c.lfs_pointer("tokenizer.json"), c.delete("tokenizer.model")),
        refused="git lfs pull",
        note="the same for tokenizer.json",
    ),
    Variant(
        "empty-weights",
        changes=(c.write(c.WEIGHTS, b""),),
        refused="empty",
        note="a file of 0 bytes",
    ),
    Variant(
        "html-config",
        changes=(c.write("config.json", "<!doctype html><title>404</title>"),),
        refused="config",
        note="a web page saved as config.json",
    ),
    Variant(
        "list-config",
        changes=(c.write("config.json", "[1]"),),
        refused="config",
        note="JSON, but no object",
    ),
    Variant(
        "orig-mod",
        changes=(c.rename_tensors("", "_orig_mod."),),
        refused="_orig_mod",
        note="saved from a model that torch.compile had wrapped",
        unsaid=QUANTIZED,
    ),
    Variant(
        "module-prefix",
        changes=(c.rename_tensors("", "module."),),
        refused="module\\.",
        unsaid=QUANTIZED,
        note="saved from DataParallel",
    ),
    Variant(
        "peft-prefix",
        changes=(c.rename_tensors("", "base_model.model."),),
        refused="base_model",
        unsaid=QUANTIZED,
        note="saved from a PEFT model",
    ),
    Variant(
        "base-layer",
        changes=(c.rename_tensors("q_proj.weight", "q_proj.base_layer.weight"),),
        refused="base_layer",
        unsaid=QUANTIZED,
        note="saved from a LoRA model without merging",
    ),
    Variant(
        "value-head",
        changes=(c.extra("v_head.summary.weight", (1, 64)), c.extra("v_head.summary.bias", (1,))),
        refused="v_head",
        unsaid=QUANTIZED,
        note="trained with TRL: a head that no language model has",
    ),
    Variant(
        "layer-missing",
        changes=(c.drop("layers.1.mlp.up_proj"),),
        refused="up_proj",
        note="one tensor is not there",
    ),
    Variant("layers-missing", changes=(c.drop("layers.1."),), refused="whole layers", note="one layer is not there"),
    Variant(
        "layers-too-many",
        changes=(c.config(num_hidden_layers=1),),
        refused="layers",
        unsaid=QUANTIZED,
        note="a layer more than config.json says",
    ),
    Variant(
        "wrong-width",
        changes=(c.config(intermediate_size=128),),
        refused="128",
        note="shapes and config.json disagree",
    ),
    Variant(
        "uint8",
        changes=(c.as_type("proj", "uint8"),),
        refused="u8|uint8|integer",
        note="codes without quantization_config",
    ),
    Variant(
        "fp8-without-scales",
        changes=(c.as_type("proj", "float8_e4m3fn"),),
        refused="F8_E4M3",
        note="codes without quantization_config",
    ),
    Variant(
        "nan",
        changes=(c.put(UP, float("nan")),),
        refused="up_proj",
        note="one weight is not a number",
    ),
    Variant(
        "infinite",
        changes=(c.put(UP, float("inf")),),
        refused="up_proj",
        note="one weight is infinite",
    ),
    Variant(
        "large-in-f16",
        dtype="bfloat16",
        outtype="f16",
        changes=(c.put(FIRST, 1e5),),
        refused="up_proj",
        note="100000 is infinite in F16",
    ),
    Variant("large-in-bf16", dtype="bfloat16", outtype="bf16", changes=(c.put(FIRST, 1e5),)),
    Variant("fp8", changes=(c.fp8(),), refused="dequantize=True", note="converts when asked for: next row"),
    Variant(
        "fp8-dequantized",
        changes=(c.fp8(),),
        options={"dequantize": True},
        unproven="logits",
        note="transformers needs accelerate to load it",
    ),
    Variant("gptq", changes=(c.gptq(),), refused="dequantize=True", note="converts when asked for: next row"),
    Variant(
        "gptq-dequantized",
        changes=(c.gptq(),),
        options={"dequantize": True},
        unproven="logits",
        note="transformers needs optimum to load it",
    ),
    Variant(
        "bitsandbytes",
        changes=(c.config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),),
        refused="bitsandbytes",
        note="quantized already; convert the model it was made from",
    ),
    Variant(
        "awq",
        changes=(c.config(quantization_config={"quant_method": "awq", "bits": 4}),),
        refused="awq",
        note="quantized already; convert the model it was made from",
    ),
    Variant("lora", changes=(c.lora(),), refused="adapters.merge", note="an adapter is not the model"),
    Variant("lora-merged", changes=(c.lora(),), ready=_merged, note="merged into its base model first"),
    Variant(
        "remote-code",
        "glm",
        changes=(c.write("odd.py", CODE), c.tokenizer_config(auto_map=AUTO_MAP, tokenizer_class="Odd")),
        refused="code|auto_map|odd\\.py",
        note="the tokenizer is a program in the folder",
    ),
    Variant(
        "odd-readme",
        changes=(c.write("README.md", "---\nlicense: [unclosed\ntags: {a: b: c}\n---\n# x\n"),),
        note="the card's YAML is broken",
    ),
    Variant("{ftype} model", note="the converter takes braces in a name for a template"),
    Variant("Übung 模型"),
    Variant(
        "my phi3 notes",
        note="llama.cpp looks for Phi-3's tokens in every model whose name contains phi3",
    ),
]
