"""One steering at work: a law, where its reference comes from, and which rows and tokens it has."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import DisturbanceObserver, Law, Readout, Reference, Units
from steersman.engines.token_rules import TokenRule
from steersman.engines.tokens import Tokens, tokens_named
from steersman.errors import InputError, ShapeError
from steersman.gating import PromptCondition
from steersman.plant import Site


class Made(NamedTuple):
    """A law that was made for the rows of a batch.

    Attributes:
        law: the law.
        units: natural units of its observations.
        moved: by how much each row's target is moved, `(rows, features)`; None is not at all.
    """

    law: Law[Any]
    units: Units
    moved: Float[Tensor, "rows features"] | None = None


AtPrompt = Callable[[tuple[Tensor, ...], object], Made]
"""Makes a law for prompts: given the token ids of each row without padding, and who holds hooks on
the model that lie asleep meanwhile."""


@dataclass(frozen=True, eq=False)
class Channel:
    """A law in front of a model's blocks.

    Args:
        law: what to do; `u_t = law(x_t)`.
        reference: where its observations should be.
        units: natural units of the law's observations.
        watch: directions whose projections the trace shows, of each block's input and perhaps one
            more of the last block's output, `(blocks or blocks + 1, n, features)`.
        scale: natural units of the projections at the blocks' inputs, for the trace.
        tokens: a rule for the tokens that are steered, or its name.
        rows: which prompts of the batch it steers; None is all of them.
        tracks: whether the reference is one of the watched features, as it is not for a plan.
        at_prompt: makes law and units anew for the prompts of every batch; None keeps them.
        at_token: makes them anew for every token that is generated; None keeps them.
        names: what the watched features are called.
        final: the features after the last block, where anything is to be known of them.
        observer: corrects the reference from one token to the next by what was missed.
        moved: by how much the target of each row that it steers is moved; None is not at all.
        condition: holds for the prompts that are steered; None is all of them.
        site: where in each block the law reads and acts; then it is as wide as that place, and the
            features that are watched are still those of the residual stream.

    Raises:
        InputError: unknown `tokens`, a rule that cannot be used as it is, `rows` that name a
            prompt twice, or a correction of a law that acts inside the blocks.
        ShapeError: `watch` does not fit the law or the names.
        MismatchError: the condition does not fit the law.
    """

    law: Law[Any]
    reference: Reference
    units: Units
    watch: Float[Tensor, "watched n features"]
    scale: Units
    tokens: Tokens = "all"
    rows: tuple[int, ...] | None = None
    tracks: bool = True
    at_prompt: AtPrompt | None = None
    at_token: AtPrompt | None = None
    names: tuple[str, ...] = ("feature",)
    final: Readout | None = None
    observer: DisturbanceObserver | None = None
    moved: Float[Tensor, "rows features"] | None = None
    condition: PromptCondition | None = None
    site: Site = "block"

    def __post_init__(self) -> None:
        """Check the parts against each other."""
        if self.rule.lacks:
            raise InputError(self.rule.lacks)
        if self.rows is not None and len(set(self.rows)) != len(self.rows):
            raise InputError(f"rows {self.rows} name a prompt twice.")
        if self.final is None and (self.observer is not None or self.reference.needs_start):
            raise InputError("what is corrected or held is read after the last block: give final.")
        if self.observer is not None and self.site != "block":
            raise InputError(
                f"a law at {self.site!r} does not say how it moves the features, so what was "
                "missed cannot be corrected: leave correction out."
            )
        blocks, features = self.law.blocks, len(self.names)
        n = self.law.n if self.site == "block" else self.watch.shape[1]
        if self.condition is not None:
            self.condition.require(blocks, n)
        if tuple(self.watch.shape) not in {(blocks, n, features), (blocks + 1, n, features)}:
            raise ShapeError(
                f"watch has shape {tuple(self.watch.shape)}; expected ({blocks}, {n}, {features}), "
                f"or {blocks + 1} of them with one for the last block's output."
            )

    @cached_property
    def acting(self) -> tuple[bool, ...]:
        """Whether the law acts at each block: asked once and not for every token."""
        return tuple(self.law.is_active(block) for block in range(self.law.blocks))

    @cached_property
    def rule(self) -> TokenRule:
        """Which tokens are steered."""
        return tokens_named(self.tokens)

    @property
    def final_vectors(self) -> Float[Tensor, "n features"]:
        """What is watched after the last block.

        Raises:
            InputError: nothing is.
        """
        if self.final is None:
            raise InputError("nothing is read after the last block: give final.")
        return self.final.V

    def asked(self, copies: int, tokens: int, device: torch.device) -> Reference:
        """The reference of every token, each row's target moved where it is.

        Args:
            copies: rows of the batch for each prompt.
            tokens: of each row.
            device: where they are.
        """
        asked = self.reference.repeated(copies * tokens, device)
        if self.moved is None:
            return asked
        return asked.moved(self.moved.to(device).repeat_interleave(tokens, dim=0))

    def to(self, device: torch.device) -> "Channel":
        """The same channel on another device."""
        return replace(
            self,
            law=self.law.to(device),
            reference=self.reference.repeated(1, device),
            units=self.units.to(device),
            watch=self.watch.to(device),
            scale=self.scale.to(device),
            final=None if self.final is None else self.final.to(device),
        )
