"""How much of a block's answer to a step linear plants miss."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from steersman.control import relative_remainder
from steersman.local_linearity.steps import Steps
from steersman.plant import Linearization

Peers = Sequence[Sequence[int]]
"""For each prompt some others."""

PLANTS = ("own", "by_domain", "by_token", "identity")
"""What the plants are called."""


@dataclass(frozen=True, eq=False)
class Remainders:
    """`|f_t(x + d) - f_t(x) - M d| / |f_t(x + d) - f_t(x)|` for four plants M.

    The last token of each prompt is moved at the input of block t, its prefix held fixed. What is
    NaN has no step to take (two prompts with the same state, a state without contrast), or no other
    prompt to average over.

    Args:
        kinds: kinds of steps `d`.
        scales: `|d| / |x_t|`, rising.
        own: M is the prompt's own Jacobian `A_t`.
        by_domain: M is the mean of the Jacobians of the other prompts of its domain.
        by_token: M is the mean of the Jacobians of the other prompts with its last token.
        identity: M = I, the residual connection alone: what a linear plant has to beat.
        size: `|x_t|` of every prompt, in units of the residual stream.
        reach: `|d| / |x_t|` of a natural step: by the contrast, to the other prompt's state; NaN
            for a random one.
    """

    kinds: tuple[str, ...]
    scales: Float[Tensor, " scales"]
    own: Float[Tensor, "kinds prompts blocks scales"]
    by_domain: Float[Tensor, "kinds prompts blocks scales"]
    by_token: Float[Tensor, "kinds prompts blocks scales"]
    identity: Float[Tensor, "kinds prompts blocks scales"]
    size: Float[Tensor, "prompts blocks"]
    reach: Float[Tensor, "kinds prompts blocks"]

    @property
    def own_of_increment(self) -> Float[Tensor, "kinds prompts blocks scales"]:
        """`|Delta - A d| / |Delta - d|`: the share that A_t misses of what the block itself adds.

        The residual connection passes d on whatever the block does. This is the remainder of the
        rest, and at least 1 where the Jacobian is no better than none.
        """
        return self.own / self.identity

    def at(self, scale: int) -> dict[str, Float[Tensor, "kinds prompts blocks"]]:
        """The remainders at one scale, by the name of their plant."""
        return {name: getattr(self, name)[..., scale] for name in PLANTS}


def measure_remainders(
    runs: Sequence[Linearization],
    steps: Steps,
    scales: Float[Tensor, " scales"],
    *,
    by_domain: Peers,
    by_token: Peers,
    progress: bool = False,
) -> Remainders:
    """Step from every prompt's state at every block, and compare with the linear plants.

    One batch of `1 + kinds * scales` states a block and prompt goes through the block. The plants
    are known by their products with the steps alone: no matrix of the model's width is made.

    Args:
        runs: the blocks around the last token of each prompt, at least two.
        steps: which way to step.
        scales: how far, `|d| / |x_t|`.
        by_domain: for each prompt the others of its domain.
        by_token: for each prompt the others with its last token.
        progress: show a progress bar.

    Returns:
        The remainders, float64 on the CPU.
    """
    peers = (by_domain, by_token)
    blocks = range(len(runs[0].blocks))
    per_block = [
        _measure_block(runs, block, steps.units[:, :, block], scales, peers)
        for block in tqdm(blocks, desc="step", unit="block", disable=not progress)
    ]
    states = torch.stack([run.states[:-1].double() for run in runs])
    # From (plants, kinds, prompts, scales) a block.
    found = torch.stack(per_block, dim=3)
    return Remainders(
        kinds=steps.kinds,
        scales=scales,
        **dict(zip(PLANTS, found, strict=True)),
        size=states.norm(dim=-1),
        reach=steps.reach,
    )


def _measure_block(
    runs: Sequence[Linearization],
    block: int,
    units: Float[Tensor, "kinds prompts n"],
    scales: Float[Tensor, " scales"],
    peers: Sequence[Peers],
) -> Float[Tensor, "plants kinds prompts scales"]:
    """The remainders of all plants at one block."""
    products = [*_products(runs, block, units, peers), units]
    found = []
    for p, run in enumerate(runs):
        changes, lengths = _changes(run, block, units[:, p], scales)
        still = (units[:, p] == 0).all(dim=-1)
        missed = torch.stack([_missed(changes, lengths, plant[:, p]) for plant in products])
        found.append(missed.masked_fill(still[:, None], torch.nan))
    return torch.stack(found, dim=2)


def _products(
    runs: Sequence[Linearization],
    block: int,
    units: Float[Tensor, "kinds prompts n"],
    peers: Sequence[Peers],
) -> list[Float[Tensor, "kinds prompts n"]]:
    """`A_t d` for unit steps: by each prompt's own Jacobian, and by the mean of each set of peers'.

    NaN where there is no peer.
    """
    kinds, prompts, n = units.shape
    own, sums = torch.zeros_like(units), [torch.zeros_like(units) for _ in peers]
    for q, run in enumerate(runs):
        wanted = [p for p in range(prompts) if p == q or any(q in of[p] for of in peers)]
        columns = units[:, wanted].reshape(-1, n).T
        product = run.jvp(block, columns).cpu().double().T.reshape(kinds, -1, n)
        for p, column in zip(wanted, product.unbind(dim=1), strict=True):
            if p == q:
                own[:, p] = column
            for of, total in zip(peers, sums, strict=True):
                if q in of[p]:
                    total[:, p] += column
    counts = [torch.tensor([len(others) for others in of], dtype=units.dtype) for of in peers]
    return [own, *(total / count[:, None] for total, count in zip(sums, counts, strict=True))]


def _changes(
    run: Linearization, block: int, units: Float[Tensor, "kinds n"], scales: Tensor
) -> tuple[Float[Tensor, "kinds scales n"], Float[Tensor, " scales"]]:
    """`f_t(x + d) - f_t(x)` for every kind and length of step, and the lengths `|d|`."""
    x = run.states[block].double()
    lengths = scales * x.norm()
    d = lengths[:, None] * units[:, None]
    moved = torch.cat([x[None], (x + d).reshape(-1, len(x))])
    # The state itself goes along, so that both ends of a change are rounded alike.
    out = run.outputs(block, moved.T).cpu().double().T
    return (out[1:] - out[0]).reshape(d.shape), lengths


def _missed(
    changes: Tensor, lengths: Tensor, plant: Float[Tensor, "kinds n"]
) -> Float[Tensor, "kinds scales"]:
    foretold = lengths[:, None] * plant[:, None]
    n = changes.shape[-1]
    missed = relative_remainder(changes.reshape(-1, n).T, foretold.reshape(-1, n).T)
    return missed.reshape(changes.shape[:2])
