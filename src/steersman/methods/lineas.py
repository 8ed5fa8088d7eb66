"""LinEAS: an affine map of every coordinate at every block, trained end to end."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from steersman.control import DiagonalField
from steersman.methods.about import About
from steersman.methods.base import ExecutionName
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.trained import TrainedMethod
from steersman.training import Parameters
from steersman.training.objectives import group_threshold, soft_threshold, sorted_wasserstein


@dataclass(frozen=True)
class LinEAS(TrainedMethod):
    """Maps `T_t(y) = omega_t * y + b_t` of all blocks together, sparse, by optimal transport.

        loss = sum_t sum_j W_2^2( {y_tj of undesired, all maps at work}, {y_tj of desired, bare} )
        u_t = target ((omega_t - 1) * y + b_t)       y what leaves block t
        omega - 1, b <- soft threshold, block by block, after every step

    The sides need not be paired: a coordinate's two samples are sorted, each on its own. They are
    read where the examples are read, averaged over an example's tokens; every token is steered.

    `b_t` is trained in units of the root mean square of the coordinates behind block t, so that
    one rate fits all blocks. The thresholds are shares of a step: a coordinate whose gradient's
    sign keeps changing stays where the model has it.

    Args:
        sparsity: the threshold of each number, as a share of the rate.
        block_sparsity: the threshold of the length of a block's `omega - 1, b`, likewise.

    Source:
        LinEAS (NeurIPS 2025), https://github.com/apple/ml-lineas. Its rate, steps and thresholds,
        and the modules whose outputs it maps, could not be verified: all defaults are ours, AdamW
        stands for its proximal gradient descent, and blocks for its modules.
    """

    name: ClassVar[str] = "lineas"
    about: ClassVar[About] = About(
        paper="LinEAS, NeurIPS 2025",
        direction="every coordinate",
        setpoint="where transport puts it",
        controller="affine map of each coordinate",
        verified="all matchings of small samples; the map written out",
        site="block output",
        trained=True,
    )
    execution: ClassVar[ExecutionName] = "feedback"

    epochs: int = 20
    batch_size: int = 32
    rate: float = 0.01
    sparsity: float = 0.1
    block_sparsity: float = 0.0

    def solve(self, evidence: Evidence) -> Controller:
        """The maps of all blocks.

        Raises:
            InputError: no model to train in front of, or no states of examples.
            NumericalError: a loss that is not finite.
        """
        bench, sides = evidence.require_bench(self.name), evidence.require_sides(self.name)
        undesired, wanted = bench.undesired, sides.desired[:, 1:].float()
        unit = sides.undesired[:, 1:].float().square().mean((0, 2)).sqrt().clamp(min=1e-6)
        everywhere = tuple(range(len(unit)))

        def maps(parameters: Parameters) -> DiagonalField:
            shift = parameters["shift"] * unit.to(parameters["shift"].device)[:, None]
            return DiagonalField(1 + parameters["gain"], shift, active=everywhere)

        def loss(parameters: Parameters, rows: Tensor, drawn: torch.Generator) -> Tensor:
            chosen = [undesired[i] for i in rows.tolist()]
            found = bench.outputs(chosen, bench.channel(maps(parameters), tokens=self.tokens))
            return sorted_wasserstein(found, wanted[rows].to(found))

        nothing = torch.zeros_like(wanted[0])
        found = bench.train(
            {"gain": nothing, "shift": nothing},
            loss,
            min(len(undesired), len(wanted)),
            self.training(),
            project=self.sparse,
            name=self.name,
        )
        made = maps(found)
        return Controller.of_own(nothing, {"omega": made.omega, "beta": made.beta})

    def sparse(self, parameters: Parameters, share: float) -> Parameters:
        """The parameters behind a step: what is small is zero.

        Args:
            parameters: `gain` and `shift`, `(blocks, n)`.
            share: of the rate, that the step was made at.
        """
        both = torch.stack([parameters["gain"], parameters["shift"]], dim=1)
        both = soft_threshold(both, share * self.rate * self.sparsity)
        both = group_threshold(both, share * self.rate * self.block_sparsity)
        return {"gain": both[:, 0], "shift": both[:, 1]}

    def law(self, controller: Controller) -> DiagonalField:
        """The maps, as they are applied to what leaves the blocks."""
        return DiagonalField(controller.own["omega"], controller.own["beta"])
