"""Which feature pulls which, and what each demand costs, against runs written out here."""

import pytest
import torch
from test_several_features import BLOCKS, N, features, plant

from steersman.control import LTVSystem
from steersman.methods import (
    ALQR,
    ActivationAddition,
    Controller,
    Coupling,
    Evidence,
    FeatureLQR,
    Method,
    coupling,
)


def final(system: LTVSystem, inputs: torch.Tensor) -> torch.Tensor:
    delta = torch.zeros(N).double()
    for A, u in zip(system.A, inputs, strict=True):
        delta = A @ delta + u
    return delta


def solved(method: Method, k: int) -> tuple[Evidence, Controller, Coupling]:
    evidence = Evidence(features(k), plant())
    controller = method.solve(evidence)
    found = coupling(method, evidence, controller)
    assert found is not None
    return evidence, controller, found


@pytest.mark.parametrize("method", [FeatureLQR(q=0.2, weights={"truth": 3.0}), ALQR()], ids=str)
def test_interaction_is_what_each_features_own_plan_does_to_the_others(method: Method) -> None:
    evidence, controller, found = solved(method, 3)
    some, system = evidence.features, plant()
    for i, name in enumerate(some.names):
        alone = method.solve(Evidence(some.only(name), system)).plan[..., 0]
        moved = some.vectors[-1].T @ final(system, alone) / some.norm[-1]
        torch.testing.assert_close(found.interaction[i], moved)
        torch.testing.assert_close(found.alone[i], alone.norm() / some.norm[-1, i])
        torch.testing.assert_close(
            found.effort[i], controller.plan[..., i].norm() / some.norm[-1, i]
        )
    torch.testing.assert_close(found.interaction.diagonal(), torch.ones(3).double())
    torch.testing.assert_close(found.cosines, some.vectors[-1].T @ some.vectors[-1])
    torch.testing.assert_close(found.price, found.effort / found.alone)


def test_holding_what_would_be_pulled_along_costs_effort() -> None:
    # By any push of the state, alone and together; a contrast alone has fewer ways to go.
    _, _, found = solved(FeatureLQR(qf=1e6, actuators="state"), 2)
    assert found.interaction[0, 1].abs() > 0.1 and bool((found.price > 1.0).all())


def test_one_feature_pulls_nothing() -> None:
    _, _, found = solved(FeatureLQR(), 1)
    assert found.interaction.tolist() == [[1.0]]
    assert found.price.tolist() == [1.0]


def test_without_a_plant_nothing_is_known() -> None:
    evidence = Evidence(features(1))
    method = ActivationAddition(block=BLOCKS - 1)
    assert coupling(method, evidence, method.solve(evidence)) is None


def test_features_that_are_nearly_one_are_doubted() -> None:
    evidence, method = Evidence(features(2, alike=0.99), plant()), FeatureLQR()
    found = coupling(method, evidence, method.solve(evidence))
    assert found is not None and bool((found.price > 3).any())
    doubts = found.doubts()
    assert len(doubts) == int((found.price > 3).sum())
    assert "times the effort" in doubts[0] and "'mood'" in doubts[0]
    assert solved(method, 2)[2].doubts() == []


def test_the_table_has_a_line_for_each_feature() -> None:
    found = Coupling(
        names=("truth", "mood"),
        interaction=torch.tensor([[1.0, -0.254], [0.5, 1.0]]),
        cosines=torch.eye(2),
        effort=torch.tensor([0.6, 0.8]),
        alone=torch.tensor([0.5, 0.4]),
    )
    assert str(found).splitlines() == [
        "one unit of  moves truth  moves mood  effort alone  others held  price",
        "truth        +1.00        -0.25       0.50          0.60         x 1.20",
        "mood         +0.50        +1.00       0.40          0.80         x 2.00",
    ]
