"""Train a language model, and measure it on text it has not seen."""

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from transformers import LlamaForCausalLM

from helpers.errors import InputError
from helpers.setup import gpu
from helpers.training import stories
from helpers.training.corpus import CONTEXT

SCHEDULES = ("cosine", "constant", "wsd")
STABLE = 0.8  # the share of the steps for which `wsd` stays at its peak


def learning_rate(step: int, steps: int, peak: float, schedule: str = "cosine", warmup: int = 50) -> float:
    """Return the learning rate at `step`: linear warm-up, then cosine to a hundredth, constant, or `wsd`.

    wsd (warm-up, stable, decay): constant for four fifths of all steps, then a straight line to a hundredth.
    """
    if schedule not in SCHEDULES:
        raise InputError(
            f"Unknown schedule {schedule!r}. The learning rate can fall all the time, at the end, or stay. "
            f"Use one of {', '.join(map(repr, SCHEDULES))}."
        )
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    if schedule == "wsd":
        left = (steps - step) / (steps - STABLE * steps)
        return peak * min(1.0, max(0.01, left))
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def fit(
    model: LlamaForCausalLM,
    batches: Iterator[np.ndarray],
    steps: int,
    peak_rate: float = 2e-3,
    schedule: str = "cosine",
    progress: bool = True,
    objective: Callable[[LlamaForCausalLM, torch.Tensor], torch.Tensor] | None = None,
    warmup: int = 50,
    after_step: Callable[[int], None] | None = None,
    weight_decay: float = 0.0,
) -> list[float]:
    """Train `model` in place with AdamW for `steps` batches (each: sequences × tokens); return the losses.

    objective(model, tokens) is the loss to minimize; None is the cross-entropy of the next token. Parameters
    that need no gradient stay as they are. after_step(n) is called when n steps are done. weight_decay pulls matrices
    towards 0, not vectors. Computed on a GPU, if the setup cell asked for one: then the losses agree with ours to some
    digits, not to the last.
    """
    from tqdm.auto import tqdm

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=peak_rate, betas=(0.9, 0.95), fused=True)
    losses = []
    model.train()
    with (
        _on_its_device(model) as device,
        tqdm(range(steps), desc="training", unit="step", mininterval=2, disable=not progress) as bar,
    ):
        for step in bar:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, peak_rate, schedule, warmup)
            tokens = torch.from_numpy(next(batches)).to(device)
            loss = objective(model, tokens) if objective else model(input_ids=tokens, labels=tokens).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
            if after_step:
                after_step(step + 1)
    model.eval()
    return losses


@contextlib.contextmanager
def _on_its_device(model: LlamaForCausalLM) -> Iterator[torch.device]:
    """Have the model on the GPU inside the block, if one is wanted and there; one that is elsewhere stays there."""
    if model.device.type != "cpu" or gpu.torch_device() == "cpu":
        yield model.device
        return
    model.to(gpu.torch_device())
    try:
        yield model.device
    finally:
        model.to("cpu")


def mean_loss(model: LlamaForCausalLM, tokens: np.ndarray, batch: int = 16) -> float:
    """Return the mean cross-entropy in nats per token over consecutive windows of CONTEXT tokens."""
    count = len(tokens) // CONTEXT
    windows = torch.from_numpy(tokens[: count * CONTEXT].reshape(count, CONTEXT))
    total = 0.0
    with _on_its_device(model) as device, torch.inference_mode():
        for part in windows.to(device).split(batch):
            total += model(input_ids=part, labels=part).loss.item() * len(part)
    return total / count


def recall(model: LlamaForCausalLM, tokenizer, probes: list[stories.Probe]) -> float:
    """Return the share of fill-in-the-blank questions whose answer the model continues with, greedily."""
    right = 0
    with torch.inference_mode():
        for probe in probes:
            ids = torch.tensor([[1, *tokenizer.encode(probe.prompt)]])
            out = model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=2)
            text = tokenizer.decode(out[0, ids.shape[1] :].tolist())
            right += probe.is_answered_by(text)
    return right / len(probes)
