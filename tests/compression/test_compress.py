"""Pruning, low rank and Kronecker products: against definitions, planted answers and brute force."""

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.compression import compress, kronecker, lowrank, prune
from helpers.errors import InputError
from helpers.training import corpus, fit, llama, shipped


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def relative(w, other) -> float:
    return float((w - other).norm() / w.norm())


class TestPruning:
    @given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 99))
    def test_magnitude_drops_the_smallest_and_exactly_as_many(self, rows, columns, sparsity, seed):
        w = random(rows, columns, seed=seed)
        keep = prune.magnitude(w, sparsity)
        assert int((~keep).sum()) == round(sparsity * w.numel())
        if keep.any() and not keep.all():
            assert w[keep].abs().min() >= w[~keep].abs().max()

    def test_equal_weights_are_still_counted(self):
        assert int(prune.magnitude(torch.ones(4, 4), 0.5).sum()) == 8

    def test_wanda_compares_within_each_row(self):
        w, norms = random(6, 20) * torch.arange(1, 7)[:, None], torch.linspace(0.1, 5, 20)
        keep = prune.wanda(w, norms, 0.4)
        assert keep.sum(dim=1).tolist() == [12] * 6
        for row, mask in zip(w.abs() * norms, keep, strict=True):
            assert row[mask].min() >= row[~mask].max()
        assert (prune.magnitude(w, 0.4).sum(dim=1) != 12).any(), "magnitude over all takes more from small rows"

    def test_wanda_with_equal_inputs_is_magnitude_in_each_row(self):
        w = random(5, 30)
        by_row = torch.cat([prune.magnitude(row[None], 0.5) for row in w])
        assert torch.equal(prune.wanda(w, torch.full((30,), 2.0), 0.5), by_row)

    @pytest.mark.parametrize("n, m", [(2, 4), (1, 2), (4, 8), (3, 3)])
    def test_n_of_m(self, n, m):
        w = random(7, 24)
        keep = prune.n_of_m(w, n, m)
        groups, kept = w.abs().reshape(-1, m), keep.reshape(-1, m)
        assert (kept.sum(dim=1) == n).all()
        best = groups.topk(n, dim=1).values.sum(dim=1)
        assert torch.allclose((groups * kept).sum(dim=1), best)

    def test_rows(self):
        w = random(10, 4) * torch.arange(10)[:, None]
        keep = prune.rows(w, 0.3)
        assert keep.all(dim=1).sum() == 7 and not keep[:3].any()

    def test_removed_neurons_leave_an_equal_but_smaller_model(self):
        """Removing neurons that do nothing changes no output."""
        model = shipped.tiny(0)
        with torch.no_grad():
            for layer in model.model.layers:
                layer.mlp.down_proj.weight[:, ::2] = 0
        small = prune.remove_neurons(model, 64)
        tokens = torch.arange(40)[None]
        assert torch.allclose(small(tokens).logits, model(tokens).logits, atol=1e-5)
        assert (
            small.num_parameters() == model.num_parameters() - 2 * 3 * 48 * 64 and small.config.intermediate_size == 64
        )

    @pytest.mark.parametrize("sparsity", [-0.1, 1.1, float("nan")])
    def test_sparsity_outside(self, sparsity):
        with pytest.raises(InputError, match="0 to 1"):
            prune.magnitude(random(4, 4), sparsity)

    def test_what_does_not_fit(self):
        with pytest.raises(InputError, match="groups of 4.*divides 10"):
            prune.n_of_m(random(3, 10), 2, 4)
        with pytest.raises(InputError, match="5 of 4"):
            prune.n_of_m(random(3, 8), 5, 4)
        with pytest.raises(InputError, match="one finite norm"):
            prune.wanda(random(3, 8), torch.ones(7), 0.5)
        with pytest.raises(InputError, match="2 numbers that are NaN or infinite"):
            prune.rows(torch.tensor([[float("nan"), 1.0], [float("inf"), 1.0]]), 0.5)
        with pytest.raises(InputError, match="has 3 axes. A matrix"):
            prune.magnitude(random(3, 4, 5), 0.5)
        with pytest.raises(InputError, match="129 neurons"):
            prune.remove_neurons(llama.tiny(0), 129)


class TestLowRank:
    def test_error_is_the_tail_of_the_singular_values(self):
        w = random(20, 31).double()
        values = torch.linalg.svdvals(w)
        for rank in (1, 5, 20):
            u, v = lowrank.truncated(w, rank)
            assert u.shape == (20, rank) and v.shape == (rank, 31)
            assert float((w - u @ v).square().sum()) == pytest.approx(float(values[rank:].square().sum()), abs=1e-9)

    @pytest.mark.parametrize("tokens", [1, 10_000])
    def test_both_factors_have_the_same_scale_whatever_the_moments_have(self, tokens):
        w, x = random(24, 16), random(200, 16) @ random(16, 16)
        for u, v in (lowrank.truncated(w, 6), lowrank.activation_aware(w, 6, tokens * (x.T @ x))):
            assert torch.allclose(u.norm(dim=0), v.norm(dim=1), rtol=1e-3)
        u, v = lowrank.activation_aware(torch.zeros(24, 16), 6, tokens * torch.eye(16))
        assert not (u @ v).any() and u.isfinite().all() and v.isfinite().all()

    def test_activation_aware_is_better_in_the_output_and_worse_in_the_weights(self):
        w, x = random(24, 40).double(), (random(500, 40, seed=1) @ random(40, 40, seed=2)).double()
        plain = torch.matmul(*lowrank.truncated(w, 6))
        aware = torch.matmul(*lowrank.activation_aware(w, 6, x.T @ x, damping=1e-9))
        assert relative(x @ w.T, x @ aware.T) < 0.9 * relative(x @ w.T, x @ plain.T)
        assert relative(w, aware) > relative(w, plain)

    def test_with_independent_inputs_both_are_the_same(self):
        w = random(12, 16).double()
        both = [
            torch.matmul(*f) for f in (lowrank.truncated(w, 4), lowrank.activation_aware(w, 4, torch.eye(16).double()))
        ]
        assert torch.allclose(*both, atol=1e-6)

    def test_layers_compute_the_product(self):
        w, x = random(9, 7), random(2, 3, 7, seed=1)
        layers = lowrank.as_layers(*lowrank.truncated(w, 7))
        assert torch.allclose(layers(x), x @ w.T, atol=1e-5)

    @pytest.mark.parametrize("rank", [0, 8, -1])
    def test_impossible_ranks(self, rank):
        with pytest.raises(InputError, match="Choose 1 to 7"):
            lowrank.truncated(random(9, 7), rank)

    def test_moments_of_another_layer(self):
        with pytest.raises(InputError, match="do not fit 7 inputs"):
            lowrank.activation_aware(random(9, 7), 2, torch.eye(9))


class TestKronecker:
    @given(st.sampled_from([(1, 2), (2, 1), (2, 2), (3, 2), (6, 4)]), st.integers(1, 3), st.integers(0, 50))
    @settings(deadline=None)
    def test_planted_factors_are_recovered(self, b_shape, rank, seed):
        rank = min(rank, b_shape[0] * b_shape[1], 20)
        a, b = random(rank, 4, 5, seed=seed).double(), random(rank, *b_shape, seed=seed + 1).double()
        w = kronecker.product(a, b)
        assert torch.allclose(kronecker.product(*kronecker.nearest(w, b_shape, rank)), w, atol=1e-9)

    def test_product_is_numpys(self):
        a, b = random(2, 3, 4), random(2, 5, 6)
        expected = sum(np.kron(x.numpy(), y.numpy()) for x, y in zip(a, b, strict=True))
        assert np.allclose(kronecker.product(a, b), expected, atol=1e-6)

    @pytest.mark.parametrize("b_shape", [(2, 4), (12, 16), (1, 1), (24, 32)])
    def test_error_is_the_tail_and_falls_with_the_rank(self, b_shape):
        """Also where B is larger than A: there the other small matrix is decomposed."""
        w = random(24, 32).double()
        values = torch.linalg.svdvals(kronecker.rearrange(w, b_shape))
        errors = []
        for rank in range(1, len(values) + 1):
            error = relative(w, kronecker.product(*kronecker.nearest(w, b_shape, rank)))
            assert error**2 == pytest.approx(float(values[rank:].square().sum() / w.square().sum()), abs=1e-9)
            assert kronecker.tail(w, b_shape, rank) == pytest.approx(error, abs=1e-6)
            errors.append(error)
        assert all(a >= b - 1e-12 for a, b in itertools.pairwise(errors)) and errors[-1] < 1e-6

    def test_no_nearby_factors_are_better(self):
        w = random(8, 8).double()
        a, b = kronecker.nearest(w, (2, 2), 1)
        best = relative(w, kronecker.product(a, b))
        for seed in range(50):
            other = kronecker.product(
                a + 0.01 * random(*a.shape, seed=seed), b + 0.01 * random(*b.shape, seed=seed + 99)
            )
            assert relative(w, other) > best

    def test_the_layer_equals_the_dense_product_and_so_does_its_gradient(self):
        w, x = random(12, 20).double(), random(3, 5, 20, seed=1).double()
        rows, columns = np.random.default_rng(0).permutation(12), np.random.default_rng(1).permutation(20)
        a, b = kronecker.nearest(w[rows][:, columns], (3, 2), 4)
        bias = random(12, seed=3).double()
        layer = kronecker.KroneckerLinear(a, b, rows, columns, bias)
        dense = torch.empty_like(w)
        dense[np.ix_(rows, columns)] = kronecker.product(a, b)
        assert torch.allclose(layer(x), x @ dense.T + bias, atol=1e-10)
        assert torch.autograd.gradcheck(layer, x[:1, :1].requires_grad_())
        layer(x).square().sum().backward()
        parameters = [a.clone().requires_grad_(), b.clone().requires_grad_()]
        full = torch.zeros_like(w).index_put(
            (torch.tensor(rows)[:, None], torch.tensor(columns)[None]), kronecker.product(*parameters)
        )
        (x @ full.T + bias).square().sum().backward()
        for ours, theirs in zip((layer.a.grad, layer.b.grad), parameters, strict=True):
            assert torch.allclose(ours, theirs.grad, atol=1e-8)

    def test_layers_are_of_one_class_and_can_be_saved(self):
        a, b = kronecker.nearest(random(12, 20), (3, 2), 2)
        one, other = kronecker.KroneckerLinear(a, b, np.arange(12)[::-1]), kronecker.KroneckerLinear(a, b + 1)
        assert type(one) is type(other) and (one.in_features, one.out_features) == (20, 12)
        again = kronecker.KroneckerLinear(torch.zeros_like(a), torch.zeros_like(b), np.arange(12))
        again.load_state_dict(one.state_dict())
        x = random(4, 20)
        assert torch.equal(again(x), one(x)) and not torch.equal(other(x), one(x))
        assert torch.equal(copy.deepcopy(one)(x), one(x))

    def test_shapes_that_do_not_factor_are_told_those_that_do(self):
        with pytest.raises(
            InputError, match=r"10 × 9 has no factor B of 4 × 3.*divide 10 \(1, 2, 5, 10\).*9 \(1, 3, 9\)"
        ):
            kronecker.nearest(random(10, 9), (4, 3))
        with pytest.raises(InputError, match="Choose 1 to 4"):
            kronecker.nearest(random(10, 10), (2, 2), 5)
        with pytest.raises(InputError, match="NaN or infinite"):
            kronecker.nearest(torch.full((4, 4), float("nan")), (2, 2))


class TestPermutations:
    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("rank", [1, 2])
    def test_no_step_increases_the_error_and_the_last_is_true(self, seed, rank):
        w = random(16, 24, seed=seed)
        found = kronecker.search(w, (2, 4), rank, restarts=5, seed=seed)
        assert all(a >= b - 1e-6 for a, b in itertools.pairwise(found.errors))
        assert sorted(found.rows) == list(range(16)) and sorted(found.columns) == list(range(24))
        arranged = w[found.rows][:, found.columns]
        assert relative(arranged, kronecker.product(*kronecker.nearest(arranged, (2, 4), rank))) == pytest.approx(
            found.errors[-1], abs=1e-5
        )
        assert found.errors[0] == pytest.approx(kronecker.tail(w, (2, 4), rank))

    @pytest.mark.parametrize("seed", range(3))
    def test_a_planted_order_is_recovered(self, seed):
        w = kronecker.product(random(1, 12, 8, seed=seed), random(1, 2, 4, seed=seed + 9))
        shuffle = np.random.default_rng(seed)
        w = w[shuffle.permutation(24)][:, shuffle.permutation(32)]
        found = kronecker.search(w, (2, 4), 1, restarts=100)
        assert found.errors[0] > 0.8 and found.errors[-1] < 1e-5

    def test_swaps_find_what_brute_force_finds(self):
        """One round of swaps on so small a matrix ends where no single exchange of rows helps any more."""
        w = random(6, 4, seed=5)
        found = kronecker.search(w, (2, 2), 1, restarts=0, swaps=20)
        for i, j in itertools.combinations(range(6), 2):
            rows = found.rows.copy()
            rows[[i, j]] = rows[[j, i]]
            assert kronecker.tail(w[rows][:, found.columns], (2, 2), 1) > found.errors[-1] - 1e-6

    def test_a_matrix_that_is_a_product_is_left_alone(self):
        w = kronecker.product(random(1, 4, 4), random(1, 2, 2, seed=1))
        assert kronecker.search(w, (2, 2), 1, restarts=0).errors[-1] < 1e-6


class TestModels:
    def test_kroneckerized_model_is_the_model_with_nearest_matrices(self):
        model, dense = shipped.tiny(0), shipped.tiny(0)
        names = list(compress.matrices(model, "up_proj"))
        errors = compress.kroneckerize(model, names, (4, 2), 2, permute=True, restarts=2, swaps=1)
        with torch.no_grad():
            for name in names:
                w = compress.weight(dense.get_submodule(name))
                order = kronecker.search(w, (4, 2), 2, restarts=2, swaps=1)
                near = kronecker.product(*kronecker.nearest(w[order.rows][:, order.columns], (4, 2), 2))
                assert errors[name] == pytest.approx(order.errors[-1], abs=1e-6)
                dense.get_submodule(name).weight[np.ix_(order.rows, order.columns)] = near
        tokens = torch.arange(3, 60)[None]
        assert torch.allclose(model(tokens).logits, dense(tokens).logits, atol=1e-4)
        held = compress.held(model)
        assert held.parameters == 100_080 - 2 * 128 * 48 + 2 * 2 * (128 * 48 // 8 + 8)
        assert held.indices == 2 * (128 + 48) and held.largest_index == 127

    def test_factorized_model_holds_what_was_asked_for(self):
        model = shipped.tiny(1)
        moments = compress.inputs_of(model, corpus.held_out_tokens(corpus.story_tokenizer(), 10))
        assert all(m.shape[0] == compress.matrices(model)[name].weight.shape[1] for name, m in moments.items())
        names = list(compress.matrices(model, "down_proj"))
        compress.factorize(model, names, 0.5, moments)
        saved = 100_080 - compress.held(model).parameters
        assert saved == 2 * (48 * 128 - 17 * (48 + 128))

    def test_tied_and_untied_heads(self):
        model = llama.tiny(0)
        tied = compress.held(model).parameters
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
        assert compress.held(model).parameters == tied + 1024 * 48 and tied == 100_080

    def test_zeros_save_nothing_unless_stored_sparsely(self):
        model = compress.masked(llama.tiny(0), lambda _, w: prune.magnitude(w, 0.5))
        held = compress.held(model)
        assert (
            held.parameters == 100_080
            and held.zeros == sum(m.weight.numel() for m in compress.matrices(model).values()) // 2
        )
        assert held.megabytes(16) == 100_080 * 2 / 1e6
        assert held.megabytes(16, sparse=True) == pytest.approx(((100_080 - held.zeros) * 16 + 100_080) / 8e6)

    def test_masks_do_not_touch_the_original(self):
        model = llama.tiny(0)
        before = copy.deepcopy(model.state_dict())
        compress.masked(model, lambda _, w: torch.zeros_like(w, dtype=torch.bool))
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())

    def test_gpt2_keeps_its_matrices_transposed(self):
        from transformers import GPT2Config, GPT2LMHeadModel

        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=30, n_positions=20)).eval()
        tokens = torch.arange(10)[None]
        before = model(tokens).logits
        names = [name for name in compress.matrices(model) if "mlp" in name]
        assert len(names) == 2 and compress.weight(model.get_submodule(names[0])).shape == (64, 16)
        compress.kroneckerize(model, names, (2, 2), rank=4)
        assert torch.allclose(model(tokens).logits, before, atol=1e-5), "full rank changes nothing, biases are kept"


def test_a_layer_that_is_gone_is_not_computed():
    model = llama.SHAPES["32 wide"].model(0)
    ids = torch.arange(20)[None]
    one = prune.remove_layers(model, [0])
    assert one.config.num_hidden_layers == len(one.model.layers) == 1 and len(model.model.layers) == 2
    hidden = model.model.embed_tokens(ids)
    places = model.model.rotary_emb(hidden, torch.arange(20)[None])
    expected = model.model.layers[1](hidden, position_embeddings=places, attention_mask=None)
    expected = model.lm_head(model.model.norm(expected[0] if isinstance(expected, tuple) else expected))
    found = one(ids, use_cache=False).logits
    assert found.shape == expected.shape and torch.allclose(found[:, 0], expected[:, 0], atol=1e-5)
    for drop in ([0, 1], [2]):
        with pytest.raises(InputError, match="cannot be removed of 2"):
            prune.remove_layers(model, drop)


def test_channels_that_are_always_zero_can_go():
    """Half of the channels hold nothing: without them the model says the same, but for the norm's mean."""
    model = llama.SHAPES["64 wide"].model(0)
    keep = torch.arange(64) % 2 == 0
    with torch.no_grad():
        model.model.embed_tokens.weight[:, ~keep] = 0
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[~keep] = 0
            layer.mlp.down_proj.weight[~keep] = 0
    small = prune.remove_channels(model, 32, keep.float())
    assert small.config.hidden_size == 32 and small.lm_head.weight is small.model.embed_tokens.weight
    behind = [(layer.input_layernorm, layer.post_attention_layernorm) for layer in small.model.layers]
    for norm in [small.model.norm, *itertools.chain(*behind)]:
        norm.weight.data *= 2**0.5  # the mean of squares is over half as many channels now
        norm.variance_epsilon *= 2
    ids = torch.arange(30)[None]
    assert torch.allclose(small(ids).logits, model(ids).logits, atol=1e-4)
    with pytest.raises(InputError, match="65 channels cannot be kept of 64"):
        prune.remove_channels(model, 65, keep.float())


def test_zeros_stay_zeros_while_a_model_is_trained():
    model = llama.SHAPES["32 wide"].model(0)
    pruned = compress.masked(model, lambda _, w: prune.magnitude(w, 0.6))
    masks = {name: module.weight.detach() != 0 for name, module in compress.matrices(pruned).items()}
    batches = corpus.seed_batches(corpus.story_tokenizer(), 0)
    with prune.zeros_stay(pruned):
        fit.fit(pruned, batches, 5, 1e-2, progress=False, warmup=1)
    for name, module in compress.matrices(pruned).items():
        assert not hasattr(module, "parametrizations")
        assert torch.equal(module.weight.detach() != 0, masks[name]), name
    assert not torch.equal(pruned.model.layers[0].mlp.up_proj.weight, model.model.layers[0].mlp.up_proj.weight)
