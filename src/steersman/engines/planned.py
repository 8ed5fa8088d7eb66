"""What depends on no state, worked out once for all passes: plans, and what is asked of a law."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import Reference
from steersman.engines.channel import Channel


class Planned(NamedTuple):
    """The inputs of every block, for every token of a row.

    Attributes:
        inputs: of each block that acts; a single row is for all rows.
        effort: their lengths, and 0 after the last block.
    """

    inputs: tuple[Float[Tensor, "rows_or_1 1 n"] | None, ...]
    effort: Float[Tensor, "states rows_or_1 1"]


class Asked(NamedTuple):
    """What is asked of a law at every token of a pass.

    Attributes:
        channel: whose.
        reference: of every token.
        offsets: what is known of its setpoints at each block.
    """

    channel: Channel
    reference: Reference
    offsets: tuple[Float[Tensor, "tokens k"], ...]


class Plans:
    """The plans of a run's channels and what is asked of them, kept from pass to pass."""

    def __init__(self) -> None:
        """None is known yet."""
        self._known: dict[int, tuple[Channel, int, Planned | None]] = {}
        self._asked: dict[int, tuple[tuple[int, int, int], Asked]] = {}

    def asked(self, index: int, channel: Channel, copies: int, length: int, count: int) -> Asked:
        """What is asked of a channel that has no plan, before it is corrected or started.

        Args:
            index: which of the run's channels.
            channel: the channel, on the device of the pass.
            copies: rows of the batch for each prompt.
            length: tokens of each row.
            count: tokens in all.
        """
        known, shape = self._asked.get(index), (copies, length, count)
        if known is None or known[0] != shape or known[1].channel is not channel:
            reference = channel.asked(copies, length, channel.units.norm.device)
            offsets = offsets_of(channel, reference, length, count)
            known = self._asked[index] = shape, Asked(channel, reference, offsets)
        return known[1]

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


def offsets_of(
    channel: Channel, reference: Reference, length: int, count: int
) -> tuple[Float[Tensor, "tokens k"], ...]:
    """What is known of the setpoints of so many tokens at each block."""
    return reference.offsets(channel.units.repeated(length), count).unbind(0)


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
