"""One forward pass: what every steering adds in it, and what its record is shown."""

from collections import Counter
from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from steersman.engines.channel import Channel
from steersman.engines.lane import Lane
from steersman.engines.planned import Plans
from steersman.engines.recorder import Recorder
from steersman.engines.rows import copies_of
from steersman.engines.window import Sequences, Window
from steersman.plant import Site


class Pass:
    """What belongs to one forward pass.

    Args:
        channels: the steerings.
        window: the tokens that pass.
        sequences: where their prompts end.
        prompts: how many prompts a batch holds, where that is known.
        skip: columns at the front that an earlier pass has recorded.
        plans: what earlier passes have worked out.
        recorders: one for each steering; empty where nothing is recorded.
    """

    def __init__(
        self,
        channels: tuple[Channel, ...],
        window: Window,
        sequences: Sequences,
        prompts: int | None,
        skip: int,
        plans: Plans,
        recorders: Sequence[Recorder],
    ) -> None:
        """A lane for each channel."""
        self.window = window
        self.passive = False
        self.fired = 0
        self.visited = Counter[Site]()
        copies = copies_of(window.batch, prompts)
        self.lanes = tuple(
            Lane(index, channel, window, sequences, copies, plans)
            for index, channel in enumerate(channels)
        )
        self._skip = skip
        self._traced = bool(recorders)
        self._recorders = tuple(recorders) if recorders else (None,) * len(channels)
        for lane, recorder in zip(self.lanes, recorders, strict=False):
            effort = None if lane.planned is None else lane.planned.effort
            recorder.tokens(*lane.tokens(window, skip), effort)

    def decide(self, index: int, fires: Bool[Tensor, " batch"]) -> None:
        """Close the rows of a steering whose prompts do not meet its condition.

        Args:
            index: which steering.
            fires: which rows' prompts do.
        """
        lane, recorder = self.lanes[index], self._recorders[index]
        mine = lane.decide(fires)
        if recorder is not None:
            recorder.decided(mine, lane.open[:, self._skip :])

    def look(
        self,
        channels: tuple[Channel, ...],
        block: int,
        x: Float[Tensor, "batch length n"],
        y: Float[Tensor, "batch length n"],
    ) -> None:
        """Keep what steerings with a relative reference observe of a block of the nominal run.

        Args:
            channels: all steerings, on the device of the block.
            block: which block.
            x: what enters it.
            y: what leaves it.
        """
        for lane, channel in zip(self.lanes, channels, strict=True):
            if not channel.reference.needs_nominal:
                continue
            last = block + 1 == channel.law.blocks
            if channel.site == "block":
                lane.remember(channel, block, x, y)
            if self._traced:
                lane.show_nominal(channel, block, x)
            if last:
                lane.begin(channel, y)
            if last and self._traced:
                lane.show_nominal(channel, block + 1, y)

    def steer(
        self,
        channels: tuple[Channel, ...],
        block: int,
        x: Float[Tensor, "batch length n"],
        y: Float[Tensor, "batch length n"],
    ) -> Float[Tensor, "batch length n"]:
        """A block's output with every steering's input added.

        Args:
            channels: the steerings, on the device of the block.
            block: which block.
            x: what enters it.
            y: what leaves it.
        """
        self.fired += 1
        for lane, channel, recorder in zip(self.lanes, channels, self._recorders, strict=True):
            if lane.fully is not False or recorder is not None:
                y = lane.steer(channel, block, x, y, recorder, self._skip)
        return y

    def end(
        self,
        channels: tuple[Channel, ...],
        y: Float[Tensor, "batch length n"],
    ) -> None:
        """Take note of where the steered run ended.

        Args:
            channels: the steerings, on the device of the last block.
            y: what leaves the last block, steered.
        """
        for lane, channel, recorder in zip(self.lanes, channels, self._recorders, strict=True):
            lane.end(channel, y)
            if recorder is not None:
                lane.show_final(channel, y, recorder, self._skip)

    def look_inside(
        self,
        channels: tuple[Channel, ...],
        at: Sequence[int],
        block: int,
        z: Float[Tensor, "batch length width"],
    ) -> None:
        """As `look`, at a site inside the block.

        Args:
            channels: see there.
            at: the numbers of those that act at the site.
            block: see there.
            z: what it holds at the site.
        """
        for index in at:
            if channels[index].reference.needs_nominal:
                self.lanes[index].remember(channels[index], block, z, z)

    def steer_inside(
        self,
        channels: tuple[Channel, ...],
        site: Site,
        at: Sequence[int],
        block: int,
        z: Float[Tensor, "batch length width"],
    ) -> Float[Tensor, "batch length width"]:
        """What a block holds at a site with the inputs of the steerings there added.

        Args:
            channels: all of the run, on the device of the block.
            site: which site.
            at: the numbers of those that act there.
            block: which block.
            z: what it holds.
        """
        self.visited[site] += 1
        for index in at:
            z = self.lanes[index].steer_inside(channels[index], block, z, self._traced)
        return z
