"""BiPO: one vector, trained by preferences in both directions."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from steersman.control import AffineLaw
from steersman.methods.about import About
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.trained import TrainedMethod, block_at, placed
from steersman.training import Parameters, Training
from steersman.training.objectives import bidirectional_dpo


@dataclass(frozen=True)
class BiPO(TrainedMethod):
    """A vector `v` at the output of one block `b`, that prefers desired responses.

        loss = - E_d log sigmoid( beta d (m_dv - m_0) ),     m = log p(w) - log p(l)
        u_b = target v,     d = 1 or -1 at random each step: along v, w is wanted; against it, l

    The pairs are two responses to one prompt: conversations that end with the assistant, or texts,
    of which what both begin with is the prompt. Every token is steered, prompt and response.

    Args:
        block: where to add; -1 chooses the block whose output separates the examples best.
        beta: how sharply preferences are told apart.
        warmup: steps over which the rate rises, at most a tenth of all; it falls by a cosine.

    Source:
        BiPO (arXiv 2406.00045), https://github.com/CaoYuanpu/BiPO: beta, rate, schedule and batch
        size are its own, at block 15 of 32; it runs 100 epochs and saves each. The held-out part,
        and that the best epoch is kept, are ours.
    """

    name: ClassVar[str] = "bipo"
    about: ClassVar[About] = About(
        paper="BiPO, arXiv 2406.00045",
        direction="trained by preferences",
        setpoint="offset",
        controller="none",
        verified="the loss and its gradient written out; the vector added by a hook",
        trained=True,
    )

    block: int = -1
    beta: float = 0.1
    warmup: int = 100

    def training(self) -> Training:
        """The settings of the loop."""
        return replace(super().training(), warmup=self.warmup, decay="cosine")

    def solve(self, evidence: Evidence) -> Controller:
        """The vector, as a schedule of one row.

        Raises:
            InputError: no model to train in front of, no pairs of responses, or a block that does
                not exist.
            NumericalError: a loss that is not finite.
        """
        bench = evidence.require_bench(self.name)
        count, block = bench.require_pairs(self.name), block_at(self.block, evidence)
        blocks, n = evidence.direction.contrast[:-1].shape
        bare = bench.all_margins(None)

        def loss(parameters: Parameters, rows: Tensor, drawn: torch.Generator) -> Tensor:
            sign = 2 * int(torch.randint(2, (), generator=drawn)) - 1
            law = AffineLaw.schedule(placed(parameters["v"], block, blocks))
            margins = bench.margins(rows, bench.channel(law, float(sign)))
            return bidirectional_dpo(margins, bare[rows.to(bare.device)], self.beta, sign)

        start = {"v": torch.zeros(n)}
        found = bench.train(start, loss, count, self.training(), name=self.name)
        return Controller.schedule(placed(found["v"], block, blocks))
