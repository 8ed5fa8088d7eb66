"""Laws that belong to a method: what they add by themselves is what their step says."""

import pytest
import torch
from small_evidence import randn

from steersman.control import Law
from steersman.methods.guiding_giants import ControlledPush
from steersman.methods.riser import Router
from steersman.training.networks import layers

BLOCKS, N, ROWS = 4, 6, 5


def network(inputs: int, outputs: int) -> dict[str, torch.Tensor]:
    drawn = layers((inputs, 7, outputs), torch.Generator().manual_seed(0))
    return {name: tensor.double() for name, tensor in drawn.items()}


LAWS: dict[str, Law] = {
    "controlled push": ControlledPush(
        *(randn(1, BLOCKS, N), network(2 * N, 1 + BLOCKS), torch.tensor([2.0, 3.0]).double()),
        at=(0, 1),
    ),
    "router": Router(randn(2, 3, N), network(N, 6), 2.0, 1, BLOCKS, 0.5),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_what_is_added_at_every_block_is_the_output_and_the_step(law: Law) -> None:
    stepped, added, pushed = law.init(ROWS), law.init(ROWS), False
    for block in filter(law.is_active, range(BLOCKS)):
        x, y = randn(10 + block, ROWS, N), randn(20 + block, ROWS, N)
        reference = randn(30 + block, ROWS, law.k)
        stepped, u = law.step(stepped, x, reference, block)
        added, moved = law.added(added, x, reference, block, y)
        torch.testing.assert_close(moved, y + u, rtol=1e-13, atol=1e-13)
        pushed |= bool(u.any())
    assert pushed
