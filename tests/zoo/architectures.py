"""Tiny models of every kind: which configuration of transformers, and the sizes that make it tiny.

2 to 6 layers of 64 columns. The sizes are the same wherever an architecture allows it (COMMON), so that a row holds
only what is special about it. checkpoints.py makes them.
"""

from dataclasses import dataclass, field

from . import tokenizers

COMMON = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256}  # the older names of the same sizes
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
SHARED = {"shared_expert_intermediate_size": 32}
LATENT = {  # attention through a low-rank cache, as DeepSeek does it
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "num_key_value_heads": 4,
}
DEEPSEEK = LATENT | EXPERTS | {"n_routed_experts": 4, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
DEEPSEEK |= {"n_shared_experts": 1}
LINEAR = {  # gated delta net
    "num_hidden_layers": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.25},
}
MROPE = LINEAR["rope_parameters"] | {"mrope_section": [1, 1, 0], "mrope_interleaved": True}
MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16}
VISION = {  # a tower of 28 × 28 pixels
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
T5_IDS = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "bos_token_id": None}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
YARN |= {"beta_fast": 32.0, "beta_slow": 1.0}
ABSENT = object()  # a setting of COMMON that this architecture must not get


@dataclass(frozen=True)
class Architecture:
    """`model_type` of transformers, a tokenizer (see tokenizers.py), and settings that differ from COMMON.

    `model` is transformers' Auto class that builds it.
    """

    model_type: str
    tokenizer: str = "smollm2"
    settings: dict = field(default_factory=dict)
    model: str = "AutoModelForCausalLM"

    def config(self, **settings):
        """Return transformers' configuration object with these settings on top."""
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

        vocabulary = tokenizers.SIZES[self.tokenizer]
        common = {} if "text_config" in self.settings else COMMON | {"vocab_size": vocabulary}
        chosen = common | self.settings | settings
        chosen = {name: value for name, value in chosen.items() if value is not ABSENT}
        return CONFIG_MAPPING[self.model_type](**chosen)


def _table(**rows: Architecture) -> dict[str, Architecture]:
    return rows


def _bpe(model_type: str, **settings) -> Architecture:
    return Architecture(model_type, "smollm2", settings)


def _spm(model_type: str, **settings) -> Architecture:
    return Architecture(model_type, "story", settings)


def _gemma(model_type: str, **settings) -> Architecture:
    return Architecture(model_type, "gemma", settings)


ARCHITECTURES = _table(
    llama=_spm("llama"),
    mistral=_spm("mistral", sliding_window=None),
    mixtral=_spm("mixtral", num_local_experts=4, num_experts_per_tok=2),
    qwen2=_bpe("qwen2"),
    qwen2_moe=_bpe("qwen2_moe", num_experts=4, decoder_sparse_step=1, **EXPERTS, **SHARED),
    qwen3=_bpe("qwen3"),
    qwen3_moe=_bpe("qwen3_moe", num_experts=4, norm_topk_prob=True, **EXPERTS),
    qwen3_next=_bpe("qwen3_next", num_experts=4, **EXPERTS, **SHARED, **LINEAR),
    qwen3_5=_bpe("qwen3_5_text", **LINEAR | {"rope_parameters": MROPE}),
    gemma=_gemma("gemma"),
    gemma2=_gemma("gemma2", query_pre_attn_scalar=16, sliding_window=16),
    gemma3=_gemma("gemma3_text", query_pre_attn_scalar=16, sliding_window=16, num_hidden_layers=6),
    gemma3n=_gemma(  # llama.cpp has the published sizes and patterns built in
        "gemma3n_text",
        num_hidden_layers=5,
        sliding_window=16,
        layer_types=["sliding_attention"] * 4 + ["full_attention"],
        num_kv_shared_layers=0,
        vocab_size_per_layer_input=1024,
        hidden_size_per_layer_input=256,
        laurel_rank=64,
        intermediate_size=1024,
        activation_sparsity_pattern=[0.95] * 5,
    ),
    gemma4=_gemma(
        "gemma4_text",
        num_hidden_layers=4,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"] * 2,
        vocab_size_per_layer_input=1024,
        hidden_size_per_layer_input=16,
        num_kv_shared_layers=0,
        global_head_dim=32,
        num_global_key_value_heads=2,
        rope_parameters={
            "full_attention": {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    ),
    phi=_bpe("phi", partial_rotary_factor=0.5, num_key_value_heads=4, intermediate_size=256),
    phi3=Architecture("phi3", "phi3"),
    gpt2=_bpe("gpt2", **GPT2),
    gpt_neox=_bpe("gpt_neox", rotary_pct=0.25),
    gpt_bigcode=_bpe("gpt_bigcode", **GPT2, n_inner=256),
    gptj=_bpe("gptj", **GPT2, rotary_dim=16),
    gpt_neo=_bpe("gpt_neo", num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]),
    gpt_oss=_bpe("gpt_oss", num_local_experts=4, num_experts_per_tok=2, sliding_window=16, rope_parameters=ABSENT),
    opt=_bpe("opt", ffn_dim=96, word_embed_proj_dim=64),
    falcon=_bpe(
        "falcon",
        head_dim=ABSENT,
        num_key_value_heads=ABSENT,
        intermediate_size=ABSENT,
        num_kv_heads=1,
        multi_query=True,
        new_decoder_architecture=False,
    ),
    falcon_h1=_bpe("falcon_h1", **MAMBA2 | {"mamba_n_heads": 4}, mamba_d_ssm=64, mamba_n_groups=1),
    bloom=_bpe("bloom", n_layer=2, n_head=4),
    mpt=_bpe("mpt", d_model=64, n_heads=4, n_layers=2, max_seq_len=256),
    stablelm=_bpe("stablelm", partial_rotary_factor=0.25),
    olmo=_bpe("olmo", num_key_value_heads=4),
    olmo2=_bpe("olmo2"),
    olmo3=_bpe("olmo3", sliding_window=16, num_hidden_layers=4),
    olmoe=_bpe("olmoe", num_experts=4, num_experts_per_tok=2, num_key_value_heads=4),
    starcoder2=_bpe("starcoder2", sliding_window=None),
    granite=_spm(
        "granite", embedding_multiplier=3.0, logits_scaling=0.5, residual_multiplier=0.5, attention_multiplier=0.3
    ),
    granitemoe=_spm("granitemoe", num_local_experts=4, num_experts_per_tok=2),
    granite4=_spm(
        "granitemoehybrid",
        num_local_experts=4,
        num_experts_per_tok=2,
        shared_intermediate_size=32,
        layer_types=["mamba", "attention"],
        **MAMBA2,
    ),
    bamba=_spm("bamba", attn_layer_indices=[1], **MAMBA2),
    cohere=_bpe("cohere", logit_scale=0.5),
    cohere2=_bpe("cohere2", logit_scale=0.5, sliding_window=16, num_hidden_layers=4),
    mamba=_bpe("mamba", state_size=16, time_step_rank=4, intermediate_size=ABSENT),
    mamba2=_spm("mamba2", num_heads=8, head_dim=16, state_size=16, n_groups=1, intermediate_size=ABSENT),
    falcon_mamba=_bpe("falcon_mamba", state_size=16, time_step_rank=4, intermediate_size=ABSENT),
    jamba=_spm(
        "jamba",
        num_hidden_layers=4,
        attn_layer_offset=1,
        attn_layer_period=2,
        expert_layer_offset=1,
        expert_layer_period=2,
        num_experts=4,
        mamba_d_state=16,
        mamba_dt_rank=4,
    ),
    lfm2=_bpe("lfm2", block_ff_dim=96, block_auto_adjust_ff_dim=False, layer_types=["conv", "full_attention"]),
    lfm2_moe=_bpe("lfm2_moe", num_experts=4, num_dense_layers=1, layer_types=["conv", "full_attention"], **EXPERTS),
    exaone4=_bpe("exaone4", sliding_window=None, layer_types=["full_attention"] * 2),
    smollm3=_spm("smollm3", num_hidden_layers=4),
    glm=Architecture("glm", "glm", {"partial_rotary_factor": 0.5}),
    glm4=Architecture("glm4", "glm", {"partial_rotary_factor": 0.5}),
    glm4_moe=Architecture("glm4_moe", "glm", {"n_routed_experts": 4, "first_k_dense_replace": 1} | EXPERTS),
    deepseek_v2=_bpe("deepseek_v2", q_lora_rank=32, **DEEPSEEK),
    deepseek_v3=_bpe("deepseek_v3", q_lora_rank=32, **DEEPSEEK),
    minicpm3=_spm("minicpm3", q_lora_rank=32, dim_model_base=256, **LATENT),
    arcee=_spm("arcee"),
    apertus=_spm("apertus"),
    afmoe=_spm(
        "afmoe", num_experts=4, num_dense_layers=1, num_hidden_layers=4, mup_enabled=True, route_norm=True, **EXPERTS
    ),
    bitnet=_spm("bitnet", tie_word_embeddings=True),
    dots1=_bpe(
        "dots1", num_key_value_heads=4, n_routed_experts=4, first_k_dense_replace=1, n_shared_experts=1, **EXPERTS
    ),
    ernie4_5=_spm("ernie4_5"),
    ernie4_5_moe=_spm(
        "ernie4_5_moe",
        moe_num_experts=4,
        moe_k=2,
        moe_intermediate_size=32,
        moe_num_shared_experts=1,
        intermediate_size=64,
        moe_layer_start_index=1,
    ),
    hunyuan=_bpe("hunyuan_v1_dense"),
    nemotron=_spm("nemotron"),
    llama4=_bpe("llama4_text", num_local_experts=4, intermediate_size_mlp=96, num_hidden_layers=4),
    ministral3=_spm(
        "ministral3", rope_parameters=YARN | {"llama_4_scaling_beta": 0.1, "mscale": 1.0, "mscale_all_dim": 1.0}
    ),
    minimax_m2=_bpe("minimax_m2", num_local_experts=4, num_experts_per_tok=2),
    seed_oss=_bpe("seed_oss"),
    jais2=_bpe("jais2"),
    # not causal language models, or not only
    llama_bare=Architecture("llama", "story", model="AutoModel"),
    llama_classifier=Architecture("llama", "story", {"num_labels": 3}, "AutoModelForSequenceClassification"),
    gemma3_vision=Architecture(
        "gemma3",
        "gemma",
        {
            "text_config": COMMON
            | {"vocab_size": 1024, "query_pre_attn_scalar": 16, "sliding_window": 16, "num_hidden_layers": 6},
            "vision_config": VISION,
            "mm_tokens_per_image": 4,
            "image_token_index": 1000,
            "boi_token_index": 1001,
            "eoi_token_index": 1002,
        },
        "AutoModelForImageTextToText",
    ),
    llava=Architecture(
        "llava",
        "story",
        {
            "text_config": COMMON | {"model_type": "llama", "vocab_size": 1024},
            "vision_config": VISION | {"model_type": "clip_vision_model", "projection_dim": 32},
            "image_token_index": 1000,
        },
        "AutoModelForImageTextToText",
    ),
    t5=Architecture(
        "t5",
        "unigram",
        {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4} | T5_IDS,
        "AutoModelForSeq2SeqLM",
    ),
    bart=Architecture(
        "bart",
        "own",
        {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96}
        | {"encoder_attention_heads": 4, "decoder_attention_heads": 4},
        "AutoModelForSeq2SeqLM",
    ),
    bert=Architecture("bert", "wordpiece", {}, "AutoModel"),
    whisper=Architecture(
        "whisper",
        "own",
        {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96}
        | {"encoder_attention_heads": 4, "decoder_attention_heads": 4},
        "AutoModelForSpeechSeq2Seq",
    ),
)
