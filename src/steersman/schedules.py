"""Schedules: steerings that add the same inputs whatever the state is."""

import hashlib
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.artifact import Parts
from steersman.diagnostics import Diagnostic
from steersman.directions import ALONE, Direction, Features, listed
from steersman.errors import InputError, NumericalError
from steersman.methods import Evidence, GivenVectors
from steersman.provenance import Provenance, library_versions


def inputs_of(parts: Parts) -> Float[Tensor, "blocks n"]:
    """`p_t`: what a steering adds at the output of each block for target 1, `u_t = target p_t`.

    Raises:
        InputError: it steers several features, what it adds depends on the state, or it says where
            it acts, which a schedule of inputs does not.
    """
    method, features = parts.method, parts.features
    if parts.gate.sentence:
        raise InputError(
            f"this steering acts at {parts.gate.sentence}, which vectors do not tell: take that "
            "off first, with steering.at(None).when(None).softly(None), and say it of what you "
            "make."
        )
    if len(features) > 1:
        raise InputError(
            f"this steering has {len(features)} features, {listed(features.names)}, each with a "
            "schedule and a target of its own: give a steering of one feature."
        )
    if method.site != "block":
        raise InputError(
            f"{method.name} acts on {method.site!r} inside the blocks, and these vectors are of "
            "the residual stream: to run it beside others, steersman.together."
        )
    schedule = parts.controller.plan[..., 0]
    if method.execution != "plan" or method.reference != "relative" or not bool(schedule.any()):
        raise InputError(
            f"{method.name} is no schedule: what it adds depends on the state. Use a method that "
            "runs as a plan, such as activation-addition, a-lqr or feature-lqr; to run it beside "
            "others, steersman.together."
        )
    return schedule


def scheduled(
    inputs: Float[Tensor, "blocks n"],
    provenance: Provenance,
    found: Diagnostic,
    method: GivenVectors | None = None,
) -> Parts:
    """A steering that adds these inputs; its feature is how far a state lies along them.

        c_{t+1} = p_t,    v_{t+1} = p_t / |p_t|,    origin 0

    No examples were seen, so that no separation is known, and a unit of the feature is one vector.
    At the input of block 0, which nothing is added to, there is no direction.

    Args:
        inputs: `p_t`, what target 1 adds at the output of each block.
        provenance: of which model; what it says of examples is replaced.
        found: where the inputs come from.
        method: at which tokens they act; every token by default.

    Raises:
        InputError: there is nothing in them.
        NumericalError: they are not finite.
    """
    if not bool(inputs.isfinite().all()):
        raise NumericalError("the vectors have NaN or infinite values.")
    if not bool(inputs.any()):
        raise InputError("nothing would be added at any block: the vectors are all zero.")
    method = method or GivenVectors()
    features = Features.of(_direction(inputs))
    made = replace(
        provenance,
        pairs={ALONE: (0, 0)},
        pairs_hash={ALONE: digest(inputs)},
        observer="mean",
        jacobian_prompts=0,
        libraries=library_versions(),
    )
    controller = method.solve(Evidence(features))
    return Parts(features, controller, method, made, diagnostics=(found,))


def digest(inputs: Float[Tensor, "blocks n"]) -> str:
    """SHA-256 of the numbers, in float32."""
    return hashlib.sha256(inputs.float().contiguous().cpu().numpy().tobytes()).hexdigest()


def _direction(inputs: Float[Tensor, "blocks n"]) -> Direction:
    contrast = torch.cat([torch.zeros_like(inputs[:1]), inputs])
    norm = contrast.norm(dim=-1)
    unit = norm.unsqueeze(-1)
    v = torch.where(unit > 0, contrast / unit, torch.zeros_like(contrast))
    nothing = torch.zeros_like(norm)
    return Direction(contrast, v, norm, nothing, nothing, torch.full_like(norm, torch.inf))
