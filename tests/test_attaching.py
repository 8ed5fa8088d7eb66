"""Which prompts a steering has."""

import pytest

from steersman.attaching import grouped
from steersman.errors import InputError


def test_a_steering_that_several_prompts_share_is_one_group() -> None:
    first, second = [1], [1]  # equal, and yet two
    assert grouped([first, None, second, first]) == [(first, (0, 3)), (second, (2,))]
    assert grouped([first]) == [(first, None)]


@pytest.mark.parametrize("steerings", [[], [None], [None, None]])
def test_no_steering_at_all_is_refused(steerings: list[None]) -> None:
    with pytest.raises(InputError, match="no steering to attach"):
        grouped(steerings)
