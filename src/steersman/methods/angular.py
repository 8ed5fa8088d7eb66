"""Angular steering: turn each state within a plane, and keep its length."""

from dataclasses import dataclass
from math import pi
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from steersman.control import Absolute, AngularLaw, Reads, Reference, Relative, Target, Units
from steersman.directions import Features
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.acting import acting
from steersman.methods.base import ExecutionName, Method, PlantKind, Settled
from steersman.methods.choosing import chosen_blocks, with_blocks
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence, Means
from steersman.plant import Site

Plane = Literal["means", "contrasts"]
Gate = Literal["all", "undesired"]
FLAT = 1e-5
"""Below this share of its length a vector has no direction of its own beside another."""


@dataclass(frozen=True)
class AngularSteering(Method):
    """A setpoint for an angle: turning in place of adding.

        z_t = H_t' x_t,    theta_t = atan2(z_2, z_1)        u_t = H_t (R(s_t - theta_t) - I) z_t
        theta_u, theta_d: the angles of the undesired and of the desired mean state

    The target is a fraction of the way between the two angles: absolute, a state is turned to
    `s_t = theta_u + target (theta_d - theta_u)`; relative, by `target (theta_d - theta_u)` from
    where it would point unsteered. Read at a block's input, the law acts at its output, so that the
    state it reads keeps its length exactly and the block's output nearly; read at the output, it is
    the output that turns and keeps its length exactly.

    There is no plan, because what is to be added depends on the state.

    Args:
        plane: "means", for each block the plane of its two mean states; or "contrasts", the
            published one, the same for all: the contrast that is most like all others, and the
            first principal component of the contrasts.
        gate: "all", or "undesired": only states on the undesired side of the line half way between
            the two means, as the published adaptive form, whose line is at a right angle to the
            feature.
        blocks: which blocks may act, by number or by what the examples show, "top:K", "probe:K"
            or "opposed"; empty is all of them. "opposed" are those where the feature of the two
            means has opposite signs, as in the published selective form.
        reads: whether a block's input or its output is turned, in the residual stream.
        site: the residual stream; or "attention-norm" or "mlp-norm", the published places, of
            which both are steered by two steerings side by side; or any other inside the blocks.

    Source:
        Angular Steering, https://github.com/lone17/angular-steering (absolute, adaptive); Selective
        Steering, https://github.com/knoveleng/steering (relative, chosen layers). Both turn the
        outputs of normalisation layers; here it is the residual stream that turns unless `site`
        says otherwise, and "opposed" and "top:K" go by the residual stream in any case.
    """

    name: ClassVar[str] = "angular"
    about: ClassVar[About] = About(
        paper="Angular Steering; Selective Steering",
        direction="plane of the means or contrasts",
        setpoint="angle, absolute or relative",
        controller="rotation",
        verified="rotation matrices; length kept",
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "all"
    in_units: ClassVar[bool] = False
    execution: ClassVar[ExecutionName] = "feedback"

    plane: Plane = "means"
    gate: Gate = "all"
    blocks: str | tuple[int, ...] = ()
    reads: Reads = "input"
    site: Site = "block"

    def settled(self, evidence: Evidence) -> Settled:
        """With the blocks that act, where they were left to the examples.

        Raises:
            InputError: the feature's means have the same sign at every block.
        """
        return Settled(with_blocks(self, evidence))

    def solve(self, evidence: Evidence) -> Controller:
        """The plane of each block, with the angles of the two means in it.

        Raises:
            InputError: nothing to read the means from, a plane or gate that does not exist, a block
                that does not, or means that span no plane.
        """
        self._require_known()
        blocks = chosen_blocks(self.blocks, evidence)
        means, contrast, turned = self._seen(evidence)
        find = _of_the_means if self.plane == "means" else _of_the_contrasts
        H = find(means, contrast)[turned]
        means = Means(means.desired[turned], means.undesired[turned])
        acts = acting(blocks, len(H))
        H[[block for block in range(len(H)) if block not in acts]] = 0
        H, undesired, between = _counterclockwise(H, means)
        if not bool((H.any(dim=2).any(dim=1) & (between > 0)).any()):
            raise InputError("the two means point the same way at every block that may act.")
        H, shifts = H.float(), torch.stack([undesired, between], dim=1).float()
        return Controller(H, H, torch.zeros_like(H[..., :1]), shifts.unsqueeze(-1))

    def law(self, controller: Controller) -> AngularLaw:
        """The turn, as it is stepped in front of the blocks."""
        undesired, between = controller.shifts[..., 0].unbind(1)
        half_way = undesired + between / 2
        return AngularLaw(controller.H, half_way if self.gate == "undesired" else None, self.reads)

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """By how much to turn from where the token would point unsteered."""
        return Relative(strength), Units.shifts(controller.shifts[:, 1:])

    def absolute(
        self, strength: Target, controller: Controller, features: Features
    ) -> tuple[Reference, Units]:
        """Where to turn to, between the angles of the two means."""
        undesired, between = controller.shifts[:, :1], controller.shifts[:, 1:]
        return Absolute(strength), Units(between, undesired[..., 0])

    def _seen(self, evidence: Evidence) -> tuple[Means, Float[Tensor, "states n"], slice]:
        """The two means, along what they differ, and which of them are turned at the blocks."""
        if self.site != "block":
            at = evidence.where_it_learns(self)
            means = Means(*(side.mean(0, dtype=torch.float64) for side in at[:2]))
            return means, means.contrast, slice(None)
        turned = slice(None, -1) if self.reads == "input" else slice(1, None)
        means = evidence.require_read(self.name)(None)
        return means, evidence.direction.contrast, turned

    def _require_known(self) -> None:
        for name, kind in (("plane", Plane), ("gate", Gate), ("reads", Reads)):
            choice = getattr(self, name)
            if choice not in get_args(kind):
                some = ", ".join(get_args(kind))
                raise InputError(f"{name} is {choice!r}; choose one of {some}.")


def _counterclockwise(
    H: Float[Tensor, "blocks n 2"], means: Means
) -> tuple[Float[Tensor, "blocks n 2"], Float[Tensor, " blocks"], Float[Tensor, " blocks"]]:
    """The planes turned over where the short way between the means is clockwise in them.

    Returns:
        The planes, the undesired mean's angle, and the angle from there to the desired one, at
        least 0 and at most pi.
    """
    undesired, desired = (_angles(H, side) for side in (means.undesired, means.desired))
    between = torch.remainder(desired - undesired + pi, 2 * pi) - pi
    sign = torch.where(between < 0, -1.0, 1.0).to(H)
    turned = torch.stack([H[..., 0], sign[:, None] * H[..., 1]], dim=-1)
    return turned, sign * undesired, sign * between


def _angles(
    H: Float[Tensor, "blocks n 2"], x: Float[Tensor, "blocks n"]
) -> Float[Tensor, " blocks"]:
    z = torch.einsum("tnk,tn->tk", H, x.to(H))
    return torch.atan2(z[:, 1], z[:, 0])


def _of_the_means(means: Means, contrast: Float[Tensor, "states n"]) -> Float[Tensor, "states n 2"]:
    """What the two means have in common, and the contrast; zero where they span no plane."""
    v = normalize(contrast.double(), dim=1)
    common = _beside((means.desired + means.undesired).double(), v)
    spans = (common.any(dim=1) & v.any(dim=1)).to(v)[:, None]
    return torch.stack([spans * common, spans * v], dim=-1)


def _of_the_contrasts(
    means: Means, contrast: Float[Tensor, "states n"]
) -> Float[Tensor, "states n 2"]:
    """One plane for all: the contrast most like the others, and what the contrasts vary along.

    Raises:
        InputError: the contrasts all lie on one line.
    """
    v = normalize(contrast.double(), dim=1)
    differs = v.any(dim=1)
    known = v[differs]
    first = known[(known @ known.mT).mean(dim=1).argmax()]
    _, sizes, rows = torch.linalg.svd(known - known.mean(dim=0), full_matrices=False)
    second = _beside(rows[:1], first[None])[0]
    if not bool(sizes[0] > FLAT) or not bool(second.any()):
        raise InputError("the contrasts of all blocks lie on one line: use plane='means'.")
    return differs.to(v)[:, None, None] * torch.stack([first, second], dim=1)


def _beside(x: Float[Tensor, "rows n"], v: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
    """The unit vector of `x` at a right angle to the unit vector `v`; zero where there is none."""
    for _ in range(2):  # once leaves the rounding of the part that was taken away
        length = x.norm(dim=1, keepdim=True)
        x = x - (x * v).sum(dim=1, keepdim=True) * v
        x = torch.where(x.norm(dim=1, keepdim=True) > FLAT * length, x, 0.0)
        x = normalize(x, dim=1)
    return x
