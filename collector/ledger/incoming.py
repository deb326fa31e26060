"""What came in from the broker, as values: made by collector/ingest/envelope.py, stored by write.py.

Named tuples instead of dataclasses: a busy collector makes tens of thousands a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event whose identity is sound. `data` is None when this version can't read it: kept all the same."""

    agent: str
    epoch: str
    sequence: int
    time_us: int  # 0 when the event's time can't be read
    received_us: int
    site: str
    terminal: str | None
    type: str
    subject: str | None
    body: str  # as received
    data: Mapping[str, Any] | None


class Raw(NamedTuple):
    """Something that bears no identity we can read: kept as it came. `why` is a word: json, envelope, version …"""

    received_us: int
    topic: str
    payload: bytes
    why: str


class Refused(NamedTuple):
    """An event that claims to be somebody else's. `claimed`: whose; `why`: source, id or type."""

    received_us: int
    topic: str
    claimed: str
    why: str
    payload: bytes


class AgentState(NamedTuple):
    """The state of an agent. `live` False: the broker had kept it, so it says nothing of when the agent was heard."""

    received_us: int
    site: str
    agent: str
    state: Mapping[str, Any]
    live: bool


class Metrics(NamedTuple):
    """An agent's figures. `values`: terminal ("" for the agent itself) → name → figure."""

    received_us: int
    site: str
    agent: str
    values: Mapping[str, Mapping[str, float]]


Incoming = Event | Raw | Refused | AgentState | Metrics
