"""Contrastive activation addition and its predecessor ActAdd."""

from dataclasses import dataclass
from typing import ClassVar

from steersman.gating import Gate
from steersman.methods.about import About
from steersman.methods.added import BlockAddition
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


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
    """ActAdd: the difference of a pair of prompts, added at the front of the prompt and kept there.

        y <- y + target coefficient (mean x of the desired prompt - mean x of the other)

    It acts at as many tokens at the front of a prompt as the longest example has; what is generated
    reads them through attention. One pair is enough.

    Published is a vector for every place: that of the i-th token of the pair, the shorter prompt
    padded, added to the i-th token of the prompt. A steering has one vector a block, so here every
    place gets their mean. It is another push, and the published numbers do not carry over: in the
    wind tunnel target 1 changes nothing that could be measured, and target 5 does.

    Args:
        block: where to add; -1 is 5/48 of the depth, the input of layer 6 of GPT-2-XL.
        coefficient: by what the difference is multiplied.

    Source:
        Steering Language Models With Activation Engineering (arXiv 2308.10248),
        https://github.com/montemac/activation_additions.
    """

    name: ClassVar[str] = "actadd"
    about: ClassVar[About] = About(
        paper="ActAdd, arXiv 2308.10248, one vector for all places",
        direction="mean difference",
        setpoint="offset",
        controller="none",
        verified="the vector added by a hook; weak: target 5 in the wind tunnel",
        unmoved="it does from target 5 on",
    )
    tokens: ClassVar[str] = "prompt"
    depth: ClassVar[float | None] = 5 / 48
    positions: ClassVar[str | None] = "all"
    in_units: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    """Nothing is trained; how long the examples are is known there."""

    coefficient: float = 5.0

    def solve(self, evidence: Evidence) -> Controller:
        """A schedule with one row."""
        found = super().solve(evidence)
        return Controller.schedule(self.coefficient * found.plan[..., 0])

    def gated(self, evidence: Evidence) -> Gate:
        """The front of the prompt, as long as the longest example is."""
        if evidence.bench is None:
            return Gate()
        written = (*evidence.bench.desired, *evidence.bench.undesired)
        return Gate(tokens=f"prompt:first:{max(len(one.ids) for one in written)}")
