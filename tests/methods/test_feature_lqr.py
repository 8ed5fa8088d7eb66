"""Feature LQR as a method: optimal in natural units, from products alone, and what it refuses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import steersman as sm
from steersman.control import AffineLaw, LTVSystem, plan, reached
from steersman.directions import Direction, Features, contrast
from steersman.errors import InputError, NumericalError
from steersman.methods import Controller, Evidence, FeatureLQR
from steersman.plant import average

BLOCKS, N = 5, 6


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plant(seed: int = 0) -> LTVSystem:
    return LTVSystem(torch.eye(N).double() + 0.5 * randn(seed, BLOCKS, N, N) / N**0.5)


def direction(seed: int = 1) -> Direction:
    """No contrast at x_0, as where all examples end alike; then longer from state to state."""
    pushes = torch.arange(BLOCKS + 1).double()[:, None] * randn(seed, BLOCKS + 1, N)
    noise = 0.1 * randn(seed + 1, 40, BLOCKS + 1, N)
    noise[20:, 0] = noise[:20, 0]
    return contrast((noise[:20] + pushes).float(), noise[20:].float())


def natural_optimum(method: FeatureLQR, d: Direction, system: LTVSystem) -> np.ndarray:
    """The inputs of all blocks at once, by least squares over the whole horizon."""
    A, V, unit = (x.double().numpy() for x in (system.A, d.vectors, d.norm))
    maps = [v[:, None] if method.actuators == "contrast" else np.eye(N) for v in V[1:]]
    ends = np.cumsum([0, *(m.shape[1] for m in maps)])
    forced, rows, wanted = np.zeros((N, ends[-1])), [], []
    for t in range(len(A)):
        forced = A[t] @ forced
        if not method.blocks or t in method.blocks:
            forced[:, ends[t] : ends[t + 1]] += maps[t]
        weight = method.qf if t + 1 == len(A) else np.broadcast_to(method.q, len(A))[t + 1]
        rows.append(np.sqrt(weight) * (V[t + 1] @ forced) / unit[t + 1])
        wanted.append(np.sqrt(weight))
    # The effort of each input, in units of the last contrast.
    r = np.repeat(np.broadcast_to(method.r, len(A)), np.diff(ends))
    F = np.concatenate([np.stack(rows), np.diag(np.sqrt(r)) / unit[-1]])
    w = np.linalg.lstsq(F, np.concatenate([wanted, np.zeros(ends[-1])]), rcond=None)[0]
    u = np.stack([m @ w[ends[t] : ends[t + 1]] for t, m in enumerate(maps)])
    return u[..., None] * unit[-1] / final(system, torch.from_numpy(u[..., None]), d)


def final(system: LTVSystem, inputs: Tensor, d: Direction) -> float:
    """How far a plan moves the feature after the last block."""
    return float(reached(system, inputs, d.vectors[-1:].mT.to(inputs)))


@pytest.mark.parametrize(
    "method",
    [
        FeatureLQR(),
        FeatureLQR(q=0.3, r=0.2, qf=2.0),
        FeatureLQR(actuators="state"),
        FeatureLQR(q=0.5, actuators="state"),
        FeatureLQR(q=(0.1, 0.2, 0.3, 0.4, 0.5), r=(1.0, 2.0, 0.5, 1.0, 3.0)),
        FeatureLQR(q=0.2, blocks=(1, 4)),
    ],
    ids=str,
)
def test_the_plan_is_the_optimum_of_the_whole_horizon_scaled_to_reach_the_contrast(
    method: FeatureLQR,
) -> None:
    d, system = direction(), plant()
    found = method.solve(Evidence(Features.of(d), system))
    expected = natural_optimum(method, d, system)
    np.testing.assert_allclose(found.plan, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert final(system, found.plan, d) == pytest.approx(float(d.norm[-1]), rel=1e-5)


@pytest.mark.parametrize("rank", [None, 1])
def test_the_feedback_on_the_plant_is_the_plan(rank: int | None) -> None:
    d, system = direction(), plant()
    found = FeatureLQR(q=0.5, rank=rank).solve(Evidence(Features.of(d), system))
    loop = plan(system, AffineLaw(found.H, found.G), found.shifts)
    torch.testing.assert_close(loop.float(), found.plan, rtol=1e-3, atol=1e-4)


def test_the_units_of_the_residual_stream_do_not_matter() -> None:
    d, system = direction(), plant()
    found = FeatureLQR(q=0.5).solve(Evidence(Features.of(d), system))
    larger = Direction(**{**vars(d), "contrast": 9 * d.contrast, "norm": 9 * d.norm})
    scaled = FeatureLQR(q=0.5).solve(Evidence(Features.of(larger), system))
    torch.testing.assert_close(scaled.plan, 9 * found.plan)


def test_blocks_that_must_not_be_touched_are_not() -> None:
    found = FeatureLQR(blocks=(2,)).solve(Evidence(Features.of(direction()), plant()))
    assert found.active == (2,)
    assert [bool(u.any()) for u in found.plan] == [t == 2 for t in range(BLOCKS)]


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (FeatureLQR(qf=0.0), "qf is 0.0"),
        (FeatureLQR(q=-1.0), "q holds -"),
        (FeatureLQR(r=0.0), "r.* is 0.0; it must be above zero"),
        (FeatureLQR(q=(0.1, 0.2)), "q has 2 entries for 5 blocks"),
        (FeatureLQR(r=(1.0,) * 6), "r has 6 entries for 5 blocks"),
        (FeatureLQR(blocks=(1, 5)), r"blocks names \[5\]; the model has blocks 0 .. 4"),
        (FeatureLQR(rank=0), "rank is 0; keep at least 1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused(method: FeatureLQR, says: str) -> None:
    with pytest.raises(InputError, match=says):
        method.solve(Evidence(Features.of(direction()), plant()))


@pytest.mark.usefixtures("unchecked")
def test_unknown_actuators_are_refused() -> None:
    method = FeatureLQR(actuators="all")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="choose one of contrast, natural, state"):
        method.solve(Evidence(Features.of(direction()), plant()))


def test_without_a_plant_it_is_refused() -> None:
    with pytest.raises(InputError, match="needs an identified plant"):
        FeatureLQR().solve(Evidence(Features.of(direction())))


def test_a_feature_that_no_block_can_move_is_refused() -> None:
    blind = LTVSystem(torch.zeros(BLOCKS, N, N).double())
    with pytest.raises(NumericalError, match="no authority"):
        FeatureLQR(blocks=(0,)).solve(Evidence(Features.of(direction()), blind))


Models = Callable[[str], PreTrainedModel]


def examples(tokenizer: PreTrainedTokenizerFast) -> sm.ContrastivePairs:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gemma2"])
def test_averaged_products_are_those_of_the_mean_jacobians(
    model_type: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, prompts = tiny_model(model_type), examples(tiny_tokenizer).desired
    A = sm.identify(model, tiny_tokenizer, prompts, progress=False).A
    operator = average(model, tiny_tokenizer, prompts)
    assert (operator.blocks, operator.n) == (A.shape[0], A.shape[1])
    columns = torch.randn(operator.n, 11, generator=torch.Generator().manual_seed(0))
    for block in range(operator.blocks):
        close = {"rtol": 1e-4, "atol": 1e-4}
        torch.testing.assert_close(operator.vjp(block, columns), A[block].T @ columns, **close)
        torch.testing.assert_close(operator.jvp(block, columns), A[block] @ columns, **close)


def fitted(model: Any, tokenizer: Any, plant: LTVSystem | None = None) -> Controller:
    method = FeatureLQR(q=0.2)
    pairs = examples(tokenizer)
    return sm.fit(
        model, tokenizer, pairs, method=method, jacobian_prompts=plant, progress=False
    ).controller


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_fit_from_products_is_that_from_matrices(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    matrices = sm.identify(model, tiny_tokenizer, examples(tiny_tokenizer).desired, progress=False)
    found, expected = (fitted(model, tiny_tokenizer, plant) for plant in (None, matrices))
    for name in ("H", "G", "plan", "shifts"):
        mine, theirs = getattr(found, name), getattr(expected, name)
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))
