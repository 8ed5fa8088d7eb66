"""LinEAS: an affine map of every coordinate at every block, trained end to end."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import Law, Reads
from steersman.control.checks import require_pair
from steersman.methods.about import About
from steersman.methods.base import Controller, Evidence, ExecutionName
from steersman.methods.trained import TrainedMethod
from steersman.training import Parameters
from steersman.training.objectives import group_threshold, soft_threshold, sorted_wasserstein


@dataclass(frozen=True, eq=False)
class DiagonalMap(Law[None]):
    """`y' = y + s (gain_t * y + shift_t)`, coordinate by coordinate, of what leaves each block.

    Args:
        gain: `(blocks, n)`, float32 or float64; 0 keeps the slope at 1.
        shift: the same shape, dtype and device.
        active: the blocks where it acts; None is every block where anything is not zero.
        reads: what leaves a block.

    Raises:
        ShapeError: the tensors are not two of one shape `(blocks, n)`.
        InputError: half precision, or two dtypes or devices.
        NumericalError: NaN or infinity.
    """

    gain: Float[Tensor, "blocks n"]
    shift: Float[Tensor, "blocks n"]
    active: tuple[int, ...] | None = None
    reads: Reads = "output"

    def __post_init__(self) -> None:
        """Check that the two tensors belong together."""
        require_pair(self.gain, self.shift, "blocks", "n")

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.gain.shape[0]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.gain.shape[1]

    @property
    def k(self) -> int:
        """The reference is one number: how much."""
        return 1

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the tensors."""
        return self.gain.dtype

    @cached_property
    def _acting(self) -> tuple[int, ...]:
        if self.active is not None:
            return self.active
        acts = self.gain.any(dim=1) | self.shift.any(dim=1)
        return tuple(acts.nonzero().flatten().tolist())

    @cached_property
    def _at(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """`gain_t, shift_t` of each block: views that are not made anew for every token."""
        return tuple(zip(self.gain, self.shift, strict=True))

    def is_active(self, block: int) -> bool:
        """Whether the law acts at `block`."""
        return block in self._acting

    def to(self, device: torch.device | str) -> "DiagonalMap":
        """The same law on another device, in the same precision."""
        return replace(self, gain=self.gain.to(device), shift=self.shift.to(device))

    def init(self, rows: int) -> None:
        """No state."""

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """`s (gain_t * y + shift_t)` for each row."""
        gain, shift = self._at[block]
        return None, reference * torch.addcmul(shift, x, gain)

    def added(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """The same, added to what comes out of the block."""
        gain, shift = self._at[block]
        return None, torch.addcmul(y, reference, torch.addcmul(shift, x, gain))


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

        def maps(parameters: Parameters) -> DiagonalMap:
            shift = parameters["shift"] * unit.to(parameters["shift"].device)[:, None]
            return DiagonalMap(parameters["gain"], shift, everywhere)

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
        return Controller.of_own(nothing, {"gain": made.gain, "shift": made.shift})

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

    def law(self, controller: Controller) -> DiagonalMap:
        """The maps, as they are applied to what leaves the blocks."""
        return DiagonalMap(controller.own["gain"], controller.own["shift"])
