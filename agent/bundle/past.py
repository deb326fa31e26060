"""What a bundle says of the last days and minutes: the journal's events, payments in doubt, the lines' recordings."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.bundle.part import Missing, Part
from agent.bundle.scan import cut_others, findings
from agent.config import Config, Terminal
from agent.errors import JournalError, UnreachableError
from agent.journal import FILE_NAME, connect_read_only
from agent.recording import driver_on, header_of, write
from agent.tap import Record, Tap, held_records
from agent.terminals import framing_of
from agent.tlog import Writer
from drivers.cards import scrub

#: events in a bundle, the newest
MOST_EVENTS = 20_000
#: fields of an event that bear numbers of others; one that can't be told from a card number loses its middle
_NUMBERS = ("order", "channel_order", "reference", "merchant_id", "terminal_id", "trace", "batch", "approval_code")


def journal(state_dir: Path, days: float, now_ns: int) -> Iterator[Part | Missing]:
    """The events of the last days, and the payments in doubt whatever their age."""
    try:
        with closing(connect_read_only(state_dir / FILE_NAME)) as db:
            yield _events(db, now_ns - int(days * 86_400_000_000_000))
            rows = db.execute("SELECT data FROM transactions WHERE pending = 1 ORDER BY started_ns LIMIT 1000")
            yield Part.of_json("journal/in-doubt.json", [_clean(json.loads(data)) for (data,) in rows])
    except (JournalError, sqlite3.Error, ValueError) as error:
        yield Missing("journal", str(error))


def recordings(config: Config, minutes: float, now_mono_ns: int) -> Iterator[Part | Missing]:
    """The last minutes of each line, as the bridge still holds them, masked as `tillwatch record` masks."""
    try:
        tap = Tap.connect(config.agent.run_dir)
        try:
            held = list(held_records(tap))
        finally:
            tap.close()
    except UnreachableError as error:
        yield from (Missing(_file(terminal), str(error)) for terminal in config.terminals)
        return
    since = now_mono_ns - int(minutes * 60e9)
    for terminal in config.terminals:
        records = [record for record in held if record.line == terminal.name and record.mono_ns >= since]
        yield _recording(config, terminal, records)


def _events(db: sqlite3.Connection, since_ns: int) -> Part:
    rows = db.execute(
        "SELECT body FROM events WHERE wall_ns >= ? ORDER BY sequence DESC LIMIT ?", (since_ns, MOST_EVENTS)
    ).fetchall()
    lines = (json.dumps(_clean(json.loads(body)), ensure_ascii=False) for (body,) in reversed(rows))
    return Part.of_text("journal/events.jsonl", "".join(f"{line}\n" for line in lines))


def _clean(value: Any) -> Any:
    """An event with those numbers cut that pass a card's check digit and are none."""
    if isinstance(value, dict):
        return {name: _number(item) if name in _NUMBERS else _clean(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return cut_others(value) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    """Where a number of others is expected, nobody can tell a card's from it: either is cut."""
    if not isinstance(value, str) or not findings("", value.encode("utf-8", "replace")):
        return value
    scrubbed = scrub(value)
    return scrubbed if scrubbed != value else f"{value[:6]}…{value[-4:]}"


def _recording(config: Config, terminal: Terminal, records: list[Record]) -> Part | Missing:
    driver = driver_on(config, terminal)
    if driver is None:
        return Missing(_file(terminal), "the protocol is not known yet, so nothing can be masked")
    if driver.masker is None:
        return Missing(_file(terminal), f"the driver {driver.name} can't mask what it records")
    if not records:
        return Missing(_file(terminal), "nothing passed")
    first = records[0]
    began = datetime.fromtimestamp(first.wall_ns / 1e9).astimezone()
    stream = io.StringIO()
    writer = Writer(stream, header_of(terminal, driver.name, framing_of(terminal, driver), began), driver)
    for record in records:
        write(writer, record, first.mono_ns)
    writer.close()
    return Part.of_text(_file(terminal), stream.getvalue())


def _file(terminal: Terminal) -> str:
    return f"recordings/{terminal.name}.tlog"
