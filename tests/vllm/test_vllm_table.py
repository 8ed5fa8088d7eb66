"""The operation and its tensors, against the law itself in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from steersman.control import AffineLaw
from steersman.errors import ArchitectureError, InputError
from steersman.vllm.blocks import find_blocks, hook_blocks
from steersman.vllm.op import steer
from steersman.vllm.served import Matrices
from steersman.vllm.table import LawTable, Rows

BLOCKS, N, ROWS = 3, 6, 5


def law(seed: int, k: int) -> AffineLaw:
    seeded = torch.Generator().manual_seed(seed)
    H, G = (torch.randn(BLOCKS, N, k, generator=seeded, dtype=torch.float64) for _ in "HG")
    return AffineLaw(H, G, active=(0, 2))


def matrices(name: str, **laws: AffineLaw) -> dict[str, Matrices]:
    return {f"{name}/{how}": Matrices.of(one) for how, one in laws.items()}


def table(columns: int = 8) -> LawTable:
    return LawTable(BLOCKS, N, columns, slots=4, rows=ROWS + 2, device=torch.device("cpu"))


def states(seed: int) -> tuple[Tensor, Tensor]:
    seeded = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, N, generator=seeded), torch.randn(ROWS, N, generator=seeded)


def test_each_row_gets_the_input_of_its_own_laws_and_all_others_keep_every_bit() -> None:
    found, one, two = table(), law(0, 2), law(1, 1)
    found.add("a", matrices("a", feedback=one))
    found.add("b", matrices("b", feedback=two))
    s1, s2 = np.random.default_rng(0).normal(size=(BLOCKS, 2)), np.ones((BLOCKS, 1))
    found.set_slot(1, {"a/feedback": s1.tolist()})
    found.set_slot(2, {"a/feedback": (2 * s1).tolist(), "b/feedback": s2.tolist()})
    a, b = found.columns_of["a/feedback"], found.columns_of["b/feedback"]
    mask = np.zeros((ROWS, 8), dtype=bool)
    mask[0, a] = mask[2, a] = mask[2, b] = mask[3, b] = True
    found.put(Rows(np.array([1, 0, 2, 2, 2]), mask))
    for block in range(BLOCKS):
        y, x = states(block)
        before = y.clone()
        steer(y, x, *found.at(block))

        def u(one: AffineLaw, s: Any, row: int, x: Tensor = x, block: int = block) -> Tensor:
            z = x[row].double() @ one.H[block]
            return (torch.tensor(s[block]) - z) @ one.G[block].mT

        expected = before.double()
        if block != 1:
            expected[0] += u(one, s1, 0)
            expected[2] += u(one, 2 * s1, 2) + u(two, s2, 2)
            expected[3] += u(two, s2, 3)
        torch.testing.assert_close(y.double(), expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(y[[1, 4]], before[[1, 4]])
        assert int(found.fired[block]) == 1


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e15), (torch.float16, 1e3)])
def test_a_push_stays_within_what_the_numbers_hold(dtype: torch.dtype, most: float) -> None:
    found = table()
    found.add("a", matrices("a", feedback=law(0, 1)))
    found.set_slot(1, {"a/feedback": [[3e38]] * BLOCKS})
    found.put(Rows(np.ones(1, dtype=np.int64), np.arange(8)[None] == 0))
    y, x = (one[:1].to(dtype) for one in states(0))
    steer(y, x, *found.at(0))
    assert y.isfinite().all()
    assert float(y.abs().max()) <= 1.01 * most


def test_rows_of_an_earlier_pass_are_forgotten() -> None:
    found = table()
    found.add("a", matrices("a", feedback=law(0, 1)))
    found.set_slot(1, {"a/feedback": [[1.0]] * BLOCKS})
    mask = np.zeros((ROWS, 8), dtype=bool)
    mask[:, 0] = True
    found.put(Rows(np.ones(ROWS, dtype=np.int64), mask))
    found.put(Rows(np.ones(1, dtype=np.int64), mask[:1]))
    assert found.opened.tolist() == [True] + [False] * (ROWS + 1)
    found.clear()
    assert not found.opened.any()
    assert not found.mask.any()


def test_a_column_is_closed_for_tokens_of_other_kinds() -> None:
    found = table()
    mask = np.ones((ROWS, 8), dtype=bool)
    found.put(Rows(np.ones(ROWS, dtype=np.int64), mask))
    found.narrow(1, range(8), torch.tensor([True, False]))
    assert found.opened.tolist() == [True, True, False, True, True, False, False]


def test_the_columns_of_what_was_removed_are_given_away_only_when_nobody_needs_them() -> None:
    found = table(columns=2)
    found.add("a", matrices("a", feedback=law(0, 1), plan=law(1, 1)))
    with pytest.raises(InputError, match="takes 1 columns and 0 of 2 are free"):
        found.add("b", matrices("b", feedback=law(2, 1)))
    found.remove(["a/feedback", "a/plan"])
    with pytest.raises(InputError, match="0 of 2 are free"):
        found.add("b", matrices("b", feedback=law(2, 1)), busy=["a/feedback", "a/plan"])
    found.add("b", matrices("b", feedback=law(2, 1)), busy=["a/plan"])
    assert set(found.columns_of) == {"a/plan", "b/feedback"}
    # What comes back before its room was given away is as it was.
    found.add("a", matrices("a", plan=law(1, 1)))
    assert found.leaving == []
    with pytest.raises(InputError, match="of width"):
        found.add(
            "c", matrices("c", plan=AffineLaw(torch.ones(BLOCKS, 7, 1), torch.ones(BLOCKS, 7, 1)))
        )


def test_the_operation_is_registered_as_a_compiler_needs_it() -> None:
    found = table()
    found.add("a", matrices("a", feedback=law(0, 1)))
    found.set_slot(1, {"a/feedback": [[1.0]] * BLOCKS})
    mask = np.zeros((ROWS, 8), dtype=bool)
    mask[:2, 0] = True
    found.put(Rows(np.ones(ROWS, dtype=np.int64), mask))
    torch.library.opcheck(steer, (*states(0), *found.at(0)))


class Block(nn.Module):
    """Like a block of vLLM: the norm writes into what it is given."""

    def forward(self, positions: Tensor, hidden: Tensor, residual: Tensor | None) -> Any:
        stream = hidden if residual is None else residual.add_(hidden)
        hidden.mul_(0.5)
        return hidden + 1.0, stream.clone()


class Plain(nn.Module):
    """A block that gives the stream itself."""

    def forward(self, positions: Tensor, hidden_states: Tensor) -> Tensor:
        return 2.0 * hidden_states


class Model(nn.Module):
    """Blocks in a row."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList([make() for _ in range(BLOCKS)])
        self.vision = nn.ModuleList([nn.Linear(2, 2) for _ in range(BLOCKS)])


@pytest.mark.parametrize("make", [Block, Plain])
def test_a_law_reads_the_stream_that_enters_a_block_and_adds_to_what_leaves_it(
    make: Callable[[], nn.Module],
) -> None:
    model, found, one = Model(make), table(), law(0, 2)
    found.add("a", matrices("a", feedback=one))
    found.set_slot(1, {"a/feedback": [[1.0, 2.0]] * BLOCKS})
    mask = np.zeros((ROWS, 8), dtype=bool)
    mask[1, found.columns_of["a/feedback"]] = True
    found.put(Rows(np.ones(ROWS, dtype=np.int64), mask))
    hook_blocks(find_blocks(model, BLOCKS), found)
    hidden, residual = states(0)
    positions = torch.arange(ROWS)
    plain = make is Plain
    x = hidden.double() if plain else hidden.double() + residual.double()
    expected = 2.0 * hidden if plain else 0.5 * hidden + 1.0
    z = x[1] @ one.H[0]
    expected = expected.double()
    expected[1] += (torch.tensor([1.0, 2.0], dtype=torch.float64) - z) @ one.G[0].mT
    output = (
        model.layers[0](positions, hidden_states=hidden)
        if plain
        else model.layers[0](positions, hidden, residual)[0]
    )
    torch.testing.assert_close(output.double(), expected, atol=1e-5, rtol=1e-5)


def test_blocks_that_are_not_found_are_an_error() -> None:
    with pytest.raises(ArchitectureError, match="0 lists of that length"):
        find_blocks(Model(Plain), BLOCKS + 1)


def test_a_call_without_a_residual_stream_is_an_error() -> None:
    model, found = Model(Plain), table()
    hook_blocks(find_blocks(model, BLOCKS), found)
    with pytest.raises(ArchitectureError, match="without a residual stream"):
        model.layers[0](torch.arange(3))
