"""Strengths as they are typed."""

import pytest

from steersman.cli.strengths import shown, strength_of
from steersman.errors import InputError


@pytest.mark.parametrize(
    ("words", "strength", "heading"),
    [
        (None, None, "target 1"),
        ([], None, "target 1"),
        (["0.5"], 0.5, "target 0.5"),
        (["-1"], -1.0, "target -1"),
        (["truth=1"], {"truth": 1.0}, "target truth 1"),
        (["truth=1", "a=b=-2e-1"], {"truth": 1.0, "a=b": -0.2}, "target truth 1, a=b -0.2"),
    ],
)
def test_strengths_are_read_and_told(words, strength, heading):
    assert strength_of(words, "--target") == strength
    assert shown(strength, "target") == heading


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["much"], "--target much: expected a number"),
        (["truth=much"], "--target much: expected a number"),
        (["1", "2"], "--target 1: with several strengths each needs the name"),
        (["truth=1", "2"], "as in --target NAME=2"),
        (["truth=1", "truth=2"], "names 'truth' twice"),
        (["=1"], "each needs the name"),
    ],
)
def test_strengths_that_cannot_be_read_are_refused(words, said):
    with pytest.raises(InputError, match=said):
        strength_of(words, "--target")
