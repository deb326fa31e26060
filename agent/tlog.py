"""The `.tlog` format, version 2: what passed on a line, for people and programs.

    # tillwatch log 2
    # Protocol: concert
    # Framing: serial
    # Device: Ingenico iCT220
    # Settings: 9600 8N1
    # Date: 2026-11-24T09:30:00+01:00
    # Version: 0.1.0
    # Notes: approved, long answer

    +0.000000 > 05
    +0.004312 < 06
    +0.130000 < ~ 7
    +8.100000 ! unplugged

    # end

- UTF-8, one record a line; empty lines mean nothing. The first line is as above, the header follows it at once.
  `Protocol` is required; `Notes` may come several times; other names are refused.
- `+seconds` since the recording began, never less than in the line before.
- `>` bytes from the cashier application to the terminal, `<` from the terminal, in hexadecimal.
- `> ~ n`, `< ~ n`: n bytes that were no frame. They may have been a part of a card number, so they are not kept.
  Played back they are n zero bytes.
- `!` something that happened to the line: see `Event`.
- `# end` is the last line of a recording that was ended. Without it the recorder was killed or its disk was full:
  everything up to there is good. A line that has no end of its own, and zeros behind the last one (a power cut), are
  left out.

Version 1 had no `Version` and no `# end`. It is read as ever; a version that is newer than this one is refused.

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

VERSION = 2
MAGIC = f"# tillwatch log {VERSION}"
END = "# end"
_MAGIC = re.compile(r"# tillwatch log (?P<version>[1-9]\d{0,5})", re.ASCII)
_ARROWS = {">": Direction.CASHIER, "<": Direction.TERMINAL}
_SIGNS = {direction: sign for sign, direction in _ARROWS.items()}
_HEADER = re.compile(r"# (?P<name>[A-Z][a-z]+): (?P<value>.+)")
_RECORD = re.compile(r"\+(?P<at>\d{1,9}\.\d{1,6}) (?P<sign>[><!]) (?P<what>.+)", re.ASCII)
_MOST_LEFT_OUT = 999_999  # bytes, in one line
_LEFT_OUT = re.compile(r"~ (?P<length>[1-9]\d{0,5})", re.ASCII)
_HEX = re.compile(r"[0-9A-Fa-f]{2}(?: ?[0-9A-Fa-f]{2})*")


class Event(StrEnum):
    """What happens to a line."""

    UNPLUGGED = "unplugged"  # the terminal went away
    PLUGGED = "plugged"  # it came back
    PORT_OPENED = "port opened"  # by the cashier application
    PORT_CLOSED = "port closed"
    MARK = "mark"  # somebody who watched found this worth it; since version 2
    MISSED = "missed"  # bytes passed that the recorder did not see


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a log is about. All but the protocol is for people."""

    protocol: str
    framing: Framing = Framing.AUTO
    device: str | None = None
    settings: str | None = None
    date: str | None = None
    version: str | None = None  # of tillwatch that recorded it
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
    """A log. `cut`: where a file that was not ended breaks off ("pos1.tlog:17"); None when it is whole."""

    header: Header
    records: tuple[Record, ...]
    cut: str | None = None


# --- reading ------------------------------------------------------------------------------------------------------


def read(path: Path) -> Tlog:
    """The log in a file. Raises UsageError that names file and line, UnreachableError when it can't be opened."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreachableError("tlog.unreadable", path=path, detail=error.strerror) from error
    kept = data.rstrip(b"\0")
    if kept != data or not kept.endswith(b"\n"):  # what is not ended may break off inside a character
        kept = kept[: kept.rfind(b"\n") + 1] + kept[kept.rfind(b"\n") + 1 :].decode("utf-8", "ignore").encode()
    try:
        return parse(kept.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise UsageError("tlog.no_magic", where=f"{path}:1", magic=MAGIC) from error


def parse(text: str, name: str) -> Tlog:
    """The log in a text; `name` is its file's name for messages. Raises UsageError."""
    *whole, rest = text.split("\n")
    lines = [(f"{name}:{number}", line.rstrip()) for number, line in enumerate([*whole, rest], 1)]
    version = _version(*lines[0])
    half = bool(rest.strip()) and rest.rstrip() != END and not (version == 1 and _RECORD.fullmatch(rest.rstrip()))
    cut = lines[-1][0] if half and len(lines) > 1 else None
    if cut:
        lines.pop()
    body = next((place for place, (_, line) in enumerate(lines) if not line.startswith("#")), len(lines))
    header = _header(lines[1:body], lines[0][0])
    written = [(where, line) for where, line in lines[body:] if line]
    if version > 1:
        if written and written[-1][1] == END:
            written.pop()
        else:
            cut = cut or (written[-1][0] if written else lines[-1][0])
    return Tlog(header, tuple(_records(written)), cut)


def _version(where: str, line: str) -> int:
    match = _MAGIC.fullmatch(line)
    if not match:
        raise UsageError("tlog.no_magic", where=where, magic=MAGIC)
    version = int(match["version"])
    if version > VERSION:
        raise UsageError("tlog.newer", where=where, found=version, known=VERSION)
    return version


def _header(lines: Iterable[tuple[str, str]], first: str) -> Header:
    found: dict[str, str] = {}
    notes: list[str] = []
    for where, line in lines:
        match = _HEADER.fullmatch(line)
        name = match["name"].lower() if match else ""
        if match and name == "notes":
            notes.append(match["value"])
        elif match and name in ("protocol", "framing", "device", "settings", "date", "version") and name not in found:
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
        version=found.get("version"),
        notes=tuple(notes),
    )


def _records(lines: Iterable[tuple[str, str]]) -> Iterator[Record]:
    before = 0.0
    for where, line in lines:
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
        ("Version", header.version),
        *(("Notes", note) for note in header.notes),
    )
    return [MAGIC, *(f"# {name}: {' '.join(value.split())}" for name, value in named if value), ""]


class Lines:
    """Writes the lines of a log: what is given to it is masked already. Raises OSError when the stream does."""

    def __init__(self, stream: TextIO, header: Header) -> None:
        self._stream = stream
        self.at = 0.0
        self.frames = 0  # lines with bytes of frames
        print("\n".join(header_lines(header)), file=stream)

    def pieces(self, at: float, direction: Direction, pieces: Iterable[Piece]) -> None:
        """`direction` sent these bytes; a line never bears an earlier time than the one before."""
        for piece in pieces:
            if isinstance(piece, LeftOut):
                for start in range(0, piece.length, _MOST_LEFT_OUT):
                    self._line(at, f"{_SIGNS[direction]} ~ {min(piece.length - start, _MOST_LEFT_OUT)}")
            else:
                self._line(at, f"{_SIGNS[direction]} {piece.hex(' ').upper()}")
                self.frames += 1

    def happened(self, at: float, event: Event) -> None:
        """Something happened to the line."""
        self._line(at, f"! {event}")

    def flush(self) -> None:
        """Hand over what was written: whatever becomes of this process, it is in the file."""
        self._stream.flush()

    def end(self) -> None:
        """Say that this is the end. The stream stays open."""
        print(f"\n{END}", file=self._stream)
        self._stream.flush()

    def _line(self, at: float, text: str) -> None:
        self.at = max(self.at, at)
        print(f"+{self.at:.6f} {text}", file=self._stream)


class Writer:
    """Writes a log as it happens, card numbers masked. Raises OSError when the stream does.

    A frame is written when it is complete, at the time of its last byte.
    """

    def __init__(self, stream: TextIO, header: Header, driver: Driver) -> None:
        if driver.masker is None:
            raise UsageError("tlog.no_masker", protocol=driver.name)
        self._lines = Lines(stream, header)
        self._masker = driver.masker(header.framing)
        self._gap_s = driver.byte_gap_s
        self._silence_ends = driver.silence_ends
        self._heard: dict[Direction, float] = {}

    @property
    def frames(self) -> int:
        """Lines with bytes of frames so far."""
        return self._lines.frames

    def sent(self, at: float, direction: Direction, data: bytes) -> None:
        """`direction` sent these bytes, `at` seconds after the beginning."""
        if at - self._heard.get(direction, at) > self._gap_s:
            self._quiet(at, direction)
        if self._silence_ends:  # without a framing, a side has said all when the other one speaks
            self._quiet(at, direction.opposite)
        self._heard[direction] = at
        self._lines.pieces(at, direction, self._masker.feed(direction, data))

    def happened(self, at: float, event: Event) -> None:
        """Something happened to the line: no frame goes on behind it."""
        self._give_up(at)
        self._lines.happened(at, event)

    def flush(self) -> None:
        """Hand over what was written: whatever becomes of this process, it is in the file."""
        self._lines.flush()

    def close(self) -> None:
        """Write what is still held, and that this is the end. The stream stays open."""
        self._give_up(self._lines.at)
        self._lines.end()

    def _give_up(self, at: float) -> None:
        for direction in Direction:
            self._quiet(at, direction)

    def _quiet(self, at: float, direction: Direction) -> None:
        """The sender has said all it will say: a message that only the quiet ends was whole at its last byte."""
        said_at = self._heard.get(direction, at) if self._silence_ends else at
        self._lines.pieces(said_at, direction, self._masker.silence(direction))
