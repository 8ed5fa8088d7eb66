"""Which tokens of a forward pass are real, new, and to be steered.

A column is a place in the padded sequence, counted from its first token, whatever part of it the
key-value cache already holds: the same columns are steered with a cache, without, and in chunks.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int, Shaped
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
        mask: which columns up to the last of this pass are not padding; None takes all of them.
    """

    first: int
    valid: Bool[Tensor, "batch length"]
    ids: Int[Tensor, "batch length"] | None
    cached: bool
    mask: Shaped[Tensor, "batch columns"] | None = None

    @property
    def batch(self) -> int:
        """Rows."""
        return self.valid.shape[0]

    @property
    def length(self) -> int:
        """Columns in this pass."""
        return self.valid.shape[1]

    @property
    def columns(self) -> Int[Tensor, " length"]:
        """The number of each column."""
        return self.first + torch.arange(self.length, device=self.valid.device)

    @property
    def before(self) -> Int[Tensor, " batch"]:
        """How many tokens of each row lie before this pass, without padding."""
        if self.mask is not None:
            return self.mask[:, : self.first].bool().sum(dim=1).to(self.valid.device)
        return torch.full((self.batch,), self.first, device=self.valid.device)

    @property
    def places(self) -> Int[Tensor, "batch length"]:
        """Where in its row's text each token is, counted from 0; padding does not count."""
        return (self.before[:, None] + self.valid.cumsum(dim=1) - 1).clamp(min=0)


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
    mask, known = kwargs.get("attention_mask"), None
    past = _past(kwargs.get("past_key_values"))
    if isinstance(mask, Tensor) and mask.ndim == 2 and mask.shape[1] >= length:
        valid = mask[:, past : past + length] if mask.shape[1] > length else mask
        known = mask if mask.shape[1] >= past + length else None
        valid = valid.bool() if valid.shape[1] == length else mask[:, -length:].bool()
    else:
        valid = torch.ones(batch, length, dtype=torch.bool, device=given.device)
    return Window(past, valid, ids, past > 0, known)


def _past(cache: Any) -> int:
    return int(cache.get_seq_length()) if cache is not None else 0


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

    def resume(self, ends: Int[Tensor, " batch"], columns: int) -> None:
        """Go on with a sequence that was begun elsewhere.

        Args:
            ends: the column of each row's last prompt token.
            columns: how many columns have passed.
        """
        self._prompt, self._start, self.seen = None, ends, columns
        self._latest = int(ends.max()) if ends.device.type == "cpu" else None

    @property
    def starts(self) -> Int[Tensor, " batch"]:
        """The column of each row's last prompt token, from which on text is generated.

        Raises:
            InputError: no pass has begun.
        """
        if self._start is None:
            raise InputError("no pass has begun")
        return self._start

    def leave(self, window: Window) -> None:
        """Take note that the pass is over."""
        self.seen = max(self.seen, window.first + window.length)

    def from_start(self, window: Window) -> Bool[Tensor, "batch length"]:
        """Real tokens from the prompt's last one on."""
        if self._start is None:
            raise InputError("no pass has begun")
        if self._latest is not None and window.first >= self._latest:
            return window.valid
        return window.valid & (window.columns >= self.ends(window)[:, None])

    def in_prompt(self, window: Window) -> Bool[Tensor, "batch length"]:
        """Real tokens of the prompt, its last one included."""
        if self._latest is not None and window.first > self._latest:
            return torch.zeros_like(window.valid)
        return window.valid & (window.columns <= self.ends(window)[:, None])

    def to_come(self, window: Window) -> Int[Tensor, " batch"]:
        """How many columns of the prompt lie behind this pass."""
        return (self.ends(window) - (window.first + window.length - 1)).clamp(min=0)

    def unfinished(self, window: Window) -> bool:
        """Whether a prompt of known length goes on behind this pass."""
        return self._given is not None and window.first + window.length < self._given

    def ends(self, window: Window) -> Int[Tensor, " batch"]:
        """The column of the last prompt token of each row."""
        if self._start is None:
            raise InputError("no pass has begun")
        ends = self._start.to(window.valid.device)
        # Rows come and go only in generation, where all prompts end in the same column.
        return ends if len(ends) == window.batch else ends.max().expand(window.batch)

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
