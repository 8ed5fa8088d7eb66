"""The one training loop: a few tensors, a loss, and nothing of a model.

p <- project( AdamW( p, grad_p loss(p, batch) ) )
"""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from steersman.errors import InputError, NumericalError
from steersman.training.history import Epoch, History
from steersman.training.settings import Training

Parameters = dict[str, Tensor]
Loss = Callable[[Parameters, Int[Tensor, " rows"], torch.Generator], Float[Tensor, ""]]
"""The mean loss of some examples, by their numbers; what it draws it draws from the generator."""
Project = Callable[[Parameters, float], Parameters]
"""What is done to the parameters behind every step, given the share of the rate it was made at."""


class Trained(NamedTuple):
    """What a training came to.

    Attributes:
        parameters: those that were kept, without gradients.
        history: the losses.
    """

    parameters: Parameters
    history: History


def train(
    start: Mapping[str, Tensor],
    loss: Loss,
    count: int,
    settings: Training,
    *,
    project: Project | None = None,
    name: str = "the parameters",
    progress: bool = False,
) -> Trained:
    """Minimise a loss over examples with AdamW; the same for the same seed.

    With a part held out, the parameters of the epoch that is best on it are kept; without, those of
    the last one.

    Args:
        start: the parameters at first; they are not changed.
        loss: the mean loss of examples by their numbers, 0 .. count - 1.
        count: how many examples there are.
        settings: epochs, rates and all the rest.
        project: what follows each step, such as a normalisation or a threshold.
        name: what is trained, for messages.
        progress: time a step first, say how long it will take, and show how far it is.

    Raises:
        InputError: no example.
        NumericalError: a loss that is not finite; says at which step.
    """
    with torch.inference_mode(False), torch.enable_grad():
        job = _Job(start, loss, count, settings, project, name)
        if progress:
            sys.stderr.write(f"training {name}: {job.estimate()}\n")
        return job.run(progress)


class _Job:
    """One training: its examples in two parts, its optimiser, and the best that was seen."""

    def __init__(
        self,
        start: Mapping[str, Tensor],
        loss: Loss,
        count: int,
        settings: Training,
        project: Project | None,
        name: str,
    ) -> None:
        if count < 1:
            raise InputError(f"there is no example to train {name} on: give at least one.")
        self.loss, self.settings, self.name = loss, settings, name
        self.project = project
        self.generator = torch.Generator().manual_seed(settings.seed)
        order = torch.randperm(count, generator=self.generator)
        # Something is always left to learn from.
        held = min(math.ceil(settings.held_out * count), count - 1)
        self.held, self.seen = order[:held], order[held:]
        self.steps = settings.epochs * math.ceil(len(self.seen) / settings.batch_size)
        self.parameters = {k: p.detach().clone().requires_grad_() for k, p in start.items()}
        self.optimiser = torch.optim.AdamW(
            [{"params": [p], "lr": settings.rate_of(k)} for k, p in self.parameters.items()],
            weight_decay=settings.weight_decay,
        )
        self.rates = [group["lr"] for group in self.optimiser.param_groups]

    def estimate(self) -> str:
        """How many steps, and about how long, from the second of two that are not made."""
        drawn = torch.Generator().manual_seed(self.settings.seed)
        seconds = 0.0
        for _ in range(2):  # the first run of anything is slow
            started = time.perf_counter()
            self._gradients(self.seen[: self.settings.batch_size], drawn)
            seconds = time.perf_counter() - started
        return f"{self.steps} steps, about {_duration(self.steps * seconds)}"

    def run(self, progress: bool) -> Trained:
        """All epochs, or as many as the patience allows."""
        started, step = time.perf_counter(), 0
        epochs = [Epoch(0, None, self._measured())]
        kept, best, found = 0, math.inf, self._values()
        with tqdm(total=self.steps, desc="train", unit="step", disable=not progress) as bar:
            for number in range(1, self.settings.epochs + 1):
                losses = []
                for rows in self._batches():
                    losses.append(self._step(rows, step) * len(rows))
                    step += 1
                    bar.update()
                epochs.append(Epoch(number, sum(losses) / len(self.seen), self._measured()))
                measured = epochs[-1].held_out
                if measured is None or measured < best:
                    kept, found = number, self._values()
                    best = best if measured is None else measured
                if self.settings.patience and number - kept >= self.settings.patience:
                    break
        seconds = time.perf_counter() - started
        return Trained(found, History(self.name, tuple(epochs), kept, step, seconds))

    def _batches(self) -> Iterator[Tensor]:
        order = self.seen[torch.randperm(len(self.seen), generator=self.generator)]
        yield from self._parts(order)

    def _parts(self, rows: Tensor) -> list[Tensor]:
        size = self.settings.batch_size
        return [rows[first : first + size] for first in range(0, len(rows), size)]

    def _step(self, rows: Tensor, step: int) -> float:
        """One step; the loss before it."""
        share = self.settings.share(step, self.steps)
        value, gradients = self._gradients(rows, self.generator)
        if not math.isfinite(value):
            raise NumericalError(
                f"the loss of {self.name} is {value} at step {step}: lower the rate, or load the "
                "model in bfloat16 or float32 if it is in float16."
            )
        for parameter, gradient in zip(self.parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        self._clip()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.project is not None:
            with torch.no_grad():
                projected = self.project(self._values(), share)
                for name, parameter in self.parameters.items():
                    parameter.copy_(projected[name])
        return value

    def _gradients(
        self, rows: Tensor, generator: torch.Generator
    ) -> tuple[float, tuple[Tensor, ...]]:
        value = self.loss(self.parameters, rows, generator)
        leaves = tuple(self.parameters.values())
        # Asked for these alone, autograd leaves no gradient on anything else.
        return float(value.detach()), torch.autograd.grad(value, leaves)

    def _clip(self) -> None:
        settings = self.settings
        if settings.clip is None:
            return
        clipped = self.parameters if settings.clipped is None else settings.clipped
        chosen = [self.parameters[name] for name in clipped]
        torch.nn.utils.clip_grad_norm_(chosen, settings.clip)

    @torch.no_grad()
    def _measured(self) -> float | None:
        """The loss on what is held out, with the same draws each time."""
        if not len(self.held):
            return None
        drawn = torch.Generator().manual_seed(self.settings.seed)
        each = ((rows, self.loss(self.parameters, rows, drawn)) for rows in self._parts(self.held))
        total = sum(float(loss) * len(rows) for rows, loss in each)
        if not math.isfinite(total):
            raise NumericalError(
                f"the held-out loss of {self.name} is {total}: lower the rate, or check the model."
            )
        return total / len(self.held)

    def _values(self) -> Parameters:
        return {name: p.detach().clone() for name, p in self.parameters.items()}


def _duration(seconds: float) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 1):.0f} s"
