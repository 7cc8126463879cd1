"""Rows about config.json: shapes, windows, rotations, and keys that llama.cpp ignores."""

from . import changes as c
from .architectures import YARN
from .variant import Variant

LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
DYNAMIC = LINEAR | {"rope_type": "dynamic"}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "original_max_position_embeddings": 64}
LLAMA3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 128}
LONG |= {"short_factor": [1.0] * 8, "long_factor": [1.5] * 8}
PARTIAL = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
QWEN_WINDOW = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0}
IGNORED = "llama.cpp ignores the sliding window"

ROWS = [
    Variant("head_dim", settings={"head_dim": 32}, note="heads wider than hidden size / heads"),
    Variant("multi-query", settings={"num_key_value_heads": 1}),
    Variant("multi-head", settings={"num_key_value_heads": 4}),
    Variant("biases", settings={"attention_bias": True, "mlp_bias": True}),
    Variant("gelu", settings={"hidden_act": "gelu"}, differs="logits", note="llama.cpp ignores hidden_act"),
    Variant("sliding-mistral", "mistral", settings={"sliding_window": 16}, differs="logits", note=IGNORED),
    Variant("sliding-mixtral", "mixtral", settings={"sliding_window": 16}, differs="logits", note=IGNORED),
    Variant("sliding-qwen3", "qwen3", settings=QWEN_WINDOW, differs="logits", note=IGNORED),
    Variant("sliding-starcoder2", "starcoder2", settings={"sliding_window": 16}, differs="logits", note=IGNORED),
    Variant("sliding-phi3", "phi3", settings={"sliding_window": 16}, differs="logits", note=IGNORED),
    Variant("rope-theta", settings={"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}),
    Variant("rope-linear", settings={"rope_parameters": LINEAR}),
    Variant("rope-dynamic", settings={"rope_parameters": DYNAMIC}, note="within the trained length"),
    Variant("rope-yarn", settings={"rope_parameters": YARN}),
    Variant("rope-llama3", settings={"rope_parameters": LLAMA3}),
    Variant(
        "rope-longrope", settings={"rope_parameters": LONG}, differs="logits", note="the converter writes it for phi3"
    ),
    Variant("rope-longrope-phi3", "phi3", settings={"rope_parameters": LONG, "original_max_position_embeddings": 128}),
    Variant("rope-partial", settings={"rope_parameters": PARTIAL}, note="LLaMA rotates whole heads all the same"),
    Variant("rope-linear-qwen3", "qwen3", settings={"rope_parameters": LINEAR}),
    Variant(
        "no-architectures",
        changes=(c.config(architectures=None),),
        refused="architectures",
        note="config.json does not name the architecture",
    ),
    Variant(
        "unknown-architecture",
        changes=(c.config(architectures=["MyForCausalLM"]),),
        refused="MyForCausalLM",
        note="neither llama.cpp nor transformers knows the class",
    ),
    Variant(
        "unknown-model-type",
        changes=(c.config(architectures=["MyForCausalLM"], model_type="mine"),),
        refused="MyForCausalLM",
        note="neither knows class or type",
    ),
    Variant(
        "no-model-type",
        changes=(c.config(model_type=None),),
        differs="logits",
        note="the converter needs only the architecture's name; transformers cannot load it",
    ),
]
