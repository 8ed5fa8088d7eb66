"""RISER: a router over a library of vectors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import AffineLaw, Reads
from steersman.control.at_block import AtBlock
from steersman.control.checks import require_finite
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import ExecutionName
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.trained import TrainedMethod, block_at, placed
from steersman.training import Bench, Parameters, Training, Written
from steersman.training.networks import apply, layers
from steersman.training.objectives import routing_loss
from steersman.training.policy import draw, log_probability, reinforce

ROUNDS = 50
"""Of the clustering, which mostly stands still much sooner."""


@dataclass(frozen=True, eq=False)
class Router(AtBlock):
    """`u = target sum_k [p_k > threshold] a_k V_k`, with `p, a` from the state that leaves a block.

    Args:
        library: `V`, `(vectors, n)`.
        network: the router's tensors; it says `p`'s logits, then `a`.
        scale: what the state is divided by before the network sees it.
        block: whose output it reads and adds to.
        depth: how many blocks the plant has.
        threshold: from which probability on a vector is taken.
        reads: what leaves a block.

    Raises:
        InputError: a block that does not exist.
        NumericalError: NaN or infinity.
    """

    library: Float[Tensor, "vectors n"]
    network: Mapping[str, Tensor]
    scale: float
    block: int
    depth: int
    threshold: float
    reads: Reads = "output"

    def __post_init__(self) -> None:
        """Check the tensors and the block."""
        self.require_block()
        for name, tensor in (("library", self.library), *self.network.items()):
            require_finite(name, tensor)

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.library.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the library."""
        return self.library.dtype

    def to(self, device: torch.device | str) -> "Router":
        """The same law on another device, in the same precision."""
        network = {name: tensor.to(device) for name, tensor in self.network.items()}
        return replace(self, library=self.library.to(device), network=network)

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """The vectors that the network takes, each as much as it says."""
        selection, strength = apply(self.network, x / self.scale).chunk(2, dim=1)
        taken = torch.where(torch.sigmoid(selection) > self.threshold, strength, 0.0)
        return None, reference * (taken @ self.library)


@dataclass(frozen=True)
class RISER(TrainedMethod):
    """Which vectors of a library, and how much of each, as a function of the state at one block.

        V_k = the mean of cluster k of  desired_i - undesired_i  behind block b
        label_i = argmax over k and a of  log p(w) - log p(l)  with a V_k added,  or nothing
        first   minimise  BCE(p, chosen) + smooth L1(a, amount)
        then    maximise  E[ R(m b) - penalty |m b| ],   m_k ~ Bernoulli(p_k),  b ~ N(a, noise^2)
        u = target sum_k [p_k > threshold] a_k V_k

    The pairs are two responses to one prompt, as for BiPO. The labels come from a search over the
    model steered from the prompt's last token on. A law keeps nothing from token to token, so every
    token is routed by its own state, and the router learns from all of them.

    Behind that warm-up the router draws what to add from its state at the prompt's end, and is
    reinforced by `R`, by how much what it drew made the preference clearer. What is kept of it is
    the epoch that is best on pairs held out; the warm-up, where none is better.

    Args:
        block: where to read and add; -1 chooses the block whose output separates the examples best.
        vectors: how large the library is, at most.
        strengths: the amounts that are tried.
        hidden: the width of the router's hidden layer.
        threshold: from which probability on a vector is taken.
        reinforced: epochs of reinforcement behind the warm-up; 0 is none.
        reinforced_rate: their learning rate.
        noise: how far amounts are drawn from what the router says.
        penalty: what an amount of one costs.

    Source:
        RISER (arXiv 2601.09269) as second-hand accounts have it: no number here is verified. There
        the vectors of several tasks are told apart by a judge, one choice is made at the prompt's
        end and kept, and the reward is that of the task, with a price on length; the margin, the
        price on amounts and all numbers of the second phase are ours.
    """

    name: ClassVar[str] = "riser"
    about: ClassVar[About] = About(
        paper="RISER, arXiv 2601.09269",
        direction="clusters of differences",
        setpoint="offset",
        controller="router over a library",
        verified="the loss and the router written out",
        site="block output",
    )
    tokens: ClassVar[Literal["last", "all"]] = "last"
    execution: ClassVar[ExecutionName] = "feedback"

    epochs: int = 50
    batch_size: int = 8
    rate: float = 1e-3
    block: int = -1
    vectors: int = 6
    strengths: tuple[float, ...] = (0.5, 1.0, 2.0)
    hidden: int = 64
    threshold: float = 0.5
    reinforced: int = 5
    reinforced_rate: float = 3e-4
    noise: float = 0.2
    penalty: float = 0.05

    def training(self) -> Training:
        """The settings of the loop."""
        return replace(super().training(), decay="cosine")

    def solve(self, evidence: Evidence) -> Controller:
        """The library and the router.

        Raises:
            InputError: no model to train in front of, no pairs of responses, no strength to try, or
                a block that does not exist.
            NumericalError: a loss that is not finite.
        """
        bench, sides = evidence.require_bench(self.name), evidence.require_sides(self.name)
        count, block = bench.require_pairs(self.name), block_at(self.block, evidence)
        if self.vectors < 1 or not self.strengths:
            raise InputError("riser needs at least one vector and one strength to try.")
        states = [side[:, block + 1].float() for side in sides]
        library = clusters(states[0] - states[1], self.vectors, self.seed)
        like = evidence.direction.contrast[:-1]
        amount = self._searched(bench, library, block, len(like))
        chosen = (amount != 0).float()
        texts = [_behind_the_prompt(one) for one in (*bench.desired, *bench.undesired)]
        seen = bench.tokens(texts, block)
        scale = torch.cat(seen).square().mean().sqrt()
        sizes = (library.shape[1], self.hidden, 2 * len(library))
        start = layers(sizes, torch.Generator().manual_seed(self.seed))

        def loss(parameters: Parameters, rows: Tensor, drawn: torch.Generator) -> Tensor:
            home = parameters["layer.0.weight"]
            numbers = [i for row in rows.tolist() for i in (row, count + row)]
            which = [i % count for i in numbers for _ in seen[i]]
            x = torch.cat([seen[i] for i in numbers]).to(home) / scale
            selection, strength = apply(parameters, x).chunk(2, dim=1)
            return routing_loss(selection, strength, chosen[which].to(x), amount[which].to(x))

        found = bench.train(start, loss, count, self.training(), name=self.name)
        if self.reinforced:
            ends = torch.stack([one[0] for one in seen[:count]]) / scale
            pushes = torch.stack([placed(one, block, len(like)) for one in library], dim=-1)
            found = self._reinforced(bench, found, AffineLaw.schedule(pushes), ends)
        own = {"library": library, "scale": scale, "block": torch.tensor(float(block)), **found}
        return Controller.of_own(like, own)

    def law(self, controller: Controller) -> Router:
        """The router, as it reads and adds."""
        own = dict(controller.own)
        library, scale, block = (own.pop(name) for name in ("library", "scale", "block"))
        depth = len(controller.plan)
        return Router(library, own, float(scale), int(block), depth, self.threshold)

    def _reinforced(
        self, bench: Bench, start: Parameters, law: AffineLaw, ends: Float[Tensor, "pairs n"]
    ) -> Parameters:
        """The router behind its second phase.

        Args:
            bench: the model with the pairs.
            start: the router behind the warm-up.
            law: adds each vector of the library by an amount of its own.
            ends: the state at the end of each pair's prompt, as the network reads it.
        """
        bare = bench.all_margins(None)

        def loss(parameters: Parameters, rows: Tensor, drawn: torch.Generator) -> Tensor:
            x = ends[rows].to(parameters["layer.0.weight"])
            selection, strength = apply(parameters, x).chunk(2, dim=1)
            action = draw(selection, strength, self.noise, drawn)
            amount = action.taken * action.amount
            with torch.no_grad():
                channel = bench.channel(law, torch.cat([amount, amount]).cpu(), self.tokens)
                gain = bench.margins(rows, channel) - bare[rows].to(x)
                reward = gain - self.penalty * amount.norm(dim=1)
            return reinforce(log_probability(selection, strength, action, self.noise), reward)

        settings = replace(self.training(), epochs=self.reinforced, rate=self.reinforced_rate)
        name = f"{self.name}, by reinforcement"
        found = bench.train(start, loss, len(bare), settings, name=name)
        return found if bench.histories[-1].improved else start

    @torch.no_grad()
    def _searched(
        self, bench: Bench, library: Tensor, block: int, blocks: int
    ) -> Float[Tensor, "pairs vectors"]:
        """How much of which vector makes each preference clearest; zero of all is one way."""
        best = bench.all_margins(None).cpu()
        amount = torch.zeros(len(best), len(library))
        for k, vector in enumerate(library):
            law = AffineLaw.schedule(placed(vector, block, blocks))
            for strength in self.strengths:
                channel = bench.channel(law, strength, self.tokens)
                found = bench.all_margins(channel).cpu()
                better = found > best
                amount[better] = 0.0
                amount[better, k] = strength
                best = torch.where(better, found, best)
        return amount


def clusters(x: Float[Tensor, "rows n"], count: int, seed: int) -> Float[Tensor, "clusters n"]:
    """The means of at most `count` clusters of the rows: k-means from rows drawn at random.

    Args:
        x: the rows.
        count: how many clusters, at most; an empty one is left out.
        seed: of the first means.
    """
    drawn = torch.Generator().manual_seed(seed)
    means = x[torch.randperm(len(x), generator=drawn)[:count]]
    for _ in range(ROUNDS):
        nearest = torch.cdist(x, means).argmin(dim=1)
        found = torch.stack([x[nearest == k].mean(0) for k in sorted(set(nearest.tolist()))])
        if found.shape == means.shape and torch.equal(found, means):
            break
        means = found
    return means


def _behind_the_prompt(one: Written) -> Written:
    """The example, read from the last token of its prompt on."""
    return replace(one, read=tuple(range(one.start - 1, len(one.ids))))
