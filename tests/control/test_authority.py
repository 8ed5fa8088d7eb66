"""What blocks can do about features, against dense Gramians and least squares."""

import math

import numpy as np
import pytest
import torch
from feature_problems import near, unit_columns
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import plants, randn, random_plant, unit_rows

from steersman.control import (
    AuthorityRow,
    Effort,
    LTVSystem,
    authority,
    controllability,
    observability,
    sensitivities,
)
from steersman.errors import InputError, NumericalError, ShapeError

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def transition(A, end, start):
    found = np.eye(A.shape[1])
    for block in range(start, end):
        found = A[block] @ found
    return found


def actuators(seed, blocks, n, p):
    """Random actuators with weights, one block of which must not be touched."""
    B = tuple(randn(seed + t, n, p) for t in range(blocks))
    r = 0.1 + torch.rand(blocks, generator=torch.Generator().manual_seed(seed)).double()
    if blocks > 1:
        r[0] = torch.inf
    return Effort(r, B)


@SETTINGS
@given(plants(), st.integers(1, 2), st.integers(0, 1000))
def test_the_gramian_of_the_features_is_the_dense_one_between_them(system, k, seed):
    blocks, n = system.blocks, system.n
    k = min(k, n)
    V, effort = unit_columns(seed, blocks + 1, n, k), actuators(seed + 1, blocks, n, 3)
    found = controllability(sensitivities(system.vjp, V), effort).sum(0)
    A, dense = system.A.numpy(), np.zeros((n, n))
    for t in range(blocks):
        if math.isfinite(float(effort.r[t])):
            M = transition(A, blocks, t + 1) @ effort.B[t].numpy()
            dense += M @ M.T / float(effort.r[t])
    assert near(found, V[-1].numpy().T @ dense @ V[-1].numpy(), 1e-9)


@SETTINGS
@given(plants(), st.integers(0, 1000))
def test_its_inverse_is_the_least_energy_that_moves_the_features(system, seed):
    blocks, n, k = system.blocks, system.n, min(2, system.n)
    V, effort = unit_columns(seed, blocks + 1, n, k), actuators(seed + 1, blocks, n, 4)
    gramian = controllability(sensitivities(system.vjp, V), effort)
    y = randn(seed + 2, k)
    A = system.A.numpy()
    maps = [
        V[-1].numpy().T
        @ transition(A, blocks, t + 1)
        @ effort.B[t].numpy()
        / float(effort.r[t]) ** 0.5
        for t in range(blocks)
        if math.isfinite(float(effort.r[t]))
    ]
    whole = np.concatenate(maps, 1)
    if np.linalg.svd(whole)[1][-1] < 1e-3:
        return
    w = np.linalg.lstsq(whole, y.numpy(), rcond=None)[0]
    energy = float(y @ torch.linalg.solve(gramian.sum(0), y))
    assert energy == pytest.approx(float(w @ w), rel=1e-6)
    alone = np.linalg.lstsq(maps[-1], y.numpy(), rcond=None)[0]
    energy = float(y @ torch.linalg.solve(gramian[-1], y))
    assert energy == pytest.approx(float(alone @ alone), rel=1e-6)


@SETTINGS
@given(plants(), st.integers(1, 2), st.integers(0, 1000))
def test_the_energy_that_features_show_is_that_of_the_dense_gramian(system, k, seed):
    blocks, n = system.blocks, system.n
    V = unit_columns(seed, blocks + 1, n, min(k, n)).numpy()
    found = observability(sensitivities(system.vjp, torch.from_numpy(V)))
    A = system.A.numpy()
    for t in range(blocks + 1):
        dense = np.zeros((n, n))
        for s in range(t, blocks + 1):
            M = V[s].T @ transition(A, s, t)
            dense += M.T @ M
        assert near(found[t], V[t].T @ dense @ V[t], 1e-9)


@SETTINGS
@given(plants(), st.integers(0, 1000))
def test_the_effort_of_a_block_is_the_least_that_moves_the_feature_by_one_unit(system, seed):
    blocks, n = system.blocks, system.n
    v, unit = unit_rows(seed, blocks + 1, n), 0.5 + randn(seed + 1, blocks + 1).abs()
    found = authority(system, v, unit, Effort(1.0))
    A, maps = system.A.numpy(), []
    for t in range(blocks):
        maps.append(v[-1].numpy() @ transition(A, blocks, t + 1))
        u = np.linalg.lstsq(maps[-1][None], np.array([float(unit[-1])]), rcond=None)[0]
        assert float(found.effort[t]) == pytest.approx(float(np.linalg.norm(u)), rel=1e-8)
    u = np.linalg.lstsq(np.concatenate(maps)[None], np.array([float(unit[-1])]), rcond=None)[0]
    assert found.together == pytest.approx(float(np.linalg.norm(u)), rel=1e-8)


@SETTINGS
@given(plants(), st.integers(0, 1000))
def test_what_survives_is_the_free_run_of_one_unit(system, seed):
    blocks, n = system.blocks, system.n
    v, unit = unit_rows(seed, blocks + 1, n), 0.5 + randn(seed + 1, blocks + 1).abs()
    found = authority(system, v, unit, Effort(1.0))
    for t in range(blocks + 1):
        x = v[t] * unit[t]
        for A in system.A[t:]:
            x = A @ x
        expected = float(v[-1] @ x / unit[-1])
        assert float(found.survives[t]) == pytest.approx(expected, rel=1e-8, abs=1e-9)
    assert float(found.survives[-1]) == pytest.approx(1.0)
    assert float(found.aligned[-1]) == pytest.approx(1.0)


def test_blocks_that_do_nothing_carry_a_feature_as_it_is():
    system = LTVSystem(torch.eye(4).double().expand(3, 4, 4))
    v = unit_rows(0, 1, 4).expand(4, 4)
    found = authority(system, v, torch.full((4,), 2.0).double(), Effort(1.0))
    torch.testing.assert_close(found.effort, torch.full((3,), 2.0).double())
    assert found.together == pytest.approx(2.0 / 3**0.5)
    torch.testing.assert_close(found.survives, torch.ones(4).double())
    assert [round(row.share, 12) for row in found.rows()] == [round(1 / 3, 12)] * 3


def test_actuators_and_forbidden_blocks_are_respected():
    system, v = random_plant(), unit_rows(1, 6, 6)
    unit = torch.ones(6).double()
    r = torch.tensor([1.0, math.inf, 4.0, 1.0, 1.0]).double()
    along = tuple(x.unsqueeze(1) for x in v[1:])
    free = authority(system, v, unit, Effort(1.0))
    bound = authority(system, v, unit, Effort(r, along))
    assert math.isinf(float(bound.effort[1]))
    assert bool((bound.effort >= free.effort * (1 - 1e-12)).all())
    assert bound.rows()[1] == AuthorityRow(1, math.inf, 0.0, *bound.rows()[1][3:])


def test_a_state_without_direction_is_not_known():
    system, v = random_plant(), unit_rows(1, 6, 6).clone()
    v[0] = 0
    found = authority(system, v, torch.ones(6).double(), Effort(1.0))
    assert math.isnan(float(found.survives[0])) and math.isnan(float(found.aligned[0]))
    assert bool(torch.isfinite(found.effort).all())
    lines = found.table().splitlines()
    assert len(lines) == 7
    assert lines[1].split()[-2:] == ["-", "-"]
    assert lines[-1].split() == ["all", f"{found.together:.3g}"]


def test_it_asks_for_one_column_a_block():
    system, asked = random_plant(), []

    class Counting:
        blocks, n = system.blocks, system.n

        def vjp(self, block, w):
            asked.append((block, tuple(w.shape)))
            return system.vjp(block, w)

        def jvp(self, block, v):
            raise AssertionError("no product forward is needed")

    authority(Counting(), unit_rows(0, 6, 6), torch.ones(6).double(), Effort(1.0))
    assert asked == [(t, (6, 1)) for t in (4, 3, 2, 1, 0)]


def test_a_feature_that_is_nowhere_at_the_end_is_refused():
    system, v = random_plant(), unit_rows(1, 6, 6)
    unit = torch.ones(6).double()
    for wrong_v, wrong_unit in ((v * (torch.arange(6) < 5)[:, None], unit), (v, 0 * unit)):
        with pytest.raises(InputError, match="no direction or no unit after the last block"):
            authority(system, wrong_v, wrong_unit, Effort(1.0))
    with pytest.raises(NumericalError, match="unit has 6 NaN"):
        authority(system, v, unit * math.nan, Effort(1.0))


@pytest.mark.usefixtures("unchecked")
def test_parts_of_another_plant_are_refused():
    system, v, unit = random_plant(), unit_rows(1, 6, 6), torch.ones(6).double()
    with pytest.raises(ShapeError, match=r"v has shape \(6, 7\)"):
        authority(system, unit_rows(1, 6, 7), unit, Effort(1.0))
    with pytest.raises(ShapeError, match=r"unit has shape \(5,\)"):
        authority(system, v, unit[1:], Effort(1.0))
    with pytest.raises(ShapeError, match="r has 4 entries for 5 blocks"):
        authority(system, v, unit, Effort(torch.ones(4)))
