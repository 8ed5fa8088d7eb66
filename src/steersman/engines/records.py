"""What is recorded of the sequences of a run."""

from collections.abc import Sequence

from steersman.engines.channel import Channel
from steersman.engines.last import Last
from steersman.engines.recorder import Recorder
from steersman.engines.trace import Trace
from steersman.errors import InputError


class Records:
    """A recorder for each steering and sequence, or none at all.

    Args:
        wanted: whether anything is recorded.
    """

    def __init__(self, wanted: bool) -> None:
        """Nothing ran yet."""
        self._wanted = wanted
        self._sequences: list[tuple[Recorder, ...]] = []

    def begin(self, channels: Sequence[Channel]) -> None:
        """A new sequence."""
        if self._wanted:
            made = tuple(Recorder(one.watch, one.scale, one.names) for one in channels)
            self._sequences.append(made)

    @property
    def latest(self) -> tuple[Recorder, ...]:
        """Those of the sequence under way; empty where nothing is recorded."""
        return self._sequences[-1] if self._sequences else ()

    def settle(self) -> None:
        """A pass is over."""
        for recorder in self.latest:
            recorder.settle()

    def traces(self, sequence: int) -> tuple[Trace, ...]:
        """The record of one sequence, as in `Run.traces`.

        Raises:
            InputError: nothing ran yet, or nothing is recorded.
        """
        if not self._wanted:
            raise InputError("nothing was recorded: attach with trace=True to get a trace")
        if not self._sequences:
            raise InputError("nothing was recorded: run the model inside the `with` block first")
        return tuple(trace for one in self._sequences[sequence] for trace in one.traces())

    def last(self) -> tuple[Last | None, ...]:
        """The last token of the last pass, as in `Run.last`.

        Raises:
            InputError: nothing ran yet, or nothing is recorded.
        """
        if not self.latest:
            raise InputError("nothing was recorded: attach with trace=True and run the model first")
        return tuple(one.last() for one in self.latest)
