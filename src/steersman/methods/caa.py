"""Contrastive activation addition and its predecessor ActAdd."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from steersman.control import Absolute, ByPlace, Reference, Target, Units
from steersman.gating import Gate
from steersman.methods.about import About
from steersman.methods.added import BlockAddition
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.training import Bench, Written


@dataclass(frozen=True)
class CAA(BlockAddition):
    """Contrastive activation addition: the raw contrast behind block 13 of 32, at the answer.

        y <- y + target (mean desired - mean undesired)

    It acts at the prompt's last token and at every generated one. The examples are questions with
    the letter of the behaviour's answer, and with the other letter, read at that letter: let them
    end there. Usual targets are 1 and -1.

    Args:
        block: where to add; -1 is 13/32 of the depth, as for Llama-2-7b-chat.

    Source:
        Contrastive Activation Addition (arXiv 2312.06681), https://github.com/nrimsky/CAA, where
        every token behind the user's turn is steered, of a chat's last tokens more than one; its
        code was seen to add the vector a second time there, which is not done here.
    """

    name: ClassVar[str] = "caa"
    about: ClassVar[About] = About(
        paper="CAA, arXiv 2312.06681",
        direction="mean difference",
        setpoint="offset",
        controller="none",
        verified="the vector added by a hook",
    )
    depth: ClassVar[float | None] = 13 / 32
    positions: ClassVar[str | None] = "last"


@dataclass(frozen=True)
class ActAdd(BlockAddition):
    """ActAdd: what a pair of prompts differs by at each place, added at that place of the prompt.

        y_i <- y_i + target coefficient (mean y_i of the desired - mean y_i of the others)

    for every place `i` that the examples have. Special tokens count like others, and shorter
    examples are filled up with spaces behind their end. What is generated reads the pushes through
    attention. One pair is enough; of several the means are taken. Examples that begin alike differ
    by nothing there: let them differ from their first words on.

    Args:
        block: where to add; -1 is 5/48 of the depth, the input of layer 6 of GPT-2-XL.
        coefficient: by what the differences are multiplied.

    Source:
        Steering Language Models With Activation Engineering (arXiv 2308.10248),
        https://github.com/montemac/activation_additions. Where a space is not one token of its own,
        the padding token stands in for it.
    """

    name: ClassVar[str] = "actadd"
    about: ClassVar[About] = About(
        paper="ActAdd, arXiv 2308.10248",
        direction="difference, place by place",
        setpoint="offset",
        controller="none",
        verified="the differences added by a hook, place by place",
        unmoved="it acts at the front of a prompt alone; targets 6 and -2 both lower the score a "
        "little",
    )
    tokens: ClassVar[str] = "prompt"
    depth: ClassVar[float | None] = 5 / 48
    positions: ClassVar[str | None] = "all"
    in_units: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    """Nothing is trained; the examples are read once more, filled up."""

    coefficient: float = 5.0

    def solve(self, evidence: Evidence) -> Controller:
        """What each place is pushed by.

        Raises:
            InputError: no model to read from, or a block that does not exist.
        """
        bench, block = evidence.require_bench(self.name), self.place(evidence)
        count = len(bench.desired)
        states = torch.stack(bench.tokens(_filled(bench), block))
        C = states.new_zeros(evidence.direction.blocks, *states.shape[1:])
        C[block] = self.coefficient * (states[:count].mean(0) - states[count:].mean(0))
        return Controller.of_own(evidence.direction.contrast[:-1], {"inputs": C})

    def law(self, controller: Controller) -> ByPlace:
        """The schedule of every place."""
        return ByPlace(controller.own["inputs"])

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """How much is added."""
        return Absolute(strength), Units.plain(len(controller.plan))

    def gated(self, evidence: Evidence) -> Gate:
        """The front of the prompt, as long as the longest example is."""
        if evidence.bench is None:
            return Gate()
        return Gate(tokens=f"prompt:first:{len(_filled(evidence.bench)[0].ids)}")


def _filled(bench: Bench) -> list[Written]:
    """All examples, the shorter ones filled up to the length of the longest, read everywhere."""
    every = (*bench.desired, *bench.undesired)
    longest = max(len(one.ids) for one in every)
    gap = bench.pad_id if bench.space is None else bench.space
    ids = [one.ids + (gap,) * (longest - len(one.ids)) for one in every]
    return [Written(one, 1, tuple(range(longest))) for one in ids]
