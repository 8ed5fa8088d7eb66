"""What an engine is: token ids go in, token ids come out, one stream a request.

The server turns text into ids and back, keeps names, limits and time; an engine runs the model.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

Strengths = Mapping[str, Mapping[str, float]]
"""Of each steering by its name, the strength of each of its features by theirs."""
Reason = Literal["stop", "length"]


@dataclass(frozen=True)
class Sampling:
    """How the tokens of one answer are chosen.

        p_i ~ exp(logit_i / temperature)   within the likeliest tokens of mass top_p

    Args:
        max_tokens: how many at most.
        temperature: 0 takes the likeliest token.
        top_p: above 0 and at most 1.
        seed: of a generator that belongs to this answer alone.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Generation:
    """One answer that is asked of an engine.

    Args:
        prompt: token ids, at least one.
        sampling: how to choose.
        steering: what steers it; empty is the bare model.
        report: whether to record what the steerings do.
        readings: whether each token is to come with where the features were.
        client: who asks; where answers have to wait, clients take turns.
    """

    prompt: tuple[int, ...]
    sampling: Sampling
    steering: Strengths = field(default_factory=dict)
    report: bool = False
    readings: bool = False
    client: str = ""


@dataclass(frozen=True)
class Token:
    """One more token.

    Args:
        id: its id; never that of the end of the answer.
        features: where the features of its steerings were in the state that it was chosen from;
            None where that was not asked for, or the engine cannot tell.
    """

    id: int
    features: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, eq=False)
class Finished:
    """The last of a stream.

    Args:
        reason: "stop" where the model ended its answer, "length" where it was cut.
        report: what each steering did, feature by feature; None where that was not asked for, or
            the engine cannot tell.
    """

    reason: Reason
    report: list[dict[str, Any]] | None = None


Event = Token | Finished


@runtime_checkable
class Answer(Protocol):
    """The tokens of one answer as they come; iterate over it once."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """Tokens, and `Finished` at the end.

        Raises:
            RequestError: what went wrong, for this answer alone.
        """

    async def cancel(self, reason: Reason = "stop") -> Finished:
        """Ask for no more tokens; harmless after the end.

        Args:
            reason: why nothing more is wanted.

        Returns:
            What the answer ended with, its report included.
        """

    def abandon(self) -> None:
        """Ask for no more tokens, and for no word of how it ended."""


@dataclass(frozen=True)
class SteeringInfo:
    """A loaded steering, as clients see it.

    Args:
        name: what requests call it.
        method: the method that made it.
        features: what it steers; one feature of a plain name is asked for by the steering's.
        needs_all: whether every feature has to be given a strength.
        summary: a line or two for a person.
        in_units: whether one unit of strength is one natural unit of the feature.
    """

    name: str
    method: str
    features: tuple[str, ...]
    needs_all: bool
    summary: str
    in_units: bool = True


@dataclass(frozen=True)
class Load:
    """How busy an engine is.

    Args:
        running: answers that are being written.
        waiting: answers that wait to begin.
    """

    running: int
    waiting: int


@runtime_checkable
class Engine(Protocol):
    """Runs one model. Whatever is wrong with a request, it goes on with the others."""

    @property
    def tokenizer(self) -> Any:
        """The model's; it is only read."""

    @property
    def context(self) -> int:
        """How many tokens prompt and answer may have together."""

    @property
    def vocabulary(self) -> int:
        """Token ids are below this."""

    @property
    def load(self) -> Load:
        """How busy it is now."""

    @property
    def failure(self) -> str | None:
        """Why it can answer nothing any more; None while it can."""

    def submit(self, request: Generation) -> Answer:
        """Begin an answer, or let it wait; called in an event loop, and returns at once.

        Raises:
            BusyError: as many wait as may.
            StoppingError: the engine is closing.
            NotThereError: no such steering is loaded.
            LostEngineError: it can answer nothing any more.
        """

    def add(self, name: str, folder: Path) -> SteeringInfo:
        """Load a saved steering; those of the name that are at work go on to their end.

        Raises:
            ArtifactError: it cannot be read.
            MismatchError: it was made for another model.
        """

    def remove(self, name: str) -> None:
        """Forget a steering; answers that it is at work in go on to their end."""

    def close(self) -> None:
        """Stop: answers that are not finished end with a `StoppingError`."""
