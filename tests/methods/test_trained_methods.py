"""The trained methods: their laws written out, target 0 and target 1, and what they learn."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

import steersman as sm
from steersman.errors import InputError
from steersman.methods import (
    CDAS,
    RISER,
    BiPO,
    GuidingGiants,
    LinEAS,
    Method,
    PreControl,
    PrOSV,
)
from steersman.methods.guiding_giants import ControlledPush
from steersman.methods.pre_control import ValueLaw
from steersman.methods.riser import Router, clusters
from steersman.plant import HookSet, hidden_out, locate, with_hidden
from steersman.training.networks import apply, layers, with_gradient

Models = Callable[[str], PreTrainedModel]
TRAINED: tuple[Method, ...] = (
    BiPO(block=1, epochs=3, rate=0.05),
    LinEAS(epochs=4, rate=0.05),
    PrOSV(block=1, epochs=3),
    PrOSV(block=1, epochs=3, objective="simpo", scale=0.01),
    CDAS(block=1, epochs=3),
    GuidingGiants(epochs=3, hidden=16),
    PreControl(epochs=5, rate=1e-2, hidden=16),
    RISER(block=1, epochs=5, vectors=2, hidden=16),
)
IDS = torch.arange(6, 14)[None]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def pairs(tokenizer: Any) -> sm.ContrastivePairs:
    w = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{w[1]} {w[i]} {w[i + 1]} {w[0]}" for i in range(2, 8)],
        undesired=[f"{w[1]} {w[-i]} {w[-i - 1]} {w[0]}" for i in range(2, 8)],
    )


@pytest.fixture(scope="module")
def fitted(tiny_model: Models, tiny_tokenizer: Any) -> Callable[[Method], sm.Steering]:
    @cache
    def fit(method: Method) -> sm.Steering:
        model, examples = tiny_model("llama"), pairs(tiny_tokenizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return sm.fit(model, tiny_tokenizer, examples, method=method, progress=False)

    return fit


@torch.no_grad()
@pytest.mark.parametrize("method", TRAINED, ids=str)
def test_target_zero_is_the_bare_model_bit_for_bit_and_one_is_not(
    method: Method, fitted: Callable[[Method], sm.Steering], tiny_model: Models
) -> None:
    model, steering = tiny_model("llama"), fitted(method)
    bare = model(IDS).logits
    with steering.attach(model, 0.0, tokens="all"):
        assert torch.equal(model(IDS).logits, bare)
    with steering.attach(model, 1.0, tokens="all"):
        assert not torch.equal(model(IDS).logits, bare)


@torch.no_grad()
@pytest.mark.parametrize("method", TRAINED, ids=str)
def test_by_default_it_acts_at_the_tokens_at_which_it_was_trained(
    method: Method, fitted: Callable[[Method], sm.Steering], tiny_model: Models
) -> None:
    steering, model = fitted(method), tiny_model("llama")
    (decision,) = steering.provenance.decision_tokens
    a, b, c, d = [token for token in range(20, 25) if token != decision][:4]
    ids = torch.tensor([[a, b, decision, c, d]])
    with steering.attach(model) as run:
        model(ids)
    ends = [True, True, False, True, True]
    expected = {"all": [True] * 5, "last": [False] * 4 + [True], PrOSV.tokens: ends}[method.tokens]
    if isinstance(method, CDAS):  # its pairs are alike there and nowhere else
        expected = [False, False, True, False, False]
    assert run.trace.steered.tolist() == [expected]


@pytest.mark.parametrize("method", TRAINED, ids=str)
def test_the_history_is_kept_and_saved(
    method: Method, fitted: Callable[[Method], sm.Steering], tmp_path: Any
) -> None:
    steering = fitted(method)
    names = [f"Training of {method.name}"]
    names += [f"{names[0]}, by reinforcement"] if isinstance(method, RISER) else []
    assert [one.name for one in steering.diagnostics] == names
    assert all(len(one.rows) > 2 for one in steering.diagnostics)
    loaded = sm.Steering.from_pretrained(steering.save_pretrained(tmp_path / "one"))
    assert loaded.diagnostics == steering.diagnostics and loaded.method == method
    own = steering.controller.own
    assert all(torch.equal(loaded.controller.own[name], own[name]) for name in own)
    assert loaded.controller.own.keys() == own.keys()


@torch.no_grad()
@pytest.mark.parametrize("kind", [BiPO, PrOSV])
def test_a_trained_vector_is_added_behind_its_block(
    kind: type[Method], fitted: Callable[[Method], sm.Steering], tiny_model: Models
) -> None:
    model, steering = tiny_model("llama"), fitted(next(m for m in TRAINED if type(m) is kind))
    v = steering.plan[1]
    assert v.any() and not steering.plan[[0, 2]].any()
    places = [0, 1, -2, -1] if kind is PrOSV else list(range(IDS.shape[1]))

    def pushed(y: Tensor) -> Tensor:
        y = y.clone()
        y[:, places] += 2 * v
        return y

    with HookSet() as hooks:
        hooks.after(
            locate(model).modules[1], lambda a, k, out: with_hidden(out, pushed(hidden_out(out)))
        )
        expected = model(IDS).logits
    with steering.attach(model, 2.0):
        torch.testing.assert_close(model(IDS).logits, expected)


@torch.no_grad()
def test_a_sum_of_trained_vectors_acts_where_they_do(
    fitted: Callable[[Method], sm.Steering], tiny_model: Models, tmp_path: Any
) -> None:
    model, steering = tiny_model("llama"), fitted(TRAINED[0])
    with steering.attach(model, 2.0):
        expected = model(IDS).logits
    with (2 * steering).attach(model):
        torch.testing.assert_close(model(IDS).logits, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is said of tokens that it leaves alone
        sm.export_vectors(steering, tmp_path / "one.svec")


@torch.no_grad()
def test_a_clamp_leaves_the_desired_value_behind_its_block(
    fitted: Callable[[Method], sm.Steering], tiny_model: Models
) -> None:
    model, steering = tiny_model("llama"), fitted(TRAINED[4])
    v, seen = steering.controller.G[1, :, 0], list[Tensor]()
    assert float(v.norm()) == pytest.approx(1.0, abs=1e-5)
    with steering.attach(model, 1.0, tokens="all", trace=False), HookSet() as hooks:
        hooks.after(locate(model).modules[1], lambda a, k, out: seen.append(hidden_out(out) @ v))
        model(IDS)
    wanted = steering.controller.own["o"][1]
    torch.testing.assert_close(seen[0], wanted.expand_as(seen[0]), rtol=1e-4, atol=1e-5)


def test_training_brings_the_samples_together(
    fitted: Callable[[Method], sm.Steering],
) -> None:
    rows = fitted(TRAINED[1]).diagnostics[0].rows
    assert rows[-1][1] < rows[1][1]


def test_all_thresholds_at_a_whole_step_leave_nothing(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, examples = tiny_model("llama"), pairs(tiny_tokenizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = sm.fit(
            *(model, tiny_tokenizer, examples),
            method=LinEAS(epochs=2, block_sparsity=1e4),
            progress=False,
        )
    assert (made.controller.own["omega"] == 1).all() and not made.controller.own["beta"].any()


def test_a_controlled_push_waits_until_everything_was_read() -> None:
    network = layers((8, 6, 1 + 3), seeded())
    push, x = torch.randn(3, 4, generator=seeded()), torch.randn(5, 4, generator=seeded())
    law = ControlledPush(push, network, torch.tensor([2.0, 3.0]), (0, 1))
    state, u0 = law.step(law.init(5), x, torch.ones(5, 1), 0)
    state, u1 = law.step(state, 3 * x, torch.ones(5, 1), 1)
    state, u2 = law.step(state, 7 * x, torch.ones(5, 1), 2)
    read = torch.cat([x / 2, x], dim=1)
    hidden = (read @ network["layer.0.weight"].T + network["layer.0.bias"]).clamp(min=0)
    answer = (hidden @ network["layer.1.weight"].T + network["layer.1.bias"]).sigmoid()
    assert not u0.any()
    for block, u in ((1, u1), (2, u2)):
        amount = answer[:, 0] * answer[:, 1 + block]
        torch.testing.assert_close(u, amount[:, None] * push[block])


def test_the_written_out_gradient_is_autograds() -> None:
    network = {k: t.double() for k, t in layers((5, 7, 6, 1), seeded()).items()}
    x = torch.randn(9, 5, generator=seeded()).double().requires_grad_()
    value = apply(network, x)[:, 0]
    (expected,) = torch.autograd.grad(value.sum(), x)
    found = with_gradient(network, x.detach())
    torch.testing.assert_close(found, (value.detach(), expected))


def test_the_edit_is_what_adam_comes_to_on_the_huber_loss() -> None:
    network = {k: t.double() for k, t in layers((4, 7, 7, 1), seeded()).items()}
    x = 3 * torch.randn(5, 4, generator=seeded()).double()
    law = ValueLaw(torch.zeros(3, 4).double(), network, 3.0, 2, 1.0, 0.05, 12)
    with torch.inference_mode():
        _, u = law.step(None, x, torch.full((5, 1), 0.7).double(), 2)
    z = (x / 3.0).requires_grad_()
    adam = torch.optim.Adam([z], lr=0.05)
    for _ in range(12):
        adam.zero_grad()
        value = apply(network, z)[:, 0]
        loss = torch.nn.functional.smooth_l1_loss(
            value, torch.ones(5).double(), beta=0.5, reduction="sum"
        )
        loss.backward()
        adam.step()
    torch.testing.assert_close(u, 0.7 * (3.0 * z.detach() - x), rtol=1e-5, atol=1e-6)


def test_a_router_adds_the_vectors_that_it_takes() -> None:
    network, library = layers((4, 6, 4), seeded()), torch.randn(2, 4, generator=seeded())
    x = torch.randn(9, 4, generator=seeded())
    law = Router(library, network, 2.0, 1, 3, 0.5)
    _, u = law.step(None, x, torch.full((9, 1), 3.0), 1)
    answer, expected = apply(network, x / 2), torch.zeros(9, 4)
    for row in range(9):
        for k in range(2):
            if answer[row, k] > 0:
                expected[row] += 3 * answer[row, 2 + k] * library[k]
    torch.testing.assert_close(u, expected)
    assert not law.is_active(0)


def test_reinforcement_is_seeded_and_starts_from_the_warm_up(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    def fit(reinforced: int, rate: float) -> sm.Steering:
        method = RISER(block=1, epochs=3, vectors=2, hidden=16, held_out=0.0)
        method = replace(method, reinforced=reinforced, reinforced_rate=rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return sm.fit(
                *(tiny_model("llama"), tiny_tokenizer, pairs(tiny_tokenizer)),
                method=method,
                progress=False,
            )

    once, again, still, none = fit(2, 1e-2), fit(2, 1e-2), fit(2, 1e-12), fit(0, 1e-2)
    for name, tensor in none.controller.own.items():
        assert torch.equal(once.controller.own[name], again.controller.own[name])
        torch.testing.assert_close(still.controller.own[name], tensor)
    weights = [one.controller.own["layer.1.weight"] for one in (once, none)]
    assert not torch.equal(*weights)


def test_clusters_are_the_means_of_what_lies_together() -> None:
    middles = torch.tensor([[10.0, 0], [0, 10.0], [-10.0, -10.0]])
    x = (middles[:, None] + torch.randn(3, 20, 2, generator=seeded())).flatten(0, 1)
    # An unlucky start may leave two middles in one cluster; some start does not.
    best = min((clusters(x, 3, seed) for seed in range(5)), key=lambda m: _spread(x, m))
    found = best[best[:, 0].argsort()]
    expected = x.view(3, 20, 2).mean(1)
    torch.testing.assert_close(found, expected[expected[:, 0].argsort()])


def _spread(x: Tensor, means: Tensor) -> float:
    return float(torch.cdist(x, means).min(dim=1).values.square().sum())


def test_the_interchange_needs_pairs_that_end_alike(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    w = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    examples = sm.ContrastivePairs([f"{w[0]} {w[1]}", w[2]], [f"{w[0]} {w[3]}", w[4]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(InputError, match="pair 0 is not aligned"):
            sm.fit(tiny_model("llama"), tiny_tokenizer, examples, method="cdas", progress=False)


def test_a_block_or_an_objective_that_does_not_exist_is_refused(
    tiny_model: Models, tiny_tokenizer: Any, unchecked: None
) -> None:
    for method in (BiPO(block=3), PrOSV(objective="dpo"), PreControl(block=7)):  # type: ignore[arg-type]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            with pytest.raises(InputError, match="block|objective"):
                model, examples = tiny_model("llama"), pairs(tiny_tokenizer)
                sm.fit(model, tiny_tokenizer, examples, method=method, progress=False)
