"""What a fit gathers for its method: states of examples, a plant, and a model to ask again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from steersman.control import LTVSystem, Plant
from steersman.data import Example
from steersman.directions import Features, Natural
from steersman.identifying import identify
from steersman.methods import AlignedStates, AtSite, Evidence, Method, Sides
from steersman.plant import ProcessGroup, StateCache, average, only_id, ordinary_ids, pad_id
from steersman.provenance import Provenance
from steersman.reading import Examples, decision_tokens, read_aligned, read_states, read_with_site
from steersman.rereading import Rereading
from steersman.training import Bench, written

DEFAULT_JACOBIAN_PROMPTS = 32
"""So many of the first desired examples are what a plant is averaged over."""


class Shown(NamedTuple):
    """What the examples show.

    Attributes:
        sides: of each feature by its name, the states of both sides.
        aligned: token by token, where the method learns from that.
        at_site: inside the blocks, where the method learns there.
    """

    sides: Mapping[str, Sides]
    aligned: AlignedStates | None = None
    at_site: AtSite | None = None


@dataclass(frozen=True, eq=False)
class Gathering:
    """Runs a model for a method that is about to be fitted.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        method: what is fitted; it says what it needs.
        examples: of each feature by its name, and where they are read.
        batch_size: examples at a time.
        progress: show how far it is.
    """

    model: nn.Module
    tokenizer: Any
    method: Method
    examples: Mapping[str, Examples]
    batch_size: int
    progress: bool

    def shown(self, cache: StateCache | None) -> Shown:
        """The states of the examples, each of which runs once.

        Args:
            cache: where states may be from before, and are kept; None runs the model.

        Raises:
            InputError: an example that cannot be used.
            NumericalError: states that are not finite.
        """
        how: dict[str, Any] = {
            "batch_size": self.batch_size,
            "progress": self.progress,
            "cache": cache,
        }
        if self.method.aligned:  # what is read token by token serves for the direction too
            (name, one) = self._only()
            aligned = read_aligned(self.model, self.tokenizer, one, **how)
            return Shown({name: Sides(*aligned.by_pair())}, aligned)
        if self.method.learns_at != "block":
            (name, one) = self._only()
            site = self.method.learns_at
            sides, inside = read_with_site(self.model, self.tokenizer, one, site, **how)
            return Shown({name: sides}, at_site=inside)
        return Shown(
            {
                name: read_states(self.model, self.tokenizer, one, **how)
                for name, one in self.examples.items()
            }
        )

    def plant_prompts(self, asked: Sequence[Example] | LTVSystem | None) -> list[Example]:
        """What the plant is to be averaged over; nothing where it is known, or not needed.

        Args:
            asked: as in `fit`.
        """
        if isinstance(asked, LTVSystem) or self.method.plant == "none":
            return []
        each = max(1, DEFAULT_JACOBIAN_PROMPTS // len(self.examples))
        firsts = [text for one in self.examples.values() for text in one.pairs.desired[:each]]
        return list(asked or firsts)

    def plant(
        self,
        prompts: Sequence[Example],
        *,
        chunk: int,
        checkpoint: str | Path | None,
        group: ProcessGroup | None,
    ) -> Plant | None:
        """The plant as the method knows it: by products, or by matrices; None without prompts.

        Args:
            prompts: what it is averaged over.
            chunk: as in `fit`, and so are the others.
            checkpoint: see there.
            group: see there.
        """
        if not prompts:
            return None
        job: dict[str, Any] = {"progress": self.progress, "group": group}
        if self.method.plant == "products":
            return average(self.model, self.tokenizer, prompts, **job)
        return identify(
            self.model, self.tokenizer, prompts, chunk=chunk, checkpoint=checkpoint, **job
        )

    def decision_tokens(self) -> tuple[int, ...]:
        """Those of every feature; empty where one of them is read at too many kinds of token."""
        found = [decision_tokens(self.tokenizer, one) for one in self.examples.values()]
        return tuple(sorted(set().union(*found))) if all(found) else ()

    def evidence(
        self, features: Features, plant: Plant | None, shown: Shown, made: Provenance
    ) -> Evidence:
        """All that the method may know.

        Args:
            features: the features with their directions.
            plant: the plant, where there is one.
            shown: what the examples show.
            made: where the steering comes from.
        """
        sides = tuple(shown.sides.values())
        read = Rereading(
            *(self.model, self.tokenizer, self.examples, features, self.method, made),
            batch_size=self.batch_size,
            progress=self.progress,
            known=sides[0] if len(sides) == 1 and shown.aligned is None else None,
        )
        natural = [self.method.natural(*side) for side in sides]
        return Evidence(
            *(features, plant, shown.aligned, Natural.beside(natural), read),
            sides=sides,
            reread=read.sides,
            bench=self._bench(made.decision_tokens) if self.method.trains else None,
            at_site=shown.at_site,
            prompts=read.prompts,
        )

    def _bench(self, decision_tokens: tuple[int, ...]) -> Bench:
        """The model with the examples, to train something in front of it."""
        _, one = self._only()
        paired = one.pairs.paired
        sides = one.tokens(self.tokenizer)
        desired, undesired = written(sides[0], sides[1], one.positions, paired)
        return Bench(
            self.model,
            pad_id(self.tokenizer),
            *(desired, undesired, paired),
            decision_tokens=decision_tokens,
            batch_size=self.batch_size,
            progress=self.progress,
            vocabulary=ordinary_ids(self.tokenizer),
            space=only_id(self.tokenizer, " "),
        )

    def _only(self) -> tuple[str, Examples]:
        """The only feature of a method that steers one at a time."""
        (only,) = self.examples.items()
        return only
