"""From tokens as they come to text as it is sent: whole characters, nothing of a stop string."""

from collections.abc import Sequence
from typing import Any

_BEFORE = 8
_BROKEN = "\ufffd"


class Text:
    """The text of one answer, as far as it is certain.

    A token's text depends on those before it, so that the last ones of the prompt are decoded too.

    Args:
        tokenizer: the model's; it is only read.
        prompt: the prompt's token ids.
        stops: texts that end the answer, and are no part of it.
        fresh: whether the answer begins a text of its own, as a message does: then a space in front
            of it is left out.
    """

    def __init__(
        self, tokenizer: Any, prompt: Sequence[int], stops: Sequence[str] = (), fresh: bool = False
    ) -> None:
        """Nothing is written yet."""
        self._tokenizer = tokenizer
        self._ids = list(prompt[-_BEFORE:])
        self._from, self._read = 0, len(self._ids)
        self._stops = tuple(stops)
        self._fresh = fresh
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """What can be sent now that there is another token."""
        self._ids.append(token)
        return self._sent(self._new(whole=False))

    def end(self) -> str:
        """What is left to be sent when there are no more tokens."""
        if self.stopped:
            return ""
        last = self._sent(self._new(whole=True))
        left, self._held = ("", "") if self.stopped else (self._held, "")
        return last + left

    def _new(self, *, whole: bool) -> str:
        """The text of the tokens that have not been read, once it is made of whole characters."""
        known = self._decoded(self._ids[self._from : self._read])
        text = self._decoded(self._ids[self._from :])
        if len(text) <= len(known) or (text.endswith(_BROKEN) and not whole):
            return ""
        self._from, self._read = self._read, len(self._ids)
        found = text[len(known) :]
        if self._fresh:
            found = found.lstrip(" ")
            self._fresh = not found
        return found

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _sent(self, new: str) -> str:
        """All that cannot be the beginning of a stop string."""
        self._held += new
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.stopped = True
            sent, self._held = self._held[: min(places)], ""
            return sent
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        sent, self._held = self._held[:cut], self._held[cut:]
        return sent


def _overlap(text: str, stop: str) -> int:
    """How much of the end of a text is the beginning of a stop string."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
