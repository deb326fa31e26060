"""The live stream: each event once, at once, filtered, and after a break from where one was."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from collector.access.access import Access
from collector.access.people import CONSOLE
from collector.access.roles import Role
from collector.hub import Change, Hub
from collector.ingest.ingest import changes_of
from collector.ledger import Ledger
from collector.ledger.lookup import Kept
from collector.ledger.write import Writer
from collector.web.app import create_app
from collector.web.settings import WebSettings
from collector.web.sse import _framed
from tests import waits
from tests.collector.conftest import FixedClock
from tests.collector.planted import NOW_US, data_of, told


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def app(ledger: Ledger, clock: FixedClock, access: Access, hub: Hub) -> FastAPI:
    return create_app(ledger, WebSettings(heartbeat_s=0.05), hub, clock=clock, access=access)


class Stream:
    """What came on a stream, read in a thread of its own."""

    def __init__(self, response: httpx.Response) -> None:
        self.messages: list[dict[str, str]] = []
        self.alive = 0
        self.ended = False
        self._response = response
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        message: dict[str, str] = {}
        try:
            for line in self._response.iter_lines():
                if line.startswith(": alive"):
                    self.alive += 1
                elif line and not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    message[name] = message[name] + "\n" + value if name in message else value
                elif not line and "data" in message:
                    self.messages.append(message)
                    message = {}
        except httpx.HTTPError:
            pass
        self.ended = True

    def sequences(self) -> list[int]:
        return [json.loads(message["data"])["sequence"] for message in tuple(self.messages) if "id" in message]

    def wait(self, count: int) -> list[int]:
        waits.until(lambda: len(self.sequences()) >= count, what=f"{count} events, have {self.sequences()}")
        return self.sequences()


@pytest.fixture
def listen(url: str, access: Access) -> Callable[..., Any]:
    _, secret = access.new_token(CONSOLE, "listener", Role.VIEWER)

    @contextmanager
    def open_stream(path: str = "/api/events", **headers: str) -> Iterator[Stream]:
        headers["Authorization"] = f"Bearer {secret}"
        with httpx.Client(base_url=url, timeout=30) as client, client.stream("GET", path, headers=headers) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            stream = Stream(response)
            waits.until(lambda: stream.alive)  # a heartbeat: it listens
            yield stream
            response.close()

    return open_stream


def put(ledger: Ledger, hub: Hub | None, *sequences: int, kind: str = "transaction.completed", **where: Any) -> None:
    """Events come in; without a hub it is another collector that took them."""
    events = [
        told(kind, data_of(number), sequence=number, **where)._replace(received_us=NOW_US + number)
        for number in sequences
    ]
    stored = Writer(ledger).store(events)
    if hub is not None:
        hub.publish(changes_of(stored, NOW_US))


def test_what_is_stored_comes_at_once_and_once(ledger: Ledger, hub: Hub, listen: Callable[..., Any]) -> None:
    with listen() as one, listen() as other:
        put(ledger, hub, 1, 2)
        put(ledger, hub, 2, 3)
        assert one.wait(3) == other.wait(3) == [1, 2, 3]
        first = one.messages[0]
        assert first["event"] == "transaction.completed"
        assert json.loads(first["data"])["id"] == "cashier-01:e1:1"


def test_what_another_collector_stored_comes_too(ledger: Ledger, listen: Callable[..., Any]) -> None:
    with listen() as stream:
        put(ledger, None, 1, 2)
        assert stream.wait(2) == [1, 2]


def test_a_broken_stream_goes_on_where_it_was(ledger: Ledger, hub: Hub, listen: Callable[..., Any]) -> None:
    with listen() as stream:
        put(ledger, hub, 1, 2, 3)
        stream.wait(3)
        seen = stream.messages[1]["id"]
    put(ledger, hub, 4, 5)
    with listen(**{"Last-Event-ID": seen}) as stream:
        put(ledger, hub, 6)
        assert stream.wait(4) == [3, 4, 5, 6]
    with listen(f"/api/events?after={seen}") as stream:
        assert stream.wait(4) == [3, 4, 5, 6]


def test_after_a_restart_nothing_is_missing(ledger: Ledger, listen: Callable[..., Any], app: FastAPI) -> None:
    put(ledger, None, 1, 2, 3)
    with listen("/api/events?after=MDo") as stream:
        stream.wait(3)
        seen = stream.messages[1]["id"]
    app.state.site.live.memory.clear()
    with listen(**{"Last-Event-ID": seen}) as stream:
        put(ledger, None, 4)
        waits.until(lambda: 4 in stream.sequences())
        assert {3, 4} <= set(stream.sequences())
        assert len(stream.sequences()) == len(set(stream.sequences()))


def test_a_stream_from_long_ago_brings_all_of_it(ledger: Ledger, listen: Callable[..., Any]) -> None:
    put(ledger, None, *range(1, 1201))
    with listen("/api/events?after=MDo") as stream:  # 0:
        assert stream.wait(1200) == list(range(1, 1201))


def test_filters_leave_out_what_was_not_asked_for(ledger: Ledger, hub: Hub, listen: Callable[..., Any]) -> None:
    with (
        listen("/api/events?type=transaction.pending") as pending,
        listen("/api/events?type=transaction&agent=cashier-02") as second,
        listen("/api/events?site=west") as west,
    ):
        put(ledger, hub, 1)
        put(ledger, hub, 2, kind="transaction.pending")
        put(ledger, hub, 3, agent="cashier-02")
        put(ledger, hub, 4, agent="cashier-03", site="west")
        assert pending.wait(1) == [2]
        assert second.wait(1) == [3]
        assert west.wait(1) == [4]
        put(ledger, hub, 5, kind="transaction.pending")
        assert pending.wait(2) == [2, 5]
        assert (second.sequences(), west.sequences()) == ([3], [4])


def test_only_the_ends_of_lines_end_a_line_of_the_stream() -> None:
    body = '{"a": "x\u2028y\u0085z",\n "b": 1}'
    event = Kept("cashier-01", "e1", 1, "transaction.completed", "east", "pos1", NOW_US, body, True)
    lines = _framed(event).split("\n")
    assert "\n".join(line.removeprefix("data: ") for line in lines if line.startswith("data: ")) == body
    assert len(lines) == 6  # id, event, two of data, the empty one that ends the message, and what follows


def test_changes_that_are_no_events_are_told_without_a_place(hub: Hub, listen: Callable[..., Any]) -> None:
    with listen() as stream:
        hub.publish([Change("case", "7")])
        waits.until(lambda: stream.messages)
        assert stream.messages[0]["event"] == "case"
        assert json.loads(stream.messages[0]["data"])["key"] == "7"
        assert "id" not in stream.messages[0]


def test_a_stream_ends_when_its_token_is_revoked(access: Access, listen: Callable[..., Any]) -> None:
    with listen() as stream:
        access.revoke_token(CONSOLE, "listener")
        waits.until(lambda: stream.ended)


def test_a_listener_that_does_not_keep_up_is_dropped_and_no_other(
    ledger: Ledger, hub: Hub, listen: Callable[..., Any], app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listen() as stream:
        monkeypatch.setattr("collector.web.live._WAITING", 3)
        put(ledger, hub, 1)
        stream.wait(1)
        hub.publish([Change("case", str(number)) for number in range(10)])
        waits.until(lambda: stream.ended)
    monkeypatch.undo()
    with listen() as stream:
        put(ledger, hub, 2)
        assert 2 in stream.wait(1)
    waits.until(lambda: app.state.site.live.listeners == 0, what="ended streams are forgotten")


def test_a_bad_value_is_refused_before_the_stream_opens(program: Callable[[Role], httpx.Client]) -> None:
    for query in ("after=%00", "site=a%20b", "tipe=x", "type=" + "x" * 65):
        refused = program(Role.VIEWER).get(f"/api/events?{query}")
        assert refused.status_code == 400
        assert "\n" not in refused.json()["detail"]
