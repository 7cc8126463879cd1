"""A checkpoint against its GGUF without the course's own proof: transformers in FP32 beside llama.cpp.

Two independent answers to the same question: `proof.same_model` is what readers get, this is what the zoo's table was
measured with, and `python -m tests.zoo.workshop --truth` compares again.
"""

from pathlib import Path

TEXT = (
    "There once was a stoat named Pimfin, who lived in a hollow oak.\n\n  He had 3 keys, 42 coins and 1000 stars;\t"
    "it's Ölfarbe, 東京, привет, 🦔🦔. def f(x):\n    return x  # ok\r\n<tool>now</tool>"
)
MESSAGES = [{"role": "user", "content": "Hi there"}]
KL = {"f32": 1e-3, "f16": 1e-3, "bf16": 1e-3, "q8_0": 1e-2}  # nats per token, far above what rounding does
LENGTH = 60  # tokens compared: longer than the sliding windows here


def failing_rows(folder: Path, gguf: Path, outtype: str = "f32") -> dict[str, str]:
    """Return what differs, by the proof's names for it (tokens, chat prompt, logits) and how. Empty if nothing does."""
    import llama_cpp
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    llm = llama_cpp.Llama(str(gguf), n_ctx=256, logits_all=True, verbose=False, n_threads=1, n_threads_batch=1)
    found = {}
    theirs, ours = tokenizer.encode(TEXT, add_special_tokens=False), llm.tokenize(TEXT.encode(), False, True)
    if theirs != ours:
        same = sum(1 for a, b in zip(theirs, ours, strict=False) if a == b)
        found["tokens"] = f"{same} of {len(theirs)} ids at their place"
    if (prompt := _prompt_differs(tokenizer, llm)) is not None:
        found["chat prompt"] = prompt
    divergence, agreement = _logits(folder, llm, theirs[:LENGTH])
    if not divergence < KL[outtype]:  # NaN is not
        found["logits"] = f"KL divergence {divergence:.2g} nats per token, same first choice in {agreement:.0%}"
    return found


def _prompt_differs(tokenizer, llm) -> str | None:
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    text = llm.metadata.get("tokenizer.chat_template")
    if not (text and tokenizer.chat_template):
        return None if bool(text) == bool(tokenizer.chat_template) else "a template on one side only"
    first, last = (llm.detokenize([token], special=True).decode() for token in (llm.token_bos(), llm.token_eos()))
    ours = Jinja2ChatFormatter(text, bos_token=first, eos_token=last)(messages=MESSAGES).prompt
    theirs = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    return None if ours == theirs else f"{ours!r} is not {theirs!r}"


def _logits(folder: Path, llm, tokens: list[int]) -> tuple[float, float]:
    """Return the mean KL divergence from the checkpoint's predictions, and how often the first choice is the same."""
    import numpy as np
    import torch
    import transformers

    several = "text_config" in transformers.AutoConfig.from_pretrained(folder).to_dict()
    kind = transformers.AutoModelForImageTextToText if several else transformers.AutoModelForCausalLM
    model = kind.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    with torch.inference_mode():
        expected = torch.log_softmax(model(torch.tensor([tokens])).logits[0].double(), -1)
    llm.eval(tokens)
    scores = torch.tensor(np.array(llm.scores[: len(tokens)]), dtype=torch.float64)
    width = min(scores.shape[1], expected.shape[1])
    found = torch.log_softmax(scores, -1)[:, :width]
    expected = expected[:, :width]
    divergence = (expected.exp() * (expected - found)).sum(-1).mean()
    return float(divergence), float((found.argmax(-1) == expected.argmax(-1)).double().mean())
