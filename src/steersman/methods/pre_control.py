"""Pre-Control: a value function of the state, climbed while the model generates."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import Law, Reads
from steersman.control.checks import require_finite
from steersman.methods.about import About
from steersman.methods.acting import acting
from steersman.methods.base import ExecutionName
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.trained import TrainedMethod
from steersman.training import Parameters, Training, Written
from steersman.training.networks import apply, layers, with_gradient
from steersman.training.objectives import lambda_returns, value_loss

BETA = 0.5
"""Where the error's loss turns from square to straight."""
DECAYS, TINY = (0.9, 0.999), 1e-8
"""Adam's own."""


@dataclass(frozen=True, eq=False)
class ValueLaw(Law[None]):
    """`u = target (y* - y)`, `y*` what steps of Adam on `huber(V(y / scale) - wanted)` come to.

    Args:
        like: zeros of the plant's blocks and width.
        network: the value function's tensors.
        scale: what the state is divided by before the network sees it.
        block: whose output it edits.
        wanted: the value that is wanted.
        rate: Adam's rate, in units of `scale`.
        steps: how many.
        reads: what leaves a block.
    """

    like: Float[Tensor, "blocks n"]
    network: Mapping[str, Tensor]
    scale: float
    block: int
    wanted: float
    rate: float
    steps: int
    reads: Reads = "output"

    def __post_init__(self) -> None:
        """Check the tensors."""
        for name, tensor in self.network.items():
            require_finite(name, tensor)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.like.shape[0]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.like.shape[1]

    @property
    def k(self) -> int:
        """The reference is one number: how much of the edit."""
        return 1

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the network."""
        return self.like.dtype

    def is_active(self, block: int) -> bool:
        """Whether the law acts at `block`."""
        return block == self.block

    def to(self, device: torch.device | str) -> "ValueLaw":
        """The same law on another device, in the same precision."""
        network = {name: tensor.to(device) for name, tensor in self.network.items()}
        return replace(self, like=self.like.to(device), network=network)

    def init(self, rows: int) -> None:
        """No state."""

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """Each row climbs by itself; the gradient is written out, so that none need be recorded."""
        start = x / self.scale
        z, m, v = start, torch.zeros_like(x), torch.zeros_like(x)
        for step in range(1, self.steps + 1):
            value, slope = with_gradient(self.network, z)
            error = ((value - self.wanted) / BETA).clamp(-1, 1)
            g = error.unsqueeze(1) * slope
            m = torch.lerp(m, g, 1 - DECAYS[0])
            v = torch.addcmul(DECAYS[1] * v, g, g, value=1 - DECAYS[1])
            right = (v / (1 - DECAYS[1] ** step)).sqrt() + TINY
            z = torch.addcdiv(z, m, right, value=-self.rate / (1 - DECAYS[0] ** step))
        return None, reference * (self.scale * (z - start))


@dataclass(frozen=True)
class PreControl(TrainedMethod):
    """A value `V` of what leaves one block, and the state moved until `V` is what is wanted.

        loss = mean_i (V(y_i) - G_i)^2,   G_i = (1 - decay) V(y_{i+1}) + decay G_{i+1},  G_T = score
        u = target (y* - y),      y* from steps of Adam on huber(V(y) - wanted), for every token

    The score of a text is 1 where it is desired and 0 where it is not, and every token of its
    response is learnt from: of texts whose responses are not told, what the sides of a pair do not
    have in common, or else all of it. Behind the last block, the default, the edit changes what is
    said of the next token and nothing else.

    Args:
        block: whose output is edited; -1 is the last one.
        hidden: the width of each layer of `V`; None is the width of the state.
        depth: how many hidden layers it has.
        decay: the lambda of TD(lambda).
        wanted: the value that is wanted.
        steps: of Adam for every token.
        step: its rate, in units of the root mean square of the states' coordinates.

    Source:
        Pre-Control (arXiv 2510.12121), https://github.com/liqinye/pre-control: network, TD(lambda),
        rates, batch size and Huber loss. It scores texts by a reward model on five scales, reads
        behind the final norm, edits the last token alone and takes up to 1000 steps, stopping when
        the loss stands still; 30 steps, the two scores, and the block's own output are ours.
    """

    name: ClassVar[str] = "pre-control"
    about: ClassVar[About] = About(
        paper="Pre-Control, arXiv 2510.12121",
        direction="gradient of a value function",
        setpoint="a value",
        controller="steps of Adam",
        verified="torch's Adam and autograd",
        site="block output",
        unmoved="its values are of pairs without graded scores; it changes the text "
        "and not this score",
    )
    tokens: ClassVar[Literal["last", "all"]] = "last"
    execution: ClassVar[ExecutionName] = "feedback"

    epochs: int = 100
    batch_size: int = 32
    rate: float = 1e-4
    patience: int = 10
    block: int = -1
    hidden: int | None = None
    depth: int = 3
    decay: float = 0.9
    wanted: float = 1.0
    steps: int = 30
    step: float = 0.05

    def training(self) -> Training:
        """The settings of the loop."""
        return replace(super().training(), decay="cosine", weight_decay=0.01)

    def solve(self, evidence: Evidence) -> Controller:
        """The value function, and what it divides states by.

        Raises:
            InputError: no model to read from, or a block that does not exist.
            NumericalError: a loss that is not finite.
        """
        bench = evidence.require_bench(self.name)
        like = evidence.direction.contrast[:-1]
        block = self._at(len(like))
        texts = [_responding(one) for one in (*bench.desired, *bench.undesired)]
        states = bench.tokens(texts, block)
        scale = torch.cat(states).square().mean().sqrt()
        score = torch.cat([torch.ones(len(bench.desired)), torch.zeros(len(bench.undesired))])
        lengths = torch.tensor([len(one) for one in states])
        n = like.shape[1]
        sizes = (n, *[self.hidden or n] * self.depth, 1)
        start = layers(sizes, torch.Generator().manual_seed(self.seed))

        def loss(parameters: Parameters, rows: Tensor, drawn: torch.Generator) -> Tensor:
            home = parameters["layer.0.weight"]
            chosen = [states[i] for i in rows.tolist()]
            padded = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True).to(home) / scale
            values = apply(parameters, padded.flatten(0, 1)).view(padded.shape[:2])
            tokens = lengths[rows]
            returns = lambda_returns(values, score[rows].to(values), tokens, self.decay)
            return value_loss(values, returns, tokens)

        found = bench.train(start, loss, len(texts), self.training(), name=self.name)
        return Controller.of_own(like, {"scale": scale, **found})

    def law(self, controller: Controller) -> ValueLaw:
        """The edit, as steps on the value function."""
        own = dict(controller.own)
        scale, like = float(own.pop("scale")), controller.G[..., 0]
        place = self._at(len(like))
        return ValueLaw(like, own, scale, place, self.wanted, self.step, self.steps)

    def _at(self, blocks: int) -> int:
        return blocks - 1 if self.block == -1 else acting((self.block,), blocks)[0]


def _responding(one: Written) -> Written:
    """The example, read at every token of its response; at its last one, where it has none."""
    places = tuple(range(one.start, len(one.ids))) or (len(one.ids) - 1,)
    return replace(one, read=places)
