"""What the blocks observe of the requests that are to be told of, until somebody asks for it."""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from steersman.vllm.rows import Admitted
from steersman.vllm.served import watch_key
from steersman.vllm.table import LawTable

MOST_BYTES = 2**28
"""So much is kept of requests that have ended, and all of those under way."""
_LEAST_BYTES = 2**10


@dataclass(frozen=True, eq=False)
class _Record:
    """Of one request, by the places of its tokens: what comes again is written over itself.

    Args:
        columns: of its laws, of each what the law observes and then the features.
        gates: a column of each law, to tell which tokens it acts on.
        places: what every state of the stream shows, `(states, columns)`, and which laws act.
    """

    columns: list[int]
    gates: list[int]
    places: dict[int, tuple[Float[np.ndarray, "states columns"], Bool[np.ndarray, " laws"]]] = (
        field(default_factory=dict)
    )

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return _LEAST_BYTES + sum(seen.nbytes for seen, _ in self.places.values())


class Records:
    """Those of one worker.

    Where several requests under way have one name, as the samples of one prompt, nothing of any of
    them is kept: what is of which could not be told.

    Args:
        table: what the blocks write into.
        local: the blocks that this worker holds.
    """

    def __init__(self, table: LawTable, local: tuple[int, ...]) -> None:
        """Nothing was observed."""
        self._table, self._local = table, local
        self._of: dict[str, _Record] = {}
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._under_way: Counter[str] = Counter()

    def begin(self, request: Admitted) -> None:
        """Keep a record of a request, if it wants one."""
        if not request.record:
            return
        self._under_way[request.record] += 1
        self._ended.pop(request.record, None)
        if self._under_way[request.record] > 1:
            self._of.pop(request.record, None)
            return
        found: list[int] = []
        gates = []
        for law in request.laws:
            own = self._table.columns_of[law.asked.key]
            gates.append(own[0])
            found += [*own, *self._table.columns_of[watch_key(law.asked.key)]]
        self._of[request.record] = _Record(found, gates)

    def end(self, request: Admitted) -> None:
        """Nothing more is observed of a request; its record waits to be read."""
        if not request.record:
            return
        self._under_way[request.record] -= 1
        self._under_way += Counter()  # forgets what is zero
        record = self._of.get(request.record)
        if record is None:
            return
        self._ended[request.record] = record.bytes
        while sum(self._ended.values()) > MOST_BYTES:
            name, _ = self._ended.popitem(last=False)
            del self._of[name]

    @torch.no_grad()
    def keep(self, name: str, row: int, rows: int, first: int) -> None:
        """Keep what the pass that is over showed of a request.

        Args:
            name: of the record.
            row: the request's first row.
            rows: how many it has.
            first: the place of its first token.
        """
        record = self._of.get(name)
        if record is None:
            return
        span = slice(row, row + rows)
        seen = self._table.seen[:, span][..., record.columns].cpu().numpy()
        acting = self._table.mask[span][:, record.gates].cpu().numpy()
        for i in range(rows):
            record.places[first + i] = (seen[:, i], acting[i])

    def read(self, name: str, first: int, stop: int) -> list[Any]:
        """A record, or some of it, as plain data.

        Args:
            name: of the record.
            first: the first place.
            stop: the first place of no interest any more.

        Returns:
            The blocks of this worker, the places, and as bytes what they show, `(places, states,
            columns)` in float32, and which laws act on each, `(places, laws)`; empty where there is
            no such record.
        """
        record = self._of.get(name)
        if record is None:
            return []
        places = sorted(place for place in record.places if first <= place < stop)
        seen = [record.places[place][0].tobytes() for place in places]
        acting = [record.places[place][1].tobytes() for place in places]
        return [list(self._local), places, b"".join(seen), b"".join(acting)]
