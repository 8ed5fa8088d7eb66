"""Open-loop LQR: the regulator's gain on an error that nobody measures."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_evidence import BLOCKS, LinearWorld, N, randn

from steersman.control import LTVSystem, dense_riccati, reached
from steersman.directions import Features
from steersman.errors import InputError
from steersman.methods import ALQR, Evidence, OpenLoopLQR

WORLD = LinearWorld.random()


def test_it_is_the_dense_gain_times_the_contrast_up_to_one_factor() -> None:
    made, direction = OpenLoopLQR(q=1.0, r=0.5).solve(WORLD.evidence), WORLD.direction
    K = {step.block: step.K for step in dense_riccati(LTVSystem(WORLD.A), 1.0, 0.5, 0.1)}
    published = torch.stack([K[t] @ direction.contrast[t] for t in range(BLOCKS)])
    factor = made.shifts[:, 0, 0] / direction.norm[:-1]
    torch.testing.assert_close(factor, factor[:1].expand(BLOCKS))
    torch.testing.assert_close(made.plan[..., 0], factor[0] * published)
    assert not made.H.any()


def test_a_unit_of_target_is_the_whole_contrast_on_the_plant() -> None:
    made, direction = OpenLoopLQR(r=0.01).solve(WORLD.evidence), WORLD.direction
    moved = reached(LTVSystem(WORLD.A), made.plan, direction.vectors[-1:].mT)
    assert float(moved) == pytest.approx(float(direction.norm[-1]))


def test_it_repeats_at_every_block_what_the_plan_does_once() -> None:
    """On blocks that carry everything on, the plan is done after its first block."""
    one = WORLD.direction
    steady = replace(
        one,
        contrast=one.contrast[:1].expand(BLOCKS + 1, -1),
        vectors=one.vectors[:1].expand(BLOCKS + 1, -1),
        norm=one.norm[:1].expand(BLOCKS + 1),
    )
    carries = LTVSystem(torch.eye(N).double().expand(BLOCKS, -1, -1))
    cheap: dict[str, Any] = {"q": 1.0, "r": 1e-9, "qf": 1.0}
    lengths = [
        method(**cheap).solve(Evidence(Features.of(steady), carries)).plan[..., 0].norm(dim=1)
        / one.norm[0]
        for method in (ALQR, OpenLoopLQR)
    ]
    torch.testing.assert_close(lengths[0], torch.eye(BLOCKS).double()[0], rtol=0, atol=1e-6)
    even = torch.full((BLOCKS,), 1 / BLOCKS, dtype=torch.float64)
    torch.testing.assert_close(lengths[1], even, rtol=0, atol=1e-6)


def two_features() -> Features:
    """Correlated ones."""
    one = WORLD.direction
    other = 0.6 * one.contrast + randn(9, BLOCKS + 1, N)
    norm = other.norm(dim=1)
    second = replace(one, contrast=other, vectors=other / norm[:, None], norm=norm)
    return Features({"truth": one, "mood": second})


def test_of_two_features_each_moves_by_its_own_target_and_no_other() -> None:
    features, system = two_features(), LTVSystem(WORLD.A)
    made = OpenLoopLQR(r=0.05).solve(Evidence(features, system))
    assert not made.H.any() and made.plan.shape == (BLOCKS, N, 2)
    moved = reached(system, made.plan, features.vectors[-1])
    torch.testing.assert_close(moved, features.norm[-1].diag(), rtol=1e-9, atol=1e-9)


def test_of_two_features_the_error_is_the_shortest_that_shows_as_both_and_is_never_measured() -> (
    None
):
    features, system = two_features(), LTVSystem(WORLD.A)
    made = OpenLoopLQR(q=1.0, r=0.5, qf=2.0).solve(Evidence(features, system))
    K = {step.block: step.K for step in dense_riccati(system, 1.0, 0.5, 2.0)}
    for t in range(BLOCKS):
        V, C = features.vectors[t], features.contrast[t]
        errors = C @ torch.linalg.inv(V.T @ C)
        torch.testing.assert_close(made.plan[t], K[t] @ errors @ made.shifts[t])
    # One factor for all blocks: the prefilter, and nothing that any state has shown.
    N_ = [torch.linalg.solve(features.norm[t].diag(), made.shifts[t]) for t in range(BLOCKS)]
    for each in N_[1:]:
        torch.testing.assert_close(each, N_[0])


def test_without_the_plants_matrices_it_is_refused() -> None:
    with pytest.raises(InputError, match="open-loop-lqr needs an identified plant"):
        OpenLoopLQR().solve(Evidence(Features.of(WORLD.direction)))
