"""Which message a frame is, and what it says: facts under the contract's names. Never raises on input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.cards import mask, scrub
from drivers.codes import CodeBook
from drivers.observations import Direction, Facts, Kind, Outcome, Total
from drivers.profiles.fields import amount_of, date_of, text_of, time_of
from drivers.profiles.framing import Frame, Shape
from drivers.profiles.layouts import Value, read
from drivers.profiles.schema import (
    Encoding,
    Fact,
    Message,
    PartKind,
    Profile,
    Proves,
    Role,
    Transaction,
)

#: facts that are fields of `Facts` as they stand
_PLAIN = (
    Fact.RESPONSE_CODE,
    Fact.TRACE,
    Fact.BATCH,
    Fact.REFERENCE,
    Fact.APPROVAL_CODE,
    Fact.TERMINAL_ID,
    Fact.MERCHANT_ID,
    Fact.ORDER,
    Fact.CHANNEL_ORDER,
)
_NOT_SHOWN = frozenset(
    {*_PLAIN, Fact.AMOUNT, Fact.CARD, Fact.RECEIPT, Fact.TEXT, Fact.DATE, Fact.TIME, Fact.DATETIME}
    | {Fact.TOTAL_AMOUNT, Fact.TOTAL_COUNT}
)
_MOST_LINES = 200
_LONGEST_CODE = 12
#: not in a text: any but NUL (the rest of a buffer), tab, ends of lines and the four separators 1C to 1F
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1b\x7f]")
#: in [kinds]: every code that is not listed
DEFAULT_KIND = "default"


@dataclass(frozen=True, slots=True)
class Reading:
    """A message with its values: those of the frame's head first."""

    message: Message
    values: tuple[Value, ...]
    by_fact: Mapping[Fact, Value]

    def first(self, fact: Fact) -> Value | None:
        """The first value that bears this fact and is not blank."""
        return self.by_fact.get(fact)

    def text(self, fact: Fact) -> str:
        """Its text; empty where there is none."""
        value = self.first(fact)
        return value.text if value is not None else ""


def head_values(shape: Shape, frame: Frame) -> tuple[Value, ...]:
    """The fields of the frame's head and tail."""
    found = []
    for number, part in enumerate(shape.parts):
        if part.kind is PartKind.FIELD and part.field is not None:
            at = shape.at(number, frame.end - frame.start)
            raw = frame.raw[at : at + part.size]
            found.append(Value(part.field, at - frame.start, raw, text_of(part.field, raw)))
    return tuple(found)


def recognise(profile: Profile, shape: Shape, direction: Direction, frame: Frame) -> Reading | None:
    """The first message of the profile that fits; None when none does."""
    head = head_values(shape, frame)
    payload = frame.payload
    if profile.framing.text and _CONTROL.search(payload):
        return None
    by_layout: dict[str | None, tuple[Value, ...]] = {}
    for message in profile.messages:
        if direction not in message.senders or (frame.ok is False and not message.unchecked):
            continue
        if message.begins and message.begins not in payload[: message.within + len(message.begins)]:
            continue
        if message.layout not in by_layout:
            inside = read(profile, profile.layouts[message.layout], payload) if message.layout else ()
            by_layout[message.layout] = (*head, *inside)
        values = by_layout[message.layout]
        if fits(message.match, values) and set(message.needs) <= {value.field.name for value in values}:
            known = {
                value.field.fact: value for value in reversed(values) if value.field.fact is not None and value.text
            }
            return Reading(message, values, known)
    return None


def fits(wanted: Mapping[str, tuple[str, ...]], values: tuple[Value, ...]) -> bool:
    """Whether each named field has one of the wanted texts, as it stands or in words."""
    if not wanted:
        return True
    said: dict[str, set[str]] = {}
    for value in values:
        if value.field.name in wanted:
            said.setdefault(value.field.name, set()).update(
                (value.text, value.field.values.get(value.text, value.text))
            )
    return all(said.get(name, {""}) & set(texts) for name, texts in wanted.items())


def facts_of(profile: Profile, reading: Reading) -> Facts:
    """What the message says about a transaction."""
    plain = {}
    for fact in _PLAIN:
        value = reading.first(fact)
        if value is not None and value.shown:
            plain[str(fact)] = value.shown
    amount = reading.first(Fact.AMOUNT)
    minor = amount_of(amount.field, amount.text) if amount else None
    return Facts(
        amount=minor,
        currency=profile.currency if minor is not None else None,
        card=mask(reading.text(Fact.CARD)),
        terminal_time=_terminal_time(reading),
        extra=_extra(reading),
        **plain,
    )


def _extra(reading: Reading) -> tuple[tuple[str, str | int], ...]:
    found: dict[str, str | int] = {}
    for value in reading.values:
        spec = value.field
        if spec.never or spec.fact in _NOT_SHOWN or not value.text or spec.encoding is Encoding.CUP8583:
            continue
        number = spec.encoding is Encoding.BINARY and not spec.values and value.text.isdigit()
        found[spec.name] = int(value.text) if number else value.shown
    return tuple(found.items())


def _terminal_time(reading: Reading) -> str | None:
    whole = reading.text(Fact.DATETIME)
    date, time = (whole[:-6], whole[-6:]) if whole else (reading.text(Fact.DATE), reading.text(Fact.TIME))
    day, clock = date_of(date), time_of(time)
    return f"{day} {clock}" if day and clock else clock or None


def transaction_of(profile: Profile, reading: Reading) -> Transaction:
    """What the message asks for: its own kind, else that of its transaction code."""
    message = reading.message
    code = reading.text(Fact.KIND)
    known = profile.kinds.get(code)
    if message.kind is not None or message.role is Role.QUERY:
        proves = known.proves if known is not None else Proves.NOTHING
        return Transaction(code=code, name=message.name, kind=message.kind, proves=proves)
    if known is not None:
        return known
    usual = profile.kinds.get(DEFAULT_KIND)
    amount = reading.first(Fact.AMOUNT)
    # A code that nobody knows, with an amount, may move money: rather a payment too many than a charge missed.
    moves = amount is not None and bool(amount_of(amount.field, amount.text))
    kind = usual.kind if usual is not None else Kind.PURCHASE if moves else Kind.OTHER
    shown = "".join(char for char in scrub(code)[:_LONGEST_CODE] if char.isprintable())
    name = f"code {shown}" if shown else message.name
    return Transaction(code=code, name=name, kind=kind, proves=Proves.NOTHING)


def kind_said(profile: Profile, reading: Reading) -> Kind | None:
    """What an answer says that it is of, by its own transaction code."""
    known = profile.kinds.get(reading.text(Fact.KIND))
    return known.kind if known is not None else None


def outcome_of(profile: Profile, codes: CodeBook, reading: Reading, asked: Transaction | None) -> Outcome | None:
    """How the transaction ended, by this answer; None where it says nothing about one.

    A query that worked is not a payment that worked: its answer counts only where the profile says what it proves.
    """
    if profile.opaque:
        return Outcome.UNKNOWN
    if reading.text(Fact.STATUS):
        return _by_status(profile, codes, reading, asked)
    if not _about_a_payment(profile, reading, asked):
        return None
    if reading.message.outcome is not None:
        return reading.message.outcome
    by_code = _by_code(profile, codes, reading)
    if by_code is not None:
        return by_code
    result = reading.text(Fact.RESULT)
    return profile.results.get(result, Outcome.UNKNOWN) if result else Outcome.UNKNOWN


def _by_code(profile: Profile, codes: CodeBook, reading: Reading) -> Outcome | None:
    """What the response code says; None where there is none."""
    code = reading.text(Fact.RESPONSE_CODE)
    if not code:
        return None
    meaning = codes.meaning(code)
    return meaning.outcome if meaning is not None else profile.codes_default


def _by_status(profile: Profile, codes: CodeBook, reading: Reading, asked: Transaction | None) -> Outcome:
    """What the status says of the payment that was queried.

    A query that failed may carry any status, and a payment's own answer is about its code: where the two disagree,
    neither makes an approval.
    """
    said = profile.statuses.get(reading.text(Fact.STATUS), Outcome.UNKNOWN)
    by_code = _by_code(profile, codes, reading)
    if by_code in (None, said):
        return said
    paying = asked is not None and asked.kind is not None
    if paying:
        return by_code if by_code not in (None, Outcome.APPROVED) else Outcome.UNKNOWN
    return said if by_code is Outcome.APPROVED else Outcome.UNKNOWN


def _about_a_payment(profile: Profile, reading: Reading, asked: Transaction | None) -> bool:
    """Whether its code is that of a payment, and not only that of a query."""
    if reading.message.proves is not None:
        return reading.message.proves is Proves.CODE
    own = asked or profile.kinds.get(reading.text(Fact.KIND))
    return own is None or own.kind is not None or own.proves is Proves.CODE


def totals_of(reading: Reading) -> tuple[Total, ...]:
    """The rows of an end-of-day report."""
    rows: dict[str, dict[Fact, int]] = {}
    for value in reading.values:
        spec = value.field
        if spec.total is None or spec.fact is None or not value.text:
            continue
        number = amount_of(spec, value.text)
        if number is not None:
            rows.setdefault(spec.total, {})[spec.fact] = number
    return tuple(Total(name, row.get(Fact.TOTAL_COUNT), row.get(Fact.TOTAL_AMOUNT)) for name, row in rows.items())


def lines_of(value: Value) -> tuple[str, ...]:
    """Receipt or display text, line by line, cards masked, nothing that steers a screen."""
    text = value.text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    lines = scrub(text).split("\n")[:_MOST_LINES]
    return tuple("".join(char if char.isprintable() else " " for char in line).rstrip() for line in lines)
