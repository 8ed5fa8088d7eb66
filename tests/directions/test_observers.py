"""Observers: against scikit-learn, in natural units, and what they refuse."""

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from torch import Tensor

from steersman.directions import (
    MeanDifference,
    Observer,
    Probe,
    Whitened,
    contrast,
    observer_named,
    separation,
)
from steersman.directions.probe import RIDGES, folds_of, fit_logistic
from steersman.errors import InputError, NumericalError, UnknownNameError

Sides = tuple[Tensor, Tensor]


def sides(desired: int = 40, undesired: int = 30, states: int = 3, n: int = 8) -> Sides:
    """Axes of very different spread; the contrast is along the ones that vary most and least."""
    generator = torch.Generator().manual_seed(0)
    offset = 3 * torch.randn(states, n, generator=generator, dtype=torch.float64)
    spread = torch.linspace(3, 0.2, n, dtype=torch.float64)
    d, u = (
        torch.randn(count, states, n, generator=generator, dtype=torch.float64) * spread + offset
        for count in (desired, undesired)
    )
    d[..., 0] += 1.0
    d[..., -1] += 0.3
    return d, u


def one(given: Sides) -> Sides:
    """The last state alone."""
    return given[0][:, -1], given[1][:, -1]


def scikit_ridge(x: Tensor, ridge: float) -> float:
    """Our ridge as scikit-learn's C."""
    return 1 / (ridge * float((x - x.mean(0)).square().sum()))


@pytest.mark.parametrize("n", [8, 120])
def test_the_whitened_observer_is_the_contrast_by_the_dense_covariance(n: int) -> None:
    d, u = (side.numpy() for side in one(sides(n=n)))
    within = np.concatenate([d - d.mean(0), u - u.mean(0)])
    S = LedoitWolf(assume_centered=True).fit(within).covariance_
    expected = np.linalg.solve(S, d.mean(0) - u.mean(0))
    np.testing.assert_allclose(Whitened().read(*one(sides(n=n))), expected, rtol=1e-8, atol=1e-10)


def test_shrunk_all_the_way_it_is_the_mean_difference() -> None:
    given = one(sides())
    v, c = Whitened(1.0).read(*given), MeanDifference().read(*given)
    torch.testing.assert_close(v / v.norm(), c / c.norm())


@pytest.mark.parametrize("ridge", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("n", [8, 120])
def test_the_probe_is_that_of_scikit_learn(ridge: float, n: int) -> None:
    d, u = one(sides(n=n))
    x, y = torch.cat([d, u]), torch.tensor([1.0] * 40 + [-1.0] * 30).double()
    model = LogisticRegression(C=scikit_ridge(x, ridge), tol=1e-12, solver="newton-cholesky")
    model.fit(x.numpy(), y.numpy())
    v, b = fit_logistic(x, y, (ridge,))
    np.testing.assert_allclose(v[0], model.coef_[0], atol=1e-6 * np.abs(model.coef_).max())
    assert float(b[0]) == pytest.approx(model.intercept_[0], rel=1e-6, abs=1e-6)
    torch.testing.assert_close(Probe(ridge).read(d, u), v[0])


@pytest.mark.parametrize("n", [8, 60])
def test_the_ridge_is_the_one_that_scikit_learn_finds_by_cross_validation(n: int) -> None:
    d, u = one(sides(n=n))
    x, y = torch.cat([d, u]), torch.tensor([1.0] * 40 + [-1.0] * 30).double()
    fold = folds_of(40, 30)
    losses = np.zeros(len(RIDGES))
    for train, test in PredefinedSplit(fold.numpy()).split():
        # The ridge is in units of the states that are learnt from.
        grid = GridSearchCV(
            LogisticRegression(solver="newton-cholesky", tol=1e-10),
            {"C": [scikit_ridge(x[train], ridge) for ridge in RIDGES]},
            scoring="neg_log_loss",
            cv=[(train, test)],
            refit=False,
        ).fit(x.numpy(), y.numpy())
        losses -= grid.cv_results_["mean_test_score"] * len(test)
    chosen = RIDGES[int(losses.argmin())]
    torch.testing.assert_close(Probe().read(d, u), Probe(chosen).read(d, u))
    assert n == 8 or chosen not in (RIDGES[0], RIDGES[-1])


def test_sides_of_equal_size_are_left_out_pair_by_pair() -> None:
    fold = folds_of(23, 23)
    assert torch.equal(fold[:23], fold[23:])
    assert sorted(fold[:23].bincount().tolist()) == [4, 4, 5, 5, 5]


OBSERVERS = [MeanDifference(), Whitened(), Whitened(0.5), Probe(0.1)]


@pytest.mark.parametrize("observer", OBSERVERS, ids=str)
def test_undesired_is_zero_and_desired_one_whatever_observes(observer: Observer) -> None:
    d, u = sides()
    found = contrast(d, u, observer=observer)
    ones = torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(found.features(u).mean(0), 0 * ones)
    torch.testing.assert_close(found.features(d).mean(0), ones)
    torch.testing.assert_close(found.vectors.norm(dim=-1), ones)
    torch.testing.assert_close((found.vectors * found.patterns).sum(-1), ones)
    torch.testing.assert_close(found.contrast, contrast(d, u).contrast)


def test_the_pattern_of_the_contrast_is_the_direction_itself() -> None:
    found = contrast(*sides())
    torch.testing.assert_close(found.patterns, found.vectors)


def test_a_better_observer_sees_the_sides_further_apart_on_examples_it_has_not_seen() -> None:
    given = sides(150, 150, states=1)
    mean, whitened, probe = (
        contrast(*given, observer=one).separation for one in (MeanDifference(), Whitened(), Probe())
    )
    assert (whitened > 2 * mean).all() and (probe > 2 * mean).all()
    expected = separation(*given, observer=Whitened()).d
    torch.testing.assert_close(whitened, expected)


def normal(seed: int, count: int, distance: float, experiments: int) -> Sides:
    """Every state is an experiment of its own; the spread differs fourfold from axis to axis."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.linspace(2.0, 0.5, 16, dtype=torch.float64)
    d, u = (
        torch.randn(count, experiments, 16, generator=generator, dtype=torch.float64) * spread
        for _ in range(2)
    )
    d[..., 8] += distance * spread[8]
    return d, u


@pytest.mark.parametrize(("observer", "count"), [(Whitened(), 150), (Probe(0.1), 40)], ids=str)
@pytest.mark.parametrize("distance", [0.0, 2.0])
def test_the_error_of_its_separation_is_how_much_that_varies(
    observer: Observer, count: int, distance: float
) -> None:
    found = separation(*normal(1, 40, distance, count), observer=observer)
    assert found.se.mean() == pytest.approx(float(found.d.std()), rel=2.5 / count**0.5)
    # Not above the truth, and zero on average where there is nothing.
    assert found.d.mean() < distance + 3 * float(found.se.mean()) / count**0.5


@pytest.mark.parametrize("observer", [Whitened(), Probe(0.1)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_states_that_are_all_the_same_have_no_direction(
    observer: Observer, dtype: torch.dtype
) -> None:
    d, u = (side.to(dtype) for side in sides())
    d[:, 0] = u[:, 0] = torch.full((8,), 0.1, dtype=dtype)
    found = contrast(d, u, observer=observer)
    assert not found.vectors[0].any() and not found.patterns[0].any()
    assert found.separation_se[0] == torch.inf and found.vectors[1:].any(dim=-1).all()


@pytest.mark.parametrize("observer", [Whitened(), Probe()], ids=str)
def test_sides_without_spread_are_observed_along_their_difference(observer: Observer) -> None:
    d, u = torch.ones(5, 3).double(), torch.zeros(4, 3).double()
    v = observer.read(d, u)
    torch.testing.assert_close(v / v.norm(), torch.full((3,), 3**-0.5).double())


@pytest.mark.parametrize("name", ["mean", "whitened", "probe", "whitened:0.3", "probe:0.01"])
def test_a_name_makes_the_observer_of_that_name(name: str) -> None:
    assert str(observer_named(name)) == name


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        (
            "median",
            UnknownNameError,
            "choose one of mean, whitened, probe, whitened:..., probe:...",
        ),
        ("mean:2", UnknownNameError, "no observer 'mean:2'"),
        ("probe:much", InputError, "'much' is no number"),
        ("probe:0", InputError, "ridge is 0.0; it must be above zero"),
        ("whitened:2", InputError, "shrinkage is 2.0; it must be between 0 and 1"),
    ],
)
def test_an_unknown_observer_is_refused(name: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        observer_named(name)


@pytest.mark.parametrize("observer", [Whitened(), Probe()], ids=str)
def test_one_example_of_each_side_shows_no_spread(observer: Observer) -> None:
    with pytest.raises(InputError, match="one example of each side"):
        contrast(*sides(1, 1), observer=observer)
    assert contrast(*sides(2, 1), observer=observer).vectors.isfinite().all()


def test_a_covariance_that_is_singular_and_not_shrunk_is_refused() -> None:
    with pytest.raises(NumericalError, match="singular"):
        contrast(*sides(3, 3), observer=Whitened(0.0))
