"""Where one looks and what one adds are two things: every method, whatever observes the feature."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import steersman as sm
from steersman.control import LTVSystem, PIDLaw, least_errors, reached
from steersman.directions import (
    Direction,
    Features,
    Natural,
    Whitened,
    contrast,
    natural_differences,
)
from steersman.errors import InputError
from steersman.methods import (
    ALQR,
    SPID,
    ActivationAddition,
    Clamp,
    Evidence,
    FeatureLQR,
    Method,
    OpenLoopLQR,
    ProportionalAddition,
)

BLOCKS, N = 4, 6


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plant() -> LTVSystem:
    return LTVSystem(torch.eye(N).double() + 0.3 * randn(0, BLOCKS, N, N) / N**0.5)


def sides() -> tuple[Tensor, Tensor]:
    """Pairs with a contrast in every state, and noise that is large where the contrast is small."""
    spread = torch.linspace(2.0, 0.2, N).double()
    common, noise = randn(1, 40, BLOCKS + 1, N), randn(2, 2, 40, BLOCKS + 1, N)
    pushes = torch.linspace(0.1, 0.5, N).double() * (1 + torch.arange(BLOCKS + 1))[:, None]
    return (common + noise[0]) * spread + pushes, (common + noise[1]) * spread


def direction() -> Direction:
    return contrast(*sides(), observer=Whitened())


def evidence(method: Method) -> Evidence:
    return Evidence(Features.of(direction()), plant(), natural=method.natural(*sides()))


METHODS = [
    ALQR(),
    FeatureLQR(),
    FeatureLQR(q=0.3, actuators="state"),
    FeatureLQR(q=0.3, actuators="natural", most=4),
    SPID(),
    ProportionalAddition(kp=0.5),
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_unit_of_target_moves_the_observed_feature_by_a_unit(method: Method) -> None:
    d = direction()
    found = method.solve(evidence(method))
    moved = reached(plant(), found.plan, d.vectors[-1:].mT.to(found.plan))
    torch.testing.assert_close(moved.double(), d.norm[-1:, None], rtol=1e-4, atol=1e-5)


def test_activation_addition_adds_the_contrast_whatever_observes_it() -> None:
    d = direction()
    plan = ActivationAddition(block=2).solve(Evidence(Features.of(d))).plan[..., 0]
    torch.testing.assert_close(plan[2], d.contrast[3])
    assert float(d.vectors[3] @ plan[2]) == pytest.approx(float(d.norm[3]))


def test_feedback_of_one_feature_acts_along_the_pattern() -> None:
    d = direction()
    found = SPID(kp=1.0, ki=0.0).solve(evidence(SPID()))
    torch.testing.assert_close(found.G.squeeze(-1), d.patterns[:-1])
    law = SPID(kp=1.0, ki=0.0).law(found)
    x, s = randn(5, 3, N), randn(6, 3, 1)
    _, u = law.step(law.init(3), x, s, 1)
    # An error is closed at once where nothing comes between.
    torch.testing.assert_close((x + u) @ d.vectors[1], s.squeeze(-1))


def test_a_cap_counts_what_is_added_and_not_what_is_observed() -> None:
    v, p = torch.eye(N)[:BLOCKS].double(), 5 * torch.eye(N)[1 : BLOCKS + 1].double()
    law = PIDLaw(v, 1.0, cap=0.1, p=p)
    x = randn(0, 7, N)
    _, u = law.step(law.init(7), x, torch.full((7, 1), 100.0).double(), 0)
    torch.testing.assert_close(u.norm(dim=-1), 0.1 * x.norm(dim=-1))


def test_the_pattern_has_to_fit_the_direction(unchecked: None) -> None:
    with pytest.raises(sm.SteersmanError, match=r"p has shape \(3, 6\)"):
        PIDLaw(torch.ones(BLOCKS, N), 1.0, p=torch.ones(3, N))


def by_least_squares(method: FeatureLQR, d: Direction, natural: Natural) -> np.ndarray:
    """The optimum over all blocks at once, with natural differences as actuators."""
    A, F = plant().A.numpy(), natural.factors[1:].double().numpy()
    V, unit, p = d.vectors.numpy(), d.norm.numpy(), F.shape[2]
    forced, rows = np.zeros((N, BLOCKS * p)), []
    for t in range(BLOCKS):
        forced = A[t] @ forced
        forced[:, t * p : (t + 1) * p] += F[t]
        weight = method.qf if t + 1 == BLOCKS else float(np.broadcast_to(method.q, BLOCKS)[t + 1])
        rows.append(np.sqrt(weight) * np.append(V[t + 1] @ forced / unit[t + 1], 1.0))
    effort = np.sqrt(method.r) * np.eye(BLOCKS * p, BLOCKS * p + 1)
    system = np.concatenate([np.stack(rows), effort])
    w = np.linalg.lstsq(system[:, :-1], system[:, -1], rcond=None)[0].reshape(BLOCKS, p)
    u = np.einsum("tnp,tp->tn", F, w)
    final = np.zeros(N)
    for t in range(BLOCKS):
        final = A[t] @ final + u[t]
    return u * unit[-1] / (V[-1] @ final)


@pytest.mark.parametrize("q", [0.0, 0.7])
@pytest.mark.parametrize("r", [0.1, 3.0])
def test_natural_actuators_give_the_optimum_in_natural_differences(q: float, r: float) -> None:
    method = FeatureLQR(q=q, r=r, actuators="natural", share=0.99, most=4)
    known = evidence(method)
    assert known.natural is not None
    found = method.solve(known)
    expected = by_least_squares(method, direction(), known.natural)
    np.testing.assert_allclose(found.plan[..., 0], expected, rtol=1e-4, atol=1e-5)
    # Nothing is added that the differences do not show.
    for t, u in enumerate(found.plan[..., 0].double()):
        F = known.natural.factors[t + 1]
        inside = F @ torch.linalg.lstsq(F, u.unsqueeze(1)).solution
        torch.testing.assert_close(inside.squeeze(1), u, rtol=1e-4, atol=1e-5)


def test_of_one_difference_and_no_noise_natural_actuators_are_the_contrast() -> None:
    d, u = sides()
    d = u + (d - u).mean(0)
    same = contrast(d, u)
    natural = natural_differences(d, u, most=1)
    alone = Features.of(same)
    one = FeatureLQR(actuators="natural").solve(Evidence(alone, plant(), natural=natural))
    expected = FeatureLQR().solve(Evidence(alone, plant()))
    cosine = torch.nn.functional.cosine_similarity(one.plan, expected.plan, dim=1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (FeatureLQR(actuators="natural", most=N + 1), "most is 7; states of width 6 have 1 to 6"),
        (FeatureLQR(actuators="natural", most=0), "most is 0"),
        (FeatureLQR(actuators="natural", share=0.0, most=2), "0 < share <= 1"),
    ],
)
def test_natural_actuators_that_cannot_be_are_refused(method: FeatureLQR, says: str) -> None:
    with pytest.raises(InputError, match=says):
        method.natural(*sides())


def test_natural_actuators_without_examples_are_refused() -> None:
    with pytest.raises(InputError, match="fit from examples"):
        FeatureLQR(actuators="natural").solve(Evidence(Features.of(direction()), plant()))


def examples(tokenizer: Any) -> sm.ContrastivePairs:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("observer", ["whitened", "probe:0.01"])
def test_an_observer_is_fitted_saved_loaded_and_attached(
    observer: str, tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    made = sm.fit(model, tiny_tokenizer, pairs, observer=observer, progress=False)
    mean = sm.fit(model, tiny_tokenizer, pairs, progress=False)
    torch.testing.assert_close(made.contrast, mean.contrast)
    assert not torch.allclose(made.directions[1:], mean.directions[1:], atol=1e-2)
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    assert loaded.provenance.observer == observer
    ids = torch.arange(6, 12)[None]
    for attached in ({"target": 1.0}, {"target": 0.5, "reference": "absolute"}, {"lambda_": 1.0}):
        outs = []
        for steering in (made, loaded):
            with steering.attach(model, tokens="all", **attached) as run, torch.no_grad():
                outs.append(model(ids).logits)
        assert torch.equal(*outs)
    # An absolute setpoint of the paper's is in units of what is observed.
    expected = made.direction.norm[:-1]
    torch.testing.assert_close(run.trace.setpoint[0, :, 2], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_natural_actuators_are_kept_for_solving_again_at_a_prompt(
    tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    method = FeatureLQR(actuators="natural")
    made = sm.fit(model, tiny_tokenizer, pairs, method=method, progress=False)
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    assert made.natural is not None and loaded.natural is not None
    assert torch.equal(made.natural.factors, loaded.natural.factors)
    outs: list[Tensor] = []
    for steering in (made, loaded):
        with steering.attach(model, 1.0, relinearize="prompt"), torch.no_grad():
            outs.append(model(torch.arange(6, 12)[None]).logits)
    assert torch.equal(*outs)


def test_only_a_method_that_needs_them_keeps_natural_differences() -> None:
    assert [m.natural(*sides()) is not None for m in METHODS] == [m is METHODS[3] for m in METHODS]


def two() -> tuple[Features, Natural | None]:
    """Another feature beside the first, whose contrast is partly the same."""
    d, u = sides()
    pushed = u + torch.linspace(0.5, 0.0, N).double() + 0.1 * randn(8, 40, BLOCKS + 1, N)
    method = FeatureLQR(actuators="natural", most=2)
    natural = Natural.beside([method.natural(d, u), method.natural(pushed, u)])
    features = {"one": direction(), "other": contrast(pushed, u, observer=Whitened())}
    return Features(features), natural


@pytest.mark.parametrize("method", [ALQR(), *METHODS[1:4]], ids=str)
def test_a_unit_of_each_target_moves_its_feature_and_no_other(method: Method) -> None:
    features, natural = two()
    found = method.solve(Evidence(features, plant(), natural=natural))
    moved = reached(plant(), found.plan, features.vectors[-1].to(found.plan)).double()
    torch.testing.assert_close(moved, torch.diag(features.norm[-1]), rtol=1e-4, atol=1e-5)


def test_errors_of_several_features_are_made_up_for_along_their_contrasts() -> None:
    features, _ = two()
    V, C = features.vectors[1:], features.contrast[1:]
    D = least_errors(V, C)
    eye = torch.eye(2).double().expand(BLOCKS, 2, 2)
    torch.testing.assert_close(V.mT @ D, eye)
    inside = C @ torch.linalg.lstsq(C, D).solution
    torch.testing.assert_close(inside, D)
    torch.testing.assert_close(least_errors(V, V), least_errors(V))


def test_a_feature_that_nothing_observes_at_a_state_is_no_part_of_the_others_errors() -> None:
    features, _ = two()
    V, C = features.vectors[1:].clone(), features.contrast[1:]
    V[2, :, 1] = 0
    D = least_errors(V, C)
    pattern = C[2, :, 0] / (V[2, :, 0] @ C[2, :, 0])
    torch.testing.assert_close(D[2], torch.stack([pattern, 0 * pattern], dim=1))


@pytest.mark.parametrize("method", [*METHODS, Clamp(), OpenLoopLQR()], ids=str)
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_an_embedding_without_contrast_asks_for_nothing(method: Method, spread: float) -> None:
    desired, undesired = sides()
    for side in (desired, undesired):
        side[:, 0] = 3.0 + spread * randn(7, 40, N)
    d = contrast(desired, undesired, observer=Whitened())
    assert not d.vectors[0].any() and not d.norm[0] and not d.patterns[0].any()
    natural = method.natural(desired, undesired)
    found = method.solve(Evidence(Features.of(d), plant(), natural=natural))
    for tensor in (found.H, found.G, found.plan, found.shifts):
        assert tensor.isfinite().all()
    moved = reached(plant(), found.plan, d.vectors[-1:].mT.to(found.plan))
    torch.testing.assert_close(moved.double(), d.norm[-1:, None], rtol=1e-4, atol=1e-5)


def test_natural_differences_of_several_features_add_up() -> None:
    _, natural = two()
    F = [torch.eye(N)[None, :, :4] * size for size in (1.0, 2.0)]
    added = Natural.beside([Natural(one) for one in F])
    assert natural is not None and natural.factors.shape[2] == 4
    assert added is not None and added.factors.shape == (1, N, N)
    torch.testing.assert_close(added.factors @ added.factors.mT, F[0] @ F[0].mT + F[1] @ F[1].mT)
    assert Natural.beside([None, None]) is None


def test_natural_actuators_of_several_features_take_the_least_natural_effort() -> None:
    features, natural = two()
    assert natural is not None
    found = FeatureLQR(actuators="natural").solve(Evidence(features, plant(), natural=natural))
    F, A, V = natural.factors[1:].double(), plant().A, features.vectors[-1]
    answers, after = [], torch.eye(N).double()
    for t in reversed(range(BLOCKS)):
        answers.insert(0, V.mT @ after @ F[t])
        after = after @ A[t]
    w = torch.linalg.pinv(torch.cat(answers, dim=-1)) @ features.norm[-1].diag()
    expected = torch.einsum("tnp,tpk->tnk", F, w.reshape(BLOCKS, -1, 2))
    torch.testing.assert_close(found.plan.to(expected), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_several_observed_features_are_fitted_saved_loaded_and_solved_again(
    tiny_model: Any, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, one = tiny_model("llama"), examples(tiny_tokenizer)
    other = sm.ContrastivePairs(desired=one.desired[::2], undesired=one.undesired[1::2])
    method, pairs = FeatureLQR(actuators="natural"), {"one": one, "other": other}
    made = sm.fit(model, tiny_tokenizer, pairs, method=method, observer="whitened", progress=False)
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    assert loaded.provenance.observer == "whitened"
    assert made.natural is not None and loaded.natural is not None
    assert torch.equal(made.natural.factors, loaded.natural.factors)
    outs: list[Tensor] = []
    for steering in (made, loaded):
        asked = {"one": 1.0, "other": -0.5}
        with steering.attach(model, asked, relinearize="prompt"), torch.no_grad():
            outs.append(model(torch.arange(6, 12)[None]).logits)
    assert torch.equal(*outs)
