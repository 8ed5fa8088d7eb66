"""Which tokens of a forward pass are real, new, and to be steered.

A column is a place in the padded sequence, counted from its first token, whatever part of it the
key-value cache already holds: the same columns are steered with a cache, without, and in chunks.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from steersman.errors import InputError


@dataclass(frozen=True, eq=False)
class Window:
    """The tokens of one forward pass.

    Args:
        first: column of its first token.
        valid: which tokens are not padding, `(batch, length)`.
        ids: token ids where the model was given them, `(batch, length)`.
        cached: whether earlier columns were read from a cache.
    """

    first: int
    valid: Bool[Tensor, "batch length"]
    ids: Int[Tensor, "batch length"] | None
    cached: bool

    @property
    def batch(self) -> int:
        """Rows."""
        return self.valid.shape[0]

    @property
    def length(self) -> int:
        """Columns in this pass."""
        return self.valid.shape[1]


def read_window(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Window:
    """The window of a call `model(*args, **kwargs)`.

    A two-dimensional attention mask tells padding apart. With any other mask, or none, every token
    counts as real; that never changes a real token, which does not attend to padding.

    Raises:
        InputError: the call holds neither token ids nor embeddings.
    """
    ids = kwargs.get("input_ids", args[0] if args and isinstance(args[0], Tensor) else None)
    given = ids if ids is not None else kwargs.get("inputs_embeds")
    if given is None:
        raise InputError("the model was called without input_ids or inputs_embeds")
    batch, length = int(given.shape[0]), int(given.shape[1])
    mask = kwargs.get("attention_mask")
    past = _past(kwargs.get("past_key_values"))
    if isinstance(mask, Tensor) and mask.ndim == 2 and mask.shape[1] >= length:
        valid = mask[:, past : past + length] if mask.shape[1] > length else mask
        valid = valid.bool() if valid.shape[1] == length else mask[:, -length:].bool()
    else:
        valid = torch.ones(batch, length, dtype=torch.bool, device=given.device)
    return Window(past, valid, ids, cached=past > 0)


def _past(cache: Any) -> int:
    return int(cache.get_seq_length()) if cache is not None else 0


def matching(window: Window, ids: tuple[int, ...]) -> Bool[Tensor, "batch length"]:
    """Real tokens whose id is one of `ids`.

    Raises:
        InputError: the model was called with embeddings, so that ids are not known.
    """
    if window.ids is None:
        raise InputError(
            "tokens='matching' needs token ids, and the model was called with inputs_embeds: "
            "call it with input_ids, or attach with tokens='all'"
        )
    wanted = torch.tensor(ids, device=window.ids.device)
    return window.valid & torch.isin(window.ids, wanted)


def last_columns(window: Window) -> Int[Tensor, " batch"]:
    """The column of each row's last real token."""
    places = torch.arange(window.length, device=window.valid.device)
    return window.first + (places * window.valid).amax(dim=1)


class Sequences:
    """Follows one sequence of tokens over several forward passes, and notices a new one.

    Args:
        prompt_length: columns of the prompt, for a prompt that arrives in chunks; None takes the
            first pass for the whole prompt.
    """

    def __init__(self, prompt_length: int | None = None) -> None:
        """Start before any pass."""
        self._given = prompt_length
        self._prompt: Tensor | None = None
        self._start: Tensor | None = None
        self._latest: int | None = None
        self.seen = 0

    def enter(self, window: Window) -> bool:
        """Take note of a pass; True where it begins a new sequence."""
        begins = self._start is None or not (window.cached or self._continues(window))
        if begins:
            self._prompt = window.ids
            self._start = self._first_steered(window)
            # Asking an accelerator for a value would wait for it.
            at_hand = self._start.device.type == "cpu"
            self._latest = int(self._start.max()) if at_hand else None
            self.seen = 0
        return begins

    def leave(self, window: Window) -> None:
        """Take note that the pass is over."""
        self.seen = max(self.seen, window.first + window.length)

    def from_start(self, window: Window) -> Bool[Tensor, "batch length"]:
        """Real tokens from the prompt's last one on."""
        if self._start is None:
            raise InputError("no pass has begun")
        if self._latest is not None and window.first >= self._latest:
            return window.valid
        columns = window.first + torch.arange(window.length, device=window.valid.device)
        return window.valid & (columns[None] >= self._start.to(columns.device)[:, None])

    def _first_steered(self, window: Window) -> Tensor:
        if self._given is None:
            return last_columns(window)
        return torch.full((window.batch,), self._given - 1, device=window.valid.device)

    def _continues(self, window: Window) -> bool:
        """Without a cache every pass starts at column 0: a longer one may go on from the last."""
        if self._prompt is None or window.ids is None:
            return False
        batch, length = self._prompt.shape
        if window.batch != batch or window.length <= length:
            return False
        return torch.equal(window.ids[:, :length], self._prompt)
