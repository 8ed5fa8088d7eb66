"""What is asked of a steering, and which prompts it has."""

import pytest
import torch

from steersman.attaching import Request, Strength, grouped
from steersman.errors import InputError


def test_the_default_strength_is_target_one() -> None:
    request = Request.of()
    assert (request.value, request.paper) == (1.0, False)


def test_lambda_makes_it_the_paper_form() -> None:
    request = Request.of(lambda_=2.0)
    assert (request.value, request.paper) == (2.0, True)


def test_both_strengths_are_refused() -> None:
    with pytest.raises(InputError, match="not both"):
        Request.of(1.0, 2.0)


@pytest.mark.parametrize("strength", [[], (), torch.zeros(0)])
def test_a_list_of_no_strength_is_refused(strength: Strength) -> None:
    with pytest.raises(InputError, match="there is no strength"):
        Request.of(strength)


@pytest.mark.parametrize("strength", [[1.0, 2.0, 3.0], (1.0, 2.0, 3.0), torch.tensor([1.0, 2, 3])])
def test_strengths_go_with_their_prompts_in_any_form(strength: Strength) -> None:
    request = Request.of(strength, tokens="all")
    assert request.strengths == [1.0, 2.0, 3.0]
    some = request.for_rows((2, 0))
    assert torch.equal(torch.as_tensor(some.value), torch.tensor([3.0, 1.0]))
    assert some.tokens == "all"
    assert request.for_rows(None) is request


@pytest.mark.parametrize("strength", [2.0, torch.tensor(2.0)])
def test_one_number_is_for_all_prompts(strength: Strength) -> None:
    request = Request.of(strength)
    assert request.strengths == []
    assert request.for_rows((0, 1)).value == 2.0


@pytest.mark.parametrize(
    ("strength", "steerings", "prompts"),
    [(1.0, 1, None), (1.0, 3, 3), ([1.0, 2.0], 1, 2), ([1.0, 2.0], 2, 2)],
)
def test_a_batch_has_as_many_prompts_as_strengths_or_steerings(
    strength: float | list[float], steerings: int, prompts: int | None
) -> None:
    assert Request.of(strength).prompts(steerings) == prompts


def test_strengths_that_do_not_go_with_the_steerings_are_refused() -> None:
    with pytest.raises(InputError, match="2 steerings and 3 strengths"):
        Request.of([1.0, 2.0, 3.0]).prompts(2)


def test_a_steering_that_several_prompts_share_is_one_group() -> None:
    first, second = [1], [1]  # equal, and yet two
    assert grouped([first, None, second, first]) == [(first, (0, 3)), (second, (2,))]
    assert grouped([first]) == [(first, None)]


@pytest.mark.parametrize("steerings", [[], [None], [None, None]])
def test_no_steering_at_all_is_refused(steerings: list[None]) -> None:
    with pytest.raises(InputError, match="no steering to attach"):
        grouped(steerings)
