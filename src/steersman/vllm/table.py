"""The tensors that the operation reads: every law of the engine, and whose each row is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from steersman.errors import InputError
from steersman.vllm.served import Matrices


@dataclass(frozen=True, eq=False)
class Rows:
    """Whose the rows of one pass are, before they go to the device.

    Args:
        slot: each row's slot, 0 where nothing acts on it.
        mask: which columns act on each row.
    """

    slot: Int[np.ndarray, " rows"]
    mask: Bool[np.ndarray, "rows columns"]


@dataclass(eq=False)
class LawTable:
    """All laws side by side: law `i` has the columns `columns_of[i]` of every tensor.

    The tensors are made once and never again, since compiled and captured graphs hold on to them.

    Args:
        blocks: how many blocks the model has.
        n: the width of its residual stream.
        columns: room for so many observed numbers.
        slots: room for so many requests in one pass.
        rows: room for so many rows in one pass.
        device: where the model is.
    """

    blocks: int
    n: int
    columns: int
    slots: int
    rows: int
    device: torch.device
    columns_of: dict[str, list[int]] = field(default_factory=dict)
    leaving: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the tensors; all laws are zero, and all rows untouched."""

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(*shape, dtype=dtype, device=self.device)

        self.H: Float[Tensor, "blocks columns n"] = zeros(self.blocks, self.columns, self.n)
        self.G: Float[Tensor, "blocks columns n"] = zeros(self.blocks, self.columns, self.n)
        self.setpoints = zeros(self.blocks, self.slots + 1, self.columns)
        # Of every row, taken from the slots whenever other rows come.
        self.S: Float[Tensor, "blocks rows columns"] = zeros(self.blocks, self.rows, self.columns)
        self.mask = zeros(self.rows, self.columns, dtype=torch.bool)
        self.opened = zeros(self.rows, dtype=torch.bool)
        self.used = zeros(2, dtype=torch.int64)
        self.fired = zeros(self.blocks, 1, dtype=torch.int32)
        # Of every block's input, and of the last one's output.
        self.seen: Float[Tensor, "states rows columns"] = zeros(
            self.blocks + 1, self.rows, self.columns
        )
        self.last: Float[Tensor, "columns n"] = zeros(self.columns, self.n)
        self._touched = 0
        # Nothing is steered in the passes to come, and the operation is known to run behind every
        # block: blocks that are called one by one may leave it out.
        self.resting = False

    def at(self, block: int) -> tuple[Tensor, ...]:
        """What the operation takes at a block, in its order, behind `y` and `x`."""
        law = (self.H[block], self.G[block], self.S[block])
        shared = (self.mask, self.opened, self.used)
        return (*law, *shared, self.fired[block], self.seen[block])

    @property
    def at_the_end(self) -> tuple[Tensor, ...]:
        """What the operation behind the last block takes, behind what comes out of that."""
        return (self.last, self.used, self.seen[-1])

    def add(self, name: str, laws: Mapping[str, Matrices], busy: Iterable[str] = ()) -> None:
        """Give every law of a steering columns of its own; none twice.

        Laws that were removed keep theirs until the room is wanted and no request needs them.

        Args:
            name: of the steering, for messages.
            laws: by their keys.
            busy: keys of laws that requests are using.

        Raises:
            InputError: there is no room, or it is of another width; nothing was added.
        """
        for law in laws.values():
            if law.H.shape[:2] != (self.blocks, self.n):
                raise InputError(
                    f"the steering {name!r} is for {law.H.shape[0]} blocks of width "
                    f"{law.H.shape[1]}; this model has {self.blocks} of {self.n}."
                )
        self.leaving = [key for key in self.leaving if key not in laws]
        new = {key: law for key, law in laws.items() if key not in self.columns_of}
        wanted = sum(law.H.shape[2] for law in new.values())
        self._make_room(wanted, set(busy))
        free = self._free()
        if wanted > len(free):
            raise InputError(
                f"the steering {name!r} takes {wanted} columns and {len(free)} of "
                f"{self.columns} are free: remove one, or start with more, as in "
                f'{{"columns": {2 * self.columns}}}.'
            )
        for key, law in new.items():
            k = law.H.shape[2]
            self._write(key, law, free[:k])
            free = free[k:]

    def remove(self, keys: Iterable[str]) -> None:
        """Take note that no new request will want these laws."""
        self.leaving += [key for key in keys if key in self.columns_of and key not in self.leaving]

    def set_slot(self, slot: int, laws: Mapping[str, Sequence[Sequence[float]]]) -> None:
        """Write the setpoints of a request.

        Args:
            slot: its slot, 1 or more.
            laws: by key, `s_t` of every block and observed number.
        """
        found = torch.zeros(self.blocks, self.columns)
        for key, setpoints in laws.items():
            found[:, self.columns_of[key]] = torch.tensor(setpoints)
        self.setpoints[:, slot] = found.to(self.device)

    def put(self, rows: Rows) -> None:
        """Say whose the rows of the next pass are; those behind them are nobody's."""
        count = len(rows.slot)
        if count > self.rows:
            raise InputError(f"{count} rows in one pass, and room was kept for {self.rows}.")
        self.clear(count)
        self.resting = False
        slot = torch.from_numpy(rows.slot).to(self.device)
        self.S[:, :count] = self.setpoints[:, slot]
        self.mask[:count] = torch.from_numpy(rows.mask).to(self.device)
        self.opened[:count] = torch.from_numpy(rows.mask.any(axis=1)).to(self.device)
        self._touched = count
        columns = np.flatnonzero(rows.mask.any(axis=0))
        self.used[1] = int(columns[-1]) + 1 if len(columns) else 0
        self._recount()

    def narrow(self, start: int, columns: Sequence[int], allowed: Bool[Tensor, " some"]) -> None:
        """Close columns of rows that are there, where `allowed` is false; nothing is waited for."""
        stop = start + len(allowed)
        for column in columns:
            self.mask[start:stop, column] &= allowed
        self.opened[start:stop] = self.mask[start:stop].any(dim=1)
        self._recount()

    def clear(self, kept: int = 0) -> None:
        """Let nothing act on any row behind the first `kept`."""
        if self._touched > kept:
            self.opened[kept : self._touched] = False
            self.mask[kept : self._touched] = False
            self._recount()
        self._touched = min(self._touched, kept)

    def _recount(self) -> None:
        self.used[0] = self.opened[: self._touched].sum()

    def _make_room(self, wanted: int, busy: set[str]) -> None:
        for key in [key for key in self.leaving if key not in busy]:
            if wanted <= len(self._free()):
                return
            columns = self.columns_of.pop(key)
            self.leaving.remove(key)
            self.H[:, columns] = 0.0
            self.G[:, columns] = 0.0
            self.last[columns] = 0.0

    def _free(self) -> list[int]:
        taken = {column for columns in self.columns_of.values() for column in columns}
        return [column for column in range(self.columns) if column not in taken]

    def _write(self, key: str, law: Matrices, columns: list[int]) -> None:
        self.H[:, columns] = law.H.mT.to(self.device)
        self.G[:, columns] = law.G.mT.to(self.device)
        if law.last is not None:
            self.last[columns] = law.last.mT.to(self.device)
        self.columns_of[key] = columns
