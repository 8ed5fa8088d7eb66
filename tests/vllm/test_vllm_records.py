"""What the blocks observe of a request, gathered over passes, against the same in float64."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import steersman.vllm.records as records
from steersman.control import AffineLaw
from steersman.vllm.asking import Asked, AskedLaw
from steersman.vllm.blocks import hook_blocks
from steersman.vllm.rows import Admitted, Batch
from steersman.vllm.served import Matrices
from steersman.vllm.table import LawTable
from steersman.vllm.worker import Pilot

BLOCKS, N, PROMPT, TOTAL = 3, 5, 4, 9


class Block(nn.Module):
    """Gives the stream in two parts, as blocks of vLLM do, or in one."""

    def __init__(self, whole: bool) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, hidden: Tensor, residual: Tensor | None = None) -> Any:
        stream = hidden if residual is None else hidden + residual
        moved = 0.5 * torch.tanh(stream)
        return moved + stream if self.whole else (moved, stream.clone())


class World:
    """A model whose request `told` is steered behind its prompt and told of."""

    def __init__(self, whole: bool) -> None:
        seeded = torch.Generator().manual_seed(0)
        self.H, self.G = (torch.randn(BLOCKS, N, 2, generator=seeded) for _ in "HG")
        self.V = torch.randn(BLOCKS + 1, N, 3, generator=seeded)
        self.s = torch.randn(BLOCKS, 2, generator=seeded)
        self.x = torch.randn(TOTAL, N, generator=seeded)
        self.table = LawTable(BLOCKS, N, 8, slots=4, rows=16, device=torch.device("cpu"))
        laws = {"a/feedback": AffineLaw(self.H, self.G), "b/feedback": AffineLaw(self.H, self.G)}
        held = {key: Matrices.of(law) for key, law in laws.items()}
        self.table.add("a", held | {"a/watch": Matrices.watching(self.V)})
        self.blocks = nn.ModuleList(Block(whole) for _ in range(BLOCKS))
        hook_blocks(dict(enumerate(self.blocks)), self.table)
        self.pilot = Pilot(self.table, tuple(range(BLOCKS)))
        self.admit("told", "a/feedback", "mine")
        self.admit("other", "b/feedback", "")

    def admit(self, name: str, key: str, record: str) -> None:
        asked = Asked(PROMPT, (AskedLaw(key, "generated", self.s.tolist()),), record)
        found = self.pilot.admitted[name] = Admitted.of(asked)
        self.pilot.records.begin(found)

    def run(self, *spans: tuple[str, int, int]) -> None:
        """A pass: of each request, how many tokens come and how many have come."""
        starts = np.cumsum([0, *(count for _, count, _ in spans)])
        computed = np.array([before for *_, before in spans])
        self.pilot.aim(Batch([name for name, *_ in spans], starts, computed))
        rows = torch.cat([self.x[before : before + count] for _, count, before in spans])
        state: Any = rows.clone()
        for block in self.blocks:
            state = block(*state) if isinstance(state, tuple) else block(state)
        self.pilot.gather()

    def expected(self, place: int) -> tuple[Tensor, Tensor]:
        """What the law and the features show at a place, in float64."""
        x, errors, features = self.x[place].double(), [], []
        for block in range(BLOCKS):
            errors.append(self.s[block].double() - x @ self.H[block].double())
            features.append(x @ self.V[block].double())
            push = errors[-1] @ self.G[block].double().mT if place >= PROMPT else 0.0
            x = x + 0.5 * torch.tanh(x) + push
        features.append(x @ self.V[BLOCKS].double())
        return torch.stack(errors), torch.stack(features)

    def read(self, *where: int) -> tuple[list[int], Tensor, list[bool]]:
        first, stop = where or (0, 99)
        local, places, seen, acting = self.pilot.records.read("mine", first, stop)
        assert local == list(range(BLOCKS))
        found = np.frombuffer(seen, np.float32).reshape(len(places), BLOCKS + 1, 5).copy()
        return places, torch.from_numpy(found), np.frombuffer(acting, np.bool_).tolist()


def check(world: World, expected_places: int) -> None:
    places, found, acting = world.read()
    assert places == list(range(expected_places))
    assert acting == [place >= PROMPT for place in places]
    for place in places:
        errors, features = world.expected(place)
        torch.testing.assert_close(found[place, :-1, :2].double(), errors, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(-found[place, :, 2:].double(), features, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_observed_is_what_the_law_observes_and_where_the_features_are(whole: bool) -> None:
    world = World(whole)
    world.run(("told", 3, 0))
    world.run(("other", 2, 0), ("told", 1, 3))
    world.run(("bare", 2, 0), ("told", 1, 4), ("other", 1, 4))
    world.run(("other", 1, 5))
    for place in range(5, TOTAL):
        world.run(("other", 1, 6), ("told", 1, place))
    check(world, TOTAL)
    assert world.read(5, 7)[0] == [5, 6]


def test_what_comes_again_after_a_preemption_is_written_over_itself() -> None:
    world = World(False)
    for spans in ([("told", 6, 0)], [("told", 1, 6)], [("bare", 3, 0)], [("told", 7, 0)]):
        world.run(*spans)
    world.run(("told", 1, 7))
    check(world, 8)


def test_of_nobody_else_anything_is_kept_and_what_has_ended_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(False)
    world.run(("other", 4, 0), ("bare", 4, 0))
    assert world.pilot.records.read("mine", 0, 99)[1] == []
    assert world.pilot.records.read("other", 0, 99) == []
    world.run(("told", TOTAL, 0))
    size = TOTAL * (BLOCKS + 1) * 5 * 4 + 2**10
    monkeypatch.setattr(records, "MOST_BYTES", 2 * size)
    world.pilot.records.end(world.pilot.admitted["told"])
    for name in "xyz":
        world.admit(name, "a/feedback", name)
        world.run((name, TOTAL, 0))
        world.pilot.records.end(world.pilot.admitted[name])
    kept = [bool(world.pilot.records.read(name, 0, 99)) for name in ("mine", *"xyz")]
    assert kept == [False, False, True, True]


def test_nothing_is_told_of_several_requests_that_have_one_name_at_once() -> None:
    world = World(False)
    world.run(("told", 4, 0))
    world.admit("second", "a/feedback", "mine")
    world.run(("told", 1, 4), ("second", 4, 0))
    assert world.pilot.records.read("mine", 0, 99) == []
    world.pilot.records.end(world.pilot.admitted["told"])
    # One of them is still under way.
    world.admit("third", "a/feedback", "mine")
    world.run(("second", 1, 4), ("third", 4, 0))
    assert world.pilot.records.read("mine", 0, 99) == []
    for name in ("second", "third"):
        world.pilot.records.end(world.pilot.admitted.pop(name))
    del world.pilot.admitted["told"]
    world.admit("fourth", "a/feedback", "mine")
    world.run(("fourth", 5, 0))
    check(world, 5)
