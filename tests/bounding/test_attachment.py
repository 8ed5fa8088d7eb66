"""What is predicted of an attached steering, and what cannot be."""

from typing import Any

import pytest
import torch

import steersman as sm
from steersman.bounding import Attachment
from steersman.control import LTVSystem
from steersman.errors import InputError, MismatchError
from steersman.windtunnel import behaviour


@pytest.mark.parametrize("execution", ["plan", "feedback"])
@pytest.mark.parametrize("which", ["a", "f"])
def test_the_prediction_is_the_run_of_the_linear_plant(
    which: str, execution: Any, tiny: Any
) -> None:
    steering = getattr(tiny, which)
    one = Attachment(steering, tiny.plant, 0.7, execution)
    A, made = tiny.plant.A.double(), steering.controller
    delta = [torch.zeros(one.plant.n).double()]
    for t in range(one.plant.blocks):
        errors = 0.7 * made.shifts[t, :, 0].double() - made.H[t].double().T @ delta[-1]
        u = (
            made.G[t].double() @ errors
            if execution == "feedback"
            else 0.7 * made.plan[t, :, 0].double()
        )
        delta.append(A[t] @ delta[-1] + u)
    torch.testing.assert_close(one.predicted, torch.stack(delta), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(
        one.inputs(one.predicted[None])[0],
        one.predicted[1:] - torch.stack([a @ x for a, x in zip(A, delta, strict=False)]),
        rtol=1e-6,
        atol=1e-8,
    )


def test_a_relative_target_is_where_the_prediction_ends(tiny: Any) -> None:
    for steering in (tiny.a, tiny.f):
        one = Attachment(steering, tiny.plant, 1.5)
        reached = one.vectors[-1] @ one.predicted[-1] / one.unit[-1]
        assert float(reached) == pytest.approx(1.5, rel=1e-4)


def test_errors_of_a_plan_pass_the_plant_and_those_of_feedback_the_loop(tiny: Any) -> None:
    X = torch.randn(tiny.plant.n, 3, generator=torch.Generator().manual_seed(0)).double()
    plan = Attachment(tiny.a, tiny.plant)
    loop = Attachment(tiny.a, tiny.plant, execution="feedback")
    made = tiny.a.controller
    for t in range(tiny.plant.blocks):
        open_loop = tiny.plant.A[t].double() @ X
        closed = open_loop - made.G[t].double() @ (made.H[t].double().T @ X)
        for one, expected in ((plan, open_loop), (loop, closed)):
            torch.testing.assert_close(one.loop.jvp(t, X).double(), expected)
            torch.testing.assert_close(one.matrices.A[t] @ X, expected)


def test_a_plant_of_another_model_is_refused(tiny: Any) -> None:
    with pytest.raises(MismatchError, match="the plant has 3 blocks of width 8; the steering is"):
        Attachment(tiny.a, LTVSystem(torch.eye(8).double().expand(3, 8, 8)))


@pytest.mark.parametrize("target", [0.0, float("nan"), float("inf")])
def test_a_target_that_asks_for_nothing_is_refused(target: float, tiny: Any) -> None:
    with pytest.raises(InputError, match="a bound is of one that is not zero"):
        Attachment(tiny.a, tiny.plant, target)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("wrong", [{"tokens": "matching"}, {"execution": "both"}])
def test_an_unknown_choice_is_refused(wrong: dict[str, Any], tiny: Any) -> None:
    with pytest.raises(InputError, match="choose one of"):
        Attachment(tiny.a, tiny.plant, **wrong)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_only_an_affine_loop_can_be_followed(embedded: Any) -> None:
    pairs = behaviour("toxicity").pairs(0, 20)
    for method in ("s-pid", "activation-addition"):
        steering = sm.fit(
            embedded.model,
            embedded.tokenizer,
            pairs,
            method=method,
            jacobian_prompts=embedded.plant,
            progress=False,
        )
        assert Attachment(steering, embedded.plant, execution="plan").law.is_schedule
        with pytest.raises(InputError, match="use execution='plan'"):
            Attachment(steering, embedded.plant, execution="feedback")
