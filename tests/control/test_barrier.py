"""Barriers: their gradients are those of autograd, and their sketches those of scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.kernel_approximation import PolynomialCountSketch
from sklearn.metrics.pairwise import polynomial_kernel
from torch import Tensor
from toy_plants import randn, unit_rows

from steersman.control import LinearBarrier, QuadraticBarrier, Sketch, SketchBarrier, UnitBarrier
from steersman.errors import InputError, NumericalError, ShapeError

N, ROWS = 7, 5
GAMMA, COEF0 = 0.1, 1.0


def number(seed: int) -> Tensor:
    """One random number."""
    return randn(seed, 1)[0]


def sketched(degree: int = 2, components: int = 50, gamma: float = GAMMA) -> SketchBarrier:
    sketch = Sketch.drawn(N, degree, components, gamma, COEF0, seed=3)
    return SketchBarrier(sketch, randn(1, components), number(2))


def quadratic() -> QuadraticBarrier:
    M = randn(3, N, N)
    return QuadraticBarrier(M + M.mT, randn(4, N), number(5))


BARRIERS = {
    "linear": LinearBarrier(randn(0, N), number(1)),
    "quadratic": quadratic(),
    "sketch of degree 1": sketched(1),
    "sketch of degree 2": sketched(2),
    "sketch of degree 3, an odd number of features": sketched(3, 51),
    "sketch with few features": sketched(2, 4),
}


@pytest.mark.parametrize("barrier", BARRIERS.values(), ids=BARRIERS)
def test_the_gradient_is_that_of_autograd_through_the_normalisation(barrier: UnitBarrier) -> None:
    x = (5 * randn(7, ROWS, N)).requires_grad_()
    (expected,) = torch.autograd.grad(barrier.value(x).sum(), x)
    torch.testing.assert_close(barrier.gradient(x.detach()), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("barrier", BARRIERS.values(), ids=BARRIERS)
def test_the_gradient_is_at_a_right_angle_to_the_state(barrier: UnitBarrier) -> None:
    x = 30 * randn(8, ROWS, N)
    v = barrier.velocity(x)
    torch.testing.assert_close(v.norm(dim=1), torch.ones(ROWS).double())
    assert float((v * x).sum(dim=1).abs().max()) < 1e-12


@pytest.mark.parametrize("barrier", BARRIERS.values(), ids=BARRIERS)
def test_only_where_a_state_points_matters(barrier: UnitBarrier) -> None:
    x = randn(9, ROWS, N)
    torch.testing.assert_close(barrier.value(40 * x), barrier.value(x))
    torch.testing.assert_close(barrier.velocity(40 * x), barrier.velocity(x))
    torch.testing.assert_close(barrier.gradient(40 * x), barrier.gradient(x) / 40)


@pytest.mark.parametrize("barrier", BARRIERS.values(), ids=BARRIERS)
def test_a_batch_is_its_rows_one_at_a_time(barrier: UnitBarrier) -> None:
    x = randn(10, ROWS, N)
    alone = torch.cat([barrier.velocity(row[None]) for row in x])
    torch.testing.assert_close(barrier.velocity(x), alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_with_the_places_and_signs_of_scikit_learn_the_features_are_its_own(degree: int) -> None:
    theirs = PolynomialCountSketch(
        gamma=GAMMA, degree=degree, coef0=COEF0, n_components=40, random_state=0
    )
    x = randn(11, ROWS, N)
    expected = theirs.fit(x.numpy()).transform(x.numpy())
    root = torch.full((N + 1,), GAMMA**0.5).double()
    root[-1] = COEF0**0.5
    factors = torch.from_numpy(np.asarray(theirs.bitHash_)).double() * root
    ours = Sketch(torch.from_numpy(np.asarray(theirs.indexHash_)).long(), factors, 40)
    torch.testing.assert_close(ours(x), torch.from_numpy(expected))


def test_products_of_features_are_the_polynomial_kernel_in_expectation() -> None:
    a = unit_rows(12, 4, N)
    expected = torch.from_numpy(polynomial_kernel(a, degree=2, gamma=2.0, coef0=COEF0))
    drawn = []
    for seed in range(400):
        features = Sketch.drawn(N, 2, 64, 2.0, COEF0, seed)(a)
        drawn.append(features @ features.mT)
    found = torch.stack(drawn)
    error = found.std(0) / len(drawn) ** 0.5
    assert float(((found.mean(0) - expected) / error).abs().max()) < 4
    # The sketch is not so wide that every draw would have been near it anyhow.
    assert float((found[0] - expected).abs().max()) > 10 * float(error.max())


def test_a_sketch_of_degree_two_is_a_quadratic_form() -> None:
    barrier, x = sketched(2, 5), randn(13, ROWS, N)
    form = barrier.multiplied_out()
    torch.testing.assert_close(form.value(x), barrier.value(x))
    torch.testing.assert_close(form.gradient(x), barrier.gradient(x))
    with pytest.raises(InputError, match="degree is 3"):
        sketched(3).multiplied_out()


def test_the_weighted_sum_of_kernels_is_a_quadratic_form() -> None:
    examples, weights, b = unit_rows(14, 6, N), randn(15, 6), number(16)
    form = QuadraticBarrier.of_kernel(examples, weights, b, GAMMA, COEF0)
    x = randn(17, ROWS, N)
    kernel = polynomial_kernel(
        torch.nn.functional.normalize(x, dim=1), examples, degree=2, gamma=GAMMA, coef0=COEF0
    )
    torch.testing.assert_close(form.value(x), torch.from_numpy(kernel) @ weights + b)


def test_the_root_of_gamma_is_in_the_gradient_of_a_batch_too() -> None:
    # Without it the constant's part of the sketch would weigh `1 / sqrt(gamma)` times as much.
    for gamma in (0.01, 0.1, 4.0):
        barrier, x = sketched(2, 50, gamma), randn(18, ROWS, N).requires_grad_()
        (expected,) = torch.autograd.grad(barrier.value(x).sum(), x)
        v = barrier.velocity(x.detach())
        expected = expected / expected.norm(dim=1, keepdim=True)
        torch.testing.assert_close(v, expected, rtol=1e-9, atol=1e-12)


def test_a_state_of_length_zero_gives_numbers() -> None:
    for barrier in BARRIERS.values():
        zero = torch.zeros(2, N).double()
        assert bool(torch.isfinite(barrier.velocity(zero)).all())
        assert bool(torch.isfinite(barrier.value(zero)).all())


def test_it_moves_to_another_precision_with_all_its_parts() -> None:
    x = randn(19, ROWS, N)
    for barrier in BARRIERS.values():
        single = barrier.to(torch.float32)
        assert (single.dtype, single.n) == (torch.float32, N)
        torch.testing.assert_close(
            single.velocity(x.float()), barrier.velocity(x).float(), rtol=1e-3, atol=1e-5
        )


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused() -> None:
    nothing, w = torch.zeros(()), torch.ones(N)
    sketch = Sketch.drawn(N, 2, 9, GAMMA, COEF0, 0).to(torch.float32)
    with pytest.raises(ShapeError, match="b has shape"):
        LinearBarrier(w, w)
    with pytest.raises(InputError, match=r"w has dtype torch.float16"):
        LinearBarrier(w.half(), nothing)
    with pytest.raises(ShapeError, match="M has shape"):
        QuadraticBarrier(torch.ones(N, 2), w, nothing)
    with pytest.raises(NumericalError, match="w has 7 NaN"):
        QuadraticBarrier(torch.ones(N, N), w / 0, nothing)
    with pytest.raises(ShapeError, match="components=9"):
        SketchBarrier(sketch, torch.ones(8), nothing)
    with pytest.raises(InputError, match="places have to be"):
        Sketch(sketch.places + 9, sketch.factors, 9)
    with pytest.raises(ShapeError, match="factors has shape"):
        Sketch(sketch.places, sketch.factors[:, 1:], 9)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ((0, 9, 0.1, 1.0), "degree is 0"),
        ((2, 0, 0.1, 1.0), "components is 0"),
        ((2, 9, 0.0, 1.0), "gamma is 0.0"),
        ((2, 9, 0.1, -1.0), "coef0 -1.0"),
    ],
)
def test_a_sketch_that_cannot_be_is_refused(asked: tuple, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Sketch.drawn(N, *asked, seed=0)


def test_the_same_seed_draws_the_same_sketch() -> None:
    one, same, other = (Sketch.drawn(N, 2, 30, GAMMA, COEF0, seed) for seed in (1, 1, 2))
    x: Tensor = randn(20, ROWS, N)
    assert torch.equal(one(x), same(x)) and not torch.equal(one(x), other(x))
