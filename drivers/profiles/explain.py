"""A frame field by field, for people: where each stands, its bytes with secrets masked, its name, what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.codes import CodeBook
from drivers.framing_lrc import Stray
from drivers.observations import Checksum, Direction, Observation
from drivers.profiles.decoder import ProfileDecoder
from drivers.profiles.framing import Control, Frame, Framer, Shape, Token
from drivers.profiles.layouts import Value
from drivers.profiles.mask import masked
from drivers.profiles.messages import Reading, recognise
from drivers.profiles.schema import PartKind, Profile

_CHECKS = {True: Checksum.OK, False: Checksum.BAD, None: Checksum.NONE}


@dataclass(frozen=True, slots=True)
class Row:
    """One field. `offset` from the frame's first byte; `data` masked; `fact`: what it means to tillwatch."""

    offset: int
    data: bytes
    name: str
    value: str
    fact: str | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """One frame, control byte or run of stray bytes. `message`: its name in the profile; None where it is none."""

    direction: Direction
    offset: int  # from the first byte given
    length: int
    message: str | None
    role: str | None
    checksum: Checksum
    rows: tuple[Row, ...]
    problem: str | None
    observations: tuple[Observation, ...]


def explain(profile: Profile, codes: CodeBook, direction: Direction, data: bytes) -> Iterator[Explained]:
    """Everything in these bytes, in their order."""
    shape = Shape(profile.framing)
    framer = Framer(shape)
    decoder = ProfileDecoder(profile, codes)
    place = 0
    for token in [*framer.feed(data), *framer.give_up()]:
        length = _length(token)
        seen = decoder.feed(direction, data[place : place + length]) + decoder.finish()
        yield _explained(profile, shape, direction, place, token, tuple(seen))
        place += length


def _length(token: Token) -> int:
    if isinstance(token, Frame):
        return len(token.raw)
    return token.length if isinstance(token, Stray) else 1


def _explained(
    profile: Profile, shape: Shape, direction: Direction, place: int, token: Token, seen: tuple[Observation, ...]
) -> Explained:
    if isinstance(token, Control):
        row = Row(0, bytes([token.byte]), token.name, token.name)
        return Explained(direction, place, 1, token.name, token.name, Checksum.NONE, (row,), None, seen)
    if isinstance(token, Stray):
        return Explained(direction, place, token.length, None, None, Checksum.NONE, (), token.reason, seen)
    reading = recognise(profile, shape, direction, token)
    shown = masked(profile, shape, direction, token)
    rows = sorted(_rows(shape, token, reading, shown), key=lambda row: row.offset)
    message = reading.message if reading else None
    problem = None if reading else _problem(profile, shape, direction, token)
    return Explained(
        direction=direction,
        offset=place,
        length=len(token.raw),
        message=message.name if message else None,
        role=str(message.role) if message else None,
        checksum=_CHECKS[token.ok],
        rows=tuple(rows),
        problem=problem,
        observations=seen,
    )


def _problem(profile: Profile, shape: Shape, direction: Direction, frame: Frame) -> str:
    if frame.ok is False:
        return "bad check"
    other = recognise(profile, shape, direction.opposite, frame)
    if other is None:
        return "no message of the profile fits"
    return f'no message of the {direction} fits; from the {direction.opposite} it would be "{other.message.name}"'


def _rows(shape: Shape, frame: Frame, reading: Reading | None, shown: bytes) -> Iterator[Row]:
    size = frame.end - frame.start
    for number, part in enumerate(shape.parts):
        if part.kind in (PartKind.PAYLOAD, PartKind.FIELD):
            continue
        at = shape.at(number, size)
        said = str(size) if part.kind is PartKind.LENGTH else ""
        if part.kind is PartKind.CHECK:
            right = shape.check_fits(number, frame.raw, size)
            said = "ok" if right else f"wrong, {shape.check_of(number, frame.raw, size).hex().upper()} would be right"
        yield Row(at, frame.raw[at : at + part.size], part.name, said)
    for value in reading.values if reading is not None else ():
        yield _row(frame, value, shown)


def _row(frame: Frame, value: Value, shown: bytes) -> Row:
    at = frame.start + value.start
    spec = value.field
    name = spec.name or "?"
    said = "(not shown)" if spec.never else value.shown
    return Row(at, shown[at : at + len(value.raw)], name, said, str(spec.fact) if spec.fact else None)
