"""What is asked of a steering: by number, by prompt and by name."""

from typing import Any

import numpy as np
import pytest
import torch

from steersman.errors import InputError
from steersman.request import Request, Strength

ONE, TWO = ("feature",), ("truth", "toxicity")


def test_the_default_strength_is_target_one() -> None:
    request = Request.of()
    assert torch.equal(request.targets(ONE), torch.ones(1, 1).double())
    assert not request.paper


def test_lambda_makes_it_the_paper_form() -> None:
    request = Request.of(lambda_=2.0)
    assert (request.targets(ONE).item(), request.paper) == (2.0, True)


def test_both_strengths_are_refused() -> None:
    with pytest.raises(InputError, match="not both"):
        Request.of(1.0, 2.0)


@pytest.mark.parametrize("strength", [[], (), torch.zeros(0), {"truth": []}])
def test_a_list_of_no_strength_is_refused(strength: Strength) -> None:
    with pytest.raises(InputError, match="there is no strength"):
        Request.of(strength)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("wrong", ["1.5", "much", [1.0, None], [[1.0], [2.0]], np.ones(2), {2.0}])
def test_what_is_no_number_and_no_list_of_them_is_refused(wrong: Any) -> None:
    for strength, called in ((wrong, "target"), ({"truth": wrong}, "target of 'truth'")):
        with pytest.raises(InputError, match=f"^{called} is .*: give one number, or a list"):
            Request.of(strength)


@pytest.mark.parametrize("strength", [[1.0, 2.0, 3.0], (1.0, 2.0, 3.0), torch.tensor([1.0, 2, 3])])
def test_strengths_go_with_their_prompts_in_any_form(strength: Strength) -> None:
    request = Request.of(strength, tokens="all")
    assert request.count == 3
    some = request.for_rows((2, 0))
    assert some.targets(ONE).tolist() == [[3.0], [1.0]]
    assert some.tokens == "all"
    assert request.for_rows(None) is request


@pytest.mark.parametrize("strength", [2.0, torch.tensor(2.0)])
def test_one_number_is_for_all_prompts(strength: Strength) -> None:
    request = Request.of(strength)
    assert request.count == 0
    assert request.for_rows((0, 1)).targets(ONE).tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("strength", "steerings", "prompts"),
    [
        (1.0, 1, None),
        (1.0, 3, 3),
        ([1.0, 2.0], 1, 2),
        ([1.0, 2.0], 2, 2),
        ({"truth": 1.0}, 1, None),
        ({"truth": 1.0, "toxicity": [0.0, 1.0]}, 1, 2),
    ],
)
def test_a_batch_has_as_many_prompts_as_strengths_or_steerings(
    strength: Strength, steerings: int, prompts: int | None
) -> None:
    assert Request.of(strength).prompts(steerings) == prompts


def test_strengths_that_do_not_go_with_the_steerings_are_refused() -> None:
    with pytest.raises(InputError, match="2 steerings and 3 strengths"):
        Request.of([1.0, 2.0, 3.0]).prompts(2)


def test_targets_by_name_come_in_the_order_of_the_features() -> None:
    assert Request.of({"toxicity": -1.0, "truth": 0.5}).targets(TWO).tolist() == [[0.5, -1.0]]


def test_a_feature_that_is_not_named_is_held() -> None:
    assert Request.of({"truth": 0.5}).targets(TWO).tolist() == [[0.5, 0.0]]


def test_one_target_for_all_prompts_goes_with_one_for_each() -> None:
    request = Request.of({"truth": [1.0, 2.0], "toxicity": 0.25})
    assert request.targets(TWO).tolist() == [[1.0, 0.25], [2.0, 0.25]]
    assert request.for_rows((1,)).targets(TWO).tolist() == [[2.0, 0.25]]


def test_an_absolute_setpoint_leaves_no_feature_unsaid() -> None:
    with pytest.raises(InputError, match="target says nothing of 'toxicity'"):
        Request.of({"truth": 0.5}).targets(TWO, held=None)


def test_a_plain_number_for_several_features_says_what_to_write() -> None:
    with pytest.raises(InputError, match=r"2 features, 'truth' and 'toxicity'.*target=\{'truth'"):
        Request.of(1.0).targets(TWO)
    with pytest.raises(InputError, match="as in lambda_="):
        Request.of(lambda_=1.0).targets(TWO)


def test_a_feature_that_there_is_not_is_named() -> None:
    with pytest.raises(InputError, match="target names 'mood'; this steering has 'truth' and"):
        Request.of({"truth": 1.0, "mood": 1.0}).targets(TWO)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), [0.0, float("nan")]])
def test_a_target_that_is_no_number_is_refused(wrong: Strength) -> None:
    with pytest.raises(InputError, match="target is (nan|inf); it must be finite"):
        Request.of(wrong)
    with pytest.raises(InputError, match="target of 'truth' is (nan|inf)"):
        Request.of({"truth": wrong})  # type: ignore[dict-item]


def test_lists_for_different_numbers_of_prompts_are_refused() -> None:
    with pytest.raises(InputError, match="'truth' is for 2, target of 'toxicity' is for 3"):
        Request.of({"truth": [1.0, 2.0], "toxicity": [0.0, 0.0, 0.0]})


def test_a_mapping_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="target names no feature"):
        Request.of({})


def test_a_table_of_numbers_is_refused() -> None:
    with pytest.raises(InputError, match=r"target has shape \(2, 2\)"):
        Request.of(torch.zeros(2, 2))
