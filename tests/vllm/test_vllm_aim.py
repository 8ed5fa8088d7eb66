"""Before every pass the table says whose its rows are, however little is written anew."""

from typing import Any

import numpy as np
import torch
from torch import nn

from steersman.control import AffineLaw
from steersman.vllm.asking import Asked, AskedLaw
from steersman.vllm.blocks import hook_blocks
from steersman.vllm.rows import Admitted, Batch
from steersman.vllm.served import Matrices
from steersman.vllm.table import LawTable
from steersman.vllm.worker import Pilot

BLOCKS, N, ROWS = 2, 4, 24
RULES = {"a": "all", "b": "last", "c": "prompt", "d": "generated&ids:1,3", "bare": None}
PROMPTS = {"a": 3, "b": 5, "c": 4, "d": 2, "bare": 3}


def pilot() -> Pilot:
    table = LawTable(BLOCKS, N, 4, slots=8, rows=ROWS, device=torch.device("cpu"))
    H, G = torch.randn(2, BLOCKS, N, 1, generator=torch.Generator().manual_seed(0))
    table.add("law", {"law": Matrices.of(AffineLaw(H, G))})
    made = Pilot(table, (0, 1))
    for index, (name, rule) in enumerate(RULES.items()):
        if rule is not None:
            asked = AskedLaw("law", rule, [[float(index + 1)]] * BLOCKS)
            made.admitted[name] = Admitted.of(Asked(PROMPTS[name], (asked,)))
    return made


def batch(counts: dict[str, tuple[int, int]], drawn: np.random.Generator) -> Batch:
    """Of each request how many tokens come, and how many have come."""
    starts = np.cumsum([0, *(count for count, _ in counts.values())])
    computed = np.array([before for _, before in counts.values()])
    ids = torch.from_numpy(drawn.integers(0, 5, int(starts[-1])))
    return Batch(list(counts), starts, computed, ids)


def acts(one: Pilot) -> list[Any]:
    """Of every row: whether it is open, its mask, and its setpoint where that counts."""
    table = one.table
    assert int(table.used[0]) == int(table.opened.sum())
    return [
        (bool(open_), mask.tolist(), setpoint[mask].tolist())
        for open_, mask, setpoint in zip(table.opened, table.mask, table.S[0], strict=True)
    ]


def test_what_is_kept_from_pass_to_pass_is_what_a_pilot_without_a_past_would_write() -> None:
    drawn = np.random.default_rng(0)
    kept, repeated = pilot(), 0
    came = dict.fromkeys(RULES, 0)
    for _ in range(200):
        if drawn.random() < 0.1:  # preempted: all of it comes again
            came[str(drawn.choice(list(RULES)))] = 0
        again = drawn.random() < 0.6
        names = [n for n in "abc" if came[n] >= PROMPTS[n]] if again else list(RULES)
        some = [n for n in names if again or drawn.random() < 0.7]
        counts = {
            n: (1 if came[n] >= PROMPTS[n] else int(drawn.integers(1, 4)), came[n]) for n in some
        }
        if not counts:
            continue
        new = batch(counts, drawn)
        before = kept._aimed
        kept.aim(new)
        repeated += before is not None and before == kept._aimed
        fresh = pilot()
        fresh.aim(new)
        assert acts(kept) == acts(fresh)
        for name, (count, _) in counts.items():
            came[name] += count
    assert repeated > 20


class Block(nn.Module):
    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return 2.0 * hidden_states


def test_the_operation_rests_only_when_it_was_proved_and_nobody_is_steered() -> None:
    one, blocks = pilot(), {t: Block() for t in range(BLOCKS)}
    hook_blocks(blocks, one.table)
    drawn = np.random.default_rng(0)
    x = torch.randn(3, N)
    bare, steered = batch({"bare": (3, 0)}, drawn), batch({"a": (3, 0)}, drawn)

    one.aim(bare)
    assert not one.table.resting
    assert torch.equal(blocks[0](hidden_states=x), 2 * x)
    assert one.table.fired.flatten().tolist() == [1, 0]
    blocks[1](hidden_states=x)
    one.prove()

    one.table.fired.zero_()
    one.aim(bare)
    assert one.table.resting
    assert torch.equal(blocks[0](hidden_states=x), 2 * x)
    assert not one.table.fired.any()

    one.aim(steered)
    assert not one.table.resting
    assert not torch.equal(blocks[0](hidden_states=x), 2 * x)
    one.rest()  # as while a graph is captured
    assert not one.table.resting
