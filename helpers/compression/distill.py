"""Distillation: a student learns from a teacher's probabilities, hidden states and attention.

`hinton` is the loss of Hinton et al. (arXiv 1503.02531) over the tokens of a text; `objective` puts it, with the
terms that KnGPT-2 adds (arXiv 2110.08152), into the form that `fit.fit` takes; `heal` repairs a compressed
model layer by layer, as TQCompressor does (arXiv 2401.16367).
"""

import copy
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch.nn import functional
from transformers import LlamaForCausalLM

from helpers.errors import InputError
from helpers.training import fit


def hinton(
    student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0, alpha: float = 0.5
) -> torch.Tensor:
    """Return (1 − alpha) · cross-entropy + alpha · T² · KL(teacher at T ‖ student at T), in nats per token.

    student, teacher: logits (..., vocabulary), each for the token in `labels` (...). All tokens count the same: the
    leading axes are flattened. Dividing logits by T divides the gradient by about T²; the factor T² undoes that.
    Raises InputError if the vocabularies differ, or if temperature or alpha make no sense.
    """
    if student.shape != teacher.shape:
        raise InputError(
            f"The student's logits are {tuple(student.shape)} and the teacher's {tuple(teacher.shape)}. Probabilities "
            "can be compared only over one vocabulary and one text. Take a teacher with the student's tokenizer."
        )
    if temperature <= 0 or not 0 <= alpha <= 1:
        raise InputError(
            f"Temperature {temperature} and alpha {alpha} make no loss. The temperature must be above 0, and alpha, "
            "the teacher's share, between 0 and 1."
        )
    student, teacher, labels = student.flatten(0, -2), teacher.flatten(0, -2), labels.flatten()
    soft = functional.kl_div(
        functional.log_softmax(student / temperature, dim=-1),
        functional.log_softmax(teacher / temperature, dim=-1),
        reduction="none",
        log_target=True,
    )
    loss = alpha * temperature**2 * soft.sum(dim=-1).mean()
    if alpha < 1:
        loss = loss + (1 - alpha) * functional.cross_entropy(student, labels)
    return loss


def hidden_term(student: Iterable[torch.Tensor], teacher: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the mean squared difference of two lists of hidden states, (batch, tokens, width) each.

    The first state is the embedding's output, so that KnGPT-2's embedding term is part of it. Raises InputError
    if numbers or widths differ: a student of another shape has no states that could be compared.
    """
    student, teacher = list(student), list(teacher)
    if [state.shape for state in student] != [state.shape for state in teacher]:
        raise InputError(
            f"Student and teacher have {len(student)} and {len(teacher)} states of widths {student[0].shape[-1]} and "
            f"{teacher[0].shape[-1]}. This term compares them layer by layer. Leave it out for another shape."
        )
    return sum((s - t).square().mean() for s, t in zip(student, teacher, strict=True)) / len(student)


def cosine_term(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return 1 − cosine of the angle between two last hidden states (batch, tokens, width), averaged over tokens.

    DistilBERT's third loss (arXiv 1910.01108). Raises InputError if the widths differ.
    """
    if student.shape != teacher.shape:
        raise InputError(
            f"Student and teacher end in states of widths {student.shape[-1]} and {teacher.shape[-1]}, which have no "
            "angle. This term needs equal widths. Leave it out for another shape."
        )
    return 1 - functional.cosine_similarity(student, teacher, dim=-1).mean()


def attention_term(student: Iterable[torch.Tensor], teacher: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the mean KL divergence of attention probabilities, (batch, heads, tokens, tokens) each, in nats."""
    student, teacher = list(student), list(teacher)
    if [a.shape for a in student] != [a.shape for a in teacher]:
        raise InputError(
            f"Student and teacher have {len(student)} and {len(teacher)} attention layers, or other numbers of heads. "
            "This term compares them head by head. Leave it out for a student of another shape."
        )
    tiny = 1e-8  # a masked position has probability 0 in both, and counts 0
    terms = [
        (t * ((t + tiny).log() - (s + tiny).log())).sum(dim=-1).mean() for s, t in zip(student, teacher, strict=True)
    ]
    return sum(terms) / len(terms)


def objective(
    teacher: LlamaForCausalLM,
    temperature: float = 1.0,
    alpha: float = 0.5,
    hidden: float = 0.0,
    attention: float = 0.0,
    cosine: float = 0.0,
) -> Callable:
    """Return a loss for `fit.fit`: Hinton's, plus `hidden` and `attention` times the terms of KnGPT-2, `cosine` times
    DistilBERT's.

    For the attention term both models must have been set to eager attention: the fast kernels keep no probabilities.
    """

    copies = {teacher.device: teacher}  # where a student is trained, the teacher is needed too; the given one stays

    def loss(student: LlamaForCausalLM, tokens: torch.Tensor) -> torch.Tensor:
        states = hidden > 0 or cosine > 0
        wants = {"output_hidden_states": states, "output_attentions": attention > 0, "use_cache": False}
        if tokens.device not in copies:
            copies[tokens.device] = copy.deepcopy(teacher).to(tokens.device)
        with torch.no_grad():
            there = copies[tokens.device](input_ids=tokens, **wants)
        here = student(input_ids=tokens, **wants)
        total = hinton(here.logits[:, :-1], there.logits[:, :-1], tokens[:, 1:], temperature, alpha)
        if hidden:
            total = total + hidden * hidden_term(here.hidden_states, there.hidden_states)
        if attention:
            total = total + attention * attention_term(here.attentions, there.attentions)
        if cosine:
            total = total + cosine * cosine_term(here.hidden_states[-1], there.hidden_states[-1])
        return total

    return loss


def heal(
    model: LlamaForCausalLM,
    teacher: LlamaForCausalLM,
    compress_layer: Callable[[LlamaForCausalLM, int], None],
    layers: Iterable[int],
    batches: Iterator[np.ndarray],
    steps: int,
    peak_rate: float = 1e-3,
    progress: bool = True,
    **terms: float,
) -> list[float]:
    """Compress the layers one at a time, training the model for `steps` batches after each; return all losses.

    compress_layer(model, i) changes layer i in place. Everything learns after each step, the layers that are still
    whole too, so that they make up for the compressed ones. `terms` goes to `objective`.
    """
    losses = []
    for layer in layers:
        compress_layer(model, layer)
        losses += fit.fit(
            model, batches, steps, peak_rate, progress=progress, objective=objective(teacher, **terms), warmup=10
        )
    return losses
