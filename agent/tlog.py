"""The `.tlog` format, version 1: what passed on a line, for people and programs.

    # tillwatch log 1
    # Protocol: concert
    # Framing: serial
    # Device: Ingenico iCT220
    # Settings: 9600 8N1
    # Date: 2026-11-24T09:30:00+01:00
    # Notes: approved, long answer

    +0.000000 > 05
    +0.004312 < 06
    +0.130000 < ~ 7
    +8.100000 ! unplugged

- UTF-8, one record a line; empty lines mean nothing. The first line is as above, the header follows it at once.
  `Protocol` is required; `Notes` may come several times; other names are refused.
- `+seconds` since the recording began, never less than in the line before.
- `>` bytes from the cashier application to the terminal, `<` from the terminal, in hexadecimal.
- `> ~ n`, `< ~ n`: n bytes that were no frame. They may have been a part of a card number, so they are not kept.
  Played back they are n zero bytes.
- `!` something that happened to the line: see `Event`.

Card numbers are masked when a record is written (drivers/masking.py), so a log holds none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from agent.errors import UnreachableError, UsageError
from drivers.driver import Driver, Framing
from drivers.masking import LeftOut, Piece
from drivers.observations import Direction

MAGIC = "# tillwatch log 1"
_ARROWS = {">": Direction.CASHIER, "<": Direction.TERMINAL}
_SIGNS = {direction: sign for sign, direction in _ARROWS.items()}
_HEADER = re.compile(r"# (?P<name>[A-Z][a-z]+): (?P<value>.+)")
_RECORD = re.compile(r"\+(?P<at>\d{1,9}\.\d{1,6}) (?P<sign>[><!]) (?P<what>.+)", re.ASCII)
_LEFT_OUT = re.compile(r"~ (?P<length>[1-9]\d{0,5})", re.ASCII)
_HEX = re.compile(r"[0-9A-Fa-f]{2}(?: ?[0-9A-Fa-f]{2})*")


class Event(StrEnum):
    """What happens to a line."""

    UNPLUGGED = "unplugged"  # the terminal went away
    PLUGGED = "plugged"  # it came back
    PORT_OPENED = "port opened"  # by the cashier application
    PORT_CLOSED = "port closed"
    MISSED = "missed"  # bytes passed that the recorder did not see


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a log is about. All but the protocol is for people."""

    protocol: str
    framing: Framing = Framing.AUTO
    device: str | None = None
    settings: str | None = None
    date: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes that `direction` sent; `at` in seconds since the recording began."""

    at: float
    direction: Direction
    data: bytes


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened to the line."""

    at: float
    event: Event


Record = Sent | Happened


@dataclass(frozen=True, slots=True)
class Tlog:
    """A whole log."""

    header: Header
    records: tuple[Record, ...]


# --- reading ------------------------------------------------------------------------------------------------------


def read(path: Path) -> Tlog:
    """The log in a file. Raises UsageError that names file and line, UnreachableError when it can't be opened."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UnreachableError("tlog.unreadable", path=path, detail=error.strerror) from error
    except UnicodeDecodeError as error:
        raise UsageError("tlog.no_magic", where=f"{path}:1", magic=MAGIC) from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Tlog:
    """The log in a text; `name` is its file's name for messages. Raises UsageError."""
    lines = [(f"{name}:{number}", line.rstrip()) for number, line in enumerate(text.split("\n"), 1)]
    if lines[0][1] != MAGIC:
        raise UsageError("tlog.no_magic", where=lines[0][0], magic=MAGIC)
    body = next((place for place, (_, line) in enumerate(lines) if not line.startswith("#")), len(lines))
    return Tlog(_header(lines[1:body], lines[0][0]), tuple(_records(lines[body:])))


def _header(lines: Iterable[tuple[str, str]], first: str) -> Header:
    found: dict[str, str] = {}
    notes: list[str] = []
    for where, line in lines:
        match = _HEADER.fullmatch(line)
        name = match["name"].lower() if match else ""
        if match and name == "notes":
            notes.append(match["value"])
        elif match and name in ("protocol", "framing", "device", "settings", "date") and name not in found:
            found[name] = match["value"]
        else:
            raise UsageError("tlog.bad_header", where=where, found=_shown(line))
    if "protocol" not in found:
        raise UsageError("tlog.no_protocol", where=first)
    if (framing := found.get("framing", Framing.AUTO)) not in list(Framing):
        raise UsageError("tlog.bad_framing", where=first, found=_shown(framing), known=", ".join(Framing))
    return Header(
        protocol=found["protocol"],
        framing=Framing(framing),
        device=found.get("device"),
        settings=found.get("settings"),
        date=found.get("date"),
        notes=tuple(notes),
    )


def _records(lines: Iterable[tuple[str, str]]) -> Iterator[Record]:
    before = 0.0
    for where, line in lines:
        if not line:
            continue
        match = _RECORD.fullmatch(line)
        if not match:
            raise UsageError("tlog.bad_record", where=where, found=_shown(line))
        at = float(match["at"])
        if at < before:
            raise UsageError("tlog.time_back", where=where)
        before = at
        if match["sign"] == "!":
            yield Happened(at, _event(where, match["what"]))
        else:
            yield Sent(at, _ARROWS[match["sign"]], _data(where, match["what"]))


def _event(where: str, text: str) -> Event:
    try:
        return Event(text)
    except ValueError:
        raise UsageError("tlog.bad_event", where=where, found=_shown(text), known=", ".join(Event)) from None


def _data(where: str, text: str) -> bytes:
    if match := _LEFT_OUT.fullmatch(text):
        return bytes(int(match["length"]))
    if not _HEX.fullmatch(text):
        raise UsageError("tlog.bad_hex", where=where, found=_shown(text))
    return bytes.fromhex(text)


def _shown(text: str) -> str:
    """A piece of the file for a message: short and printable."""
    short = text if len(text) <= 40 else text[:39] + "…"
    return "".join(char if char.isprintable() else "?" for char in short)


# --- writing ------------------------------------------------------------------------------------------------------


def header_lines(header: Header) -> list[str]:
    """The header as it stands in a file."""
    named = (
        ("Protocol", header.protocol),
        ("Framing", str(header.framing)),
        ("Device", header.device),
        ("Settings", header.settings),
        ("Date", header.date),
        *(("Notes", note) for note in header.notes),
    )
    return [MAGIC, *(f"# {name}: {' '.join(value.split())}" for name, value in named if value), ""]


class Writer:
    """Writes a log as it happens, card numbers masked. Raises OSError when the stream does.

    A frame is written when it is complete, at the time of its last byte.
    """

    def __init__(self, stream: TextIO, header: Header, driver: Driver) -> None:
        if driver.masker is None:
            raise UsageError("tlog.no_masker", protocol=driver.name)
        self._stream = stream
        self._masker = driver.masker(header.framing)
        self._gap_s = driver.byte_gap_s
        self._silence_ends = driver.silence_ends
        self._heard: dict[Direction, float] = {}
        self._at = 0.0
        self.frames = 0  # lines with bytes of frames
        print("\n".join(header_lines(header)), file=stream)

    def sent(self, at: float, direction: Direction, data: bytes) -> None:
        """`direction` sent these bytes, `at` seconds after the beginning."""
        if at - self._heard.get(direction, at) > self._gap_s:
            self._quiet(at, direction)
        if self._silence_ends:  # without a framing, a side has said all when the other one speaks
            self._quiet(at, direction.opposite)
        self._heard[direction] = at
        self._put(at, direction, self._masker.feed(direction, data))

    def happened(self, at: float, event: Event) -> None:
        """Something happened to the line: no frame goes on behind it."""
        self._give_up(at)
        self._line(at, f"! {event}")

    def close(self) -> None:
        """Write what is still held. The stream stays open."""
        self._give_up(self._at)
        self._stream.flush()

    def _give_up(self, at: float) -> None:
        for direction in Direction:
            self._quiet(at, direction)

    def _quiet(self, at: float, direction: Direction) -> None:
        """The sender has said all it will say: a message that only the quiet ends was whole at its last byte."""
        said_at = self._heard.get(direction, at) if self._silence_ends else at
        self._put(said_at, direction, self._masker.silence(direction))

    def _put(self, at: float, direction: Direction, pieces: list[Piece]) -> None:
        for piece in pieces:
            if isinstance(piece, LeftOut):
                shown = f"~ {piece.length}"
            else:
                shown = piece.hex(" ").upper()
                self.frames += 1
            self._line(at, f"{_SIGNS[direction]} {shown}")

    def _line(self, at: float, text: str) -> None:
        self._at = max(self._at, at)
        print(f"+{self._at:.6f} {text}", file=self._stream)
