"""What a law adds by itself is what its step says, for every law."""

import pytest
import torch
from toy_plants import randn, random_law, random_plant, unit_rows

from steersman.control import (
    AffineField,
    AffineLaw,
    AngularLaw,
    Capped,
    ClampLaw,
    CurveLaw,
    CylinderLaw,
    DiagonalField,
    GreatCircleLaw,
    Law,
    PIDLaw,
    RowsLaw,
    Within,
)

BLOCKS, N, ROWS = 5, 6, 4


def plane() -> torch.Tensor:
    return torch.linalg.qr(randn(7, BLOCKS, N, 2))[0]


LAWS: dict[str, Law] = {
    "affine": random_law(1, random_plant(), 3),
    "one feature": random_law(2, random_plant(), 1),
    "schedule": AffineLaw.schedule(randn(3, BLOCKS, N)),
    "rows": RowsLaw(randn(1, ROWS, BLOCKS, N, 2), randn(2, ROWS, BLOCKS, N, 2)),
    "field": AffineField(randn(1, BLOCKS, N, 2), randn(2, BLOCKS, N, 2), randn(3, BLOCKS, 2)),
    "pid": PIDLaw(unit_rows(1, BLOCKS, N), 0.5, 0.2, 0.1),
    "pid with a cap": PIDLaw(unit_rows(1, BLOCKS, N), 0.5, 0.2, 0.1, cap=0.05),
    "turn": AngularLaw(plane()),
    "turn of some": AngularLaw(plane(), until=torch.linspace(-2, 2, BLOCKS).double()),
    "capped": Capped(random_law(1, random_plant(), 1), 0.05),
    "clamp": ClampLaw(unit_rows(1, BLOCKS, N), randn(2, BLOCKS, N)),
    "clamp below": ClampLaw(unit_rows(1, BLOCKS, N), randn(2, BLOCKS, N), "below"),
    "within": Within.below(
        random_law(2, random_plant(), 2), unit_rows(3, BLOCKS, N), torch.ones(BLOCKS).double()
    ),
    "diagonal": DiagonalField(randn(1, BLOCKS, N), randn(2, BLOCKS, N)),
    "great circle": GreatCircleLaw(unit_rows(1, BLOCKS, N)),
    "curve": CurveLaw(plane(), randn(1, BLOCKS, 3, 4, 2)),
    "cylinder": CylinderLaw(
        *(randn(1, BLOCKS, N, 2), randn(2, BLOCKS, N, 2), randn(3, BLOCKS, 2)),
        *(unit_rows(4, BLOCKS, N), randn(5, BLOCKS), 0.3),
    ),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_what_is_added_at_every_block_is_the_output_and_the_step(law):
    stepped, added = law.init(ROWS), law.init(ROWS)
    for block in range(BLOCKS):
        x, y = randn(10 + block, ROWS, N), randn(20 + block, ROWS, N)
        reference = randn(30 + block, ROWS, law.k)
        stepped, u = law.step(stepped, x, reference, block)
        added, moved = law.added(added, x, reference, block, y)
        torch.testing.assert_close(moved, y + u, rtol=1e-13, atol=1e-13)
        assert bool(u.any())


@pytest.mark.parametrize("name", ["affine", "one feature", "pid", "turn", "clamp", "clamp below"])
def test_where_a_token_is_asked_for_its_own_value_nothing_at_all_is_added(name):
    law, state = LAWS[name], LAWS[name].init(ROWS)
    for block in range(BLOCKS):
        x, y = randn(10 + block, ROWS, N), randn(20 + block, ROWS, N)
        state, moved = law.added(state, x, law.observe(x, block), block, y)
        assert torch.equal(moved, y)
