"""The classifier behind a barrier is scikit-learn's, and what is said of it is out of sample."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from small_evidence import randn
from torch import Tensor
from torch.nn.functional import normalize

from steersman.control import FlowLaw, LinearBarrier, Sketch
from steersman.errors import InputError, NumericalError
from steersman.methods.classifier import (
    Examples,
    Linear,
    Quadratic,
    Sketched,
    length_to_desired,
)

N = 5
GAMMA, COEF0 = 0.1, 1.0


def sides(desired: int = 40, undesired: int = 25, apart: float = 1.0) -> tuple[Tensor, Tensor]:
    """Clouds whose means differ, and whose spread differs too."""
    shift = apart * randn(1, N)
    return 3 + randn(2, desired, N) + shift, 3 + 1.5 * randn(3, undesired, N)


def monomials(a: Tensor) -> Tensor:
    """Every feature of `(gamma a'c + coef0)^2`, one by one."""
    pairs = torch.einsum("ij,ik->ijk", a, a).flatten(1) * GAMMA
    return torch.cat([pairs, (2 * GAMMA * COEF0) ** 0.5 * a, COEF0 * torch.ones(len(a), 1)], dim=1)


SKETCH = Sketch.drawn(N, 2, 30, GAMMA, COEF0, seed=0)
KERNELS = {
    "linear": (Linear(), lambda a: a),
    "quadratic": (Quadratic(GAMMA, COEF0), monomials),
    "sketch": (Sketched(SKETCH), SKETCH),
}


@pytest.mark.parametrize("C", [0.3, 1.0, 50.0])
@pytest.mark.parametrize("name", KERNELS)
def test_it_is_the_logistic_regression_of_scikit_learn_in_the_features(name: str, C: float) -> None:
    kernel, features = KERNELS[name]
    desired, undesired = sides()
    a = normalize(torch.cat([desired, undesired]), dim=1)
    y = np.array([1] * len(desired) + [0] * len(undesired))
    theirs = LogisticRegression(C=C, max_iter=100000, tol=1e-12).fit(features(a).numpy(), y)
    barrier = Examples(kernel, desired, undesired, C).barrier()
    x = 4 * randn(4, 12, N)
    # Where both sides were equally common: the odds of the fit are taken off again.
    fair = theirs.decision_function(features(normalize(x, dim=1)).numpy())
    expected = torch.from_numpy(fair) + np.log(len(undesired) / len(desired))
    torch.testing.assert_close(barrier.value(x), expected, rtol=1e-4, atol=1e-6)


def test_the_constant_of_the_odds_is_added_and_no_factor() -> None:
    desired, undesired = sides(60, 20)
    few = Examples(Quadratic(GAMMA, COEF0), desired, undesired).barrier()
    x = randn(5, 6, N)
    a = normalize(torch.cat([desired, undesired]), dim=1)
    y = np.array([1] * 60 + [0] * 20)
    theirs = LogisticRegression(max_iter=100000, tol=1e-12).fit(monomials(a).numpy(), y)
    weights = torch.from_numpy(theirs.coef_[0])
    for row in x:
        free = row.clone().requires_grad_()
        score = monomials(normalize(free[None], dim=1))[0] @ weights
        (expected,) = torch.autograd.grad(score, free)
        torch.testing.assert_close(few.gradient(row[None])[0], expected, rtol=1e-3, atol=1e-8)


def test_more_examples_of_one_side_alone_hardly_move_the_even_line() -> None:
    desired, undesired = sides(40, 40)
    many = torch.cat([desired] * 5)
    strong = 1e4  # so that the weights' own length counts for nothing
    even = Examples(Linear(), desired, undesired, strong).barrier()
    odd = Examples(Linear(), many, undesired, strong).barrier()
    x = torch.cat([desired, undesired])
    assert float((even.value(x).mean() - odd.value(x).mean()).abs()) < 0.5 < np.log(5)


def test_examples_left_out_are_judged_by_a_classifier_that_has_not_seen_them() -> None:
    noise = [randn(seed, 60, 80) for seed in (6, 7)]
    found = Examples(Linear(), noise[0], noise[1], 1e3).unseen()
    assert abs(found.accuracy - 0.5) < 4 * found.se  # in sample every one of them is right
    barrier = Examples(Linear(), noise[0], noise[1], 1e3).barrier()
    assert bool((barrier.value(noise[0]) > 0).all())
    apart = Examples(Linear(), *sides(apart=6.0)).unseen()
    assert apart.accuracy > 0.9 and apart.d > 2 and apart.loss < found.loss
    assert 0 < found.se < 0.1


def test_pairs_are_left_out_together() -> None:
    # Each example's twin is on the other side: seen, it would give the example away.
    twins = randn(8, 50, 60)
    found = Examples(Linear(), twins + 1e-3 * randn(9, 50, 60), twins, 1e6).unseen()
    assert abs(found.accuracy - 0.5) < 0.1


def test_the_length_is_where_the_undesired_mean_has_become_the_desired_one() -> None:
    desired, undesired = sides()
    barrier = Examples(Quadratic(GAMMA, COEF0), desired, undesired).barrier()
    law = FlowLaw(barrier, 0, 1)

    def flow(x: Tensor, length: float) -> Tensor:
        return x + law.displacement(x, x.new_full((len(x), 1), length))

    length = length_to_desired(flow, barrier, desired, undesired, 0.1)
    reached = barrier.value(flow(undesired, length)).mean()
    torch.testing.assert_close(reached, barrier.value(desired).mean(), rtol=1e-5, atol=1e-7)
    assert length > 0


def test_a_flow_that_never_gets_there_is_an_error_with_a_way_out() -> None:
    barrier = LinearBarrier(randn(10, N), torch.zeros(()).double())
    with pytest.raises(NumericalError, match="unit='norm'"):
        length_to_desired(lambda x, length: x - 1e3 * barrier.w, barrier, *sides(), 0.1)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: Examples(Linear(), randn(0, 1, N), randn(1, 9, N)), "two examples of each side"),
        (lambda: Examples(Linear(), *sides(), 0.0), "C is 0.0"),
        (lambda: Examples(Linear(), torch.ones(4, N), torch.ones(4, N)).barrier(), "same state"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(made, says: str) -> None:
    with pytest.raises(InputError, match=says), warnings.catch_warnings():
        made()
