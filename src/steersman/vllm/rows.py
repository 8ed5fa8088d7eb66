"""Which rows of a batch belong to steered tokens.

vLLM lays the tokens of a pass of all requests one behind the other. A token's place in its own
request is `computed + i`, where `computed` of them are in the cache already: so the same tokens are
steered whether a prompt comes whole or in chunks, after a preemption, or from the prefix cache.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from steersman.engines import TokenRule, tokens_named
from steersman.engines.token_ids import TokenIds
from steersman.engines.token_rules import Both
from steersman.engines.window import Sequences, Window
from steersman.vllm.asking import Asked, AskedLaw


@dataclass(frozen=True, eq=False)
class LawOnRequest:
    """One law of one request, with the rule for its tokens.

    Args:
        asked: the law.
        prompt: tokens of the request's prompt.
    """

    asked: AskedLaw
    prompt: int

    @cached_property
    def ids(self) -> tuple[int, ...] | None:
        """The token ids it is limited to, in ascending order; None where it is to none."""
        return _ids(tokens_named(self.asked.rule))

    @cached_property
    def behind(self) -> bool:
        """Whether tokens behind the prompt are chosen by their place: all of them are, or none."""
        return bool(self.places(self.prompt, 1)[0])

    def places(self, first: int, count: int) -> Bool[np.ndarray, " count"]:
        """Which of `count` tokens from place `first` on are chosen by their place."""
        sequences = Sequences(self.prompt)
        valid = torch.ones(1, count, dtype=torch.bool)
        window = Window(first, valid, None, first > 0)
        sequences.enter(window)
        found = _places(tokens_named(self.asked.rule), window, sequences)
        return found[0].numpy()

    def opened(self, first: int, count: int) -> Bool[np.ndarray, " count"]:
        """The same, quickly where all tokens lie behind the prompt."""
        if first >= self.prompt:
            return np.full(count, self.behind)
        return self.places(first, count)


@dataclass(frozen=True, eq=False)
class Admitted:
    """A request that is steered.

    Args:
        laws: what acts on it.
        record: what the record of its features is called; empty where none is kept.
    """

    laws: tuple[LawOnRequest, ...]
    record: str = ""

    @classmethod
    def of(cls, asked: Asked) -> "Admitted":
        """From what was asked."""
        return cls(tuple(LawOnRequest(law, asked.prompt) for law in asked.laws), asked.record)

    @cached_property
    def settled(self) -> float:
        """From which place on all its tokens are alike; infinite where that goes by their ids."""
        return max(math.inf if law.ids is not None else float(law.prompt) for law in self.laws)


@dataclass(frozen=True)
class Batch:
    """The requests of one pass, in the order of their rows.

    Args:
        requests: their names.
        starts: where the rows of each begin, and where the last one's end.
        computed: how many tokens of each are in the cache.
        ids: the token ids of the rows, on the model's device; None where it is given embeddings.
    """

    requests: Sequence[str]
    starts: Int[np.ndarray, " requests_and_1"]
    computed: Int[np.ndarray, " requests"]
    ids: Tensor | None = None

    def spans(self) -> list[tuple[str, int, int, int]]:
        """Of each request: its name, its first row, how many rows, and its first token's place."""
        starts, computed = self.starts.tolist(), self.computed.tolist()
        return [
            (name, starts[i], starts[i + 1] - starts[i], computed[i])
            for i, name in enumerate(self.requests)
        ]


@dataclass(eq=False)
class Slots:
    """Which slot of the table each request's setpoints are in; 0 is nobody's.

    Args:
        count: how many there are.
    """

    count: int
    of: dict[str, int] = field(default_factory=dict)

    def take(self, name: str, present: set[str]) -> tuple[int, bool]:
        """The slot of a request, and whether it is new to it.

        Args:
            name: the request.
            present: the requests of this pass, whose slots stay.
        """
        if name in self.of:
            return self.of[name], False
        taken = set(self.of.values())
        free = next((slot for slot in range(1, self.count + 1) if slot not in taken), None)
        if free is None:
            # A request that waits gives its slot up, and gets another when it comes back.
            waiting = next(other for other in self.of if other not in present)
            free = self.of.pop(waiting)
        self.of[name] = free
        return free, True

    def release(self, name: str) -> None:
        """Let a request's slot go, if it has one."""
        self.of.pop(name, None)


def _ids(rule: TokenRule) -> tuple[int, ...] | None:
    if isinstance(rule, TokenIds):
        return rule.ids
    if not isinstance(rule, Both):
        return None
    one, other = _ids(rule.one), _ids(rule.other)
    if one is None or other is None:
        return other if one is None else one
    return tuple(sorted(set(one) & set(other)))


def _places(rule: TokenRule, window: Window, sequences: Sequences) -> Tensor:
    """What a rule opens where every id were allowed."""
    if isinstance(rule, TokenIds):
        return window.valid
    if isinstance(rule, Both):
        return _places(rule.one, window, sequences) & _places(rule.other, window, sequences)
    return rule.open(window, sequences)
