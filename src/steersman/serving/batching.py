"""The rows that a model runs together, each with steerings of its own; rows come and go.

Every row ends in the same column, so a batch is padded on the left: what is behind in one row is
behind in all, and rows that join are put beside those that are there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from steersman.engines import Channel, Run, Standing, empty_cache, rows_of, stacked
from steersman.plant import Blocks, accepts, input_device
from steersman.request import Request
from steersman.serving.readings import Readings, readings_of
from steersman.serving.row import Row, Served

Logits = Float[Tensor, "rows vocabulary"]


@dataclass(frozen=True, eq=False)
class Plant:
    """A loaded model as batches run it.

    Args:
        model: the model.
        blocks: its blocks.
        pad: the token id of padding.
    """

    model: nn.Module
    blocks: Blocks
    pad: int

    @property
    def device(self) -> torch.device:
        """Where token ids go."""
        return input_device(self.blocks)

    @cached_property
    def takes_positions(self) -> bool:
        """Whether its forward takes the place of every token."""
        return accepts(self.model, "position_ids")

    @cached_property
    def takes_logits_to_keep(self) -> bool:
        """Whether its forward can leave out logits that nobody reads."""
        return accepts(self.model, "logits_to_keep")


@dataclass(frozen=True, eq=False)
class State:
    """What the model knows of the rows of a batch.

    Args:
        mask: 1 where a column of the cache is a token of the row.
        cache: keys and values.
        ends: the column of each row's last prompt token.
        nominal: the cache of the unsteered run; None where no row needs one.
        fired: of each steering with a condition, which rows' prompts met it.
    """

    mask: Int[Tensor, "rows columns"]
    cache: Any
    ends: Int[Tensor, " rows"]
    nominal: Any
    fired: Mapping[Served, Bool[Tensor, " rows"]]

    def kept(self, rows: Sequence[int]) -> "State":
        """Some of the rows, without the columns that are padding in all of them."""
        index = torch.tensor(rows, device=self.mask.device)
        mask = self.mask.index_select(0, index)
        drop = mask.shape[1] - int(mask.sum(dim=1).max())
        nominal = None if self.nominal is None else rows_of(self.nominal, index, drop)
        return State(
            mask[:, drop:],
            rows_of(self.cache, index, drop),
            self.ends.index_select(0, index) - drop,
            nominal,
            {served: fired.index_select(0, index) for served, fired in self.fired.items()},
        )

    def beside(self, other: "State") -> "State":
        """The rows of both, these first."""
        both = (self, other)
        columns = max(one.mask.shape[1] for one in both)
        short = [columns - one.mask.shape[1] for one in both]
        masks = [nn.functional.pad(one.mask, (by, 0)) for one, by in zip(both, short, strict=True)]
        nominal = None
        if any(one.nominal is not None for one in both):
            # A row that needs no unsteered run may have any.
            caches = [one.cache if one.nominal is None else one.nominal for one in both]
            nominal = stacked(caches)
        return State(
            torch.cat(masks),
            stacked([one.cache for one in both]),
            torch.cat([one.ends + by for one, by in zip(both, short, strict=True)]),
            nominal,
            {
                served: torch.cat([one.of(served) for one in both])
                for served in {**self.fired, **other.fired}
            },
        )

    def of(self, served: Served) -> Bool[Tensor, " rows"]:
        """Which rows' prompts met a steering's condition; none of those that do not have it."""
        return self.fired.get(served, torch.zeros_like(self.ends, dtype=torch.bool))


class Batch:
    """Some rows in one decode loop, from their prompts on.

    Args:
        plant: the model.
        rows: the answers.
        state: what the model knows of them; None before their prompts have passed.
    """

    def __init__(self, plant: Plant, rows: Sequence[Row], state: State | None = None) -> None:
        """The model is not run, and not hooked."""
        self._plant = plant
        self.rows = tuple(rows)
        self._state = state
        self._run: Run | None = None
        self._served: tuple[Served, ...] = ()

    def begin(self) -> Logits:
        """Run the prompts; what comes behind each."""
        longest = max(len(row.request.prompt) for row in self.rows)
        ids = torch.full((len(self.rows), longest), self._plant.pad)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(self.rows):
            prompt = torch.tensor(row.request.prompt)
            ids[index, longest - len(prompt) :], mask[index, longest - len(prompt) :] = prompt, 1
        ends = torch.full((len(self.rows),), longest - 1)
        device = self._plant.device
        cache = empty_cache(self._plant.model)
        self._state = State(mask.to(device), cache, ends.to(device), None, {})
        self._attach()
        return self._forward(ids.to(device), mask.to(device))

    def step(self) -> Logits:
        """Run the last token of every row; what comes behind it."""
        state = self._known
        if self._run is None:
            self._attach()
            if self._run is not None:
                self._run.resume(self._standing(self._run))
        ids = torch.tensor([[row.last] for row in self.rows], device=self._plant.device)
        mask = torch.cat([state.mask, torch.ones_like(ids)], dim=1)
        return self._forward(ids, mask)

    def readings(self) -> list[Readings | None]:
        """Where each row's features are in the state that its next token is chosen from."""
        if not any(row.request.readings for row in self.rows):
            return [None] * len(self.rows)
        found: list[list[Any]] = [[] for _ in self.rows]
        lasts = () if self._run is None else self._run.last()
        for served, last in zip(self._served, lasts, strict=True):
            for index, row in enumerate(self._rows_of(served)):
                if self.rows[row].request.readings:
                    asked = self.rows[row].steerings[served]
                    found[row] += readings_of(served, asked, last, index)
        return [
            tuple(read) if row.request.readings else None
            for row, read in zip(self.rows, found, strict=True)
        ]

    def kept(self, rows: Sequence[int]) -> "Batch":
        """A batch of some of the rows; this one is over."""
        if len(rows) == len(self.rows):
            return self
        self.close()
        return Batch(self._plant, [self.rows[row] for row in rows], self._known.kept(rows))

    def joined(self, other: "Batch") -> "Batch":
        """A batch of the rows of both, which are over."""
        self.close()
        other.close()
        state = self._known.beside(other._known)
        return Batch(self._plant, [*self.rows, *other.rows], state)

    def close(self) -> None:
        """Unhook the model; what was recorded goes to the rows that asked for it."""
        run, self._run = self._run, None
        if run is None:
            return
        state = self._known
        left = run.standing(state.cache)
        fired = {self._served[index]: found for index, found in left.fired.items()}
        self._state = State(state.mask, state.cache, left.ends, left.nominal, fired)
        run.close()
        self._hand_out(run)

    def drop(self) -> None:
        """Unhook the model, whatever state it is in; the rows are lost."""
        run, self._run, self._state = self._run, None, None
        if run is not None:
            run.close()

    @property
    def _known(self) -> State:
        if self._state is None:
            raise RuntimeError("the prompts have not been run")
        return self._state

    @torch.no_grad()
    def _forward(self, ids: Int[Tensor, "rows new"], mask: Int[Tensor, "rows columns"]) -> Logits:
        model, state = self._plant.model, self._known
        arguments = {
            "input_ids": ids,
            "attention_mask": mask,
            "past_key_values": state.cache,
            "use_cache": True,
        }
        if self._plant.takes_positions:
            arguments["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        if self._plant.takes_logits_to_keep:
            arguments["logits_to_keep"] = 1
        output = model(**arguments)
        # Without a steering, no unsteered run keeps up with the cache.
        nominal = None if self._run is None else state.nominal
        self._state = State(mask, state.cache, state.ends, nominal, state.fired)
        logits: Tensor = output.logits[:, -1]
        return logits

    def _attach(self) -> None:
        """Hook the model where any row is steered: a law for each steering, and its rows."""
        served = {one for row in self.rows for one in row.steerings}
        self._served = tuple(sorted(served, key=lambda one: one.name))
        if not self._served:
            return
        plant = self._plant
        channels = tuple(self._channel(one) for one in self._served)
        traced = any(row.watched for row in self.rows)
        run = Run(plant.model, plant.blocks, channels, prompts=len(self.rows), trace=traced)
        self._run = run.__enter__()

    def _channel(self, served: Served) -> Channel:
        mine = self._rows_of(served)
        names = served.steering.features.names
        # What a row does not name is left alone; it was refused where a law cannot do that.
        asked = {
            name: [self.rows[row].steerings[served].get(name, 0.0) for row in mine]
            for name in names
        }
        rows = None if len(mine) == len(self.rows) else mine
        return served.steering.channel(Request.of(asked), self._plant.model, rows)

    def _rows_of(self, served: Served) -> tuple[int, ...]:
        return tuple(i for i, row in enumerate(self.rows) if served in row.steerings)

    def _standing(self, run: Run) -> Standing:
        state = self._known
        numbers = {one: index for index, one in enumerate(self._served)}
        return Standing(
            cache=state.cache,
            columns=state.mask.shape[1],
            ends=state.ends,
            nominal=state.nominal,
            fired={numbers[one]: fired for one, fired in state.fired.items() if one in numbers},
        )

    def _hand_out(self, run: Run) -> None:
        if not any(row.recording is not None for row in self.rows):
            return
        traces = iter(run.traces())
        for served in self._served:
            mine = self._rows_of(served)
            for _ in served.steering.features.names:
                trace = next(traces)
                for index, row in enumerate(mine):
                    recording = self.rows[row].recording
                    if recording is not None:
                        recording.add(served, trace, index)
