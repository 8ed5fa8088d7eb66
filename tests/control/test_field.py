"""A push that depends on the state is the affine map that it says it is."""

import pytest
import torch
from toy_plants import randn

from steersman.control import AffineField
from steersman.errors import ShapeError

BLOCKS, N, K, ROWS = 3, 6, 2, 4


def field() -> AffineField:
    G = randn(1, BLOCKS, N, K)
    G[1] = 0.0
    return AffineField(randn(0, BLOCKS, N, K), G, randn(2, BLOCKS, K))


def test_the_push_is_so_much_of_the_map():
    law, x, s = field(), randn(3, ROWS, N), randn(4, ROWS, 1)
    for block in range(BLOCKS):
        _, u = law.step(None, x, s, block)
        expected = [
            s[i] * (law.G[block] @ (law.o[block] + law.H[block].T @ x[i])) for i in range(4)
        ]
        torch.testing.assert_close(u, torch.stack(expected))
    assert [law.is_active(t) for t in (-1, 0, 1, 2, 3)] == [False, True, False, True, False]


def test_half_precision_states_are_read_in_the_laws_own():
    law, x = field(), randn(3, ROWS, N)
    ones = torch.ones(ROWS, 1).double()
    _, expected = law.step(None, x.bfloat16().double(), ones, 0)
    _, found = law.step(None, x.bfloat16(), ones, 0)
    torch.testing.assert_close(found, expected)
    assert law.to("cpu").k == 1 and law.dtype == torch.float64


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("H", "G", "o"),
    [((3, 6, 2), (3, 6, 1), (3, 2)), ((3, 6), (3, 6), (3,)), ((3, 6, 2), (3, 6, 2), (3, 1))],
)
def test_tensors_that_do_not_fit_are_refused(H, G, o):
    with pytest.raises(ShapeError, match="expected"):
        AffineField(*(torch.ones(*shape) for shape in (H, G, o)))
