"""The transformers engine: evaluates steering laws in front of a model's blocks while it runs.

The model is neither changed nor wrapped. One hook a block reads the block's input, asks the law,
and returns the block's output with the law's input added; one pair of hooks around the model's
forward tells which tokens pass. Everything is gone when the `with` block is left.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import nn

from steersman.engines.channel import Channel
from steersman.engines.conditions import Conditions
from steersman.engines.corrections import Corrections
from steersman.engines.deciding import run_bare
from steersman.engines.inside import Inside
from steersman.engines.last import Last
from steersman.engines.mirror import Mirror
from steersman.engines.nominal import NominalRun
from steersman.engines.passing import Pass
from steersman.engines.planned import Plans
from steersman.engines.records import Records
from steersman.engines.renewal import Renewal
from steersman.engines.standing import Standing
from steersman.engines.trace import Trace
from steersman.engines.window import Sequences, Window, read_window
from steersman.errors import ArchitectureError, AttachedError, InputError, MismatchError
from steersman.plant import (
    Blocks,
    HookSet,
    Site,
    at_tokens,
    hidden_in,
    hidden_out,
    owners,
    unwrap,
    with_hidden,
)


class Run:
    """A model under steering, from `with` to its end; made by `Steering.attach`.

    Args:
        model: a loaded transformers model.
        blocks: its decoder blocks.
        channels: the laws, each with its reference, tokens and rows.
        prompts: how many prompts a batch holds, where `rows` or per-row targets name them; a batch
            of a multiple of that (beams, several samples a prompt) is shared out evenly.
        prompt_length: columns of the prompt, needed only where a prompt arrives in chunks and
            `tokens="last"`.
        trace: record features, setpoints and efforts.

    Raises:
        MismatchError: a law was made for other blocks or another width.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: Blocks,
        channels: tuple[Channel, ...],
        *,
        prompts: int | None = None,
        prompt_length: int | None = None,
        trace: bool = True,
    ) -> None:
        """Check that every law fits the model; nothing is hooked yet."""
        self._inside = Inside.of(model, channels)
        for channel in channels:
            n = self._inside.width(channel.site, blocks.n)
            if (channel.law.blocks, channel.law.n) != (len(blocks), n):
                raise MismatchError(
                    f"the steering is for {channel.law.blocks} blocks of width {channel.law.n}; "
                    f"this model has {len(blocks)} of width {n}. Fit a steering on it."
                )
        self._model = unwrap(model)
        self._blocks = blocks
        self._prompts = prompts
        self._laws = Renewal(channels, prompts)
        self._records = Records(trace)
        self._sequences = Sequences(prompt_length)
        self._corrections = Corrections(channels)
        self._conditions = Conditions(channels)
        kept = (*self._corrections.memories, *self._conditions.memories)
        self._memories = (self._laws.known, *kept)
        self._remembers = self._laws.at_token or bool(kept)
        self._mirror = Mirror(self._memories if self._remembers else ())
        relative = any(channel.reference.needs_nominal for channel in channels)
        self._nominal = NominalRun(self._model, self._mirror) if relative else None
        self._hooks: HookSet | None = None
        self._plans = Plans()
        self._pass: Pass | None = None
        self._asleep = False
        if prompt_length is not None and self._laws.at_prompt:
            raise InputError(
                "a law that is made for each prompt needs the whole prompt in one pass: leave "
                "prompt_length out, or attach with relinearize='fit'"
            )

    def __enter__(self) -> "Run":
        """Hook the model.

        Raises:
            AttachedError: the model already carries a steering, or this run was used before.
        """
        if self._hooks is not None:
            raise AttachedError("this run is over: call attach() again for a new one")
        if any(owners(module) for module in (self._model, *self._blocks.modules)):
            raise AttachedError(
                "this model already carries a steering: leave its `with` block first, or attach "
                "several steerings together with steersman.attach(model, [first, second])"
            )
        self._hooks = HookSet(owner=self)
        try:
            self._hooks.before(self._model, self._before_model)
            for block, module in enumerate(self._blocks.modules):
                self._hooks.after(module, partial(self._after_block, block))
            self._inside.enter(self._hooks, self._at_site)
            self._hooks.after(self._model, self._after_model)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the model as it was found, also after an exception."""
        self.close()

    def close(self) -> None:
        """Remove every hook; closing twice does no harm."""
        if self._hooks is not None:
            self._hooks.close()
        if self._nominal is not None:
            self._nominal.close()
        self._mirror.close()
        self._pass = None

    @property
    def trace(self) -> Trace:
        """The record of the last sequence, of the first steering's first feature.

        Raises:
            InputError: nothing ran yet, or the run was attached with `trace=False`.
        """
        return self.traces()[0]

    def traces(self, sequence: int = -1) -> tuple[Trace, ...]:
        """The record of one sequence, a trace for each feature of each steering.

        Args:
            sequence: which of the sequences of this run, in order; -1 is the last.

        Raises:
            InputError: nothing ran yet, or the run was attached with `trace=False`.
        """
        return self._records.traces(sequence)

    def last(self) -> tuple[Last | None, ...]:
        """Where each steering's features are at the last token of the last pass; see `Last`.

        Raises:
            InputError: nothing ran yet, or the run was attached with `trace=False`.
        """
        return self._records.last()

    def resume(self, standing: Standing) -> None:
        """Go on with rows that another run has left, before the first pass of this one.

        Args:
            standing: where they stand; the channels are those of this run.

        Raises:
            InputError: a law is made for each prompt or token, or makes up for what the last one
                missed, of which another run knows nothing.
        """
        if self._laws.at_token or self._laws.at_prompt or self._corrections.memories:
            raise InputError(
                "rows that another run has begun can be taken over only with relinearize='fit' and "
                "without a correction"
            )
        self._sequences.resume(standing.ends, standing.columns)
        self._conditions.resume(standing.fired)
        if self._nominal is not None:
            self._nominal.resume(standing.cache, standing.nominal)
        self._records.begin(self._laws.channels)

    def standing(self, cache: Any) -> Standing:
        """Where the rows stand after a pass, for another run to go on with them.

        Args:
            cache: the caller's, as the pass has left it.

        Raises:
            InputError: no pass has begun.
        """
        return Standing(
            cache=cache,
            columns=self._sequences.seen,
            ends=self._sequences.starts,
            nominal=None if self._nominal is None else self._nominal.cache,
            fired=dict(self._conditions.decided()),
        )

    def _before_model(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._asleep:
            return
        window = read_window(args, kwargs)
        begins = self._sequences.enter(window)
        if begins:
            self._begin(window)
            self._decide_early(window, args, kwargs)
        if self._laws.at_token:
            self._renew(window, begins)
        self._pass = self._passing(window)
        for index, fires in self._conditions.decided():
            self._pass.decide(index, fires)
        for index, known in self._corrections.known(window):
            self._pass.lanes[index].corrected(known)
        if self._nominal is not None:
            self._pass.passive = True
            try:
                with torch.no_grad():
                    self._nominal.before(args, kwargs)
            finally:
                self._pass.passive = False

    def _begin(self, window: Window) -> None:
        """A new sequence: laws that are made for each prompt, and a fresh record."""
        self._conditions.forget()
        for memory in self._memories:
            memory.forget()
        if self._laws.at_prompt:
            with self._sleeping():
                self._laws.make(window, self)
        self._records.begin(self._laws.channels)

    def _decide_early(self, window: Window, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Make ready to read what conditions ask of the prompts, of which nothing is steered yet.

        The unsteered run tells it, where there is one; or this very pass, where all of it is known
        before any law acts; or else the prompts run once more beforehand.
        """
        self._conditions.begin(window, self._sequences)
        late = self._conditions.too_late(self._laws.channels, len(self._blocks))
        if late and self._nominal is None:
            self._pass = None
            with self._sleeping():
                run_bare(self._model, args, kwargs)

    def _renew(self, window: Window, begins: bool) -> None:
        """Laws that are made for each token, where one is generated."""
        self._laws.note(window)
        if not begins:
            with self._sleeping():
                self._laws.remake(window, self)

    def _passing(self, window: Window) -> Pass:
        """The pass that begins."""
        seen = min(window.length, max(0, self._sequences.seen - window.first))
        channels = self._laws.on(window.valid.device)
        known = window, self._sequences, self._prompts, seen, self._plans
        return Pass(channels, *known, self._records.latest)

    @contextmanager
    def _sleeping(self) -> Iterator[None]:
        """While the model runs for a purpose of the run's own, nothing is steered."""
        self._asleep = True
        try:
            yield
        finally:
            self._asleep = False

    def _read(self, state: int, x: torch.Tensor) -> None:
        """Show one state to the conditions; where they know enough, close the rows they do not."""
        for index, fires in self._conditions.see(state, x):
            if self._pass is not None:
                self._pass.decide(index, fires)

    def _after_model(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if self._asleep:
            return
        current = self._current()
        if current.fired != len(self._blocks):
            raise ArchitectureError(
                f"steering reached {current.fired} of {len(self._blocks)} blocks: this model does "
                "not run its blocks once each in a forward pass"
            )
        self._inside.require_all(current, len(self._blocks))
        self._records.settle()
        self._corrections.learn(current, self._laws.on(current.window.valid.device))
        if self._nominal is not None:
            self._nominal.after(output)
        self._follow(kwargs, output)
        self._sequences.leave(current.window)
        self._pass = None

    def _follow(self, kwargs: dict[str, Any], output: Any) -> None:
        """Keep what is remembered in step with the caller's cache; a nominal run has seen to it."""
        if self._nominal is None and self._remembers:
            cache = kwargs.get("past_key_values") or getattr(output, "past_key_values", None)
            if cache is not None and not self._mirror.follows(cache):
                self._mirror.follow(cache)

    def _after_block(
        self, block: int, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Any:
        if self._conditions.asking:
            self._read(block, hidden_in(args, kwargs))
            if block + 1 == len(self._blocks):
                self._read(block + 1, hidden_out(output))
        if self._asleep:
            return None
        current, x, y = self._current(), hidden_in(args, kwargs), hidden_out(output)
        channels = self._laws.on(x.device)
        if current.passive:
            current.look(channels, block, x, y)
            return None
        steered = current.steer(channels, block, x, y)
        if block + 1 == len(self._blocks):
            current.end(channels, steered)
        return output if steered is y else with_hidden(output, steered)

    def _at_site(self, site: Site, block: int, z: torch.Tensor) -> torch.Tensor | None:
        """What a block holds at a site with the inputs of the laws there added; None as it was."""
        if self._asleep:
            return None
        current, channels, at = self._current(), self._laws.on(z.device), self._inside.at(site)
        held = at_tokens(z, *current.window.valid.shape)
        if current.passive:
            current.look_inside(channels, at, block, held)
            return None
        steered = current.steer_inside(channels, site, at, block, held)
        return None if steered is held else steered.view(z.shape)

    def _current(self) -> Pass:
        if self._pass is None:
            raise AttachedError(
                "a block ran outside its model's own forward: while a steering is attached, call "
                f"the {type(self._model).__name__} itself (or its generate), not its parts"
            )
        return self._pass
