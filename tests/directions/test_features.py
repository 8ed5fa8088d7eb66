"""Features side by side: their order, and when they cannot be told apart."""

import pytest
import torch
from torch import Tensor

from steersman.directions import Direction, Features, contrast
from steersman.errors import InputError, ShapeError

STATES, N = 4, 6


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def direction(seed: int, states: int = STATES) -> Direction:
    return contrast(randn(seed, 8, states, N) + 1, randn(seed + 1, 8, states, N))


def pointing(*vectors: Tensor) -> Features:
    """Features with these directions at every state."""
    ones = torch.ones(STATES)
    rows = [v.expand(STATES, N).clone() for v in vectors]
    named = {chr(97 + i): Direction(v, v, ones, 0 * ones, ones, ones) for i, v in enumerate(rows)}
    return Features(named)


def test_tensors_have_the_features_side_by_side_in_their_order() -> None:
    first, second = direction(0), direction(5)
    features = Features({"truth": first, "mood": second})
    assert (features.names, len(features)) == (("truth", "mood"), 2)
    for name in ("vectors", "contrast", "norm", "origin"):
        for index, one in enumerate((first, second)):
            assert torch.equal(getattr(features, name)[..., index], getattr(one, name))
    assert (features.blocks, features.n) == (STATES - 1, N)


def test_cosines_are_those_of_the_directions() -> None:
    first, second = direction(0), direction(5)
    found = Features({"truth": first, "mood": second}).cosines
    expected = torch.cosine_similarity(first.contrast, second.contrast, dim=1)
    torch.testing.assert_close(found[:, 0, 1], expected)
    torch.testing.assert_close(found[:, 1, 1], torch.ones(STATES))


def test_one_feature_is_its_direction_and_several_are_not() -> None:
    first, second = direction(0), direction(5)
    assert Features.of(first).one is first
    several = Features({"truth": first, "mood": second})
    assert several.only("mood").one is second
    with pytest.raises(InputError, match="2 features, 'truth' and 'mood'; name one"):
        _ = several.one
    with pytest.raises(InputError, match="no feature 'tone'; there is 'truth' and 'mood'"):
        several.only("tone")


def test_directions_that_are_alike_are_named() -> None:
    a, b = torch.nn.functional.normalize(randn(0, 2, N), dim=1)
    pointing(a, b).require_independent(1)
    for same in (b, -b, torch.nn.functional.normalize(b + 1e-8 * a, dim=0)):
        with pytest.raises(InputError, match="features 'b' and 'c' have linearly dependent"):
            pointing(a, b, same).require_independent(2)
    mixed = torch.nn.functional.normalize(a + b, dim=0)
    with pytest.raises(InputError, match="features 'a', 'b' and 'c'.* at state 3"):
        pointing(a, b, mixed).require_independent(3)


def test_a_feature_without_contrast_is_no_duplicate() -> None:
    a, zero = torch.nn.functional.normalize(randn(0, N), dim=0), torch.zeros(N)
    pointing(a, zero, zero).require_independent(0)


def test_features_of_different_states_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"'a' \(4, 6\), 'b' \(3, 6\)"):
        Features({"a": direction(0), "b": direction(0, states=3)})


def test_more_features_than_the_state_is_wide_are_refused() -> None:
    with pytest.raises(InputError, match="7 features were given for states of width 6; at most 6"):
        pointing(*randn(0, N + 1, N))


def test_no_feature_is_refused() -> None:
    with pytest.raises(InputError, match="there is no feature"):
        Features({})
