"""A run's laws, some of which are made anew: for the prompts of a batch, or for every token."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from steersman.engines.channel import AtPrompt, Channel
from steersman.engines.memory import RowMemory
from steersman.engines.rows import copies_of, rows_of
from steersman.engines.window import Window
from steersman.errors import InputError


class Renewal:
    """The channels as they are now, on every device where they are wanted.

    Making a law anew may run the model, so whoever asks for it lets its own hooks lie asleep.

    Args:
        channels: as they were attached.
        prompts: how many prompts a batch holds, where that is known.
    """

    def __init__(self, channels: tuple[Channel, ...], prompts: int | None) -> None:
        """Nothing was made anew yet."""
        self.channels = channels
        self.at_prompt = any(one.at_prompt for one in channels)
        self.at_token = any(one.at_token for one in channels)
        self.known = RowMemory()
        self._prompts = prompts
        self._on: dict[torch.device, tuple[Channel, ...]] = {}

    def on(self, device: torch.device) -> tuple[Channel, ...]:
        """The channels on a device."""
        found = self._on.get(device)
        if found is None:
            found = self._on[device] = tuple(one.to(device) for one in self.channels)
        return found

    def make(self, window: Window, owner: object) -> None:
        """A new sequence: make every law that is made for its prompts.

        Args:
            window: the whole prompts.
            owner: who holds hooks on the model meanwhile.

        Raises:
            InputError: the pass does not hold the ids of the whole prompts.
        """
        self._now(tuple(self._made_for(one, window, owner) for one in self.channels))

    def note(self, window: Window) -> None:
        """Take note of the ids of a pass, which laws that are made for a token are made of."""
        if window.ids is not None:
            entries = torch.stack([window.ids, window.valid.to(window.ids)], dim=-1)
            self.known.write(window.first, entries)

    def remake(self, window: Window, owner: object) -> None:
        """Make every law that is made for each token, where one is generated.

        Args:
            window: the token, one a row, behind a cache.
            owner: who holds hooks on the model meanwhile.

        Raises:
            InputError: more than one token passes, or there is no cache: then tokens that had laws
                of their own would be run again.
        """
        self._now(tuple(self._remade_for(one, window, owner) for one in self.channels))

    def _now(self, channels: tuple[Channel, ...]) -> None:
        self.channels = channels
        self._on.clear()

    def _made_for(self, channel: Channel, window: Window, owner: object) -> Channel:
        if channel.at_prompt is None:
            return channel
        if window.ids is None or window.cached:
            raise InputError(
                "a law that is made for each prompt needs the token ids of the whole prompt: call "
                "the model with input_ids and without an earlier cache, or attach with "
                "relinearize='fit'"
            )
        rows = rows_of(channel.rows, copies_of(window.batch, self._prompts), window)
        return _made(channel, channel.at_prompt, window.ids, window.valid, rows, owner)

    def _remade_for(self, channel: Channel, window: Window, owner: object) -> Channel:
        if channel.at_token is None:
            return channel
        known = self.known.kept if window.ids is not None else None
        if known is None or not window.cached or window.length != 1:
            raise InputError(
                "a law that is made for each token needs one token at a time behind a cache: "
                "generate with use_cache=True from input_ids, or attach with relinearize='prompt'"
            )
        rows = rows_of(channel.rows, copies_of(window.batch, self._prompts), window)
        return _made(channel, channel.at_token, known[..., 0], known[..., 1].bool(), rows, owner)


def _made(
    channel: Channel,
    make: AtPrompt,
    ids: Int[Tensor, "rows columns"],
    valid: Bool[Tensor, "rows columns"],
    rows: Tensor | None,
    owner: object,
) -> Channel:
    chosen = range(len(ids)) if rows is None else rows.tolist()
    made = make(tuple(ids[row][valid[row]] for row in chosen), owner)
    return replace(channel, law=made.law, units=made.units, moved=made.moved)
