"""Who may begin next: clients take turns, however many answers one of them waits for.

With `k` clients waiting, the next `k` answers to begin are one of each; those of one client begin
in the order in which they came.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class Waiting(Protocol):
    """What may wait."""

    @property
    def client(self) -> str:
        """Who waits for it."""


_One = TypeVar("_One", bound=Waiting)


class Queue(Generic[_One]):
    """What waits, client by client; for one thread at a time, but that any may ask for its length.

    Args:
        room: how many wait at most. A client that has fewer than its share of the room, `room / k`,
            is let into a full queue too, or one client could shut the others out.
    """

    def __init__(self, room: int) -> None:
        """Nothing waits."""
        self._room = room
        # In the order of their turns; nobody in it who waits for nothing.
        self._clients: OrderedDict[str, deque[_One]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._length

    def __iter__(self) -> Iterator[_One]:
        """All that wait, client by client."""
        return (one for each in self._clients.values() for one in each)

    def full(self, client: str) -> bool:
        """Whether a client may not put more in."""
        if self._length < self._room:
            return False
        mine = len(self._clients.get(client, ()))
        return mine * len({*self._clients, client}) >= self._room

    def put(self, one: _One) -> None:
        """Let it wait, full or not."""
        self._clients.setdefault(one.client, deque()).append(one)
        self._length += 1

    def take(self) -> _One:
        """The next, whose client then lets all others go first.

        Raises:
            KeyError: nothing waits.
        """
        client, mine = self._clients.popitem(last=False)
        one = mine.popleft()
        self._length -= 1
        if mine:
            self._clients[client] = mine
        return one

    def drop(self, one: _One) -> None:
        """Let it wait no more.

        Raises:
            KeyError: it does not wait.
        """
        mine = self._clients[one.client]
        mine.remove(one)
        self._length -= 1
        if not mine:
            del self._clients[one.client]
