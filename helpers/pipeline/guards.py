"""What would end the process, kernel and notebook, inside llama.cpp: known before it is called, and refused."""

from __future__ import annotations

import ctypes
import numbers
from collections import Counter
from pathlib import Path

from helpers.errors import InputError, InstallError
from helpers.pipeline.gguf_file import Summary
from helpers.setup import llama_wheel

# Numbers of ggml's types that a key-value cache may have.
CACHE_TYPES = {0: "F32", 1: "F16", 30: "BF16", 8: "Q8_0", 2: "Q4_0", 3: "Q4_1", 20: "IQ4_NL", 6: "Q5_0", 7: "Q5_1"}
MOST_THREADS = 512  # ggml's GGML_MAX_N_THREADS
MOST_LAYERS, MOST_EXPERTS = 512, 1024  # llama.cpp's LLAMA_MAX_LAYERS and LLAMA_MAX_EXPERTS


def require_a_build_that_works() -> None:
    """Raise InstallError for a llama-cpp-python that multiplies with AMX: it ends the process, notebook and all."""
    import llama_cpp

    if llama_wheel.AMX in llama_cpp.llama_print_system_info().decode():
        raise InstallError(
            "This llama-cpp-python was built for processors with AMX. There llama.cpp ends the whole process at the "
            "first token, a known fault (its issue 20824). Install one without: `python -m helpers.install`, then "
            "restart the kernel."
        )


def require_a_model(file: Summary) -> None:
    """Raise InputError for a GGUF that is something else than a model, or whose vocabulary llama.cpp cannot hold."""
    kind = file.metadata.get("general.type", "model")
    others = {
        "adapter": "a LoRA adapter. It changes another model and is none itself. Merge it into its base first",
        "imatrix": "an importance matrix. It steers quantization. Pass it to requantize instead",
        "mmproj": "the part of a model that sees pictures. It goes beside the text model. Open the text model",
    }
    if kind in others or file.metadata.get("general.architecture") == "clip":
        raise InputError(f"{file.path.name} is no model of its own. It is {others.get(kind, others['mmproj'])}.")
    if not file.tensors:
        raise InputError(
            f"{file.path.name} holds no tensors. It is a vocabulary alone, or came from a checkpoint whose weights "
            "were not found. Convert the checkpoint again."
        )
    _require_counts(file)
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    # Empty ones get names of their own there, and what is no UTF-8 looks alike only here.
    counts = Counter(t for t in tokens if t and "\ufffd" not in t) if _texts(tokens) else Counter()
    if counts and counts.most_common(1)[0][1] > 1:
        raise InputError(
            f"{file.path.name} has the token {counts.most_common(1)[0][0]!r:.80} twice. llama.cpp ends the process at "
            "such a vocabulary. Correct the tokenizer of the checkpoint (added tokens) and convert again."
        )


def _require_counts(file: Summary) -> None:
    """Raise InputError for numbers of layers and experts at which an assertion of llama.cpp ends the process."""
    architecture = file.metadata.get("general.architecture")

    def most(name: str, absent: int) -> int:
        value = file.metadata.get(f"{architecture}.{name}", absent)
        values = value if isinstance(value, list) and value else [value]  # one number, or one for each layer
        return max(values) if all(isinstance(item, int) for item in values) else absent  # llama.cpp refuses politely

    layers, experts, used = most("block_count", 1), most("expert_count", 0), most("expert_used_count", 0)
    if str(architecture).startswith("hunyuan") and experts <= 1:
        experts = used = 0  # as llama.cpp does: dense models of that family count themselves as one expert
    if not 1 <= layers <= MOST_LAYERS or experts > MOST_EXPERTS or used > experts or (experts and not used):
        raise InputError(
            f"{file.path.name} announces {layers:,} layers and {experts:,} experts, {used:,} of them used. llama.cpp "
            f"knows 1 to {MOST_LAYERS} layers and up to {MOST_EXPERTS:,} experts, and ends the process at others. The "
            "header is damaged, or the model is newer than this course. Make or download it again."
        )


def _texts(tokens: object) -> bool:
    return isinstance(tokens, list) and all(isinstance(token, str) for token in tokens)


def require_a_writer(model: ctypes.c_void_p, name: str) -> None:
    """Raise InputError for a model that does not write one token after the other, of which llama.cpp would die."""
    import llama_cpp

    if llama_cpp.llama_model_has_encoder(model) or not llama_cpp.llama_model_has_decoder(model):
        raise InputError(
            f"{name} is an encoder-decoder (T5 and the like), or an encoder. It turns one text into another and does "
            "not continue a text, which is what this course measures. Choose a causal language model."
        )
    if llama_cpp.llama_model_is_diffusion(model):
        raise InputError(
            f"{name} is a diffusion model. It fills in a whole text at once and does not write one token after the "
            "other. Choose a causal language model."
        )


def require_memory_of_tokens(context: ctypes.c_void_p, name: str) -> None:
    """Raise InputError for a model that keeps nothing of what it read: an embedding model (BERT and the like)."""
    import llama_cpp

    if not llama_cpp.llama_get_memory(context):
        raise InputError(
            f"{name} is an embedding model (BERT and the like). It turns a text into numbers and writes none. "
            "Choose a causal language model."
        )


def thread_count(threads: int | None, usual: int) -> int:
    """Return how many threads to use; raise InputError for a number that llama.cpp does not survive."""
    if threads is None:
        return min(usual, MOST_THREADS)
    if isinstance(threads, bool) or not isinstance(threads, numbers.Integral) or not 1 <= threads <= MOST_THREADS:
        raise InputError(
            f"threads={threads!r:.80} is impossible. llama.cpp takes 1 to {MOST_THREADS}. Leave it out to use all "
            "cores."
        )
    return int(threads)


def check_options(options: dict) -> None:
    """Raise InputError for options of `llama_cpp.Llama` that end the process instead of raising an error."""
    for name in ("n_batch", "n_ubatch"):
        value = options.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
            raise InputError(f"{name}={value!r:.80} is impossible. It counts tokens read at once. Use 1 or more.")
    for name in ("type_k", "type_v"):
        value = options.get(name)
        if value is not None and value not in CACHE_TYPES:
            known = ", ".join(f"{number} {kind}" for number, kind in CACHE_TYPES.items())
            raise InputError(
                f"{name}={value!r:.80} is no type for a cache. llama.cpp knows {known}. Choose one of them."
            )
    adapter = options.get("lora_path")
    if adapter is not None and not Path(adapter).is_file():
        raise InputError(f"There is no adapter {adapter!r:.80}. It was not made yet or is elsewhere. Check lora_path.")


def nothing_added(file: Summary) -> dict[str, bool | int]:
    """Return metadata to override when a file is opened, so that no prompt gets an end token of its own accord.

    A model that reads "the text is over" before it may write says nothing, or something else. Tokenizers that were
    made for training (add_eos_token) ask for it, and llama-cpp-python also for those that have a separator.
    """
    overrides: dict[str, bool | int] = {"tokenizer.ggml.add_eos_token": False}
    if "tokenizer.ggml.seperator_token_id" in file.metadata:  # the format's own spelling
        overrides["tokenizer.ggml.seperator_token_id"] = -1  # none
        overrides["tokenizer.ggml.add_sep_token"] = False
    return overrides


def require_a_served_model(file: Summary) -> None:
    """Raise InputError for a model whose server would start and then die at the first question.

    llama.cpp opens it without its weights, which takes as long as reading the vocabulary.
    """
    import llama_cpp

    parameters = llama_cpp.llama_model_default_params()
    parameters.no_alloc, parameters.load_mode = True, llama_cpp.LLAMA_LOAD_MODE_NONE
    model = llama_cpp.llama_model_load_from_file(str(file.path).encode(), parameters)
    if not model:
        return  # the server says why it does not start
    context = None
    try:
        require_a_writer(model, file.path.name)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = 64
        if context := llama_cpp.llama_init_from_model(model, settings):
            require_memory_of_tokens(context, file.path.name)
    finally:
        if context:
            llama_cpp.llama_free(context)
        llama_cpp.llama_model_free(model)
