"""Which way the state of a prompt's last token is moved, at every block."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions import Direction
from steersman.errors import InputError, ShapeError

RANDOM, FEATURE, BETWEEN = "random", "feature", "between prompts"
"""What the kinds of steps are called."""

_SAME = 1e-5
"""Share of a state's length below which two states differ by rounding alone."""


@dataclass(frozen=True, eq=False)
class Steps:
    """Unit vectors to step along, and how long a natural step of that kind is.

    Args:
        kinds: what they are called.
        units: `d / |d|` at the input of every block; zero where there is nowhere to go.
        reach: length of the step that is there to be taken, as a share of `|x_t|`: to the other
            prompt's state, or by the contrast of the examples; NaN for a random one.
    """

    kinds: tuple[str, ...]
    units: Float[Tensor, "kinds prompts blocks n"]
    reach: Float[Tensor, "kinds prompts blocks"]


def steps(
    states: Float[Tensor, "prompts blocks n"],
    partners: Sequence[int],
    direction: Direction | None,
    seed: int,
) -> Steps:
    """Steps of every kind, from every prompt's state at the input of every block.

        random      d ~ isotropic
        feature     d ~ v_t, from undesired to desired examples
        between     d ~ x_t' - x_t, x_t' the state of another prompt's last token

    Args:
        states: `x_0 .. x_{T-1}` of every prompt's last token, float64.
        partners: which other prompt a step leads to.
        direction: the feature; None leaves its kind out.
        seed: of the random steps.

    Raises:
        ShapeError: the direction is of a model of another size.
    """
    size = states.norm(dim=-1)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(states.shape, generator=generator, dtype=states.dtype)
    found = {RANDOM: (_unit(drawn), torch.full_like(size, torch.nan))}
    if direction is not None:
        _require_fit(direction, states)
        contrast = direction.contrast[:-1].to(states).expand_as(states)
        found[FEATURE] = _unit(contrast), contrast.norm(dim=-1) / size
    apart = states[list(partners)] - states
    far = apart.norm(dim=-1) > _SAME * size
    apart = apart * far.unsqueeze(-1)
    found[BETWEEN] = _unit(apart), apart.norm(dim=-1) / size
    units, reach = zip(*found.values(), strict=True)
    return Steps(tuple(found), torch.stack(units), torch.stack(reach))


def checked_scales(scales: Sequence[float]) -> Float[Tensor, " scales"]:
    """The scales as a tensor, float64.

    Raises:
        InputError: none, one that is not finite and above zero, or not rising.
    """
    given = torch.tensor([float(scale) for scale in scales], dtype=torch.float64)
    if not len(given) or not bool((given.isfinite() & (given > 0)).all()):
        raise InputError(
            f"scales are {list(scales)}; give at least one, each finite and above zero."
        )
    if not bool((given.diff() > 0).all()):
        raise InputError(f"scales are {list(scales)}; give them in rising order, each once.")
    return given


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)


def _require_fit(direction: Direction, states: Tensor) -> None:
    blocks, n = states.shape[1:]
    if (direction.blocks, direction.n) != (blocks, n):
        raise ShapeError(
            f"the feature is of {direction.blocks} blocks of width {direction.n}, the model has "
            f"{blocks} of width {n}: fit it on this model."
        )
