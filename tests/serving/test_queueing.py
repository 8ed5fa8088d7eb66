"""Clients take turns, and nobody shuts the others out."""

import asyncio
from collections import defaultdict
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_servers import Start

from steersman.serving.limits import Limits
from steersman.serving.queueing import Queue


class One(NamedTuple):
    """One answer."""

    client: str
    number: int


CLIENTS = st.lists(st.sampled_from("abcd"), max_size=40)


def filled(clients: list[str]) -> Queue[One]:
    queue: Queue[One] = Queue(1)
    for number, client in enumerate(clients):
        queue.put(One(client, number))
    return queue


@given(CLIENTS)
def test_each_round_has_one_of_every_client_that_still_waits(clients: list[str]) -> None:
    queue = filled(clients)
    taken = [queue.take() for _ in range(len(queue))]
    places: dict[str, int] = defaultdict(int)
    rounds = []
    for one in taken:
        rounds.append(places[one.client])
        places[one.client] += 1
    assert rounds == sorted(rounds)
    for client in set(clients):
        numbers = [one.number for one in taken if one.client == client]
        assert numbers == sorted(numbers) and len(numbers) == clients.count(client)


@given(CLIENTS, st.data())
def test_what_is_dropped_is_not_taken(clients: list[str], data: st.DataObject) -> None:
    queue = filled(clients)
    gone = data.draw(st.sets(st.sampled_from(list(queue)))) if clients else set()
    for one in gone:
        queue.drop(one)
    left = {queue.take() for _ in range(len(queue))}
    assert left == {One(client, i) for i, client in enumerate(clients)} - gone


@given(st.lists(st.sampled_from("abcdefgh"), max_size=300), st.integers(1, 40))
def test_a_full_queue_lets_in_who_has_less_than_a_share(clients: list[str], room: int) -> None:
    queue: Queue[One] = Queue(room)
    for number, client in enumerate(clients):
        if not queue.full(client):
            queue.put(One(client, number))
    held = {client: sum(one.client == client for one in queue) for client in set(clients)}
    for client, count in held.items():
        # Everyone who asked has something, and one that is refused has a share already.
        assert count >= 1
        assert count >= min(clients.count(client), room // 8)
    bound = room * sum(1 / k for k in range(1, len(held) + 1)) + len(held)
    assert len(queue) <= bound


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"transport": httpx.AsyncHTTPTransport(local_address="127.0.0.2")},
        {"headers": {"x-forwarded-for": "192.0.2.1"}},
    ],
    ids=["by address", "by what a proxy says"],
)
def test_one_client_with_many_requests_does_not_hold_up_another(
    start: Start, elsewhere: dict[str, Any]
) -> None:
    own = start(Limits(running=1, waiting=20))
    url = f"{own.url}/v1/completions"
    asked = {"model": "tunnel", "prompt": "the", "max_tokens": 40, "temperature": 1.0}

    async def both() -> tuple[list[int], int, int]:
        async with httpx.AsyncClient(timeout=60, **elsewhere) as many:
            tasks = [asyncio.create_task(many.post(url, json=asked)) for _ in range(24)]
            while own.service.engine.load.waiting < 20:
                await asyncio.sleep(0.01)
            async with httpx.AsyncClient(timeout=60) as one:
                mine = await one.post(url, json={**asked, "max_tokens": 2})
            left = own.service.engine.load.waiting
            found = [(await task).status_code for task in tasks]
        return found, mine.status_code, left

    statuses, mine, left = asyncio.run(both())
    # The queue was full, and still the other client was let in and answered before most of it.
    assert mine == 200 and left >= 10
    assert set(statuses) == {200, 429}


@given(CLIENTS, st.data())
def test_the_length_is_that_of_what_waits(clients: list[str], data: st.DataObject) -> None:
    queue = filled(clients)
    while len(queue):
        assert len(queue) == len(list(queue))
        if data.draw(st.booleans()):
            queue.take()
        else:
            queue.drop(data.draw(st.sampled_from(list(queue))))
    assert list(queue) == []
