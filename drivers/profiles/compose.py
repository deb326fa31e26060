"""Builds a message of a profile: for the simulated terminal, for the words of a question, and for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drivers.observations import Direction
from drivers.profiles.fields import amount_text, bytes_of
from drivers.profiles.framing import Shape
from drivers.profiles.layouts import build
from drivers.profiles.schema import Encoding, Fact, Field, Message, PartKind, Profile, Unit

_TWO_A_BYTE = frozenset({Encoding.BCD, Encoding.HEX})


def compose(
    profile: Profile,
    shape: Shape,
    sender: Direction,
    message: Message,
    facts: Mapping[Fact, str],
    named: Mapping[str, str] | None = None,
) -> bytes:
    """The whole frame. `facts` fill the fields that bear them (an amount in minor units), `named` go before them."""
    head = [part.field for part in shape.parts if part.kind is PartKind.FIELD and part.field is not None]
    inside = list(_fields(profile, message.layout, 0))
    texts = _texts(sender, [*head, *inside], {**(named or {}), **message.sets}, facts)
    layout = profile.layouts.get(message.layout or "")
    payload = build(profile, layout, texts) if layout is not None else message.begins
    return shape.build(payload, {spec.name: bytes_of(spec, texts.get(spec.name, "")) for spec in head})


def _fields(profile: Profile, layout: str | None, depth: int) -> Iterator[Field]:
    known = profile.layouts.get(layout or "")
    for spec in known.fields if known is not None and depth < 4 else ():
        if spec.layout is None:
            yield spec
        elif depth == 0 or spec.layout != layout:
            yield from _fields(profile, spec.layout, depth + 1)


def _texts(
    sender: Direction, specs: list[Field], named: Mapping[str, str], facts: Mapping[Fact, str]
) -> dict[str, str]:
    texts: dict[str, str] = {}
    tags: set[bytes] = set()
    for spec in specs:
        if spec.only not in (None, sender) or (spec.tag is not None and spec.tag in tags):
            continue
        text = _wanted(spec, named, facts)
        if text is None or not _has_room(spec, text):
            continue
        texts[spec.name] = text
        if spec.tag is not None:
            tags.add(spec.tag)
    return texts


def _wanted(spec: Field, named: Mapping[str, str], facts: Mapping[Fact, str]) -> str | None:
    if spec.name in named:
        words = {word: code for code, word in spec.values.items()}
        return words.get(named[spec.name], named[spec.name])
    if spec.fact is None or spec.fact not in facts or spec.never:
        return None
    text = facts[spec.fact]
    if spec.fact is Fact.AMOUNT:
        return amount_text(spec, int(text))
    if spec.fact in (Fact.DATE, Fact.DATETIME) and spec.size and len(text) > _room(spec):
        return text[-_room(spec) :]  # without the century, or without the year
    return text


def _room(spec: Field) -> int:
    size = spec.size or 0
    return 2 * size if spec.encoding in _TWO_A_BYTE else size


def _has_room(spec: Field, text: str) -> bool:
    """Of two fields under one tag the one whose size the text has is meant."""
    if spec.tag is None or spec.size is None or spec.encoding is Encoding.BINARY:
        return True
    if spec.fact is Fact.AMOUNT and spec.unit is Unit.MINOR:
        return len(text) <= _room(spec)
    return len(text) == _room(spec) or (spec.encoding not in _TWO_A_BYTE and len(text) < _room(spec))
