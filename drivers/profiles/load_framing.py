"""Reads the [framing] table of a profile."""

from __future__ import annotations

from types import MappingProxyType

from drivers.profiles.checks import ALGORITHMS
from drivers.profiles.reader import Table
from drivers.profiles.schema import Encoding, Framing, Part, PartKind, Style

CONTROLS = ("ack", "nak", "enq", "eot")
_LENGTHS = ("bcd", "binary", "ascii")
_ORDERS = ("big", "little")
_LONGEST = 1 << 16


def framing(table: Table) -> Framing:
    """The framing; what is wrong with it is noted."""
    style = table.choice("style", Style, Style.FRAME) or Style.FRAME
    parts: tuple[Part, ...] = ()
    if style is Style.FRAME:
        rows = table.tables("parts", needed=True)
        parts = tuple(_part(row, number) for number, row in enumerate(rows))
        _sound(table, rows, parts)
    elif "parts" in table:
        table.tables("parts")
        table.wrong("parts", "no_parts_in_a_call")
    read = Framing(
        style=style,
        parts=parts,
        longest=table.whole("longest", 2048, 1, _LONGEST),
        text=table.flag("text"),
        control=_control(table.table("control"), parts),
        acknowledged=table.flag("acknowledged"),
    )
    table.end()
    return read


def _control(table: Table, parts: tuple[Part, ...]) -> MappingProxyType[int, str]:
    found: dict[int, str] = {}
    start = parts[0].value[:1] if parts else b""
    for name in CONTROLS:
        if name not in table:
            continue
        byte = table.bytes_(name)
        if len(byte) != 1:
            table.wrong(name, "one_byte", found=byte.hex())
        elif byte == start:
            table.wrong(name, "begins_a_frame", found=byte.hex())
        elif byte[0] in found:
            table.wrong(name, "twice", found=byte.hex())
        else:
            found[byte[0]] = name
    table.end()
    return MappingProxyType(found)


def _part(row: Table, number: int) -> Part:
    """One part; which kind it is shows in the key that it has."""
    kinds = [kind for kind in PartKind if str(kind) in row]
    if len(kinds) != 1:
        row.notes.add(row.place, "which_part", known=", ".join(PartKind))
        return Part(kind=PartKind.BYTES, name=f"part {number + 1}", value=b"\0")
    kind = kinds[0]
    name = row.text("name", f"part {number + 1}") if kind is not PartKind.FIELD else row.text("field", needed=True)
    part = _READ[kind](row, name)
    row.end()
    return part


def _bytes(row: Table, name: str) -> Part:
    value = row.bytes_("bytes", needed=True)
    if not value:
        row.wrong("bytes", "empty")
    return Part(kind=PartKind.BYTES, name=name, value=value, size=len(value))


def _field(row: Table, name: str) -> Part:
    from drivers.profiles.load_messages import field_of

    read = field_of(row, name, Encoding.BINARY)
    if not read.size:
        row.wrong("size", "missing")
    return Part(kind=PartKind.FIELD, name=name, size=read.size or 1, field=read)


def _length(row: Table, name: str) -> Part:
    encoding = row.name("length", _LENGTHS, needed=True)
    return Part(
        kind=PartKind.LENGTH,
        name=name,
        size=row.whole("size", 2, 1, 8, needed=True),
        encoding=Encoding(encoding) if encoding else Encoding.BINARY,
        little=row.name("order", _ORDERS) == "little",
        counts=tuple(row.words("counts")) or ("payload",),
    )


def _payload(row: Table, name: str) -> Part:
    row.flag("payload")
    return Part(kind=PartKind.PAYLOAD, name="payload" if name.startswith("part ") else name, size=row.whole("size"))


def _check(row: Table, name: str) -> Part:
    algorithm = row.name("check", ALGORITHMS, needed=True)
    return Part(
        kind=PartKind.CHECK,
        name=name,
        size=ALGORITHMS[algorithm][0] if algorithm else 1,
        algorithm=algorithm or "xor",
        little=row.name("order", _ORDERS) == "little",
        first=row.text("from", needed=True),
        last=row.text("to", needed=True),
    )


_READ = {
    PartKind.BYTES: _bytes,
    PartKind.FIELD: _field,
    PartKind.LENGTH: _length,
    PartKind.PAYLOAD: _payload,
    PartKind.CHECK: _check,
}


def _sound(table: Table, rows: list[Table], parts: tuple[Part, ...]) -> None:
    """Whether the parts make a frame whose end can be found."""
    names = [part.name for part in parts]
    for number, (row, part) in enumerate(zip(rows, parts, strict=True)):
        if part.name in names[:number]:
            row.notes.add(row.place, "twice", found=part.name)
        for key, name in (("from", part.first), ("to", part.last)):
            if name and name not in names:
                row.name(key, names)
        if part.kind is PartKind.CHECK and part.first in names and part.last in names:
            first, last = names.index(part.first), names.index(part.last)
            if not first <= last < number:
                row.wrong("to", "check_range")
        for counted in part.counts:
            if counted not in names:
                row.wrong("counts", "unknown_value", found=counted, nearest="payload", known=", ".join(names))
    payloads = [number for number, part in enumerate(parts) if part.kind is PartKind.PAYLOAD]
    lengths = [number for number, part in enumerate(parts) if part.kind is PartKind.LENGTH]
    if len(payloads) != 1:
        table.wrong("parts", "one_payload", found=len(payloads))
        return
    payload = parts[payloads[0]]
    ends = parts[payloads[0] + 1 : payloads[0] + 2]
    if len(lengths) > 1 or (lengths and (lengths[0] > payloads[0] or "payload" not in parts[lengths[0]].counts)):
        table.wrong("parts", "one_length")
    elif not lengths and not payload.size and not (ends and ends[0].kind is PartKind.BYTES):
        table.wrong("parts", "no_end")
