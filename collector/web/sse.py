"""GET /api/events: the events as they are stored, as server-sent events.

Each has the CloudEvent as `data`, its type as `event`, and as `id` its place, from which a stream that broke goes on
(`Last-Event-ID`, or `?after=`). After a restart of the collector a few may come twice, never not at all: count an
event by its own id. Changes that are no agent's events (a case, an agent's state) come as `case`, `agent`, …, without
a place.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from agent.phrase import phrase
from collector.hub import Change
from collector.ledger import lookup
from collector.ledger.lookup import Kept
from collector.web import values
from collector.web.api import only_known_parameters
from collector.web.context import Site, site_of
from collector.web.live import BACK_US, Item, Listener, Memory
from collector.web.problems import Problem
from collector.web.security import Reader, still_welcome

router = APIRouter(prefix="/api", tags=["ledger"], dependencies=[Depends(only_known_parameters)])
MOST_STREAMS = 500
_AT_ONCE = 500
_LINE = re.compile(r"\r\n|\r|\n")
_Place = tuple[int, tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events; None means any. `type`: a whole one, or its first word ("transaction")."""

    type: str | None
    site: str | None
    agent: str | None
    terminal: str | None

    def fits(self, item: Item) -> bool:
        """Whether the stream carries it."""
        kind = item.type if isinstance(item, Kept) else item.kind
        if self.type is not None and kind != self.type and not kind.startswith(self.type + "."):
            return False
        pairs = [(self.site, item.site), (self.agent, item.agent)]
        if isinstance(item, Kept):
            pairs.append((self.terminal, item.terminal or ""))
        return all(wanted is None or found in (wanted, "") for wanted, found in pairs)


@router.get("/events", summary="Events as they are stored (server-sent events)", response_class=StreamingResponse)
async def get_events(
    request: Request,
    _user: Reader,
    *,
    type: str | None = None,
    site: str | None = None,
    agent: str | None = None,
    terminal: str | None = None,
    after: str | None = None,
) -> StreamingResponse:
    """Filters as for transactions; `type`: `transaction.completed`, or `transaction` for all of these."""
    parts = site_of(request)
    wanted = Wanted(
        values.plain("type", type, 64),
        values.identifier("site", site),
        values.identifier("agent", agent),
        values.identifier("terminal", terminal),
    )
    place = _place_of(request.headers.get("last-event-id") or after)
    if parts.live.listeners >= MOST_STREAMS:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, phrase("web.too_many_streams"), {"Retry-After": "10"})
    stream = _stream(request, parts, wanted, place)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _stream(request: Request, parts: Site, wanted: Wanted, place: _Place | None) -> AsyncIterator[str]:
    listener = Listener(asyncio.get_running_loop())
    memory = Memory()
    parts.live.join(listener)  # before the past is read: nothing falls between the two
    try:
        yield "retry: 2000\n: tillwatch\n\n"
        if place is not None:
            memory.know(parts.live.memory.until(place[1]))
            async for events in _past(parts, place):
                yield "".join(_framed(event) for event in memory.fresh(events) if wanted.fits(event))
        since_us = parts.now_us - BACK_US if place is None else 0
        while not (listener.lost or parts.live.stopping):
            items: tuple[Item, ...] = ()
            try:
                items = await asyncio.wait_for(listener.take(), parts.settings.heartbeat_s)
            except TimeoutError:
                if not await run_in_threadpool(still_welcome, request):
                    return
                yield ": alive\n\n"
            events = [item for item in items if isinstance(item, Kept) and item.received_us >= since_us]
            new: list[Item] = [*memory.fresh(events), *(item for item in items if isinstance(item, Change))]
            if text := "".join(_framed(item) for item in new if wanted.fits(item)):
                yield text
    finally:
        parts.live.leave(listener)


async def _past(parts: Site, place: _Place) -> AsyncIterator[list[Kept]]:
    """What came since that place, in pages."""

    def page(at: _Place) -> list[Kept]:
        with parts.ledger.read() as connection:
            return lookup.received_since(connection, at[0], _AT_ONCE, at[1])

    # A little further back: another collector may have committed something older since.
    at: _Place = (place[0] - BACK_US, ("", "", 0))
    while True:
        events = await run_in_threadpool(page, at)
        yield events
        if len(events) < _AT_ONCE:
            return
        at = events[-1].received_us, events[-1].key


def _framed(item: Item) -> str:
    if isinstance(item, Kept):
        place = values.cursor((item.received_us, json.dumps(item.key)))
        # Only these end a line of the stream; str.splitlines would also cut inside a text, at U+2028 for one.
        data = "".join(f"data: {line}\n" for line in _LINE.split(item.body))
        return f"id: {place}\nevent: {_one_line(item.type)}\n{data}\n"
    body = {"kind": item.kind, "key": item.key, "site": item.site, "agent": item.agent}
    return f"event: {_one_line(item.kind)}\ndata: {json.dumps(body, ensure_ascii=False)}\n\n"


def _one_line(text: str) -> str:
    """A type as an agent told it, without what would end a line of the stream."""
    return "".join(char for char in text if char.isprintable())


def _place_of(text: str | None) -> _Place | None:
    place = values.place_of(text)
    if place is None:
        return None
    with suppress(ValueError, TypeError):
        agent, epoch, sequence = json.loads(place[1])
        return place[0], (str(agent), str(epoch), int(sequence))
    return place[0], ("", "", 0)
