"""One steering in one forward pass: its rows and tokens, and its law's state."""

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from steersman.engines.channel import Channel
from steersman.engines.planned import Asked, Plans, offsets_of
from steersman.engines.recorder import Recorder
from steersman.engines.rows import rows_of
from steersman.engines.window import Sequences, Window


class Lane:
    """One channel in one forward pass: its rows, its open tokens, its law's state.

    Args:
        index: which of the run's steerings.
        channel: the steering.
        window: the tokens that pass.
        sequences: where their prompts end.
        copies: rows of the batch for each prompt.
        plans: what earlier passes have worked out.
    """

    def __init__(
        self,
        index: int,
        channel: Channel,
        window: Window,
        sequences: Sequences,
        copies: int,
        plans: Plans,
    ) -> None:
        """Which rows and tokens it has."""
        self.rows = rows_of(channel.rows, copies, window)
        opened = channel.rule.open(window, sequences)
        self.open = opened if self.rows is None else opened[self.rows]
        self.count = self.open.numel()
        self.fully = _fully(self.open)
        self.planned = plans.of(index, channel, copies)
        self._asked: Asked | None = None
        self.reference = channel.reference
        if self.planned is None:
            # A target for each prompt becomes one for each token: its copies, then their tokens.
            self._asked = plans.asked(index, channel, copies, window.length, self.count)
            self.reference = self._asked.reference
        self.tokens_each = window.length
        self.copies = copies
        self.start: Tensor | None = None
        self.reached: Tensor | None = None
        self.denied: Tensor | None = None
        self.state = channel.law.begin(self.count, partial(self._places, window))
        self.observed: dict[int, Tensor] = {}
        self.nominal: dict[int, Tensor] = {}
        self.inside: dict[int, Tensor] = {}

    def decide(self, fires: Bool[Tensor, " batch"]) -> Bool[Tensor, " rows"]:
        """Close the rows whose prompt does not meet the channel's condition.

        Returns:
            Which of the lane's own rows do.
        """
        mine = fires if self.rows is None else fires[self.rows]
        self.open = self.open & mine[:, None]
        self.fully = _fully(self.open)
        return mine

    def tokens(self, window: Window, skip: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Steered, valid and ids of this lane's new tokens."""
        valid, ids = window.valid, window.ids
        if self.rows is not None:
            valid, ids = valid[self.rows], None if ids is None else ids[self.rows]
        if not skip:
            return self.open, valid, ids
        return self.open[:, skip:], valid[:, skip:], None if ids is None else ids[:, skip:]

    def remember(self, channel: Channel, block: int, x: Tensor, y: Tensor) -> None:
        """Keep what the law observes of the nominal state."""
        self.observed[block] = channel.law.observe(self._states(_read(channel, x, y)), block)

    def begin(self, channel: Channel, y: Tensor) -> None:
        """Take note of where the nominal run ended."""
        if channel.final is not None:
            self.start = channel.final(self._states(y))
            self.reference = self.reference.started(self.start)

    def end(self, channel: Channel, y: Tensor) -> None:
        """Take note of where the steered run ended."""
        if channel.observer is not None and channel.final is not None:
            self.reached = channel.final(self._states(y))

    def corrected(self, by: Float[Tensor, "rows tokens features"]) -> None:
        """Move the target of every token."""
        mine = by if self.rows is None else by[self.rows]
        self.reference = self.reference.moved(mine.flatten(0, 1))

    def next_correction(
        self, channel: Channel, last: Float[Tensor, "rows features"]
    ) -> Float[Tensor, "rows features"]:
        """Each row's correction for the token behind this pass, from what its last token missed.

        Args:
            channel: the steering.
            last: the correction that the last token had.
        """
        if channel.observer is None or self.reached is None:
            return last
        places = slice(self.tokens_each - 1, None, self.tokens_each)
        asked = channel.reference.repeated(self.copies, self.reached.device)
        start = None if self.start is None else self.start[places]
        missed = asked.missed(self.reached[places], start).to(last)
        mine = last if self.rows is None else last[self.rows]
        denied = None if self.denied is None else self.denied[places].to(missed)
        found = channel.observer.step(mine, missed, self.open[:, -1], denied)
        return found if self.rows is None else last.index_copy(0, self.rows, found)

    def show_nominal(self, channel: Channel, state: int, x: Tensor) -> None:
        """Keep the watched features of a nominal state, for the trace."""
        if state < len(channel.watch):
            V = channel.watch[state].to(x.device)
            shown = self._states(x).to(V.dtype) @ V
            self.nominal[state] = shown.view(*self.open.shape, V.shape[1])

    def show_final(self, channel: Channel, y: Tensor, recorder: Recorder, skip: int) -> None:
        """Record the last block's output, with everything added to it, where it is watched."""
        state = channel.law.blocks
        if state < len(channel.watch):
            mine = self._states(y).view(*self.open.shape, y.shape[-1])
            recorder.block(state, mine, None, None, skip, self.nominal.get(state))

    def steer(
        self,
        channel: Channel,
        block: int,
        x: Tensor,
        y: Tensor,
        recorder: Recorder | None,
        skip: int,
    ) -> Tensor:
        """The block's output with the law's input added on open tokens of this lane's rows."""
        if self.planned is not None or channel.site != "block":
            if recorder is not None:
                mine, u = x if self.rows is None else x[self.rows], self.inside.pop(block, None)
                recorder.block(block, mine, None, u, skip, self.nominal.get(block))
            return y if self.planned is None or channel.site != "block" else self._known(block, y)
        acts = channel.acting[block]
        if recorder is None and not acts:
            return y
        states = self._states(_read(channel, x, y))
        reference = self._wanted(channel, block)
        if recorder is None and self._alone(channel) and y.dtype == x.dtype == channel.law.dtype:
            out = y.reshape(states.shape)
            self.state, moved = channel.law.added(self.state, states, reference, block, out)
            return moved.view(y.shape)
        u = None
        if self.fully is not False:
            self.state, u = channel.law.step(self.state, states, reference, block)
            self._deny(channel, block, u)
            u = u.view(*self.open.shape, x.shape[-1])
        if recorder is not None:
            wanted = (
                reference.view(*self.open.shape, reference.shape[1]) if channel.tracks else None
            )
            mine = x if self.rows is None else x[self.rows]
            recorder.block(block, mine, wanted, u, skip, self.nominal.get(block))
        if u is None or not acts:
            return y
        return self._placed(y, u)

    def steer_inside(self, channel: Channel, block: int, z: Tensor, kept: bool) -> Tensor:
        """What a part of the block holds with the law's input added, likewise.

        Args:
            channel: the steering, whose site this is.
            block: which block.
            z: what the part holds, `(rows, tokens, width)`.
            kept: keep what is added for the record of the block, which `steer` then makes.
        """
        if self.planned is not None:
            return self._known(block, z)
        if self.fully is False or not channel.acting[block]:
            return z
        states, reference = self._states(z), self._wanted(channel, block)
        if not kept and self._alone(channel) and z.dtype == channel.law.dtype:
            out = z.reshape(states.shape)
            self.state, moved = channel.law.added(self.state, states, reference, block, out)
            return moved.view(z.shape)
        self.state, u = channel.law.step(self.state, states, reference, block)
        u = u.view(*self.open.shape, z.shape[-1])
        if kept:
            self.inside[block] = u
        return self._placed(z, u)

    def _places(self, window: Window) -> Int[Tensor, " rows"]:
        """Where in its text each of its tokens is."""
        places = window.places
        return (places if self.rows is None else places[self.rows]).flatten()

    def _wanted(self, channel: Channel, block: int) -> Tensor:
        """Where every token's observations should be at a block."""
        return self.reference.joined(self._offsets(channel)[block], self.observed.get(block))

    def _known(self, block: int, y: Tensor) -> Tensor:
        """With the plan's input added, where there is one."""
        known = None if self.planned is None else self.planned.inputs[block]
        return y if known is None or self.fully is False else self._placed(y, known)

    def _alone(self, channel: Channel) -> bool:
        """Whether the law may add to the block's output by itself: nothing else asks what it adds.

        Every token is steered, and what it missed is not corrected at the next.
        """
        return self.fully is True and self.rows is None and channel.observer is None

    def _placed(self, y: Tensor, u: Tensor) -> Tensor:
        if self.rows is None:
            return self._added(y, u)
        if self.fully:  # one operation instead of three, and the other rows are copied as they are
            return y.index_add(0, self.rows, u.to(y).expand(len(self.rows), *y.shape[1:]))
        return y.index_copy(0, self.rows, self._added(y[self.rows], u))

    def _deny(self, channel: Channel, block: int, u: Float[Tensor, "rows n"]) -> None:
        """Take note of which way a law that is corrected was held back, feature by feature."""
        short = None if channel.observer is None else channel.law.held_back(self.state)
        if short is None or not channel.acting[block]:
            return
        # A push that is cut short goes the way that more of it would have gone.
        behind = block + 1
        V = channel.watch[behind] if behind < len(channel.watch) else channel.final_vectors
        found = torch.where(short.unsqueeze(1), u @ V.to(u), 0.0)
        self.denied = found if self.denied is None else self.denied + found.to(self.denied)

    def _offsets(self, channel: Channel) -> tuple[Tensor, ...]:
        """What is known of the setpoints, on the channel's device."""
        known = self._asked
        if known is None or known.channel is not channel or known.reference is not self.reference:
            offsets = offsets_of(channel, self.reference, self.tokens_each, self.count)
            known = self._asked = Asked(channel, self.reference, offsets)
        return known.offsets

    def _added(self, y: Tensor, u: Tensor) -> Tensor:
        moved = y + u.to(y)
        return moved if self.fully else torch.where(self.open[..., None], moved, y)

    def _states(self, x: Tensor) -> Tensor:
        mine = x if self.rows is None else x[self.rows]
        return mine.reshape(-1, mine.shape[-1])


def _read(channel: Channel, x: Tensor, y: Tensor) -> Tensor:
    """What the law reads of a block: its input or its output."""
    return x if channel.law.reads == "input" else y


def _fully(opened: Tensor) -> bool | None:
    """Whether every token is open, or none is; None where some are, or asking makes a GPU wait."""
    if opened.device.type != "cpu":
        return None
    count = int(torch.count_nonzero(opened))
    return bool(count) if count in (0, opened.numel()) else None
