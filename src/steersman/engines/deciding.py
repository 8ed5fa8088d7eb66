"""What conditions ask of a prompt, read once while it passes, and kept for what is generated."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from steersman.engines.channel import Channel
from steersman.engines.memory import RowMemory
from steersman.engines.window import Sequences, Window
from steersman.errors import InputError
from steersman.gating import PromptCondition, Reading


class Verdicts(RowMemory):
    """Whether each row's prompt met a condition; a prompt stays when a sequence is cut."""

    def crop(self, max_length: int) -> None:
        """Nothing is forgotten."""

    def decide(self, fires: Bool[Tensor, " rows"]) -> None:
        """Keep what was decided."""
        self.write(0, fires[:, None])

    @property
    def decided(self) -> Bool[Tensor, " rows"] | None:
        """What was decided; None before."""
        return None if self.kept is None else self.kept[:, 0]


class Deciding:
    """Gathers the states of one batch of prompts, and decides when all are known.

    Args:
        conditions: by the number of the steering that has them.
        window: the pass of the whole prompts.
        sequences: where they end.

    Raises:
        InputError: the pass does not hold the whole prompts.
    """

    def __init__(
        self, conditions: Mapping[int, PromptCondition], window: Window, sequences: Sequences
    ) -> None:
        """Nothing is read yet."""
        if window.cached or sequences.unfinished(window):
            raise InputError(
                "whether a prompt meets a condition is decided on the whole of it: call the model "
                "with all of the prompt in one pass and without an earlier cache, or attach "
                "steering.when(None)"
            )
        self._conditions = conditions
        self._window, self._sequences = window, sequences
        wanted = {reading for one in conditions.values() for reading in one.readings}
        self._wanted = frozenset(wanted)
        self._states: dict[Reading, Tensor] = {}

    @property
    def deepest(self) -> int:
        """The last state that is read."""
        return max(reading.state for reading in self._wanted)

    @property
    def complete(self) -> bool:
        """Whether all is known."""
        return len(self._states) == len(self._wanted)

    def see(self, state: int, x: Float[Tensor, "batch length n"]) -> None:
        """Take from one state of the pass what is asked of it."""
        for reading in self._wanted:
            if reading.state == state:
                found = pooled(x.detach(), self._window, self._sequences, reading)
                self._states[reading] = found.to(self._window.valid.device)

    def verdicts(self) -> dict[int, Bool[Tensor, " rows"]]:
        """Whether each row meets each condition."""
        return {index: one.fires(self._states) for index, one in self._conditions.items()}


def pooled(
    x: Float[Tensor, "batch length n"], window: Window, sequences: Sequences, reading: Reading
) -> Float[Tensor, "batch n"]:
    """One state of each row's prompt: that of its last token, or the mean over its tokens.

    Padding counts for nothing, nor do the token ids that are left out, where others are left.

    Args:
        x: states of a pass that holds the whole prompts.
        window: the pass.
        sequences: where its prompts end.
        reading: what is asked for.

    Returns:
        In float32 or more.

    Raises:
        InputError: ids are to be left out, and the model was called with embeddings.
    """
    counted = sequences.in_prompt(window)
    if reading.pool == "last":
        counted = counted & (window.columns == sequences.ends(window)[:, None])
    elif reading.left_out:
        if window.ids is None:
            raise InputError(
                "the condition leaves out some token ids, and the model was called with "
                "inputs_embeds: call it with input_ids"
            )
        marks = torch.tensor(reading.left_out, device=window.ids.device)
        text = counted & ~torch.isin(window.ids, marks)
        counted = torch.where(text.any(dim=1, keepdim=True), text, counted)
    kept = counted.to(x.device)[..., None]
    states = x.to(torch.promote_types(x.dtype, torch.float32))
    return torch.where(kept, states, 0.0).sum(dim=1) / kept.sum(dim=1).clamp(min=1)


def first_active(channels: Iterable[Channel], blocks: int) -> int:
    """The last state that is known before any law acts; one more than the last where none does.

    A law adds to a block's output when the state at its input is known; inside a block it acts
    before.
    """
    acting = [
        block if channel.site == "block" else block - 1
        for channel in channels
        for block in range(blocks)
        if channel.law.is_active(block)
    ]
    return min(acting, default=blocks + 1)


@torch.no_grad()
def run_bare(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Run a call's tokens, for the sake of its hooks; the caller's cache stays as it is."""
    given = {key: value for key, value in kwargs.items() if key != "labels"}
    if given.get("past_key_values") is not None:
        given["past_key_values"] = copy.deepcopy(given["past_key_values"])
    model.forward(*args, **given)
