"""How a training runs: its length, its steps, and when it stops."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from steersman.errors import InputError

Decay = Literal["cosine", "linear", "none"]


@dataclass(frozen=True)
class Training:
    """Settings of one training.

        rate_i = rate warm(i) decay(i),    warm(i) = min(1, (i + 1) / warmup)
        decay(i) = (1 + cos(pi i / steps)) / 2,   1 - i / steps,   or 1

    Args:
        epochs: how often each example is seen.
        batch_size: examples a step; of pairs, pairs.
        rate: the learning rate, or one for each parameter by its name.
        decay: how the rate falls.
        warmup: steps over which it rises; no more than a tenth of all.
        weight_decay: AdamW's.
        clip: the longest gradient; None is no limit.
        clipped: the parameters whose gradients are clipped together; None is all of them.
        held_out: the share of the examples that is only ever measured; 0 is none.
        patience: epochs without a better held-out loss after which it stops; 0 never stops early.
        seed: of the order, the part held out, and whatever the loss draws.

    Raises:
        InputError: a number out of its range.
    """

    epochs: int
    batch_size: int
    rate: float | Mapping[str, float]
    decay: Decay = "cosine"
    warmup: int = 0
    weight_decay: float = 0.0
    clip: float | None = None
    clipped: tuple[str, ...] | None = None
    held_out: float = 0.1
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.epochs < 1 or self.batch_size < 1:
            raise InputError(
                f"epochs is {self.epochs} and batch_size {self.batch_size}; at least 1 is needed."
            )
        rates = self.rate.values() if isinstance(self.rate, Mapping) else (self.rate,)
        if not all(math.isfinite(rate) and rate > 0 for rate in rates):
            raise InputError(f"rate is {self.rate}; it must be finite and above zero.")
        if self.decay not in get_args(Decay):
            raise InputError(f"decay is {self.decay!r}; choose one of {get_args(Decay)}.")
        if not 0 <= self.held_out < 1:
            raise InputError(f"held_out is {self.held_out}; it is a share, from 0 and below 1.")
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"clip is {self.clip}; it must be above zero, or None.")
        if min(self.warmup, self.patience, self.weight_decay) < 0:
            raise InputError("warmup, patience and weight_decay must not be negative.")

    def rate_of(self, name: str) -> float:
        """The highest learning rate of one parameter."""
        return self.rate[name] if isinstance(self.rate, Mapping) else self.rate

    def share(self, step: int, steps: int) -> float:
        """The share of the rate at a step, counted from 0."""
        rising = max(1, min(self.warmup, steps // 10))
        warm = min(1.0, (step + 1) / rising)
        if self.decay == "none":
            return warm
        done = step / steps
        return warm * ((1 + math.cos(math.pi * done)) / 2 if self.decay == "cosine" else 1 - done)
