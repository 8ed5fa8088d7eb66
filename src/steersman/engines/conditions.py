"""The prompt conditions of a run's channels: what each row's prompt was found to be."""

from collections.abc import Iterator, Mapping, Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from steersman.engines.channel import Channel
from steersman.engines.deciding import Deciding, Verdicts, first_active
from steersman.engines.window import Sequences, Window


class Conditions:
    """Decides once for every sequence which rows each conditional channel steers.

    Args:
        channels: of the run, in order; those without a condition are not looked at.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        """Nothing is decided yet."""
        self._of = {i: c.condition for i, c in enumerate(channels) if c.condition}
        self._verdicts = {i: Verdicts() for i in self._of}
        self._deciding: Deciding | None = None

    @property
    def memories(self) -> tuple[Verdicts, ...]:
        """What is kept for as long as a sequence is."""
        return tuple(self._verdicts.values())

    @property
    def asking(self) -> bool:
        """Whether states are still wanted."""
        return self._deciding is not None

    def begin(self, window: Window, sequences: Sequences) -> None:
        """A new sequence, of which this pass has to hold the whole prompts.

        Raises:
            InputError: it does not.
        """
        self._deciding = Deciding(self._of, window, sequences) if self._of else None

    def forget(self) -> None:
        """Ask nothing any more of the sequence before."""
        self._deciding = None

    def too_late(self, channels: Sequence[Channel], blocks: int) -> bool:
        """Whether a law acts before all is known, so that prompts have to run beforehand."""
        return self._deciding is not None and self._deciding.deepest > first_active(
            channels, blocks
        )

    def see(
        self, state: int, x: Float[Tensor, "batch length n"]
    ) -> Iterator[tuple[int, Bool[Tensor, " batch"]]]:
        """Look at one state; where all is known then, the rows of each channel that fire."""
        if self._deciding is None:
            return
        self._deciding.see(state, x)
        if not self._deciding.complete:
            return
        found, self._deciding = self._deciding.verdicts(), None
        for index, fires in found.items():
            self._verdicts[index].decide(fires)
            yield index, fires

    def resume(self, decided: Mapping[int, Bool[Tensor, " batch"]]) -> None:
        """Take over which rows of each channel were found to fire, by another run."""
        for index, fires in decided.items():
            self._verdicts[index].decide(fires)

    def decided(self) -> Iterator[tuple[int, Bool[Tensor, " batch"]]]:
        """The rows of each channel that were found to fire, where that is known."""
        for index, verdicts in self._verdicts.items():
            if verdicts.decided is not None:
                yield index, verdicts.decided
