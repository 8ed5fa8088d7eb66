"""What a run's channels carry from one token to the next to make up for what was missed."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.engines.channel import Channel
from steersman.engines.memory import RowMemory
from steersman.engines.passing import Pass
from steersman.engines.window import Window


class Corrections:
    """By how much the target of every token is moved, for channels with an observer.

    Args:
        channels: of the run, in order; those without an observer are not looked at.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        """Nothing was missed yet."""
        self._of = {i: RowMemory() for i, c in enumerate(channels) if c.observer}

    @property
    def memories(self) -> tuple[RowMemory, ...]:
        """What is kept for as long as a sequence is."""
        return tuple(self._of.values())

    def known(self, window: Window) -> Iterator[tuple[int, Float[Tensor, "rows length features"]]]:
        """The corrections of each channel at the tokens of a pass, where there are any."""
        for index, memory in self._of.items():
            found = memory.read(window.first, window.length)
            if found is not None:
                yield index, found

    def learn(self, current: Pass, channels: Sequence[Channel]) -> None:
        """Take from what every row's last token missed the correction of the token behind it.

        Args:
            current: the pass, which is over.
            channels: of the run, on the device of its window.
        """
        window = current.window
        for index, memory in self._of.items():
            channel = channels[index]
            known = memory.read(window.first, window.length)
            if known is None:
                features = len(channel.names)
                known = channel.watch.new_zeros(window.batch, window.length, features)
            behind = current.lanes[index].next_correction(channel, known[:, -1])
            memory.write(window.first, torch.cat([known, behind.unsqueeze(1)], dim=1))
