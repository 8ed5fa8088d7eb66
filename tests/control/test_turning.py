"""A turn by an angle, against the matrix that the source writes out."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import randn

from steersman.control import TurnLaw

BLOCKS, N, ROWS = 3, 6, 5


def planes(seed: int) -> torch.Tensor:
    return torch.linalg.qr(randn(seed, BLOCKS, N, 2)).Q


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.floats(-7, 7))
def test_it_is_the_rotation_of_the_plane_and_nothing_else(seed: int, angle: float) -> None:
    H, x = planes(seed), randn(seed + 1, ROWS, N)
    law = TurnLaw(H, reads="output")
    asked = torch.full((ROWS, 1), angle, dtype=torch.float64)
    found = (x + law.step(None, x, asked, 1)[1]).numpy()
    b1, b2 = H[1].numpy().T
    P = np.outer(b1, b1) + np.outer(b2, b2)
    V = np.cos(angle) * P + np.sin(angle) * (np.outer(b2, b1) - np.outer(b1, b2))
    np.testing.assert_allclose(found, x.numpy() @ (np.eye(N) - P + V).T, atol=1e-12)
    lengths = [np.linalg.norm(one, axis=1) for one in (found, x.numpy())]
    np.testing.assert_allclose(*lengths, rtol=1e-12)


def test_turns_add_up_and_no_turn_leaves_every_bit() -> None:
    law, x = TurnLaw(planes(0)), randn(1, ROWS, N)
    half, whole = (torch.full((ROWS, 1), a, dtype=torch.float64) for a in (0.4, 0.8))
    once = x + law.step(None, x, half, 0)[1]
    twice = once + law.step(None, once, half, 0)[1]
    torch.testing.assert_close(twice, x + law.step(None, x, whole, 0)[1])
    assert torch.equal(law.added(None, x, 0 * half, 0, x)[1], x)


def test_states_beyond_the_limit_are_left_alone() -> None:
    H = planes(2)
    law = TurnLaw(H, torch.full((BLOCKS,), 1.0, dtype=torch.float64))
    angles = torch.tensor([0.5, 1.5, -1.0, -2.5], dtype=torch.float64)
    x = torch.stack([angles.cos(), angles.sin()], dim=1) @ H[0].mT
    u = law.step(None, x, torch.full((4, 1), 0.3, dtype=torch.float64), 0)[1]
    assert u.any(dim=1).tolist() == [True, False, True, False]
