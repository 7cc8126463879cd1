"""The README's picture: the files of a shape, made by the real tools."""

from helpers.figures import pipeline as figures
from tools import overview

SMALL = overview.TINYLLAMA | {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "vocab_size": 1024,
}


def test_ten_files_of_a_shape_without_its_weights(elsewhere, tmp_path):
    found = overview.files(overview.zeros(SMALL, tmp_path / "zeros"))
    assert [file.file_type for file in found] == ["F16", *overview.TYPES]
    layer = 4 * 256 * 256 + 3 * 256 * 512 + 2 * 256
    assert {file.parameters for file in found} == {2 * 1024 * 256 + layer + 256}
    sizes = {file.file_type: file.tensor_bytes for file in found}
    assert sizes["F16"] > sizes["Q8_0"] > sizes["Q6_K"] > sizes["Q5_K_M"] > sizes["Q4_K_M"] > sizes["Q2_K"]
    labels = [tick.get_text() for tick in figures.type_sizes(found, "title").axes[0].get_yticklabels()]
    assert labels[::-1] == ["F16", *overview.TYPES]
    assert not list(elsewhere.rglob("*.gguf")), "gigabytes are not left behind"


def test_it_is_tinyllamas_shape():
    from transformers import LlamaConfig

    from helpers.pipeline.catalogue import CATALOGUE

    config = LlamaConfig(**overview.TINYLLAMA)
    d, kv = config.hidden_size, config.hidden_size // config.num_attention_heads * config.num_key_value_heads
    layer = 2 * d * d + 2 * kv * d + 3 * d * config.intermediate_size + 2 * d
    assert config.num_hidden_layers * layer + 2 * config.vocab_size * d + d == CATALOGUE["tinyllama"].parameters
