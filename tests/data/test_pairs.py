"""Contrastive pairs: what they refuse, and what stays the same when they are cut in two."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.data import ContrastivePairs
from steersman.errors import InputError


def numbered(count: int, paired: bool = True) -> ContrastivePairs:
    extra = 0 if paired else 3
    return ContrastivePairs(
        [f"good {i}" for i in range(count)], [f"bad {i}" for i in range(count + extra)]
    )


def test_equally_many_examples_are_taken_for_pairs_and_others_are_not():
    assert ContrastivePairs(["a", "b"], ["c", "d"]).paired
    assert not ContrastivePairs(["a", "b"], ["c"]).paired
    assert not ContrastivePairs(["a", "b"], ["c", "d"], paired=False).paired


def test_examples_are_kept_apart_from_the_lists_they_came_in():
    message = {"role": "user", "content": "hello"}
    pairs = ContrastivePairs([[message]], [[{"role": "user", "content": "go away"}]])
    message["content"] = "changed"
    assert pairs.desired == (({"role": "user", "content": "hello"},),)


@pytest.mark.parametrize(
    ("desired", "undesired", "says"),
    [
        ([], ["a"], "no desired example"),
        (["a"], [], "no undesired example"),
        ("a", ["b"], "desired is one text"),
        (["a", "  "], ["b", "c"], "desired example 1 is empty"),
        (["a"], [3], r"undesired example 0 is 3 \(int\)"),
        (["a"], [None], "undesired example 0 is missing"),
        (["a"], [float("nan")], "undesired example 0 is missing"),
        (["a", "b"], ["c", "b"], "row 1: .* are the same"),
        (["a", "b", "b"], ["c", "d"], None),
        ([[]], [["b"]], "desired example 0 is a conversation without messages"),
        ([["b"]], ["b"], "desired example 0, message 0 is 'b'"),
        ([[{"role": "user"}]], ["b"], "message 0 has role 'user' .* and content None"),
        (["a"], [[{"role": "user", "content": "b"}]], "give all of them as texts or all as conv"),
    ],
)
def test_sides_that_cannot_be_used_are_refused_by_name(unchecked, desired, undesired, says):
    if says is None:
        ContrastivePairs(desired, undesired)
        return
    with pytest.raises(InputError, match=says):
        ContrastivePairs(desired, undesired)


def test_unpaired_sides_with_the_same_examples_are_refused_whatever_their_order():
    with pytest.raises(InputError, match="the same examples"):
        ContrastivePairs(["a", "b"], ["b", "a"], paired=False)


def test_different_numbers_cannot_be_paired():
    with pytest.raises(InputError, match="2 desired and 1 undesired"):
        ContrastivePairs(["a", "b"], ["c"], paired=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 40), st.booleans(), st.floats(0.3, 0.7), st.integers(0, 9))
def test_a_split_loses_no_example_and_shares_none(count, paired, fraction, seed):
    pairs = numbered(count, paired)
    first, rest = pairs.split(fraction, seed)
    for side in ("desired", "undesired"):
        mine, theirs, all_of_them = (getattr(p, side) for p in (first, rest, pairs))
        assert sorted(mine + theirs) == sorted(all_of_them)
        assert len(mine) == round(fraction * len(all_of_them))


def test_a_split_keeps_pairs_together_and_depends_only_on_the_seed():
    first, rest = numbered(30).split(0.4, seed=1)
    for part in (first, rest):
        assert part.paired
        assert [d[5:] for d in part.desired] == [u[4:] for u in part.undesired]
    assert numbered(30).split(0.4, seed=1) == (first, rest)
    assert numbered(30).split(0.4, seed=2) != (first, rest)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, 0.01])
def test_a_part_without_examples_is_refused(fraction):
    with pytest.raises(InputError, match="fraction is|cannot be split"):
        numbered(5).split(fraction)


def test_the_fingerprint_is_the_same_for_the_same_examples_only():
    one = ContrastivePairs(["a", "b"], ["c", "d"])
    assert one.fingerprint() == ContrastivePairs.from_tuples([("a", "c"), ("b", "d")]).fingerprint()
    others = [
        ContrastivePairs(["b", "a"], ["d", "c"]),
        ContrastivePairs(["a", "b"], ["c", "d"], paired=False),
        one.swapped(),
        ContrastivePairs(["a", "b"], ["c", "é"]),
    ]
    assert len({one.fingerprint(), *(other.fingerprint() for other in others)}) == 5
    assert len(one.fingerprint()) == 64


def test_swapping_twice_gives_the_same_pairs():
    pairs = numbered(3, paired=False)
    assert pairs.swapped().desired == pairs.undesired
    assert pairs.swapped().swapped() == pairs


def test_pairs_say_how_many_they_are():
    assert str(numbered(3)) == "3 pairs of texts"
    assert str(numbered(3, paired=False)) == "3 desired and 6 undesired texts, unpaired"
