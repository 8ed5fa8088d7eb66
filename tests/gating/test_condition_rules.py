"""Similarities, vectors, thresholds and their combinations, against plain transcriptions."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score

from steersman.errors import InputError, MismatchError, ShapeError
from steersman.gating import (
    AllOf,
    AnyOf,
    Not,
    Reading,
    Resembles,
    choose,
    condition_vectors,
    similarity,
)

READING = Reading(2, "mean", ())


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def leaf(side: str = "above", threshold: float = 0.0, axis: int = 0) -> Resembles:
    """Fires by the sign of one coordinate."""
    c = torch.zeros(3, dtype=torch.float64)
    c[axis] = 1.0
    return Resembles(c, 2, threshold, side, "cosine")  # type: ignore[arg-type]


def test_the_published_similarity_is_a_cosine_with_the_saturated_projection() -> None:
    x, c = random(5, 7), 3 * random(7, seed=1)
    P = np.outer(c.numpy(), c.numpy()) / float(c @ c)
    for row, found in zip(x.numpy(), similarity(x, c, "tanh"), strict=True):
        y = np.tanh(P @ row)
        assert math.isclose(found, row @ y / (np.linalg.norm(row) * np.linalg.norm(y)))


def test_the_plain_similarity_is_the_cosine_and_has_a_sign() -> None:
    x, c = random(5, 7), 3 * random(7, seed=1)
    expected = (x @ c) / (x.norm(dim=1) * c.norm())
    assert torch.allclose(similarity(x, c, "cosine"), expected)
    assert torch.allclose(similarity(x, -c, "cosine"), -expected)
    assert torch.allclose(similarity(x, -c, "tanh"), similarity(x, c, "tanh"))
    small = 1e-4 * x  # where tanh is linear, only the size of the cosine is left
    assert torch.allclose(similarity(small, c, "tanh"), expected.abs(), atol=1e-6)


@pytest.mark.parametrize("kind", ["tanh", "cosine"])
def test_nothing_resembles_a_vector_without_length(kind: str) -> None:
    assert similarity(random(2, 4), torch.zeros(4), kind).tolist() == [0, 0]  # type: ignore[arg-type]
    assert similarity(torch.zeros(2, 4), random(4), kind).tolist() == [0, 0]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["tanh", "cosine"])
def test_above_fires_above_the_threshold_and_below_below_it(kind: str) -> None:
    """The published code fires on "larger" where the threshold is larger; here it is the state."""
    x, c = random(50, 6), random(6, seed=1)
    values = similarity(x, c, kind)  # type: ignore[arg-type]
    threshold = float(values.median())
    for side, expected in (("above", values > threshold), ("below", values < threshold)):
        made = Resembles(c, 2, threshold, side, kind)  # type: ignore[arg-type]
        fires = made.fires({made.reading: x})
        assert torch.equal(fires, expected)
        assert 20 < int(fires.sum()) < 30


def test_rules_combine_conditions_as_logic_does() -> None:
    x = torch.tensor(list(product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
    a, b, c = leaf(), leaf(axis=1), leaf("below", axis=2)
    truth = [(p > 0, q > 0, r < 0) for p, q, r in x.tolist()]
    for made, expected in (
        (a & b, [p and q for p, q, _ in truth]),
        (a | b, [p or q for p, q, _ in truth]),
        (~a, [not p for p, _, _ in truth]),
        (AllOf((a, b, c)), [all(one) for one in truth]),
        (AnyOf((a, b, Not(c))), [p or q or not r for p, q, r in truth]),
        (~(a & (b | ~c)), [not (p and (q or not r)) for p, q, r in truth]),
    ):
        assert made.fires({READING: x}).tolist() == expected
        assert made.readings == {READING}
    assert (~(a & b)).sentence.startswith("not ((condition: similarity (cosine) of state 2")


def test_the_component_of_pairs_is_that_of_the_published_recipe() -> None:
    firing = random(9, 3, 5) + torch.tensor([4.0, 0, 0, 0, 0])
    others = random(9, 3, 5, seed=1)
    found = condition_vectors(firing, others, "pca")
    for t in range(3):
        centre = (firing[:, t] + others[:, t]) / 2
        rows = torch.cat([firing[:, t] - centre, others[:, t] - centre]).numpy()
        expected = PCA(1).fit(rows).components_[0]
        assert math.isclose(abs(float(found[t] @ torch.tensor(expected))), 1, abs_tol=1e-9)
        ahead = ((firing[:, t] - others[:, t]) @ found[t] > 0).double().mean()
        assert ahead > 0.5
    assert torch.allclose(condition_vectors(others, firing, "pca"), -found)


def test_the_mean_difference_needs_no_pairs_and_the_component_does(unchecked: None) -> None:
    firing, others = random(9, 3, 5), random(6, 3, 5, seed=1)
    c = firing.mean(0) - others.mean(0)
    assert torch.allclose(condition_vectors(firing, others, "mean"), c / c.norm(dim=1)[:, None])
    with pytest.raises(ShapeError, match="are no pairs"):
        condition_vectors(firing, others, "pca")
    with pytest.raises(ShapeError, match="same"):
        condition_vectors(firing, others[..., :4], "mean")
    with pytest.raises(InputError, match="choose one of pca, mean"):
        condition_vectors(firing, others, "median")  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_has_the_largest_f1_of_all(seed: int) -> None:
    firing = random(12, 4, seed=seed) + torch.tensor([0.0, 0.7, -0.9, 0.1])
    others = random(15, 4, seed=seed + 10)
    found = choose(firing, others)
    wanted = [1] * 12 + [0] * 15
    best = 0.0
    for t in range(4):
        values = torch.cat([firing[:, t], others[:, t]]).numpy()
        cuts = np.sort(values)
        for cut in (cuts[1:] + cuts[:-1]) / 2:
            best = max(best, f1_score(wanted, values > cut), f1_score(wanted, values < cut))
    assert math.isclose(found.f1, best)
    values = torch.cat([firing[:, found.column], others[:, found.column]]).numpy()
    said = values > found.threshold if found.side == "above" else values < found.threshold
    assert math.isclose(f1_score(wanted, said), best)


def test_equal_choices_are_told_apart_the_same_way_every_time() -> None:
    yes, no = torch.tensor([[1.0], [2.0]]), torch.tensor([[-1.0], [-3.0]])
    far = choose(torch.cat([yes, 3 * yes + 9], 1), torch.cat([no, no], 1))
    assert (far.column, far.side, far.f1) == (1, "above", 1.0)  # the means are further apart
    same = choose(yes.repeat(1, 3), no.repeat(1, 3))
    assert same == (0, 0.0, "above", 1.0)  # the earliest, half way
    turned = choose(-yes, -no)
    assert turned == (0, 0.0, "below", 1.0)
    with pytest.raises(InputError, match="equally similar"):
        choose(torch.ones(3, 2), torch.ones(4, 2))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"side": "larger"}, "choose one of"),
        ({"similarity": "dot"}, "choose one of"),
        ({"pool": "first"}, "choose one of"),
        ({"state": -1}, "the first one is 0"),
        ({"threshold": math.nan}, "finite"),
        ({"vector": torch.tensor([math.inf, 0.0])}, "finite"),
    ],
)
def test_what_cannot_be_a_condition_is_refused(wrong: dict, said: str, unchecked: None) -> None:
    settings = {"vector": torch.ones(2), "state": 1, "threshold": 0.5, **wrong}
    with pytest.raises(InputError, match=said):
        Resembles(**settings)


def test_a_condition_of_another_model_is_refused() -> None:
    with pytest.raises(MismatchError, match="states 0 .. 1 of width 3"):
        leaf().require(1, 3)
    with pytest.raises(MismatchError, match="width 4"):
        (leaf() & ~leaf()).require(4, 4)
    with pytest.raises(InputError, match="no condition to combine"):
        AllOf(())
