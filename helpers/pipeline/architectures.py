"""What kind of model a configuration describes, and whether the pinned converter knows it."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Collection
from pathlib import Path

from helpers.errors import CheckpointError
from helpers.pipeline import llama_tools

ENCODERS = (
    "bert roberta xlm-roberta distilbert camembert electra deberta deberta-v2 modernbert nomic_bert neobert eurobert "
    "mpnet albert clip siglip vit wav2vec2 hubert bge jina_bert"
).split()
SPEECH = ("whisper", "moonshine", "speech_to_text", "wavtokenizer", "pockettts", "qwen3_tts", "csm", "dia")
# Where the converter keeps a language model under a name that does not end in ForCausalLM or LMHeadModel.
CAUSAL = ("BloomModel", "ChatGLMModel", "KimiLinearModel", "UltravoxModel", "LlavaLlamaModel", "Qwen2_5OmniModel")
DIFFUSION = ("LLaDAModelLM", "LLaDAMoEModelLM", "LLaDAMoEModel", "DreamModel", "RND1")
DRAFTS = r"Draft|Eagle3|Speculator|DSpark|Assistant"
# What configurations call the part that writes text; the converter looks at the same names.
TEXT_PARTS = ("text_config", "llm_config", "lm_config", "language_config", "lfm")
OTHER_SENSES = (
    "vision_config",
    "visual",
    "vision_tower",
    "mm_vision_tower",
    "audio_config",
    "vision_model",
    "img_processor",
)
RECURRENT = (
    "mamba mamba2 falcon_mamba falcon_h1 jamba bamba lfm2 lfm2_moe granitemoehybrid nemotron_h qwen3_next qwen3_5 "
    "qwen3_5_moe plamo2 kimi_linear rwkv rwkv5 rwkv6 rwkv7 rwkv6qwen2 minimax minimax_m1 zamba zamba2 recurrent_gemma"
).split()


def name_of(config: dict) -> str | None:
    """Return the architecture by which the converter would choose its code, None if the configuration names none."""
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None
    if name is None and isinstance(config.get("ssm_cfg"), dict):  # Mamba as its authors published it
        name = str(config["ssm_cfg"].get("layer", "Mamba")) + "ForCausalLM"
    inner = text_part(config).get("architectures") if text_part(config) is not config else None
    if isinstance(inner, list) and inner and name not in ("Exaone4_5_ForConditionalGeneration",):
        whole = ("StepVL", "Sarashina2Vision", "Step3p7", "KimiK3")  # the converter keeps these by their outer name
        name = name if name and name.startswith(whole) else str(inner[0])
    return name


def text_part(config: dict) -> dict:
    """Return the configuration of the language model inside one for several senses, else the whole one."""
    found = next((config[name] for name in TEXT_PARTS if isinstance(config.get(name), dict)), None)
    if found is None and isinstance(config.get("thinker_config"), dict):
        found = text_part(config["thinker_config"])
    return found or config


def senses(config: dict) -> list[str]:
    """Return the parts of a configuration that see or hear, such as `vision_config`."""
    inner = config.get("thinker_config") if isinstance(config.get("thinker_config"), dict) else {}
    return [name for name in OTHER_SENSES if config.get(name) or inner.get(name)]


def is_recurrent(config: dict) -> bool:
    """Tell whether layers keep a state from token to token, all of them or some beside attention."""
    text = text_part(config)
    layers = text.get("layer_types") or text.get("layers_block_type")
    kinds = set(map(str, layers)) if isinstance(layers, list) else set()
    states = {"mamba", "linear_attention", "conv", "recurrent", "ssm"}
    return text.get("model_type") in RECURRENT or "ssm_cfg" in text or bool(kinds & states)


def refuse(config: dict, names: Collection[str], where: str) -> None:
    """Raise CheckpointError for a model that does not write text one token after the other.

    names: the files beside the configuration. A model that would only end in a C assertion stops here.
    """
    kind, name = str(config.get("model_type", "")), name_of(config)
    if kind in SPEECH or (name or "").startswith(("Whisper", "WavTokenizer", "PocketTTS", "Qwen3TTS")):
        raise CheckpointError(
            f"{where} works with speech ({name or kind}). It does not run as a language model; the program whisper.cpp "
            f"runs Whisper, from files of its own. Choose a model that writes text, a …ForCausalLM."
        )
    if config.get("is_encoder_decoder") or re.match(
        r"(M|UM|Long|Switch)?T5|.*(Bart|Pegasus|Marian|M2M100)", name or ""
    ):
        raise CheckpointError(
            f"{where} is an encoder-decoder ({name or kind}). One half reads, the other half writes; the course's "
            "steps, like most programs for GGUF, expect a decoder alone. "
            "Choose a model that writes text, a …ForCausalLM."
        )
    if "modules.json" in names or kind in ENCODERS or _is_headless(name):
        raise CheckpointError(
            f"{where} is made for embeddings or classification ({name or kind}). It turns a text into numbers or a "
            f"label and continues none, or was saved without the head that writes. "
            "Choose a model that writes text, a …ForCausalLM."
        )
    if name in DIFFUSION or re.search(DRAFTS, name or ""):
        what = "writes all words at once (diffusion)" if name in DIFFUSION else "helps another model to write faster"
        raise CheckpointError(
            f"{where} {what}: {name}. Alone it cannot be asked as the course does, token after token. "
            "Choose a model that writes text, a …ForCausalLM."
        )
    if name is None:
        raise CheckpointError(
            f"{where}/config.json names no architecture. The converter chooses its code by it (model_type is "
            f"{kind or 'missing'}). Add the line that the base model has, for example "
            '"architectures": ["LlamaForCausalLM"].'
        )


def _is_headless(name: str | None) -> bool:
    if not name or name in (*CAUSAL, *DIFFUSION) or re.search(DRAFTS, name):
        return False
    if name.endswith("Model"):
        return not name.endswith("LMHeadModel")
    return bool(re.search(r"For(MaskedLM|\w*Classification|QuestionAnswering|PreTraining|RewardModel\w*)$", name))


def check(config: dict, where: str) -> None:
    """Raise CheckpointError unless the converter knows the architecture. May fetch the converter first."""
    name, known = name_of(config), text_models(llama_tools.tools())
    if name not in known:
        other = next((one for one in known if one.lower() == (name or "").lower()), None)
        if other:
            raise CheckpointError(
                f"{where} is a {name}, which the converter calls {other}. It looks names up letter by letter. Write "
                f'"architectures": ["{other}"] into its config.json; the tensors are usually the same.'
            )
        raise CheckpointError(
            f"{where} is a {name}. The converter does not know this architecture: it is not in llama.cpp, or newer "
            f"than the pinned version ({llama_tools.COMMIT[:9]}). Choose another model, or set LLAMA_CPP_DIR to a "
            "newer tree."
        )


@functools.cache
def text_models(tools: Path) -> frozenset[str]:
    """Return the architectures of language models that the converter in `tools` knows, without running it.

    Reads the table TEXT_MODEL_MAP of its source in 10 ms; asking the program itself takes seconds.
    """
    tree = ast.parse((tools / "conversion" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign):
            target = node.targets[0]
        if isinstance(target, ast.Name) and target.id == "TEXT_MODEL_MAP":
            return frozenset(ast.literal_eval(node.value))
    raise CheckpointError(
        f"The converter in {tools} has no table of architectures. It is another version than the pinned one. Unset "
        "LLAMA_CPP_DIR to use the pinned version."
    )
