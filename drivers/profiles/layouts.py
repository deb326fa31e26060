"""A message's bytes ↔ its fields, for each kind of layout. Reading never raises and looks at each byte once.

What is read keeps its place in the payload, so that the same reading serves the decoder, `decode --profile` (field by
field) and the masking of recordings. Bytes that no value covers belong to no field.
"""

from __future__ import annotations

import dataclasses
import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import cache

from drivers.cards import luhn_valid, scheme_of
from drivers.profiles import inner
from drivers.profiles.fields import bytes_of, clean, text_of
from drivers.profiles.json_text import leaves, unescaped
from drivers.profiles.schema import Encoding, Fact, Field, Layout, LayoutKind, Profile

_DEEPEST = 4  # layouts inside layouts
_MOST = 512  # values of one message
_NUMBER = re.compile(rb"(?<!\d)\d{13,19}(?!\d)")
_NO_TEXT = frozenset({Encoding.BCD, Encoding.BINARY, Encoding.HEX, Encoding.CUP8583})


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """What one field holds. `text` may hold a card number: it is cleaned before it leaves this package."""

    field: Field
    start: int
    raw: bytes = dataclasses.field(repr=False)
    text: str = dataclasses.field(repr=False)
    quoted: bool = True  # of a JSON value: between quotes

    @property
    def shown(self) -> str:
        """The text as it may be shown: masked, its code in words."""
        if self.field.never:
            return ""
        text = self.field.values.get(self.text) or clean(self.field, self.text)
        return "".join(char if char.isprintable() else " " for char in text).strip()

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self.start + len(self.raw)


def read(profile: Profile, layout: Layout, data: bytes) -> tuple[Value, ...]:
    """The values in a payload, in the order in which they stand there."""
    values: list[Value] = []
    for value in _read(profile, layout, data, 0, 0):
        values.append(value)
        if len(values) >= _MOST:
            break
    return tuple(_whole_cards(values, data))


def _whole_cards(values: list[Value], data: bytes) -> Iterator[Value]:
    """A card number that lies across fields is nothing that belongs there, and each of them would show a part of it."""
    spans = [found.span() for found in _NUMBER.finditer(data) if _is_card(found.group())]
    for value in values:
        shows = value.field.fact in (None, Fact.TEXT) and not value.field.never
        if shows and (_inside(spans, value.start) or _inside(spans, value.end)):
            yield dataclasses.replace(value, text="")
        else:
            yield value


def _inside(spans: list[tuple[int, int]], place: int) -> bool:
    """Whether a number is cut in two at this place."""
    before = bisect_left(spans, (place, 0)) - 1
    return before >= 0 and place < spans[before][1]


def _is_card(digits: bytes) -> bool:
    text = digits.decode("ascii")
    return luhn_valid(text) and scheme_of(text) is not None


def _read(profile: Profile, layout: Layout, data: bytes, base: int, depth: int) -> Iterator[Value]:
    for spec, start, raw, text, quoted in _READERS[layout.kind](layout, data):
        inside = profile.layouts.get(spec.layout) if spec.layout else None
        if inside is not None:
            if depth < _DEEPEST:
                yield from _read(profile, inside, raw, base + start, depth + 1)
            else:
                yield Value(UNKNOWN, base + start, raw, "")
            continue
        yield Value(spec, base + start, raw, text, quoted)
        if spec.encoding is Encoding.CUP8583:
            yield from (Value(name, base + start, b"", said) for name, said in inner.fields_of(raw))


_Found = tuple[Field, int, bytes, str, bool]

#: bytes that no field of the profile describes: nobody reads them, and they may hold anything
UNKNOWN = Field(name="", never=True)


def _unknown(place: int, raw: bytes, quoted: bool = True) -> Iterator[_Found]:
    if raw:
        yield UNKNOWN, place, raw, "", quoted


def _fixed(layout: Layout, data: bytes) -> Iterator[_Found]:
    place = 0
    for spec in layout.fields:
        size = len(data) - place if spec.rest else spec.size or 0
        raw = data[place : place + size]
        if len(raw) < size or not raw:
            break  # an older terminal's shorter message: the rest of the fields came later
        if spec.name:
            yield spec, place, raw, text_of(spec, raw), True
        else:
            yield from _unknown(place, raw)
        place += size
    yield from _unknown(place, data[place:])


def _delimited(layout: Layout, data: bytes) -> Iterator[_Found]:
    place = 0
    marks = _separated(layout, data)
    for spec in layout.fields:
        for _ in range(spec.skip or 1):
            if place > len(data):
                return
            end = marks.find(layout.separator, place)
            end = len(data) if end < 0 or spec.rest else end
            raw = data[place:end]
            if spec.name and not _overlong(spec, raw):
                yield spec, place, raw, text_of(spec, raw), True
            else:
                yield from _unknown(place, raw)
            place = end + len(layout.separator)
    yield from _unknown(place, data[place:])


def _overlong(spec: Field, raw: bytes) -> bool:
    """Whether this can't be the field's: it holds more than the field can."""
    return spec.size is not None and len(raw.rstrip(b" \0\t\r\n")) > spec.size


_TWO_BYTES = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")


def _separated(layout: Layout, data: bytes) -> bytes:
    """The data as separators are looked for in it.

    The second byte of a Chinese character may look like a separator (a bar is 7C, and so is the end of some rare names'
    characters); and a text that was cut in the middle of a character makes the separator behind it look like a second
    byte. Which of both it is, the number of fields tells; where it does not, each separator counts.
    """
    if layout.separator[:1] < b"\x40" or all(spec.encoding is not Encoding.GBK for spec in layout.fields):
        return data
    wanted = sum(spec.skip or 1 for spec in layout.fields) - (not layout.terminated)
    if data.count(layout.separator) == wanted:
        return data
    outside = _TWO_BYTES.sub(b"\0\0", data)
    return outside if outside.count(layout.separator) == wanted else data


def _tlv(layout: Layout, data: bytes) -> Iterator[_Found]:
    known = _by_tag(layout)
    place = 0
    while place + layout.tag_size < len(data):
        tag = data[place : place + layout.tag_size]
        place += layout.tag_size
        length, place = _ber(data, place)
        raw = data[place : place + length]
        if length < 0 or len(raw) < length:
            break
        specs = known.get(tag, ())
        best = next((s for s in specs if s.size == length), None) or next((s for s in specs if s.size is None), None)
        best = best or (specs[0] if specs else None)
        if best is not None:
            yield best, place, raw, text_of(best, raw), True
        else:
            yield from _unknown(place, raw)
        place += length
    yield from _unknown(place, data[place:])


@cache
def _by_tag(layout: Layout) -> Mapping[bytes, list[Field]]:
    known: dict[bytes, list[Field]] = {}
    for spec in layout.fields:
        known.setdefault(spec.tag or b"", []).append(spec)
    return known


@cache
def _by_path(layout: Layout) -> Mapping[str, list[Field]]:
    known: dict[str, list[Field]] = {}
    for spec in layout.fields:
        known.setdefault(spec.path or "", []).append(spec)
    return known


def _ber(data: bytes, place: int) -> tuple[int, int]:
    """A BER length and where its value begins; -1 where it is none."""
    first = data[place]
    if first < 0x80:
        return first, place + 1
    count = first & 0x7F
    if not 1 <= count <= 2 or place + 1 + count > len(data):
        return -1, place
    return int.from_bytes(data[place + 1 : place + 1 + count], "big"), place + 1 + count


def _json(layout: Layout, data: bytes) -> Iterator[_Found]:
    known = _by_path(layout)
    for leaf in leaves(data):
        for spec in known.get(leaf.path, ()):
            text = unescaped(leaf.raw).strip() if leaf.quoted else leaf.raw.decode("latin-1")
            yield spec, leaf.start, leaf.raw, "" if text == "null" and not leaf.quoted else text, leaf.quoted
        if leaf.path not in known:
            yield from _unknown(leaf.start, leaf.raw, leaf.quoted)


def _opaque(layout: Layout, data: bytes) -> Iterator[_Found]:  # noqa: ARG001
    return _unknown(0, data)


_READERS = {
    LayoutKind.FIXED: _fixed,
    LayoutKind.DELIMITED: _delimited,
    LayoutKind.TLV: _tlv,
    LayoutKind.JSON: _json,
    LayoutKind.OPAQUE: _opaque,
}


def build(profile: Profile, layout: Layout, texts: Mapping[str, str], above: frozenset[str] = frozenset()) -> bytes:
    """A payload with these values, by the fields' names. What is not given is blank, or left out where it can be.

    `above`: the layouts that this one lies in; none is built inside itself.
    """
    if layout.name in above:
        return b""
    inside = above | {layout.name}

    def value(spec: Field) -> bytes:
        below = profile.layouts.get(spec.layout) if spec.layout else None
        if below is not None:
            return build(profile, below, texts, inside)
        return bytes_of(spec, texts[spec.name]) if spec.name in texts else b""

    if layout.kind is LayoutKind.FIXED:
        return b"".join(value(spec) or _blank(spec) for spec in layout.fields)
    if layout.kind is LayoutKind.DELIMITED:
        parts = [part for spec in layout.fields for part in ([b""] * spec.skip or [value(spec)])]
        return layout.separator.join(parts) + (layout.separator if layout.terminated else b"")
    if layout.kind is LayoutKind.TLV:
        return b"".join(_element(spec, value(spec)) for spec in layout.fields)
    return _object(layout, texts) if layout.kind is LayoutKind.JSON else b""


def _blank(spec: Field) -> bytes:
    size = spec.size or 0
    return bytes(size) if spec.encoding in _NO_TEXT else b" " * size


def _element(spec: Field, value: bytes) -> bytes:
    return spec.tag + _ber_length(len(value)) + value if spec.tag is not None and value else b""


def _ber_length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    return bytes([0x81, size]) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")


def _object(layout: Layout, texts: Mapping[str, str]) -> bytes:
    tree: dict[str, object] = {}
    for spec in layout.fields:
        if spec.name not in texts or spec.path is None:
            continue
        *above, last = spec.path.split(".")
        at = tree
        for key in above:
            below = at.setdefault(key, {})
            at = below if isinstance(below, dict) else {}
        text = texts[spec.name]
        at[last] = text == "true" if text in ("true", "false") else text
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
