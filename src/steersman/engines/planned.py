"""What a plan adds, worked out once for all passes: it depends on no state."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.engines.channel import Channel


class Planned(NamedTuple):
    """The inputs of every block, for every token of a row.

    Attributes:
        inputs: of each block that acts; a single row is for all rows.
        effort: their lengths, and 0 after the last block.
    """

    inputs: tuple[Float[Tensor, "rows_or_1 1 n"] | None, ...]
    effort: Float[Tensor, "states rows_or_1 1"]


class Plans:
    """The plans of a run's channels, kept from pass to pass."""

    def __init__(self) -> None:
        """None is known yet."""
        self._known: dict[int, tuple[Channel, int, Planned | None]] = {}

    def of(self, index: int, channel: Channel, copies: int) -> Planned | None:
        """The plan of a channel; None where its inputs depend on states.

        Args:
            index: which of the run's channels.
            channel: the channel, on the device of the pass.
            copies: rows of the batch for each prompt.
        """
        known = self._known.get(index)
        if known is None or known[0] is not channel or known[1] != copies:
            known = self._known[index] = channel, copies, _planned(channel, copies)
        return known[2]


def _planned(channel: Channel, copies: int) -> Planned | None:
    law, reference, units = channel.law, channel.reference, channel.units
    if reference.needs_nominal or channel.observer is not None or units.norm.ndim > 3:
        return None
    asked = channel.asked(copies, 1, units.norm.device)
    known = law.known(asked.offsets(units, 1 if asked.rows is None else asked.rows))
    if known is None:
        return None
    lengths = torch.linalg.vector_norm(torch.stack([*known, torch.zeros_like(known[0])]), dim=-1)
    acts = [law.is_active(block) for block in range(law.blocks)]
    inputs = [u.unsqueeze(1) if acting else None for u, acting in zip(known, acts, strict=True)]
    active = torch.tensor([*acts, False], device=lengths.device)
    return Planned(tuple(inputs), (lengths * active[:, None]).unsqueeze(-1))
