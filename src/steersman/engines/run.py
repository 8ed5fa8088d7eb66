"""The transformers engine: evaluates steering laws in front of a model's blocks while it runs.

The model is neither changed nor wrapped. One hook a block reads the block's input, asks the law,
and returns the block's output with the law's input added; one pair of hooks around the model's
forward tells which tokens pass. Everything is gone when the `with` block is left.
"""

from collections.abc import Callable
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
from steersman.engines.lane import Pass
from steersman.engines.last import Last
from steersman.engines.memory import RowMemory
from steersman.engines.mirror import Mirror
from steersman.engines.nominal import NominalRun
from steersman.engines.planned import Plans
from steersman.engines.recorder import Recorder
from steersman.engines.renewal import made_for, remade_for
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
        self._channels = channels
        self._prompts = prompts
        self._traced = trace
        self._sequences = Sequences(prompt_length)
        self._relative = tuple(i for i, c in enumerate(channels) if c.reference.needs_nominal)
        self._corrections = Corrections(channels)
        self._conditions = Conditions(channels)
        self._known = RowMemory()
        self._anew = any(channel.at_token for channel in channels)
        kept = (*self._corrections.memories, *self._conditions.memories)
        self._memories = (self._known, *kept)
        self._remembers = self._anew or bool(kept)
        self._mirror = Mirror(self._memories if self._remembers else ())
        self._nominal = NominalRun(self._model, self._mirror) if self._relative else None
        self._hooks: HookSet | None = None
        self._on: dict[torch.device, tuple[Channel, ...]] = {}
        self._plans = Plans()
        self._recorders: list[list[Recorder]] = []
        self._pass: Pass | None = None
        self._asleep = False
        if prompt_length is not None and any(c.at_prompt for c in channels):
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
        if not self._traced:
            raise InputError("nothing was recorded: attach with trace=True to get a trace")
        if not self._recorders:
            raise InputError("nothing was recorded: run the model inside the `with` block first")
        return tuple(trace for one in self._recorders[sequence] for trace in one.traces())

    def last(self) -> tuple[Last | None, ...]:
        """Where each steering's features are at the last token of the last pass; see `Last`.

        Raises:
            InputError: nothing ran yet, or the run was attached with `trace=False`.
        """
        if not self._traced or not self._recorders:
            raise InputError("nothing was recorded: attach with trace=True and run the model first")
        return tuple(one.last() for one in self._recorders[-1])

    def resume(self, standing: Standing) -> None:
        """Go on with rows that another run has left, before the first pass of this one.

        Args:
            standing: where they stand; the channels are those of this run.

        Raises:
            InputError: a law is made for each prompt or token, or makes up for what the last one
                missed, of which another run knows nothing.
        """
        made = any(c.at_prompt for c in self._channels)
        if self._anew or made or self._corrections.channels:
            raise InputError(
                "rows that another run has begun can be taken over only with relinearize='fit' and "
                "without a correction"
            )
        self._sequences.resume(standing.ends, standing.columns)
        self._conditions.resume(standing.fired)
        if self._nominal is not None:
            self._nominal.resume(standing.cache, standing.nominal)
        if self._traced:
            self._recorders.append(self._recorders_of_all())

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
        if self._anew:
            self._renew(window, begins)
        skip = min(window.length, max(0, self._sequences.seen - window.first))
        channels = self._channels_on(window.valid.device)
        self._pass = Pass(channels, window, self._sequences, self._prompts, skip, self._plans)
        for index, fires in self._conditions.decided():
            self._pass.lanes[index].decide(fires)
        if self._traced:
            for lane, recorder in zip(self._pass.lanes, self._recorders[-1], strict=True):
                effort = None if lane.planned is None else lane.planned.effort
                recorder.tokens(*lane.tokens(window, skip), effort)
                if lane.fires is not None:
                    recorder.decided(lane.fires, lane.open[:, skip:])
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
        if any(channel.at_prompt for channel in self._channels):
            self._make(lambda channel: made_for(channel, window, self._prompts, self))
        if self._traced:
            self._recorders.append(self._recorders_of_all())

    def _recorders_of_all(self) -> list[Recorder]:
        return [Recorder(one.watch, one.scale, one.names) for one in self._channels]

    def _decide_early(self, window: Window, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Make ready to read what conditions ask of the prompts, of which nothing is steered yet.

        The unsteered run tells it, where there is one; or this very pass, where all of it is known
        before any law acts; or else the prompts run once more beforehand.
        """
        self._conditions.begin(window, self._sequences)
        late = self._conditions.too_late(self._channels, len(self._blocks))
        if late and self._nominal is None:
            self._pass, self._asleep = None, True
            try:
                run_bare(self._model, args, kwargs)
            finally:
                self._asleep = False

    def _read(self, state: int, x: torch.Tensor) -> None:
        """Show one state to the conditions; where they know enough, close the rows they do not."""
        for index, fires in self._conditions.see(state, x):
            if self._pass is not None:
                lane = self._pass.lanes[index]
                lane.decide(fires)
                if self._traced and lane.fires is not None:
                    steered = lane.open[:, self._pass.skip :]
                    self._recorders[-1][index].decided(lane.fires, steered)

    def _renew(self, window: Window, begins: bool) -> None:
        """Take note of the ids; laws that are made for each token, where one is generated."""
        if window.ids is not None:
            entries = torch.stack([window.ids, window.valid.to(window.ids)], dim=-1)
            self._known.write(window.first, entries)
        if not begins:
            known = self._known.kept if window.ids is not None else None
            self._make(lambda one: remade_for(one, window, known, self._prompts, self))

    def _make(self, made: Callable[[Channel], Channel]) -> None:
        """Let every channel have another law; the model may run meanwhile, unsteered."""
        self._asleep = True
        try:
            self._channels = tuple(made(channel) for channel in self._channels)
            self._on.clear()
        finally:
            self._asleep = False

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
        if self._traced:
            for recorder in self._recorders[-1]:
                recorder.settle()
        self._corrections.learn(current, self._channels_on(current.window.valid.device))
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
        current = self._current()
        x = hidden_in(args, kwargs)
        channels, before = self._channels_on(x.device), hidden_out(output)
        y = before
        last = block + 1 == len(self._blocks)
        if current.passive:
            for index in self._relative:
                lane, channel = current.lanes[index], channels[index]
                if channel.site == "block":
                    lane.remember(channel, block, x, y)
                if self._traced:
                    lane.show_nominal(channel, block, x)
                if last:
                    lane.begin(channel, y)
                if last and self._traced:
                    lane.show_nominal(channel, block + 1, y)
            return None
        current.fired += 1
        for index, channel in enumerate(channels):
            lane = current.lanes[index]
            recorder = self._recorders[-1][index] if self._traced else None
            if lane.fully is False and recorder is None:
                continue
            y = lane.steer(channel, block, x, y, recorder, current.skip)
        if last:
            for index in self._corrections.channels:
                current.lanes[index].end(channels[index], y)
        if last and self._traced:
            for index, channel in enumerate(channels):
                recorder = self._recorders[-1][index]
                current.lanes[index].show_final(channel, y, recorder, current.skip)
        return output if y is before else with_hidden(output, y)

    def _at_site(self, site: Site, block: int, z: torch.Tensor) -> torch.Tensor | None:
        """What a block holds at a site with the inputs of the laws there added; None as it was."""
        if self._asleep:
            return None
        current = self._current()
        channels = self._channels_on(z.device)
        before = at_tokens(z, *current.window.valid.shape)
        now = before
        current.visited[site] = current.visited.get(site, 0) + 1
        for index in self._inside.at(site):
            lane, channel = current.lanes[index], channels[index]
            if not current.passive:
                now = lane.steer_inside(channel, block, now, self._traced)
            elif index in self._relative:
                lane.remember(channel, block, now, now)
        return None if now is before else now.view(z.shape)

    def _current(self) -> Pass:
        if self._pass is None:
            raise AttachedError(
                "a block ran outside its model's own forward: while a steering is attached, call "
                f"the {type(self._model).__name__} itself (or its generate), not its parts"
            )
        return self._pass

    def _channels_on(self, device: torch.device) -> tuple[Channel, ...]:
        found = self._on.get(device)
        if found is None:
            found = self._on[device] = tuple(channel.to(device) for channel in self._channels)
        return found
