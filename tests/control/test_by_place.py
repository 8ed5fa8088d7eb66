"""A schedule for every place of a text, beside a lookup written out."""

import pytest
import torch

from steersman.control import ByPlace, Capped, Softly, Within
from steersman.errors import InputError, NumericalError, ShapeError

SEED = torch.Generator().manual_seed(0)
C = torch.randn(3, 4, 5, generator=SEED, dtype=torch.float64)
C[1] = 0
X = torch.randn(6, 5, generator=SEED, dtype=torch.float64)
PLACES = torch.tensor([0, 3, 2, 4, 90, 0])
REFERENCE = torch.tensor([[1.0], [0.5], [-2.0], [1.0], [1.0], [0.0]], dtype=torch.float64)


def test_each_row_is_pushed_by_what_its_place_has_and_behind_the_last_by_nothing() -> None:
    law = ByPlace(C)
    assert [law.is_active(block) for block in range(-1, 4)] == [False, True, False, True, False]
    for block in range(3):
        state = law.begin(len(X), lambda: PLACES)
        _, u = law.step(state, X, REFERENCE, block)
        for row, place in enumerate(PLACES.tolist()):
            expected = REFERENCE[row] * C[block, place] if place < 4 else torch.zeros(5)
            torch.testing.assert_close(u[row], expected.double(), rtol=0, atol=0)


def test_laws_around_it_pass_the_places_on() -> None:
    law = ByPlace(C)
    w, b = torch.zeros(3, 5, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    _, u = law.step(law.begin(6, lambda: PLACES), X, REFERENCE, 0)
    half = Softly(law, w, b)
    _, found = half.step(half.begin(6, lambda: PLACES), X, REFERENCE, 0)
    torch.testing.assert_close(found, u / 2)
    within = Within.below(law, w, b + 1)
    _, found = within.step(within.begin(6, lambda: PLACES), X, REFERENCE, 0)
    torch.testing.assert_close(found, u)
    capped = Capped(law, 0.1)
    _, found = capped.step(capped.begin(6, lambda: PLACES), X, REFERENCE, 0)
    longest = 0.1 * X.norm(dim=1)
    torch.testing.assert_close(found.norm(dim=1), torch.minimum(u.norm(dim=1), longest))


def test_it_cannot_begin_without_places_and_refuses_what_is_no_schedule() -> None:
    with pytest.raises(InputError, match="place"):
        ByPlace(C).init(3)
    with pytest.raises(ShapeError, match="with a place"):
        ByPlace(C[:, :0])
    with pytest.raises(NumericalError):
        ByPlace(C / 0.0)
    with pytest.raises(InputError):
        ByPlace(C.half())
