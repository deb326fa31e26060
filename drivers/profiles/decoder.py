"""Follows one line by a profile: frames to observations. The rules of a decoder stand in drivers/driver.py."""

from __future__ import annotations

from drivers.codes import CodeBook
from drivers.framing_lrc import Stray
from drivers.observations import (
    Ack,
    Acked,
    Answer,
    Checksum,
    Direction,
    Kind,
    Noise,
    Observation,
    Progress,
    Receipt,
    Request,
    Settlement,
)
from drivers.profiles.framing import Control, Frame, Framer, Shape, Token
from drivers.profiles.messages import (
    Reading,
    facts_of,
    fits,
    kind_said,
    lines_of,
    outcome_of,
    recognise,
    totals_of,
    transaction_of,
)
from drivers.profiles.schema import Fact, Profile, Role, Style, Transaction

_CONTROL_NAMES = {"enq": "enquiry", "eot": "end of transmission"}
_CHECKS = {True: Checksum.OK, False: Checksum.BAD, None: Checksum.NONE}


class ProfileDecoder:
    """See drivers.driver.Decoder."""

    def __init__(self, profile: Profile, codes: CodeBook) -> None:
        self._profile = profile
        self._codes = codes
        self._shape = Shape(profile.framing)
        self._framers = {direction: Framer(self._shape) for direction in Direction}
        self._call = profile.framing.style is Style.CALL
        self._exchange = _Exchange(profile.framing.acknowledged)

    @property
    def idle(self) -> bool:
        """No partial frame is held and no exchange is under way."""
        return not self._exchange.open and all(framer.idle for framer in self._framers.values())

    def feed(self, direction: Direction, data: bytes) -> list[Observation]:
        """Take bytes that `direction` sent; return what they complete."""
        # Without a framing, a side has said all when the other one speaks.
        seen = self.silence(direction.opposite) if self._call and data else []
        return seen + self._observed(direction, self._framers[direction].feed(data))

    def silence(self, direction: Direction) -> list[Observation]:
        """The sender paused: without a framing its message is whole; within a frame the rest will not come."""
        return self._observed(direction, self._framers[direction].give_up())

    def reset(self) -> list[Observation]:
        """The line was cut: give up partial frames and the exchange."""
        seen = [
            each
            for direction in Direction
            for token in self._framers[direction].give_up()
            for each in self._observe(direction, self._cut(token))
        ]
        self._exchange = _Exchange(self._profile.framing.acknowledged)
        return seen

    def finish(self) -> list[Observation]:
        """The input has ended: whatever is still held comes out."""
        return [seen for direction in Direction for seen in self.silence(direction)]

    def _cut(self, token: Token) -> Token:
        """Without a framing nobody can tell whether a message that was cut off is whole."""
        cut = self._call and isinstance(token, Frame)
        return Stray(len(token.raw), "message cut short") if cut and isinstance(token, Frame) else token

    def _observed(self, direction: Direction, tokens: list[Token]) -> list[Observation]:
        return [seen for token in tokens for seen in self._observe(direction, token)]

    def _observe(self, direction: Direction, token: Token) -> list[Observation]:
        if isinstance(token, Stray):
            return [Noise(direction=direction, length=token.length, reason=token.reason)]
        if isinstance(token, Control):
            return [self._exchange.control(direction, token.name)]
        reading = recognise(self._profile, self._shape, direction, token)
        if reading is None and token.ok is False:
            self._exchange.broken(direction)
            length = len(token.raw)
            return [Noise(direction=direction, checksum=Checksum.BAD, length=length, reason="bad check")]
        checksum = Checksum.NONE if token.ok is False else _CHECKS[token.ok]
        if reading is None:
            self._exchange.unknown(direction)
            return [Noise(direction=direction, checksum=checksum, length=len(token.raw), reason="unknown layout")]
        return self._said(direction, token, checksum, reading)

    def _said(self, direction: Direction, token: Frame, checksum: Checksum, reading: Reading) -> list[Observation]:
        role = reading.message.role
        facts = facts_of(self._profile, reading)
        said = [value for value in reading.values if value.field.fact is Fact.TEXT and value.text]
        text = tuple(line for value in said for line in lines_of(value))
        if role in (Role.REQUEST, Role.QUERY):
            asked = transaction_of(self._profile, reading)
            self._exchange.request(asked, reading.text(Fact.NONCE))
            return [
                Request(
                    direction=direction,
                    checksum=checksum,
                    kind=asked.kind,
                    message=asked.name,
                    facts=facts,
                    text=text,
                )
            ]
        if role is Role.ANSWER:
            if self._exchange.stale(reading.text(Fact.NONCE)):
                return [Noise(direction=direction, checksum=checksum, length=len(token.raw), reason="stale answer")]
            return self._answer(direction, checksum, reading, text)
        if role is Role.PROGRESS:
            self._exchange.unknown(direction)
            message, phase = reading.message.name, reading.message.phase
            return [
                Progress(direction=direction, checksum=checksum, message=message, phase=phase, facts=facts, text=text)
            ]
        of = self._exchange.acknowledged(direction, role is Role.ACK)
        return [Ack(direction=direction, checksum=checksum, positive=role is Role.ACK, of=of, facts=facts)]

    def _answer(
        self, direction: Direction, checksum: Checksum, reading: Reading, text: tuple[str, ...]
    ) -> list[Observation]:
        asked = self._exchange.asked
        more = reading.message.more
        final = not (more and fits(more, reading.values))
        seen: list[Observation] = [
            Answer(
                direction=direction,
                checksum=checksum,
                outcome=outcome_of(self._profile, self._codes, reading, asked),
                final=final,
                message=reading.message.name,
                facts=facts_of(self._profile, reading),
                text=text,
                kind=kind_said(self._profile, reading) if asked is None else None,
            )
        ]
        seen += [
            Receipt(direction=direction, checksum=checksum, receipt_kind=value.field.copy, text=lines_of(value))
            for value in reading.values
            if value.field.fact is Fact.RECEIPT and value.text
        ]
        totals = totals_of(reading)
        if totals and asked is not None and asked.kind is Kind.SETTLEMENT:
            seen.append(Settlement(direction=direction, checksum=checksum, totals=totals))
        self._exchange.answer(final)
        return seen


class _Exchange:
    """Who waits for which acknowledgement, and what was asked."""

    def __init__(self, acknowledges: bool) -> None:
        self.open = False
        self.asked: Transaction | None = None
        self._acknowledges = acknowledges
        self._nonce = ""
        self._final = False
        self._owed: dict[Direction, Acked] = {}  # sender → what the other side has to acknowledge

    def control(self, direction: Direction, name: str) -> Observation:
        """A control byte."""
        if name in ("ack", "nak"):
            return Ack(direction=direction, positive=name == "ack", of=self.acknowledged(direction, name == "ack"))
        if name == "enq":
            self._owed[direction] = Acked.ENQUIRY
        return Progress(direction=direction, message=_CONTROL_NAMES[name])

    def request(self, asked: Transaction, nonce: str) -> None:
        """A request, or the same again."""
        self.open, self._final = True, False
        self.asked, self._nonce = asked, nonce
        self._owed = {Direction.CASHIER: Acked.REQUEST}

    def stale(self, nonce: str) -> bool:
        """Whether an answer repeats another nonce than that of the request: it is the answer to an earlier one."""
        return bool(nonce and self._nonce and nonce != self._nonce)

    def answer(self, final: bool) -> None:
        """An answer; without acknowledgements the last one ends the exchange."""
        self._owed[Direction.TERMINAL] = Acked.ANSWER
        self._final = final
        if final and not self._acknowledges:
            self._close()

    def broken(self, direction: Direction) -> None:
        """A frame with a wrong check is acknowledged too, by a refusal."""
        if self.open or direction is Direction.CASHIER:
            self._owed.setdefault(direction, Acked.REQUEST if direction is Direction.CASHIER else Acked.ANSWER)

    def unknown(self, direction: Direction) -> None:
        """Something that is neither request nor answer."""
        self._owed.setdefault(direction, Acked.OTHER)

    def acknowledged(self, direction: Direction, positive: bool) -> Acked:
        """What an acknowledgement of `direction` is for."""
        of = self._owed.pop(direction.opposite, Acked.OTHER)
        if positive and of is Acked.ANSWER and self._final:
            self._close()
        return of

    def _close(self) -> None:
        self.open = False
        self.asked, self._nonce, self._final = None, "", False
        self._owed.clear()
