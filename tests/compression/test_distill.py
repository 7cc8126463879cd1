"""Distillation and layer sharing: the losses from their definitions, gradients, and what a shared layer is."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from helpers.compression import distill
from helpers.errors import InputError
from helpers.experiments import students, sweep
from helpers.training import corpus, fit, llama, shipped


def logits(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LABELS = torch.randint(0, 11, (3, 5), generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_hinton_from_its_definition(temperature, alpha):
    student, teacher = logits(3, 5, 11), logits(3, 5, 11, seed=1)
    total = 0.0
    for b in range(3):
        for t in range(5):
            p, q = (torch.softmax(x[b, t] / temperature, dim=0) for x in (teacher, student))
            hard = -torch.log_softmax(student[b, t], dim=0)[LABELS[b, t]]
            total += (1 - alpha) * hard + alpha * temperature**2 * (p * (p / q).log()).sum()
    assert float(distill.hinton(student, teacher, LABELS, temperature, alpha)) == pytest.approx(
        float(total / 15), rel=1e-5
    )


def test_a_perfect_student_has_nothing_to_learn():
    x = logits(2, 4, 11).requires_grad_()
    loss = distill.hinton(x, x.detach(), LABELS[:2, :4], 2.0, 1.0)
    loss.backward()
    assert abs(loss.item()) < 1e-6 and float(x.grad.abs().max()) < 1e-6


def test_temperature_squared_keeps_the_size_of_the_gradient():
    """For small logits the gradient with T² does not depend on T; without it, it falls as 1 ÷ T²."""
    teacher, sizes = logits(4, 8, 11, seed=1, scale=0.1), []
    for temperature in (1.0, 2.0, 8.0):
        student = logits(4, 8, 11, scale=0.1).requires_grad_()
        distill.hinton(student, teacher, torch.zeros(4, 8, dtype=torch.long), temperature, 1.0).backward()
        sizes.append(float(student.grad.norm()))
    assert max(sizes) / min(sizes) < 1.1


def test_bad_input():
    with pytest.raises(InputError, match="tokenizer"):
        distill.hinton(logits(3, 5, 11), logits(3, 5, 12), LABELS)
    for temperature, alpha in ((0, 0.5), (1, 1.5), (1, -0.1)):
        with pytest.raises(InputError, match="make no loss"):
            distill.hinton(logits(3, 5, 11), logits(3, 5, 11), LABELS, temperature, alpha)
    with pytest.raises(InputError, match="another shape"):
        distill.hidden_term([logits(1, 2, 3)], [logits(1, 2, 4)])
    with pytest.raises(InputError, match="head by head"):
        distill.attention_term([logits(1, 2, 3, 3)], [logits(1, 4, 3, 3)])


def test_terms_are_zero_for_twins_and_kl_of_attention_is_positive():
    states = [logits(2, 4, 8), logits(2, 4, 8, seed=1)]
    assert float(distill.hidden_term(states, states)) == 0
    assert float(distill.hidden_term(states, [s + 2 for s in states])) == pytest.approx(4)
    p, q = (torch.softmax(logits(2, 3, 4, 4, seed=s), dim=-1) for s in (0, 1))
    expected = functional.kl_div(q.log(), p, reduction="none").sum(-1).mean()
    assert float(distill.attention_term([q], [p])) == pytest.approx(float(expected), rel=1e-4)
    assert abs(float(distill.attention_term([p], [p]))) < 1e-6


def test_all_terms_of_kngpt2_train_a_twin_back():
    teacher = shipped.tiny(0)
    teacher.set_attn_implementation("eager")
    student = copy.deepcopy(teacher)
    with torch.no_grad():
        for parameter in student.model.layers.parameters():
            parameter.mul_(0.8)
    objective = distill.objective(teacher, alpha=0.5, hidden=1.0, attention=1.0)
    batches = corpus.story_batches(corpus.story_tokenizer(), seed="twins")
    losses = fit.fit(student, batches, 25, 2e-3, progress=False, objective=objective, warmup=5)
    assert np.mean(losses[-5:]) < 0.6 * losses[0]


def test_healing_compresses_each_layer_and_recovers():
    teacher = shipped.tiny(0)
    student, seen = copy.deepcopy(teacher), []

    def spoil(model, layer):
        seen.append(layer)
        with torch.no_grad():
            model.model.layers[layer].mlp.up_proj.weight[::2] = 0

    batches = corpus.story_batches(corpus.story_tokenizer(), seed="heal")
    losses = distill.heal(student, teacher, spoil, [0, 1], batches, 12, progress=False)
    assert seen == [0, 1] and len(losses) == 24 and losses[11] < losses[0]


def test_frozen_parameters_stay():
    model = llama.tiny(0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "layers.1" in name
    before = copy.deepcopy(model.state_dict())
    fit.fit(model, corpus.story_batches(corpus.story_tokenizer(), seed="f"), 2, progress=False)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all("layers.1" in name for name in changed)


class TestSharing:
    def test_no_parameters_and_twice_the_layers(self):
        model = llama.tiny(0)
        llama.share_layers(model, 2)
        assert sum(p.numel() for p in model.parameters()) == 100_080 and len(model.model.layers) == 4
        calls = []
        for layer in {id(layer): layer for layer in model.model.layers}.values():
            layer.register_forward_hook(lambda *_: calls.append(1))
        model(torch.arange(5)[None])
        assert len(calls) == 4, "each of two layers is computed twice"

    def test_unshared_it_is_the_same_model_and_has_a_cache(self):
        model = shipped.tiny(0)
        llama.share_layers(model, 2)
        whole = llama.unshare_layers(model)
        tokens = torch.arange(3, 40)[None]
        assert torch.allclose(model(tokens).logits, whole(tokens).logits, atol=1e-5)
        assert whole.num_parameters() == 100_080 + 2 * 25_440
        out = whole.generate(tokens, max_new_tokens=8, do_sample=False, pad_token_id=2)
        slow = whole.generate(tokens, max_new_tokens=8, do_sample=False, pad_token_id=2, use_cache=False)
        assert torch.equal(out, slow)

    def test_impossible(self):
        with pytest.raises(InputError, match="0 times"):
            llama.share_layers(llama.tiny(0), 0)

    def test_gqa_with_all_heads_is_mha(self):
        """One key-value head for each query head; and grouped heads equal MHA with repeated heads."""
        grouped = llama.small_llama(64, 32, 1, heads=4, kv_heads=2, ffn=64)
        full = llama.small_llama(64, 32, 1, heads=4, kv_heads=4, ffn=64)
        state = grouped.state_dict()
        for name in ("k_proj", "v_proj"):
            key = f"model.layers.0.self_attn.{name}.weight"
            state[key] = state[key].reshape(2, 8, 32).repeat_interleave(2, dim=0).reshape(32, 32)
        full.load_state_dict(state)
        tokens = torch.arange(20)[None]
        assert torch.allclose(grouped(tokens).logits, full(tokens).logits, atol=1e-5)


class TestTasks:
    def test_names_are_distinct(self):
        names = [task.name for task in students.tasks()]
        assert len(set(names)) == len(names)

    def test_repeated_text_is_only_that_text(self):
        source = corpus.seed_batches(corpus.story_tokenizer(), 0)
        first = np.concatenate([next(corpus.seed_batches(corpus.story_tokenizer(), 0))])
        again = corpus.repeated(source, 5 * corpus.CONTEXT, seed=0)
        seen = np.concatenate([next(again) for _ in range(6)])
        known = {row.tobytes() for row in first[:5]}
        assert {row.tobytes() for row in seen} == known
        counts = [sum(row.tobytes() == k for row in seen) for k in known]
        assert max(counts) - min(counts) <= 1, "every window equally often"

    def test_a_short_student(self, monkeypatch, tmp_path):
        monkeypatch.setattr(students, "STUDENT_STEPS", 3)
        monkeypatch.setattr(
            corpus, "held_out_tokens", lambda tok, n=0: next(corpus.story_batches(tok, seed="h")).ravel()
        )
        result = sweep.run(students.Student(10_000, 0.5, 2.0, 0), tmp_path)
        assert result["parameters"] == 100_080 and set(result["rounded"]) == {"3", "4"} and result["alpha"] == 0.5

    def test_missing_results_say_how_to_make_them(self, tmp_path):
        with pytest.raises(InputError, match="helpers.experiments students"):
            sweep.shipped(tmp_path / "students.json")


def test_the_cosine_term_sees_directions_alone():
    torch.manual_seed(0)
    states = torch.randn(2, 5, 16)
    assert float(distill.cosine_term(states, 3 * states)) == pytest.approx(0, abs=1e-6)
    assert float(distill.cosine_term(states, -states)) == pytest.approx(2, abs=1e-6)
    turned = torch.zeros(1, 1, 16), torch.zeros(1, 1, 16)
    turned[0][..., 0], turned[1][..., 1] = 1, 1
    assert float(distill.cosine_term(*turned)) == pytest.approx(1)
    with pytest.raises(InputError, match="widths 16 and 8"):
        distill.cosine_term(states, torch.randn(2, 5, 8))
    model = llama.tiny(0)
    tokens = torch.arange(40)[None]
    plain, angled = (distill.objective(llama.tiny(1), cosine=share)(model, tokens) for share in (0.0, 0.5))
    assert 0 < (angled - plain).item() < 1
