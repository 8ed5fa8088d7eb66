"""The plant: products, the closed loop, and what is refused."""

import pytest
import torch
from toy_plants import randn, random_plant

from steersman.control import LTVSystem
from steersman.errors import InputError, NumericalError, ShapeError


def test_vjp_is_the_adjoint_of_jvp():
    system = random_plant()
    v, w = randn(1, system.n), randn(2, system.n)
    for block in range(system.blocks):
        assert torch.allclose(w @ system.jvp(block, v), system.vjp(block, w) @ v)


def test_products_take_a_vector_or_columns():
    system, columns = random_plant(), randn(1, 6, 3)
    for product in (system.jvp, system.vjp):
        one_by_one = torch.stack([product(2, column) for column in columns.T], dim=1)
        assert torch.allclose(product(2, columns), one_by_one)


def test_closed_loop_subtracts_what_the_law_feeds_back():
    system, H, G = random_plant(), randn(1, 5, 6, 2), randn(2, 5, 6, 2)
    x = randn(3, 6)
    loop = system.closed_loop(H, G)
    expected = system.A[4] @ x - G[4] @ (H[4].T @ x)
    assert torch.allclose(loop.jvp(4, x), expected)


def test_precision_is_changed_in_a_copy():
    system = random_plant()
    assert system.to(torch.float32).A.dtype == torch.float32
    assert system.A.dtype == torch.float64
    assert (system.blocks, system.n) == (5, 6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4), (0, 3, 3), (2, 0, 0)])
def test_matrices_that_are_not_square_a_block_are_refused(shape):
    with pytest.raises(ShapeError, match=r"expected \(blocks, n, n\)"):
        LTVSystem(torch.zeros(shape))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_non_finite_plant_is_refused_naming_the_block(value):
    A = torch.zeros(3, 2, 2)
    A[1, 0, 1] = value
    with pytest.raises(NumericalError, match="A of block 1 has 1 NaN or infinite"):
        LTVSystem(A)


def test_half_precision_is_refused():
    with pytest.raises(InputError, match=r"bfloat16.*\.float\(\)"):
        LTVSystem(torch.zeros(2, 3, 3, dtype=torch.bfloat16))


@pytest.mark.usefixtures("unchecked")
def test_a_loop_of_another_width_is_refused():
    with pytest.raises(ShapeError, match=r"H has shape \(5, 7, 1\); expected \(blocks=5, n=6"):
        random_plant().closed_loop(randn(0, 5, 7, 1), randn(0, 5, 7, 1))
