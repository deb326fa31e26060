"""From the bridge's records to a .tlog: by which driver, what of them is written, and the header."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime

from agent import __version__
from agent.bridge import wire
from agent.config import Config, Terminal
from agent.errors import TillwatchError
from agent.history import History
from agent.journal import FILE_NAME
from agent.tap import Record
from agent.tlog import Event, Header, Writer
from drivers import registry
from drivers.detection import AUTO
from drivers.driver import Driver, Framing
from drivers.observations import Direction

SENDERS = {
    wire.CASHIER: Direction.CASHIER,
    wire.QUERY: Direction.CASHIER,
    wire.TERMINAL: Direction.TERMINAL,
    wire.REPLY: Direction.TERMINAL,
}
_EVENTS = {
    (wire.LINK, "up"): Event.PLUGGED,
    (wire.LINK, "down"): Event.UNPLUGGED,
    (wire.PORT, "opened"): Event.PORT_OPENED,
    (wire.PORT, "closed"): Event.PORT_CLOSED,
}
_NAMES = {wire.LINK: "link", wire.PORT: "port"}  # of the word in such a record's JSON


def driver_on(config: Config, terminal: Terminal) -> Driver | None:
    """The driver of what is spoken on a line: as configured, or as the agent has heard where that is "auto".

    None while nobody knows, or when it is a profile that has mistakes by now.
    """
    name = terminal.protocol
    if name == AUTO:
        try:
            with History(config.agent.state_dir / FILE_NAME) as history:
                name = history.protocol(terminal.name, AUTO)
        except (TillwatchError, sqlite3.Error):
            return None
    try:
        return None if name == AUTO else registry.get(name)
    except (KeyError, ValueError):
        return None


def event_of(record: Record) -> Event | None:
    """What happened to the line, when the record tells such a thing."""
    word = _NAMES.get(record.kind)
    return _EVENTS.get((record.kind, json.loads(record.payload)[word])) if word else None


def write(writer: Writer, record: Record, began_ns: int) -> None:
    """Write what a record tells; `began_ns`: the monotonic clock at the recording's second 0."""
    at = max(0, record.mono_ns - began_ns) / 1e9
    if sender := SENDERS.get(record.kind):
        writer.sent(at, sender, record.payload)
    elif event := event_of(record):
        writer.happened(at, event)


def header_of(terminal: Terminal, protocol: str, framing: Framing, began: datetime, *notes: str) -> Header:
    """The header of a recording of this terminal; `began`: when its second 0 was."""
    line = f"{terminal.baudrate} {terminal.bytesize}{terminal.parity}{terminal.stopbits}"
    return Header(
        protocol=protocol,
        framing=framing,
        device=terminal.device.text,
        settings=line if terminal.device.scheme == "serial" else None,
        date=began.isoformat(timespec="seconds"),
        version=__version__,
        notes=notes,
    )
