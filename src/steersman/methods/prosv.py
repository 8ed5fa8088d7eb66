"""PrOSV: a vector and its factor, trained together."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from steersman.control import AffineLaw
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.trained import TrainedMethod, block_at, placed
from steersman.training import Bench, Parameters, Training
from steersman.training.objectives import cross_entropy, simpo
from steersman.training.written import require_responses

Objective = Literal["language", "simpo"]
FIRST_LENGTH = 0.1
"""The push at first, as a share of the states' length, where no scale is given."""


@dataclass(frozen=True)
class PrOSV(TrainedMethod):
    """A vector `v` and a factor `a` at one block `b`, with a rate for each.

        u_b = target scale a v,    a = factor sqrt(n),   v ~ U(-vector, vector) / sqrt(n)   at first
        language: the mean loss of a token of the desired responses
        simpo:    - log sigmoid( beta (log p(w) / |w| - log p(l) / |l|) )

    It is trained and acts at the first two and the last two tokens of the prompt, so that
    generating costs nothing more. A short training moves little from there: in the wind tunnel four
    epochs at the published rate changed nothing that could be measured.

    The published numbers are of a model with states of its own length; `scale` carries them over.

    Args:
        rate: the vector's; the factor has its own.
        block: where to add; -1 chooses the block whose output separates the examples best.
        objective: "language" needs desired responses alone, "simpo" pairs.
        beta: how sharply SimPO tells them apart.
        factor: `a / sqrt(n)` at first.
        vector: the bound of `v sqrt(n)` at first.
        factor_rate: the learning rate of the factor.
        clip: the longest gradient of the vector.
        scale: what the push is multiplied by; None makes the first one a tenth as long as the
            states behind the block are.

    Source:
        PrOSV (arXiv 2605.05983), https://github.com/colored-dye/prosv, its settings for
        gemma-2-9b at block 20. The scale is ours, and so is the held-out part.
    """

    name: ClassVar[str] = "prosv"
    about: ClassVar[About] = About(
        paper="PrOSV, arXiv 2605.05983",
        direction="trained, with its factor",
        setpoint="offset",
        controller="none",
        verified="the losses written out; the vector added by a hook",
        trained=True,
        unmoved="its published training is too short for this model; fifteen epochs at "
        "rate 0.2 move it",
    )

    tokens: ClassVar[str] = "prompt:first:2+last:2"

    epochs: int = 12
    batch_size: int = 12
    rate: float = 0.04
    block: int = -1
    objective: Objective = "language"
    beta: float = 1.0
    factor: float = 2.0
    vector: float = 8.0
    factor_rate: float = 0.1
    clip: float = 1.0
    scale: float | None = None

    def training(self) -> Training:
        """The settings of the loop."""
        return replace(
            super().training(),
            rate={"vector": self.rate, "factor": self.factor_rate},
            decay="linear",
            clip=self.clip,
            clipped=("vector",),
        )

    def solve(self, evidence: Evidence) -> Controller:
        """The push, as a schedule of one row.

        Raises:
            InputError: an objective that does not exist, no model to train in front of, no
                responses or no pairs of them, or a block that does not exist.
            NumericalError: a loss that is not finite.
        """
        if self.objective not in get_args(Objective):
            raise InputError(f"objective is {self.objective!r}; choose one of {Objective}.")
        bench, block = evidence.require_bench(self.name), block_at(self.block, evidence)
        blocks, n = evidence.direction.contrast[:-1].shape
        drawn = torch.Generator().manual_seed(self.seed)
        start = {
            "factor": torch.tensor(self.factor * n**0.5),
            "vector": self.vector / n**0.5 * (2 * torch.rand(n, generator=drawn) - 1),
        }
        scale = self._scale(evidence, block, start)
        count = self._count(bench)

        def push(parameters: Parameters) -> Tensor:
            return placed(scale * parameters["factor"] * parameters["vector"], block, blocks)

        def loss(parameters: Parameters, rows: Tensor, drawn: torch.Generator) -> Tensor:
            return self._loss(bench, AffineLaw.schedule(push(parameters)), rows)

        found = bench.train(start, loss, count, self.training(), name=self.name)
        return Controller.schedule(push(found))

    def _loss(self, bench: Bench, law: AffineLaw, rows: Tensor) -> Tensor:
        channel = bench.channel(law, tokens=self.tokens)
        chosen = [bench.desired[i] for i in rows.tolist()]
        if self.objective == "language":
            found = bench.predicted(chosen, channel)
            return cross_entropy(found.likelihoods, found.tokens)
        both = [*chosen, *(bench.undesired[i] for i in rows.tolist())]
        found = bench.predicted(both, channel)
        desired, undesired = (found.likelihoods / found.tokens).chunk(2)
        return simpo(desired, undesired, self.beta)

    def _count(self, bench: Bench) -> int:
        if self.objective == "simpo":
            return bench.require_pairs(self.name)
        require_responses(bench.desired, "desired")
        return len(bench.desired)

    def _scale(self, evidence: Evidence, block: int, start: Parameters) -> float:
        if self.scale is not None:
            return self.scale
        states = evidence.require_sides(self.name).desired[:, block + 1]
        length = float(states.float().norm(dim=1).mean())
        return FIRST_LENGTH * length / float((start["factor"] * start["vector"]).norm())
