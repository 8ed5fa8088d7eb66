"""Several features at once: every demand met on the plant, by the optimum of the whole horizon."""

import numpy as np
import pytest
import torch
from torch import Tensor

from steersman.control import AffineLaw, LTVSystem, dense_riccati, plan, reached, simulate
from steersman.directions import Direction, Features, contrast
from steersman.errors import InputError, NumericalError
from steersman.methods import ALQR, Evidence, FeatureLQR, Method

BLOCKS, N = 5, 6
FEATURE_METHODS = [
    FeatureLQR(),
    FeatureLQR(q=0.3, r=0.2, qf=2.0),
    FeatureLQR(q=0.3, weights={"truth": 4.0}),
    FeatureLQR(actuators="state"),
    FeatureLQR(q=0.5, actuators="state", weights={"mood": 0.2}),
    FeatureLQR(q=(0.1, 0.2, 0.3, 0.4, 0.5), blocks=(1, 3, 4)),
]
METHODS = [*FEATURE_METHODS, ALQR(), ALQR(q=0.01, r=3.0, qf=0.4)]


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plant(seed: int = 0) -> LTVSystem:
    return LTVSystem(torch.eye(N).double() + 0.5 * randn(seed, BLOCKS, N, N) / N**0.5)


def features(k: int = 2, alike: float = 0.7) -> Features:
    """Correlated directions, of different lengths, none of them with a contrast at x_0."""
    common, grows = randn(1, BLOCKS + 1, N), torch.arange(BLOCKS + 1).double()[:, None]
    made: dict[str, Direction] = {}
    for index, name in enumerate(("truth", "mood", "tone")[:k]):
        own = randn(20 + index, BLOCKS + 1, N)
        push = (1 + index) * grows * (alike * common + (1 - alike**2) ** 0.5 * own)
        noise = 0.1 * randn(40 + index, 40, BLOCKS + 1, N)
        noise[20:, 0] = noise[:20, 0]
        made[name] = contrast(noise[:20] + push, noise[20:])
    return Features(made)


def natural(system: LTVSystem, inputs: Tensor, some: Features) -> Tensor:
    """How many units each feature moves after the last block, a column for each demand."""
    return reached(system, inputs, some.vectors[-1]) / some.norm[-1, :, None]


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_target_is_reached_and_no_other_feature_moves(method: Method, k: int) -> None:
    some, system = features(k), plant()
    found = method.solve(Evidence(some, system))
    assert found.plan.dtype == torch.float64
    tau = randn(3, k)
    moved = natural(system, (found.plan @ tau).unsqueeze(-1), some)[:, 0]
    torch.testing.assert_close(moved, tau, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_feedback_on_the_plant_is_the_plan(method: Method) -> None:
    some, system = features(), plant()
    found = method.solve(Evidence(some, system))
    loop = plan(system, AffineLaw(found.H, found.G), found.shifts)
    torch.testing.assert_close(loop, found.plan, rtol=1e-9, atol=1e-9)
    tau = torch.tensor([1.0, -0.5]).double()
    both = simulate(system, AffineLaw(found.H, found.G), found.shifts @ tau)
    torch.testing.assert_close(both.inputs, found.plan @ tau, rtol=1e-9, atol=1e-9)


def whole_horizon(method: FeatureLQR, some: Features, system: LTVSystem) -> np.ndarray:
    """The inputs of all blocks at once for one unit of each target, by least squares."""
    A, V, unit = (x.numpy() for x in (system.A, some.vectors, some.norm))
    k = V.shape[2]
    p = np.array([method.weights.get(name, 1.0) for name in some.names])
    maps = [v if method.actuators == "contrast" else np.eye(N) for v in V[1:]]
    ends = np.cumsum([0, *(m.shape[1] for m in maps)])
    forced, rows, wanted = np.zeros((N, ends[-1])), [], []
    for t in range(BLOCKS):
        forced = A[t] @ forced
        if not method.blocks or t in method.blocks:
            forced[:, ends[t] : ends[t + 1]] += maps[t]
        weight = method.qf if t + 1 == BLOCKS else np.broadcast_to(method.q, BLOCKS)[t + 1]
        rows.append(np.sqrt(weight * p)[:, None] * (V[t + 1].T @ forced) / unit[t + 1][:, None])
        wanted.append(np.diag(np.sqrt(weight * p)))
    # The effort, in units of the contrasts after the last block.
    units = unit[-1] if method.actuators == "contrast" else np.sqrt(np.mean(unit[-1] ** 2))
    each = [np.broadcast_to(1 / units, m.shape[1]) for m in maps]
    r = np.repeat(np.broadcast_to(method.r, BLOCKS), np.diff(ends))
    F = np.concatenate([*rows, np.diag(np.sqrt(r) * np.concatenate(each))])
    y = np.concatenate([*wanted, np.zeros((ends[-1], k))])
    w = np.linalg.lstsq(F, y, rcond=None)[0]
    return np.stack([m @ w[ends[t] : ends[t + 1]] for t, m in enumerate(maps)])


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("method", FEATURE_METHODS, ids=str)
def test_the_plan_is_the_optimum_of_the_whole_horizon_up_to_the_prefilter(
    method: FeatureLQR, k: int
) -> None:
    some, system = features(k), plant()
    u = whole_horizon(method, some, system)
    answer = natural(system, torch.from_numpy(u), some).numpy()
    expected = u @ np.linalg.inv(answer)
    found = method.solve(Evidence(some, system)).plan
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("k", [1, 2, 3])
def test_dense_gains_act_on_the_shortest_error_of_the_state(k: int) -> None:
    some, system, method = features(k), plant(), ALQR(0.2, 1.5, 0.7)
    found, x, s = method.solve(Evidence(some, system)), randn(60, N), randn(61, k)
    for block, K, _ in dense_riccati(system, 0.2, 1.5, 0.7):
        V = some.vectors[block]
        error = np.linalg.lstsq(V.T.numpy(), (s - V.T @ x).numpy(), rcond=None)[0]
        error = error if V.any() else np.zeros(N)
        u = found.G[block] @ (s - found.H[block].T @ x)
        np.testing.assert_allclose(u, K.numpy() @ error, rtol=1e-10, atol=1e-12)


def test_of_one_feature_the_dense_law_is_the_papers() -> None:
    some, system = features(1), plant()
    found, d = ALQR().solve(Evidence(some, system)), some.one
    gains = {block: K @ d.vectors[block] for block, K, _ in dense_riccati(system, 0.1, 1.0, 0.1)}
    delta, u, expected = torch.zeros(N).double(), [], []
    for t in range(BLOCKS):
        u.append((d.norm[t] - d.vectors[t] @ delta) * gains[t])
        delta = system.A[t] @ delta + u[-1]
        expected.append(gains[t])
    torch.testing.assert_close(found.G[..., 0], torch.stack(expected))
    scale = d.norm[-1] / (d.vectors[-1] @ delta)
    torch.testing.assert_close(found.plan[..., 0], scale * torch.stack(u))
    torch.testing.assert_close(found.shifts[:, 0, 0], scale * d.norm[:-1])


def test_uncoupled_features_are_steered_as_if_alone() -> None:
    # Two halves of the state that never meet: each feature lives in one of them.
    A = torch.zeros(BLOCKS, N, N).double()
    A[:, :3, :3], A[:, 3:, 3:] = plant(1).A[:, :3, :3], plant(2).A[:, 3:, 3:]
    directions = {}
    for name, half in (("truth", slice(0, 3)), ("mood", slice(3, 6))):
        rows = torch.zeros(BLOCKS + 1, N).double()
        rows[:, half] = randn(7 + half.start, BLOCKS + 1, 3)
        unit, ones = torch.nn.functional.normalize(rows, dim=1), torch.ones(BLOCKS + 1).double()
        directions[name] = Direction(rows, unit, rows.norm(dim=1), 0 * ones, ones, ones)
    both, system = Features(directions), LTVSystem(A)
    for method in (FeatureLQR(q=0.3), ALQR()):
        together = method.solve(Evidence(both, system))
        for index, name in enumerate(both.names):
            alone = method.solve(Evidence(both.only(name), system))
            torch.testing.assert_close(together.plan[..., index], alone.plan[..., 0])


def test_the_heavier_feature_is_held_closer_against_a_disturbance() -> None:
    some, system, at_rest = features(), plant(), torch.zeros(BLOCKS, 2).double()
    left = []
    for weight in (0.1, 1.0, 10.0):
        found = FeatureLQR(weights={"mood": weight}).solve(Evidence(some, system))
        law = AffineLaw(found.H, found.G)
        runs = [simulate(system, law, at_rest, randn(seed, N)).states[-1] for seed in range(9)]
        left.append((torch.stack(runs) @ some.vectors[-1][:, 1]).abs())
    assert bool((left[0] > left[1]).all() and (left[1] > left[2]).all())


def test_contrasts_that_are_alike_at_a_block_share_the_work_there() -> None:
    some, system = features(), plant()
    twins = some.directions["mood"].vectors.clone()
    twins[2] = some.directions["truth"].vectors[2]
    mood = Direction(**{**vars(some.directions["mood"]), "vectors": twins})
    both = Features({"truth": some.directions["truth"], "mood": mood})
    found = FeatureLQR().solve(Evidence(both, system))
    torch.testing.assert_close(
        natural(system, found.plan, both), torch.eye(2).double(), rtol=1e-9, atol=1e-9
    )
    with pytest.raises(InputError, match="'truth' and 'mood' .* dependent directions at state 2"):
        FeatureLQR(q=0.1).solve(Evidence(both, system))
    with pytest.raises(InputError, match="'truth' and 'mood' .* dependent directions at state 2"):
        ALQR().solve(Evidence(both, system))


@pytest.mark.parametrize("method", [FeatureLQR(), ALQR()], ids=str)
def test_the_same_feature_under_two_names_is_refused(method: Method) -> None:
    some = features(1).one
    with pytest.raises(InputError, match="'truth' and 'honesty' have linearly dependent"):
        method.solve(Evidence(Features({"truth": some, "honesty": some}), plant()))


def test_demands_that_the_acting_blocks_cannot_meet_together_are_named() -> None:
    # Behind the only block that acts, the plant keeps one direction of the state.
    A = plant().A.clone()
    A[-1] = randn(5, N, 1) @ randn(6, 1, N)
    with pytest.raises(NumericalError, match="'truth' and 'mood' one by one"):
        FeatureLQR(blocks=(2,)).solve(Evidence(features(), LTVSystem(A)))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_cannot_be_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match="weight of 'mood' is"):
        FeatureLQR(weights={"mood": weight}).solve(Evidence(features(), plant()))


def test_the_weight_of_a_feature_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="weights names 'tone'; there is 'truth' and 'mood'"):
        FeatureLQR(weights={"tone": 2.0}).settled(Evidence(features(), plant()))


def test_a_truncated_design_reaches_both_targets() -> None:
    some, system = features(), plant()
    found = FeatureLQR(q=0.5, rank=2).solve(Evidence(some, system))
    torch.testing.assert_close(
        natural(system, found.plan, some), torch.eye(2).double(), rtol=1e-9, atol=1e-9
    )
