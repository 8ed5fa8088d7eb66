"""The next token of each row, by the sampling and the generator of its own answer."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.serving.protocol import Sampling


def generator_of(seed: int) -> torch.Generator:
    """A generator for one answer; what others draw does not move it."""
    return torch.Generator().manual_seed(seed)


def choose(
    logits: Float[Tensor, "rows vocabulary"],
    samplings: Sequence[Sampling],
    generators: Sequence[torch.Generator],
) -> list[int | None]:
    """One token for every row.

        p_i ~ exp(logit_i / temperature)   within the likeliest tokens of mass top_p
        x = the first i with  p_0 + .. + p_i > r,   r uniform in [0, 1) from the row's generator

    Args:
        logits: of the next token.
        samplings: how each row chooses.
        generators: each row's own; one number is drawn unless the temperature is 0.

    Returns:
        Token ids; None where a row's logits are not numbers, or there is none that can be chosen.
    """
    sound = (~logits.isnan().any(dim=-1) & logits.amax(dim=-1).isfinite()).tolist()
    likeliest = logits.argmax(dim=-1).tolist()
    known = zip(likeliest, sound, strict=True)
    found: list[int | None] = [one if fine else None for one, fine in known]
    drawn = [row for row, one in enumerate(samplings) if one.temperature > 0 and sound[row]]
    if drawn:
        tokens = _draw(logits[drawn], [samplings[r] for r in drawn], [generators[r] for r in drawn])
        for row, token in zip(drawn, tokens, strict=True):
            found[row] = token
    return found


def _draw(
    logits: Float[Tensor, "rows vocabulary"],
    samplings: Sequence[Sampling],
    generators: Sequence[torch.Generator],
) -> list[int]:
    device = logits.device
    heat = torch.tensor([one.temperature for one in samplings], dtype=torch.float64, device=device)
    top = torch.tensor([one.top_p for one in samplings], dtype=torch.float64, device=device)
    # From the largest, or a small temperature would divide two large numbers to infinity.
    cooled = (logits.double() - logits.double().amax(-1, keepdim=True)) / heat[:, None]
    p = cooled.softmax(dim=-1)
    if bool((top < 1).any()):
        p = _within(p, top)
    numbers = [torch.rand((), generator=one, dtype=torch.float64) for one in generators]
    mass = p.cumsum(dim=-1)
    wanted = torch.stack(numbers).to(device)[:, None] * mass[:, -1:]
    found = torch.searchsorted(mass, wanted, right=True).clamp(max=p.shape[-1] - 1)
    return [int(one) for one in found[:, 0].tolist()]


def _within(
    p: Float[Tensor, "rows vocabulary"], top: Float[Tensor, " rows"]
) -> Float[Tensor, "rows vocabulary"]:
    """Zero but for the fewest of the likeliest tokens whose mass reaches `top`."""
    ordered, places = p.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    kept = (before < top[:, None]) | (top[:, None] >= 1)
    return torch.zeros_like(p).scatter(-1, places, torch.where(kept, ordered, 0.0))
