"""The frozen model with the examples: what a law is trained in front of."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from steersman.control import Absolute, Law, Units
from steersman.control.setpoint import Target
from steersman.engines import Channel, Run
from steersman.engines import Tokens as Steered
from steersman.errors import InputError
from steersman.plant import HookSet, Site, hidden_out, input_device, locate, require_evaluation
from steersman.plant.forward import accepts, forward_arguments
from steersman.training.frozen import frozen
from steersman.training.history import History
from steersman.training.loop import Loss, Parameters, Project, train
from steersman.training.objectives import log_likelihoods
from steersman.training.settings import Training
from steersman.training.written import Batch, Written, require_responses

_DOUBT = (
    "what was held out of the training of {name} went no better after it than before: lower the "
    "rate, train longer, or give more examples."
)


class Predicted(NamedTuple):
    """What the model says of the responses of some examples.

    Attributes:
        logits: those that each token is drawn from, in at least float32.
        ids: the tokens.
        mask: which of them there are.
    """

    logits: Float[Tensor, "rows response vocabulary"]
    ids: Int[Tensor, "rows response"]
    mask: Bool[Tensor, "rows response"]

    @property
    def likelihoods(self) -> Float[Tensor, " rows"]:
        """`log p(y)` of each."""
        return log_likelihoods(*self)

    @property
    def tokens(self) -> Int[Tensor, " rows"]:
        """How many tokens each has."""
        return self.mask.sum(-1)


@dataclass(frozen=True, eq=False)
class Bench:
    """A model that is only run, and examples to run it on.

    Args:
        model: a transformers model in evaluation mode.
        pad_id: the id that fills gaps.
        desired: the desired examples.
        undesired: the undesired ones.
        paired: whether they belong together one by one.
        decision_tokens: the ids at which they are read; empty where there are more than a few.
        batch_size: examples at a time where nothing is trained.
        progress: say how long a training will take, and how far it is.
        histories: what was trained so far is put down here.
        vocabulary: the ids that stand for text; empty where they are not known.
        space: the id of a space, where it is one token.
    """

    model: nn.Module
    pad_id: int
    desired: tuple[Written, ...]
    undesired: tuple[Written, ...]
    paired: bool
    decision_tokens: tuple[int, ...] = ()
    batch_size: int = 16
    progress: bool = False
    histories: list[History] = field(default_factory=list)
    vocabulary: tuple[int, ...] = ()
    space: int | None = None

    @property
    def device(self) -> torch.device:
        """Where parameters begin; a law is copied from there to its blocks."""
        return input_device(locate(self.model))

    def require_pairs(self, method: str) -> int:
        """How many pairs of responses there are.

        Raises:
            InputError: the examples are not paired, or one has no response.
        """
        if not self.paired:
            raise InputError(
                f"{method} compares two responses to one prompt: give desired[i] and undesired[i] "
                "together."
            )
        for side, examples in (("desired", self.desired), ("undesired", self.undesired)):
            require_responses(examples, side)
        return len(self.desired)

    def batches(self, examples: Sequence[Written]) -> Iterator[Sequence[Written]]:
        """The examples in order, so many at a time as go where nothing is trained.

        Args:
            examples: all of them.
        """
        for first in range(0, len(examples), self.batch_size):
            yield examples[first : first + self.batch_size]

    def channel(
        self,
        law: Law[Any],
        target: Target = 1.0,
        tokens: Steered = "all",
        site: Site = "block",
    ) -> Channel:
        """The law at some strength, as a steering attaches it.

        Args:
            law: with whatever parameters are trained.
            target: its reference, for all rows or for each.
            tokens: which tokens it steers; the last token of a prompt is the one before a response.
            site: where in the blocks it acts.
        """
        plain = Units.plain(law.blocks)
        watch = torch.zeros(law.blocks, locate(self.model).n, 1)
        rest: dict[str, Any] = {"tokens": tokens, "tracks": False, "site": site}
        return Channel(law, Absolute(target), plain, watch, plain, **rest)

    def predicted(self, examples: Sequence[Written], channel: Channel | None) -> Predicted:
        """What the model says of the responses, steered or bare.

        Args:
            examples: with responses.
            channel: what steers it; None is nothing.
        """
        batch = self._batch(examples)
        arguments = forward_arguments(self.model, batch.encoded)
        behind = batch.response.shape[1]
        if accepts(self.model, "logits_to_keep"):
            arguments["logits_to_keep"] = behind + 1
        with self._steered(channel, batch):
            logits: Tensor = self.model(**arguments).logits[:, -behind - 1 : -1]
        wide = torch.promote_types(logits.dtype, torch.float32)
        return Predicted(logits.to(wide), batch.response, batch.responding)

    def logits(
        self, examples: Sequence[Written], channel: Channel | None
    ) -> Float[Tensor, "tokens vocabulary"]:
        """What the model says behind every token that is read, in at least float32.

        Args:
            examples: what to run.
            channel: what steers it; None is nothing.
        """
        batch = self._batch(examples)
        rows, columns = _read(examples, batch)
        arguments = forward_arguments(self.model, batch.encoded)
        arguments.pop("logits_to_keep", None)
        with self._steered(channel, batch):
            logits: Tensor = self.model(**arguments).logits[rows, columns]
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    @torch.no_grad()
    def probabilities(
        self, examples: Sequence[Written], channel: Channel | None
    ) -> Float[Tensor, "tokens vocabulary"]:
        """What the model says behind every token that is read, a batch at a time, on the CPU.

        Args:
            examples: what to run.
            channel: what steers it; None is nothing.
        """
        parts = (self.logits(some, channel) for some in self.batches(examples))
        return torch.cat([part.softmax(-1).cpu() for part in parts])

    def outputs(
        self, examples: Sequence[Written], channel: Channel | None
    ) -> Float[Tensor, "rows blocks n"]:
        """What leaves each block, steered or bare: the mean over the tokens that are read.

        Args:
            examples: what to run.
            channel: what steers it; None is nothing.
        """
        batch, found = self._batch(examples), dict[int, Tensor]()
        rows, columns = _read(examples, batch)
        counts = torch.tensor([len(one.read) for one in examples])

        def keep(block: int, args: Any, kwargs: Any, output: Any) -> None:
            x = hidden_out(output)[rows, columns]
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            total = x.new_zeros(len(examples), x.shape[-1])
            total = total.index_add(0, torch.tensor(rows, device=x.device), x)
            found[block] = total / counts.to(x)[:, None]

        with self._steered(channel, batch), HookSet() as hooks:
            for block, module in enumerate(locate(self.model).modules):
                hooks.after(module, partial(keep, block))
            self.model(**forward_arguments(self.model, batch.encoded))
        home = self.device
        return torch.stack([found[block].to(home) for block in sorted(found)], dim=1)

    @torch.no_grad()
    def tokens(self, examples: Sequence[Written], block: int) -> list[Float[Tensor, "tokens n"]]:
        """What leaves one block of the bare model, at every token that is read; on the CPU.

        Args:
            examples: what to run.
            block: which block.
        """
        module, found = locate(self.model).modules[block], list[Tensor]()
        for some in self.batches(examples):
            batch, seen = self._batch(some), list[Tensor]()

            def keep(seen: list[Tensor], args: Any, kwargs: Any, output: Any) -> None:
                seen.append(hidden_out(output))

            with HookSet() as hooks:
                hooks.after(module, partial(keep, seen))
                self.model(**forward_arguments(self.model, batch.encoded))
            states = seen[0][_read(some, batch)].float().cpu()
            found.extend(torch.tensor_split(states, _ends(some)))
        return found

    def margins(
        self, rows: Int[Tensor, " rows"], channel: Channel | None
    ) -> Float[Tensor, " rows"]:
        """`log p(w) - log p(l)` of some pairs, steered or bare.

        Args:
            rows: which pairs.
            channel: what steers the model; None is nothing.
        """
        numbers = rows.tolist()
        both = [side[i] for side in (self.desired, self.undesired) for i in numbers]
        desired, undesired = self.predicted(both, channel).likelihoods.chunk(2)
        return desired - undesired

    @torch.no_grad()
    def all_margins(self, channel: Channel | None) -> Float[Tensor, " pairs"]:
        """`log p(w) - log p(l)` of every pair, steered or bare, without gradients.

        Args:
            channel: what steers the model; None is nothing.
        """
        every = torch.split(torch.arange(len(self.desired)), self.batch_size)
        return torch.cat([self.margins(some, channel) for some in every])

    def train(
        self,
        start: Mapping[str, Tensor],
        loss: Loss,
        count: int,
        settings: Training,
        *,
        project: Project | None = None,
        name: str,
    ) -> Parameters:
        """Train parameters in front of the model, whose own stay as they are.

        Args:
            start: the parameters at first.
            loss: the mean loss of examples by their numbers; it runs the model.
            count: how many examples there are.
            settings: of the training.
            project: what follows each step.
            name: what is trained.

        Returns:
            The parameters that were kept, on the CPU.

        Raises:
            InputError: no example, or a model in training mode.
            NumericalError: a loss that is not finite.

        Warns where what is held out went no better afterwards.
        """
        require_evaluation(self.model)
        home = {key: value.to(self.device) for key, value in start.items()}
        with frozen(self.model):
            found = train(
                *(home, loss, count, settings),
                project=project,
                name=name,
                progress=self.progress,
            )
        self.histories.append(found.history)
        if not found.history.improved:
            warnings.warn(_DOUBT.format(name=name), stacklevel=3)
        return {key: value.cpu() for key, value in found.parameters.items()}

    def _batch(self, examples: Sequence[Written]) -> Batch:
        return Batch.of(examples, self.pad_id, self.device)

    def _steered(self, channel: Channel | None, batch: Batch) -> ExitStack:
        """The model with the channel attached; with nothing, bare."""
        stack = ExitStack()
        if channel is not None:
            rows = channel.reference.rows
            run = Run(
                self.model,
                locate(self.model),
                (channel,),
                prompts=rows,
                prompt_length=batch.prompt,
                trace=False,
            )
            stack.enter_context(run)
        return stack


def _ends(examples: Sequence[Written]) -> list[int]:
    """Where the tokens of every example but the last one end, in a row of all of them."""
    return list(accumulate(len(one.read) for one in examples[:-1]))


def _read(examples: Sequence[Written], batch: Batch) -> tuple[list[int], list[int]]:
    """Row and column of every token that is read."""
    rows = [row for row, one in enumerate(examples) for _ in one.read]
    starts = zip(batch.starts, examples, strict=True)
    return rows, [start + place for start, one in starts for place in one.read]
