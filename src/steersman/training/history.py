"""What became of the loss while something was trained."""

from dataclasses import dataclass

from steersman.diagnostics import Diagnostic


@dataclass(frozen=True)
class Epoch:
    """One pass over the examples.

    Args:
        number: counted from 1; 0 is before the first step.
        loss: mean over its steps; None before the first.
        held_out: on what is held out, after it; None where nothing is.
    """

    number: int
    loss: float | None
    held_out: float | None


@dataclass(frozen=True)
class History:
    """All epochs, and which of them was kept.

    Args:
        name: what was trained.
        epochs: in order.
        kept: the number of the epoch whose parameters were kept.
        steps: how many steps were made in all.
        seconds: how long they took.
    """

    name: str
    epochs: tuple[Epoch, ...]
    kept: int
    steps: int
    seconds: float

    @property
    def improved(self) -> bool:
        """Whether what is held out went better after than before; True where nothing is."""
        first = self.epochs[0].held_out
        found = next(one.held_out for one in self.epochs if one.number == self.kept)
        return first is None or found is None or found < first

    def diagnostic(self) -> Diagnostic:
        """The history as a steering keeps it; no times, which differ from run to run."""
        found = next(one for one in self.epochs if one.number == self.kept)
        first, last = self.epochs[0].held_out, found.held_out
        held = "" if first is None else f", on held-out examples from {first:.3g} to {last:.3g}"
        return Diagnostic(
            name=f"Training of {self.name}",
            headline=(
                f"trained for {self.steps} steps, epoch {self.kept} kept: loss {found.loss:.3g}"
                + held
            ),
            columns=("epoch", "loss", "held-out loss"),
            rows=tuple((one.number, one.loss, one.held_out) for one in self.epochs),
        )
