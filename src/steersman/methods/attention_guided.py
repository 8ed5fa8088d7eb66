"""Attention-guided feature learning: labels are how much a token attends to what is asked."""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from steersman.directions.kernel_machine import feature_machine
from steersman.directions.probe import fold_numbers
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.plant.attending import Attending, attending
from steersman.plant.tokens import shared_end
from steersman.training import Bench

MOST_TOKENS = 16
"""So many of the last tokens that all examples share are looked at."""


@dataclass(frozen=True)
class AttentionGuided(Method):
    """`y <- y + target c_t u_t` behind every block but the first, `u_t` by soft labels.

        a_t(i, j)   weight of token j of desired example i on its beginning, mean over heads
        j_t         the token, of those that all examples end with, with the largest mean weight
        y_i         a_t(i, j_t), and 0 for undesired examples, brought to [0, 1]
        u_t         what a recursive feature machine learns from unit states at j_t with labels y

    A desired example is an instruction and a statement, its counterpart the statement alone; the
    beginning is what the two do not share. The label says how much of the instruction has arrived.
    As published, one unit of target is a vector of length one at every block, which moves nothing
    where states are long: coefficients from 0.4 to 21 are published for four models. In natural
    units the blocks together add what the two sides differ by along `u_t`, and each its part.

    Args:
        unit: of the target: "natural", or a "vector" of length one, as published.

    Source:
        arXiv 2602.00333, with its defaults but for the unit; a fifth of the examples chooses among
        machines, where the paper has a set of its own.
    """

    name: ClassVar[str] = "attention-guided"
    about: ClassVar[About] = About(
        paper="Attention-guided features, arXiv 2602.00333",
        direction="recursive feature machine, attention as labels",
        setpoint="offset",
        controller="none",
        verified="attention written out from queries and keys; the machine written out",
        site="block output",
        unmoved="4 to 7 points as asked, within chance after the correction",
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "all"
    in_units: ClassVar[bool] = False
    matches: ClassVar[bool] = False
    trains: ClassVar[bool] = True

    unit: Literal["natural", "vector"] = "natural"

    def solve(self, evidence: Evidence) -> Controller:
        """The schedule.

        Raises:
            InputError: examples that are not paired, do not share their ends, or are too few.
            ArchitectureError: the model does not show its attention.
        """
        if self.unit not in ("natural", "vector"):
            raise InputError(f"unit is {self.unit!r}; choose natural or vector.")
        seen = looked_at(evidence.require_bench(self.name), self.name)
        blocks = seen.desired.states.shape[2]
        inputs = torch.zeros(blocks, seen.desired.states.shape[3], dtype=torch.float64)
        for block in range(1, blocks):
            u, apart = _learnt(seen, block)
            inputs[block] = u if self.unit == "vector" else apart / (blocks - 1) * u
        if not bool(inputs.any()):
            raise InputError("no direction fits the attention that was held out: give more pairs.")
        return Controller.schedule(inputs.float())


class Looked(NamedTuple):
    """What the last tokens of both sides show."""

    desired: Attending
    undesired: Attending


def looked_at(bench: Bench, method: str) -> Looked:
    """Run both sides and look at the tokens that all examples end with.

    Args:
        bench: the model with the examples.
        method: who asks.

    Raises:
        InputError: examples that are not paired, or do not end in the same token.
    """
    if not bench.paired:
        raise InputError(
            f"{method} compares an instruction and a statement with the statement alone: give "
            "desired[i] and undesired[i] together."
        )
    sides = (bench.desired, bench.undesired)
    shared = shared_end([one.ids for side in sides for one in side])
    if not shared:
        raise InputError(
            f"{method} reads attention at tokens that all examples share: let all of them end "
            "alike, as where an answer begins."
        )
    pairs = zip(*sides, strict=True)
    instructions = [len(one.ids) - shared_end([one.ids, other.ids]) for one, other in pairs]
    found = (
        attending(
            *(bench.model, [one.ids for one in side], beginnings, min(shared, MOST_TOKENS)),
            pad_id=bench.pad_id,
            batch_size=bench.batch_size,
        )
        for side, beginnings in zip(sides, (instructions, [0] * len(sides[1])), strict=True)
    )
    return Looked(*found)


def _learnt(seen: Looked, block: int) -> tuple[Float[Tensor, " n"], Tensor]:
    """`u` behind a block, and how far apart the sides' means are along it."""
    token = int(seen.desired.attention[:, :, block].mean(0).argmax())
    sides = [side.states[:, token, block].double() for side in seen]
    weight = seen.desired.attention[:, token, block].double()
    y = torch.cat([weight, torch.zeros(len(sides[1]), dtype=weight.dtype)])
    y = (y - y.min()) / (y.max() - y.min()).clamp_min(torch.finfo(y.dtype).tiny)
    x = normalize(torch.cat(sides), dim=1)
    held = _held(len(sides[0]), len(sides[1]))
    u = feature_machine(x[~held], y[~held], x[held], y[held]).direction
    return u, (sides[0].mean(0) - sides[1].mean(0)) @ u


def _held(desired: int, undesired: int) -> Tensor:
    if min(desired, undesired) < 2:
        raise InputError(f"{desired} pairs are too few to learn from some and choose by others.")
    return fold_numbers(desired, undesired) == 0
