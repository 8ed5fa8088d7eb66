"""CDAS: a direction trained by interchanges, and its setpoint from the examples."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from steersman.control import AffineField, AffineLaw, Reads
from steersman.engines import TokenIds, Tokens
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import ExecutionName
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.trained import TrainedMethod, block_at, placed
from steersman.training import Bench, Parameters, Training
from steersman.training.objectives import jensen_shannon


class Interchange(AffineLaw):
    """`u = v (s - v'y)`: the feature of what leaves a block, set to that of another run."""

    reads: Reads = "output"

    def to(self, device: torch.device | str) -> "Interchange":
        """The same law on another device, in the same precision."""
        return Interchange(self.H.to(device), self.G.to(device), self.active)


@dataclass(frozen=True)
class CDAS(TrainedMethod):
    """A unit direction `v` behind one block `b`, that carries what the contexts differ in.

        loss = JSD( p(. | base, v'y := v'x_source) || p(. | source) ),   both sides in either role
        u_b = target v (multiplier s - v'y),    s = mean of v'x over the desired examples

    While it is trained, one side of a pair runs with the feature of the other, and has to say what
    the other would: no preference and no text is asked for. The pairs are aligned: both sides end
    in the same tokens, behind a desired and an undesired context, and are compared at the tokens
    that are read. `x_source` is the state there, averaged. `v` is made a unit vector after every
    step; it starts as the contrast, from which a high rate leads away at once.

    Where the examples are read at few kinds of token, it is at those that the feature is exchanged
    and, by default, set: one value at every token is no state of most of them. Elsewhere it is all
    tokens, as published.

    Args:
        block: where to act; -1 chooses the block whose output separates the examples best.
        multiplier: of the setpoint; the published ones are 1 to 7.
        clip: the longest gradient.

    Source:
        CDAS (ICLR 2026), https://github.com/colored-dye/concept_das, its settings for gemma-2-9b at
        block 20. It reads the source at the last token of the chat template and starts at a random
        direction; the averaged state, the start and the held-out part are ours.
    """

    name: ClassVar[str] = "cdas"
    about: ClassVar[About] = About(
        paper="CDAS, ICLR 2026",
        direction="trained by interchanges",
        setpoint="the desired examples' mean",
        controller="exact",
        verified="the divergence written out; the feature reached, exactly",
        site="block output",
        trained=True,
    )
    execution: ClassVar[ExecutionName] = "feedback"
    matches: ClassVar[bool] = True

    epochs: int = 18
    batch_size: int = 6
    rate: float = 0.06
    block: int = -1
    multiplier: float = 1.0
    clip: float = 1.0

    def training(self) -> Training:
        """The settings of the loop."""
        return replace(super().training(), clip=self.clip, decay="linear")

    def solve(self, evidence: Evidence) -> Controller:
        """The direction at one block, with its setpoint.

        Raises:
            InputError: no model to train in front of, examples that are not aligned, or a block
                that does not exist.
            NumericalError: a loss that is not finite.
        """
        bench, block = evidence.require_bench(self.name), block_at(self.block, evidence)
        sides = evidence.require_sides(self.name)
        blocks, contrast = len(evidence.direction.norm) - 1, evidence.direction.contrast[block + 1]
        count = _require_aligned(bench)
        ids = bench.decision_tokens
        tokens: Tokens = TokenIds(ids) if ids else self.tokens
        states = [side[:, block + 1].float() for side in (sides.desired, sides.undesired)]

        def loss(parameters: Parameters, rows: Tensor, drawn: torch.Generator) -> Tensor:
            v = normalize(parameters["v"], dim=0)
            at = placed(v.unsqueeze(-1), block, blocks)
            numbers = rows.tolist()
            desired, undesired = (
                [side[i] for i in numbers] for side in (bench.desired, bench.undesired)
            )
            # Each side is the base once, with the feature of the other.
            s = torch.cat([states[0][rows], states[1][rows]]).to(v) @ v
            law = Interchange(at, at, (block,))
            given = bench.logits(undesired + desired, bench.channel(law, s, tokens))
            with torch.no_grad():
                wanted = bench.logits(desired + undesired, None)
            return jensen_shannon(given, wanted, torch.ones_like(given[:, 0], dtype=torch.bool))

        start = {"v": normalize(contrast.float(), dim=0)}
        found = bench.train(start, loss, count, self.training(), project=_unit, name=self.name)
        v = normalize(found["v"], dim=0)
        s = self.multiplier * (states[0].to(v) @ v).mean()
        H = placed(v.unsqueeze(-1), block, blocks)
        own = {"o": placed(s.unsqueeze(-1), block, blocks)}
        return replace(Controller.of_own(H[..., 0], own), H=-H, G=H)

    def law(self, controller: Controller) -> AffineField:
        """The clamp of what leaves the block."""
        return AffineField(controller.H, controller.G, controller.own["o"], reads="output")


def _unit(parameters: Parameters, share: float) -> Parameters:
    return {"v": normalize(parameters["v"], dim=0)}


def _require_aligned(bench: Bench) -> int:
    """How many aligned pairs there are.

    Raises:
        InputError: the examples are not paired, or a pair is not read at the same tokens.
    """
    if not bench.paired:
        raise InputError("cdas compares the sides of pairs: give desired[i] and undesired[i].")
    for index, pair in enumerate(zip(bench.desired, bench.undesired, strict=True)):
        first, second = (tuple(one.ids[place] for place in one.read) for one in pair)
        if first != second:
            raise InputError(
                f"pair {index} is not aligned: its sides are read at other tokens. Both have to "
                "end in the same ones, behind a desired and an undesired context."
            )
    return len(bench.desired)
