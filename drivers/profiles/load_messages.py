"""Reads the [layouts], [[messages]] and [question] of a profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from drivers.observations import Direction, Kind, Outcome, Phase, ReceiptKind
from drivers.profiles.reader import Table
from drivers.profiles.schema import (
    Encoding,
    Fact,
    Field,
    Framing,
    Layout,
    LayoutKind,
    Message,
    PartKind,
    Proves,
    Question,
    Role,
    Unit,
)

_LONGEST = 1 << 16
#: pseudo-fields that an 8583 message inside a field brings
INNER = ("inner_mti", "inner_stan", "inner_resp")


def layouts(table: Table) -> Mapping[str, Layout]:
    """All layouts by name."""
    found = {name: _layout(name, row) for name, row in table.items()}
    for name, row in table.items():
        for number, field in enumerate(found[name].fields):
            if field.layout and field.layout not in found:
                place = (*row.place, "fields", number, "layout")
                row.notes.add(place, "unknown_name", found=field.layout, known=", ".join(found))
    return MappingProxyType(found)


def _layout(name: str, row: Table) -> Layout:
    kind = row.choice("kind", LayoutKind) or LayoutKind.OPAQUE
    usual = Encoding.UTF8 if kind is LayoutKind.JSON else Encoding.ASCII
    encoding = row.choice("encoding", Encoding, usual) or usual
    rows = row.tables("fields", needed=kind is not LayoutKind.OPAQUE)
    fields = tuple(_field(each, kind, encoding) for each in rows)
    separator = row.bytes_("separator", needed=kind is LayoutKind.DELIMITED)
    layout = Layout(
        name=name,
        kind=kind,
        fields=fields,
        separator=separator,
        terminated=row.flag("terminated"),
        tag_size=row.whole("tag_size", 2, 1, 4),
        encoding=encoding,
    )
    row.end()
    _sound(layout, rows)
    return layout


def _field(row: Table, kind: LayoutKind, usual: Encoding) -> Field:
    if "skip" in row:
        skipped = Field(name="", skip=row.whole("skip", 1, 1, 1000), size=row.whole("skip", 1, 1, _LONGEST))
        row.end()
        return skipped
    read = field_of(row, row.text("name", needed=True), usual)
    row.end()
    if kind is LayoutKind.TLV and read.tag is None:
        row.wrong("tag", "missing")
    if kind is LayoutKind.JSON and read.path is None:
        row.wrong("path", "missing")
    if kind is LayoutKind.FIXED and not read.size and not read.rest:
        row.wrong("size", "missing")
    return read


def field_of(row: Table, name: str, usual: Encoding) -> Field:
    """The keys that every field has."""
    fact = row.choice("fact", Fact, None) if "fact" in row else None
    copy = row.choice("copy", ReceiptKind) if "copy" in row else None
    never = row.flag("never")
    if never and fact is not None:
        row.wrong("fact", "never_and_fact")
    if fact in (Fact.TOTAL_AMOUNT, Fact.TOTAL_COUNT) and "total" not in row:
        row.wrong("total", "missing")
    return Field(
        name=name,
        encoding=row.choice("encoding", Encoding, usual) or usual,
        fact=fact,
        size=row.whole("size", 0, 1, _LONGEST) or None,
        tag=row.bytes_("tag") or None,
        path=row.text("path") or None,
        rest=row.flag("rest"),
        unit=row.choice("unit", Unit, Unit.MINOR) or Unit.MINOR,
        prefix=row.text("prefix"),
        never=never,
        layout=row.text("layout") or None,
        only=row.choice("only", Direction) if "only" in row else None,
        total=row.text("total") or None,
        copy=copy,
        values=MappingProxyType(row.strings("values")),
    )


def _sound(layout: Layout, rows: list[Table]) -> None:
    seen: set[tuple[str, int | None]] = set()
    for row, field in zip(rows, layout.fields, strict=True):
        key = (field.name, field.size if layout.kind is LayoutKind.TLV else None)
        if field.name and key in seen:
            row.wrong("name", "twice", found=field.name)
        seen.add(key)
        if field.tag is not None and len(field.tag) != layout.tag_size:
            row.wrong("tag", "tag_size", found=field.tag.hex().upper(), size=layout.tag_size)
        if field.rest and field is not layout.fields[-1]:
            row.wrong("rest", "rest_is_last")


def messages(top: Table, laid: Mapping[str, Layout], shape: Framing) -> tuple[Message, ...]:
    """All messages in their order."""
    found: list[Message] = []
    for row in top.tables("messages", needed=True):
        message = _message(row, laid, shape)
        if any(message.name == other.name for other in found):
            row.wrong("name", "twice", found=message.name)
        found.append(message)
    names = [message.name for message in found]
    for number, message in enumerate(found):
        if message.reply is not None and message.reply not in names:
            top.notes.add(("messages", number, "reply"), "unknown_name", found=message.reply, known=", ".join(names))
    return tuple(found)


def _message(row: Table, laid: Mapping[str, Layout], shape: Framing) -> Message:
    layout = row.name("layout", laid)
    sender = row.choice("sender", Direction) if "sender" in row else None
    match, more, sets = row.lists("match"), row.lists("more"), row.strings("sets")
    needs = row.words("needs")
    known = _names(layout, laid, shape)
    for key, table in (("match", match), ("more", more), ("sets", sets)):
        for name in table:
            if name not in known:
                place = (*row.place, key, name)
                row.notes.add(place, "unknown_name", found=name, known=", ".join(sorted(known)))
    for number, name in enumerate(needs):
        if name not in known:
            place = (*row.place, "needs", number)
            row.notes.add(place, "unknown_name", found=name, known=", ".join(sorted(known)))
    message = Message(
        name=row.text("name", needed=True),
        role=row.choice("role", Role) or Role.PROGRESS,
        senders=(sender,) if sender else tuple(Direction),
        layout=layout or None,
        match=MappingProxyType(match),
        needs=tuple(needs),
        begins=row.bytes_("begins"),
        within=row.whole("within", 0, 0, 64),
        unchecked=row.flag("unchecked"),
        kind=row.choice("kind", Kind) if "kind" in row else None,
        phase=row.choice("phase", Phase) if "phase" in row else None,
        outcome=row.choice("outcome", Outcome) if "outcome" in row else None,
        more=MappingProxyType(more),
        sets=MappingProxyType(sets),
        proves=row.choice("proves", Proves) if "proves" in row else None,
        reply=row.text("reply") or None,
    )
    if message.role in (Role.REQUEST, Role.QUERY) and Direction.CASHIER not in message.senders:
        row.wrong("sender", "request_from_terminal")
    if message.role is Role.ANSWER and Direction.TERMINAL not in message.senders:
        row.wrong("sender", "answer_from_cashier")
    row.end()
    return message


def _names(layout: str, laid: Mapping[str, Layout], shape: Framing) -> set[str]:
    """The fields that a message of that layout has, those of the frame's head among them."""
    names = {part.name for part in shape.parts if part.kind is PartKind.FIELD}
    return names | _inside([layout], laid, set())


def _inside(wanted: Iterable[str], laid: Mapping[str, Layout], done: set[str]) -> set[str]:
    names: set[str] = set()
    for name in wanted:
        if name in done or name not in laid:
            continue
        done.add(name)
        fields = laid[name].fields
        names |= {field.name for field in fields if field.name}
        if any(field.encoding is Encoding.CUP8583 for field in fields):
            names |= set(INNER)
        names |= _inside([field.layout for field in fields if field.layout], laid, done)
    return names


def question(top: Table, said: tuple[Message, ...]) -> Question | None:
    """How to ask for the last transaction, where the profile says so."""
    if "question" not in top:
        return None
    row = top.table("question")
    queries = [message.name for message in said if message.role in (Role.REQUEST, Role.QUERY)]
    because = row.table("because", needed=True)
    read = Question(
        message=row.name("message", queries, needed=True),
        sets=MappingProxyType(row.strings("sets")),
        proves=row.choice("proves", Proves) or Proves.NOTHING,
        watch=row.flag("watch"),
        because={language: because.text(language, needed=True) for language in ("en", "zh-CN")},
        patience_s=row.seconds("patience", 2.0, 30.0),
        longest_s=row.seconds("longest", 15.0, 60.0),
    )
    if read.proves is Proves.NOTHING:
        row.wrong("proves", "proves_nothing")
    if read.patience_s >= read.longest_s:
        row.wrong("patience", "patience_too_long", longest=read.longest_s)
    because.end()
    row.end()
    return read
