"""What the linear plant leaves out of the true one, measured along steered runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from steersman.bounding.attachment import Attachment
from steersman.bounding.runs import PairedRun
from steersman.control import Lyapunov, Remainder, answer, sensitivities
from steersman.plant import linearize

AT_ONCE = 16
"""Runs whose products with the plant are taken together."""
COLUMNS = 2
_NOTHING = 1e-6


@dataclass(frozen=True, eq=False)
class Reach:
    """How errors of the prediction travel: what they do to the feature, and to the state.

    Args:
        attachment: the steering, how it is attached, and its plant.
    """

    attachment: Attachment

    @cached_property
    def S(self) -> Float[Tensor, "states states n 1"]:
        """The feature of every state pulled back through the loop, in natural units."""
        one = self.attachment
        return sensitivities(one.loop.vjp, one.scaled.unsqueeze(-1))

    @cached_property
    def norms(self) -> Lyapunov | None:
        """The norms in which the loop contracts; None where the plant has no matrices."""
        loop = self.attachment.matrices
        return None if loop is None else Lyapunov.of(loop)

    @cached_property
    def scale(self) -> Float[Tensor, " states"]:
        """The feature's error were every block wrong by as much as the deviation it is given.

            sigma_k = sum_{i<k} |Phi(k, i+1)' v_k| |delta^lin_i| / |c_k|

        It needs no run; it is zero where no error can have arisen yet.
        """
        sizes = torch.linalg.vector_norm(self.attachment.predicted, dim=1)
        lengths = torch.linalg.vector_norm(self.S[..., 0], dim=2)
        found: Tensor = sizes[:-1] @ lengths[1:]
        return torch.where(self.attachment.unit.isfinite(), found, 0.0)

    @cached_property
    def counted(self) -> Bool[Tensor, " states"]:
        """The states at which the prediction can err by more than rounding."""
        return self.scale > _NOTHING * self.scale.max()


@dataclass(frozen=True, eq=False)
class Measured:
    """One paired run in numbers; tokens from the prompt's last on.

    Args:
        error: `v_t' d_t` in natural units, `d = delta - delta^lin`.
        state_error: `|d_t|_{P_t}`; None without norms.
        work: what each block's remainder `w_i` does to each feature, natural units; summed over
            the blocks it is `error`.
        ratios: of the remainder's parts to the deviation; None where not asked for.
    """

    error: Float[Tensor, "tokens states"]
    state_error: Float[Tensor, "tokens states"] | None
    work: Float[Tensor, "tokens blocks states"]
    ratios: "Ratios | None" = None


@dataclass(frozen=True, eq=False)
class Ratios:
    """The parts of `w_t = m_t + c_t + h_t` in the norms of the loop, `(tokens, blocks)`.

        m_t = (A_t^p - A_t) delta_t                            mismatch: |m_t| / |delta_t|
        c_t = f_t(xbar + delta) - f_t(xbar) - A_t^p delta_t    curvature: 2 |c_t| / |delta_t|^2
        h_t = w_t - m_t - c_t                                  disturbance: |h_t|
        all of it                                              sector: |w_t| / |delta_t|

    `A^p` is the Jacobian at this run's own token, its prefix unsteered; `h` is rounding, and what a
    steered prefix does. Where nothing has been pushed yet `delta` is rounding, and all of `w` is
    disturbance.
    """

    mismatch: Float[Tensor, "tokens blocks"]
    curvature: Float[Tensor, "tokens blocks"]
    disturbance: Float[Tensor, "tokens blocks"]
    sector: Float[Tensor, "tokens blocks"]


def measure(
    reach: Reach, runs: Iterable[PairedRun], model: nn.Module | None = None
) -> list[Measured]:
    """What each of several paired runs shows.

    Args:
        reach: how errors travel.
        runs: with and without the steering.
        model: where the remainders are to be taken apart; the blocks are linearised at the
            unsteered runs' own tokens.
    """
    found: list[Measured] = []
    waiting = iter(runs)
    while batch := list(islice(waiting, AT_ONCE)):
        delta = torch.cat([run.deviation for run in batch])
        lengths = [len(run.deviation) for run in batch]
        moved = _moved(reach.attachment, delta)
        w = delta[:, 1:] - moved - reach.attachment.inputs(delta)
        ratios: list[Ratios | None] = [None] * len(batch)
        if model is not None and reach.norms is not None:
            parts = zip(batch, torch.split(moved, lengths), torch.split(w, lengths), strict=True)
            ratios = [_split(reach, reach.norms, *part, model) for part in parts]
        each = zip(torch.split(delta, lengths), torch.split(w, lengths), ratios, strict=True)
        found += [_measured(reach, *one) for one in each]
    return found


def _measured(
    reach: Reach,
    delta: Float[Tensor, "tokens states n"],
    w: Float[Tensor, "tokens blocks n"],
    ratios: Ratios | None,
) -> Measured:
    d = delta - reach.attachment.predicted
    return Measured(
        error=torch.einsum("rsn,sn->rs", d, reach.attachment.scaled),
        state_error=None if reach.norms is None else reach.norms.norms(d),
        work=answer(reach.S, w)[..., 0],
        ratios=ratios,
    )


def _split(
    reach: Reach,
    norms: Lyapunov,
    run: PairedRun,
    moved: Float[Tensor, "tokens blocks n"],
    w: Float[Tensor, "tokens blocks n"],
    model: nn.Module,
) -> Ratios:
    """The remainder of every token taken apart; see `Ratios`."""
    delta = run.deviation
    alone = [_own(run, token, model, delta[token]) for token in range(len(delta))]
    own, c = (torch.stack(parts) for parts in zip(*alone, strict=True))
    m = own - moved
    sizes = torch.linalg.vector_norm(reach.attachment.predicted[:-1], dim=1)
    reached = sizes > _NOTHING * sizes.max()
    size = norms.norms(delta)[:, :-1].where(reached, torch.inf)

    def outgoing(values: Tensor) -> Tensor:
        return norms.norms(torch.cat([torch.zeros_like(values[:, :1]), values], 1))[:, 1:]

    return Ratios(
        mismatch=outgoing(m) / size,
        curvature=2 * outgoing(c) / size.square(),
        disturbance=outgoing(torch.where(reached[:, None], w - m - c, w)),
        sector=outgoing(w) / size,
    )


def bounded(ratios: Iterable[Ratios], safety: float) -> Remainder:
    """The largest that was seen of each part, times a factor."""
    parts = list(ratios)

    def most(name: str) -> Tensor:
        return safety * torch.cat([getattr(one, name) for one in parts]).amax(dim=0)

    return Remainder(most("mismatch"), most("curvature"), most("disturbance"), most("sector"))


def _moved(
    attachment: Attachment, delta: Float[Tensor, "rows states n"]
) -> Float[Tensor, "rows blocks n"]:
    """`A_t delta_t` of each row."""
    plant = attachment.require_plant()
    columns = [plant.jvp(t, delta[:, t].T).T.double() for t in range(plant.blocks)]
    return torch.stack(columns, dim=1)


def _own(
    run: PairedRun, token: int, model: nn.Module, delta: Float[Tensor, "states n"]
) -> tuple[Float[Tensor, "blocks n"], Float[Tensor, "blocks n"]]:
    """`A_t^p delta_t` at one token, and what its blocks bend it by."""
    here = linearize(model, run.upto(token), chunk=COLUMNS)
    own, bent = [], []
    for t in range(len(delta) - 1):
        xbar = here.states[t].double()
        straight = here.jvp(t, delta[t]).cpu().double()
        both = here.outputs(t, torch.stack([xbar + delta[t], xbar], dim=1)).cpu().double()
        own.append(straight)
        bent.append(both[:, 0] - both[:, 1] - straight)
    return torch.stack(own), torch.stack(bent)
