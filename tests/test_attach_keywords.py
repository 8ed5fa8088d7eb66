"""Every way to attach a steering takes the same keywords, in the same words."""

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

import pytest

from steersman import attach, evaluate
from steersman.conditions import Condition
from steersman.request import Request
from steersman.side_by_side import Together
from steersman.steering import Steering

ASKED = signature(Request.of).parameters
WAYS: dict[str, Callable[..., Any]] = {
    "Steering.attach": Steering.attach,
    "Together.attach": Together.attach,
    "attach": attach,
    "evaluate": evaluate,
    "Condition": Condition,
}


def same(one: Parameter, other: Parameter) -> bool:
    return (one.name, one.default, one.annotation) == (other.name, other.default, other.annotation)


@pytest.mark.parametrize("name", WAYS)
def test_all_that_can_be_asked_of_a_steering_can_be_asked_wherever_one_is_attached(
    name: str,
) -> None:
    taken = signature(WAYS[name]).parameters
    assert [asked for asked in ASKED if asked not in taken] == []
    assert [asked for asked in ASKED if not same(taken[asked], ASKED[asked])] == []


def test_all_that_can_be_asked_of_a_steering_can_be_asked_of_the_harness() -> None:
    pytest.importorskip("lm_eval")
    from steersman.harness import SteeredLM

    taken = signature(SteeredLM).parameters
    assert [asked for asked in ASKED if not same(taken[asked], ASKED[asked])] == []
