"""Guiding Giants: a small network says how much to push, and at which blocks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from steersman.control import Law
from steersman.control.checks import require_finite
from steersman.methods.about import About
from steersman.methods.acting import acting
from steersman.methods.base import ExecutionName
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.trained import TrainedMethod
from steersman.training import Parameters, Training
from steersman.training.networks import apply, layers
from steersman.training.objectives import controller_loss


@dataclass(frozen=True, eq=False)
class Read:
    """What the controller knows on its way through the blocks.

    Args:
        seen: the states that it reads, so far.
        amount: `gate(s) w_t` of every block, once it has read them all.
    """

    seen: tuple[Float[Tensor, "rows n"], ...] = ()
    amount: Float[Tensor, "rows blocks"] | None = None


@dataclass(frozen=True, eq=False)
class ControlledPush(Law[Read]):
    """`u_t = target sigmoid(s) w_t push_t`, with `s, w` from the states at a few early blocks.

    Args:
        push: what is added at most, `(blocks, n)`; zero where nothing is.
        network: the controller's tensors, in float32.
        scale: what each state is divided by before the network sees it, `(reads,)`.
        at: the blocks whose inputs it reads, in order, `(reads,)`.
    """

    push: Float[Tensor, "blocks n"]
    network: Mapping[str, Tensor]
    scale: Float[Tensor, " reads"]
    at: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the tensors."""
        for name, tensor in (("push", self.push), *self.network.items()):
            require_finite(name, tensor)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.push.shape[0]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.push.shape[1]

    @property
    def k(self) -> int:
        """The reference is one number: how much."""
        return 1

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the push."""
        return self.push.dtype

    @cached_property
    def _acting(self) -> tuple[bool, ...]:
        acts = self.push.any(dim=1).tolist()
        return tuple(bool(one) or block in self.at for block, one in enumerate(acts))

    def is_active(self, block: int) -> bool:
        """Whether the law reads or acts at `block`."""
        return super().is_active(block) and self._acting[block]

    def to(self, device: torch.device | str) -> "ControlledPush":
        """The same law on another device, in the same precision."""
        network = {name: tensor.to(device) for name, tensor in self.network.items()}
        moved = replace(self, push=self.push.to(device), scale=self.scale.to(device))
        return replace(moved, network=network)

    def init(self, rows: int) -> Read:
        """Nothing read yet."""
        return Read()

    def input(
        self,
        state: Read,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[Read, Float[Tensor, "rows n"]]:
        """Read the state where it is to be read, and push once everything was."""
        if block in self.at:
            state = self._read(state, x)
        if state.amount is None:
            return state, torch.zeros_like(x)
        return state, reference * self._amount(state.amount, x, block) * self.push[block]

    def added(
        self,
        state: Read,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[Read, Float[Tensor, "rows n"]]:
        """The same, added to what comes out of the block."""
        if block in self.at:
            state = self._read(state, x)
        if state.amount is None:
            return state, y
        given = reference * self._amount(state.amount, x, block)
        return state, torch.addcmul(y, given, self.push[block])

    @staticmethod
    def _amount(amount: Tensor, x: Tensor, block: int) -> Float[Tensor, "rows 1"]:
        return amount[:, block : block + 1].to(x)

    def _read(self, state: Read, x: Tensor) -> Read:
        seen = (*state.seen, x / self.scale[len(state.seen)])
        if len(seen) < len(self.at):
            return Read(seen)
        # Blocks may lie on several devices; what was read moves along with the last one.
        answer = apply(self.network, torch.cat([one.to(x.device) for one in seen], dim=1))
        return Read((), torch.sigmoid(answer[:, :1]) * torch.sigmoid(answer[:, 1:]))


@dataclass(frozen=True)
class GuidingGiants(TrainedMethod):
    """The contrast of every block, as far as a small network says that it is needed.

        s, w_t = MLP( x_b / |x|_b, b in reads )    u_t = target strength sigmoid(s) sigmoid(w_t) r_t
        loss = BCE(s, 1 undesired | 0 desired) + regularise ( mean |w - 1/2| + smallness mean w )

    `r_t` is the contrast behind block t, made as long as the mean contrast over the blocks that
    act divided by their number, so that all of them together push about as far as one contrast
    where strength is 1 and the network's answer 1. The network learns from the states of the
    examples alone; no gradient passes the model. It reads early blocks, every token by itself, and
    the push begins at the last of them.

    Args:
        strength: what the push is multiplied by.
        hidden: the width of the network.
        reads: the blocks whose inputs are read; empty is the four up to the middle one.
        regularise: how much the weights' part of the loss counts.
        smallness: how much their size counts in it.
        clip: the longest gradient.

    Source:
        Guiding Giants (WAS), https://github.com/Amr-Hegazy1/GuidingGiantsWAS: network, loss,
        epochs, batch size and rate. There the last four blocks are read, behind which nothing is
        left to push, `s` is not squashed, and the push is 4 unit vectors from the embeddings of
        phrases; this follows the formula with early blocks, a gate between 0 and 1, and the
        contrast, and the strength is ours.
    """

    name: ClassVar[str] = "guiding-giants"
    about: ClassVar[About] = About(
        paper="Guiding Giants (WAS)",
        direction="mean difference",
        setpoint="offset",
        controller="network of early states",
        verified="the loss and the network written out",
    )
    execution: ClassVar[ExecutionName] = "feedback"

    epochs: int = 10
    batch_size: int = 8
    rate: float = 5e-5
    strength: float = 1.0
    hidden: int = 1024
    reads: tuple[int, ...] = ()
    regularise: float = 0.1
    smallness: float = 0.01
    clip: float = 1.0

    def training(self) -> Training:
        """The settings of the loop."""
        return replace(super().training(), clip=self.clip, decay="none")

    def solve(self, evidence: Evidence) -> Controller:
        """The network, and what is pushed at most at each block.

        Raises:
            InputError: nothing to train, no states of examples, or blocks that do not exist.
            NumericalError: a loss that is not finite.
        """
        bench, sides = evidence.require_bench(self.name), evidence.require_sides(self.name)
        contrast = evidence.direction.contrast[1:].float()
        at = self._reading(len(contrast))
        states = torch.cat(sides)[:, list(at)].float()
        scale = states.norm(dim=2).mean(0).clamp(min=1e-6)
        inputs = (states / scale[:, None]).flatten(1)
        label = torch.cat([torch.zeros(len(sides.desired)), torch.ones(len(sides.undesired))])
        sizes = (inputs.shape[1], self.hidden, 1 + len(contrast))
        start = layers(sizes, torch.Generator().manual_seed(self.seed))

        def loss(parameters: Parameters, rows: Tensor, drawn: torch.Generator) -> Tensor:
            answer = apply(parameters, inputs[rows].to(parameters["layer.0.weight"]))
            weights, wanted = torch.sigmoid(answer[:, 1:]), label[rows].to(answer)
            return controller_loss(answer[:, 0], weights, wanted, self.regularise, self.smallness)

        found = bench.train(start, loss, len(label), self.training(), name=self.name)
        reads = torch.tensor(at, dtype=torch.float32)
        own = {"push": self._push(contrast, at[-1]), "scale": scale, "reads": reads, **found}
        return Controller.of_own(contrast, own)

    def law(self, controller: Controller) -> ControlledPush:
        """The controller, as it reads and pushes."""
        own = dict(controller.own)
        push, scale, reads = (own.pop(name) for name in ("push", "scale", "reads"))
        return ControlledPush(push, own, scale, tuple(int(one) for one in reads.tolist()))

    def _push(self, contrast: Tensor, first: int) -> Tensor:
        """What each block adds at most."""
        acts = contrast[first:]
        length = self.strength * acts.norm(dim=1).mean() / len(acts)
        push = torch.zeros_like(contrast)
        push[first:] = length * normalize(acts, dim=1)
        return push

    def _reading(self, blocks: int) -> tuple[int, ...]:
        if self.reads:
            return acting(self.reads, blocks)
        middle = blocks // 2
        # What enters block 0 is the token alone, where there is another to read.
        return tuple(range(max(min(1, middle), middle - 3), middle + 1))
