"""Caisse Concert, protocol E and E+: Ingenico Telium terminals, also Verifone and Sagem, mostly in France.

One exchange at a time, half duplex. The cashier application opens the first one, the terminal the second one:

    > ENQ                     may I?
    < ACK                     yes (NAK or nothing: busy)
    > STX request ETX LRC
    < ACK                     understood (NAK: LRC wrong, once more)
    > EOT
          card, PIN, bank: up to 90 s
    < ENQ
    > ACK
    < STX answer ETX LRC
    > ACK                     delivered
    < EOT

Request (34 characters) and answer (80 with report, 25 without; E+ longer):

    0         1         2         3
    0123456789012345678901234567890123
    0700001234110978          A010B010
    ││└─amount┘││││└┘└private─┘└──┘└──┘ B011: authorisation forced
    └┴checkout ││││ currency   └ A010: answer when all is over, A011: answer at once
               │││└ kind: 0 debit, 1 credit (refund), 2 cancel (void), 3 duplicate, A ISO 2, B specific
               ││└ mode: 1 card, C cheque
               └ answer with report (1) or without (0)

    0         1         2
    0123456789012345678901234
    0700000123414975497549754970 …978A123456789
    ││││      ││└ report, 55 characters: card number, authorisation data
    ││││      │└ (the long answer only)   └┘ currency, then private: an authorisation number on some terminals
    ││││      └ mode
    │││└ amount
    ││└ result: 0 accepted, 7 refused, 9 not verified (an answer at once)
    └┴ checkout

Source: pyTeliumManager 2.4.2, which talks to real terminals, run against our simulator on a pty; pypostelium.
Confidence: high for protocol E; medium for E+ (a longer report), whose fields are taken from the answer's end.
The protocol has no status query. Kind 3 makes terminals that have it print and send the last answer again.
"""

from __future__ import annotations

import re

from drivers import currencies
from drivers.cards import MaskedCard, mask, scrub
from drivers.concert_queries import ASKING, ConcertProbe, probe_words
from drivers.driver import Decoder, Driver, Framing, LineDefaults, Maturity, Probe, SimulatedTerminal, Simulation
from drivers.framing_lrc import Byte, Control, LrcFramer, Stray, Token
from drivers.masking import LrcMasker, Masker
from drivers.observations import (
    Ack,
    Acked,
    Answer,
    Checksum,
    Direction,
    Facts,
    Kind,
    Noise,
    Observation,
    Outcome,
    Phase,
    Progress,
    Request,
)

_REQUEST = re.compile(
    r"(?P<checkout>..)(?P<amount>\d{8})(?P<report>.)(?P<mode>.)(?P<kind>.)(?P<currency>\d{3})"
    r"(?P<private>.{10})A01(?P<at_once>.)B01(?P<forced>.)",
    re.ASCII | re.DOTALL,
)
_ANSWER = re.compile(
    r"(?P<checkout>..)(?P<result>\d)(?P<amount>\d{8})(?P<mode>.)(?P<report>.*)(?P<currency>\d{3})(?P<private>.{10})",
    re.ASCII | re.DOTALL,
)
_CARD = re.compile(r"[\d*]{8,}", re.ASCII)
_DIGIT = re.compile("[1-9]")

#: kind character → what is asked for (None: nothing that moves money or could), and its name
KINDS: dict[str, tuple[Kind | None, str]] = {
    "0": (Kind.PURCHASE, "debit"),
    "1": (Kind.REFUND, "credit"),
    "2": (Kind.VOID, "cancel"),
    "3": (None, "duplicate"),
    "A": (None, "iso 2"),
    "B": (Kind.OTHER, "specific"),
}
#: result digit → outcome and its name
RESULTS: dict[str, tuple[Outcome, str]] = {
    "0": (Outcome.APPROVED, "accepted"),
    "7": (Outcome.DECLINED, "refused"),
    "9": (Outcome.UNKNOWN, "not verified"),
}
_MODES = {"1": "card", "C": "cheque"}
_NAMES = {Byte.ENQ: "enquiry", Byte.EOT: "end of transmission"}


class ConcertDecoder:
    """Follows a Concert line in both directions."""

    def __init__(self) -> None:
        self._framers = {direction: LrcFramer() for direction in Direction}
        self._exchange = _Exchange()

    @property
    def idle(self) -> bool:
        """Nothing is held and no exchange is under way, from the cashier's ENQ to the EOT behind the answer."""
        return not self._exchange.open and all(framer.idle for framer in self._framers.values())

    def feed(self, direction: Direction, data: bytes) -> list[Observation]:
        """Take bytes that `direction` sent; return what they complete."""
        return self._observed(direction, self._framers[direction].feed(data))

    def silence(self, direction: Direction) -> list[Observation]:
        """The sender paused within a frame: the rest of it will not come."""
        return self._observed(direction, self._framers[direction].give_up())

    def reset(self) -> list[Observation]:
        """The line was cut: give up partial frames and the exchange."""
        seen = self.finish()
        self._exchange = _Exchange()
        return seen

    def finish(self) -> list[Observation]:
        """The input has ended: whatever is still held comes out."""
        return [seen for direction in Direction for seen in self.silence(direction)]

    def _observed(self, direction: Direction, tokens: list[Token]) -> list[Observation]:
        return [self._observe(direction, token) for token in tokens]

    def _observe(self, direction: Direction, token: Token) -> Observation:
        if isinstance(token, Stray):
            return Noise(direction=direction, length=token.length, reason=token.reason)
        if isinstance(token, Control):
            return self._exchange.control(direction, token.byte)
        self._exchange.frame(direction)
        if not token.ok:
            return Noise(direction=direction, checksum=Checksum.BAD, length=token.length, reason="bad LRC")
        seen = _request(token.body) if direction is Direction.CASHIER else _answer(token.body)
        return seen or Noise(direction=direction, checksum=Checksum.OK, length=token.length, reason="unknown layout")


class _Exchange:
    """Who waits for which acknowledgement, and how far the pair of exchanges has come.

    A new ENQ always begins anew, so that nothing missed on the line holds the decoder up for ever.
    """

    def __init__(self) -> None:
        self.open = False
        self._asked = False  # a request was sent and not refused
        self._answering = False
        self._owed: dict[Direction, Acked] = {}  # sender → what the other side has to acknowledge

    def control(self, direction: Direction, byte: Byte) -> Observation:
        """What a control byte means here."""
        if byte is Byte.ENQ:
            self._enquiry(direction)
        elif byte is Byte.EOT:
            return Progress(direction=direction, message=_NAMES[byte], phase=self._end(direction))
        else:
            return self._acknowledged(direction, byte is Byte.ACK)
        return Progress(direction=direction, message=_NAMES[byte])

    def frame(self, direction: Direction) -> None:
        """A frame went by, whole or with a wrong LRC: both are acknowledged."""
        self.open = True
        if direction is Direction.CASHIER:
            self._asked = True
            self._owed[direction] = Acked.REQUEST
        else:
            self._answering = True
            self._owed[direction] = Acked.ANSWER

    def _enquiry(self, direction: Direction) -> None:
        self.open = True
        self._answering = direction is Direction.TERMINAL
        if direction is Direction.CASHIER:
            self._asked = False
        self._owed = {direction: Acked.ENQUIRY}

    def _acknowledged(self, direction: Direction, positive: bool) -> Ack:
        of = self._owed.pop(direction.opposite, Acked.OTHER)
        if not positive:
            if (direction, of) == (Direction.TERMINAL, Acked.REQUEST):
                self._asked = False  # it comes once more, or the cashier ends with EOT
            elif (direction, of) == (Direction.TERMINAL, Acked.ENQUIRY):
                self.open = False  # busy
        elif of is Acked.ANSWER:
            self._answering = False  # delivered: only the terminal's EOT is missing
        return Ack(direction=direction, positive=positive, of=of)

    def _end(self, direction: Direction) -> Phase | None:
        """EOT. The cashier's ends the exchange unless a request was sent; the terminal's ends it in any case."""
        gave_up = direction is Direction.TERMINAL and self._answering
        if direction is Direction.TERMINAL or not self._asked:
            self.open = False
            self._answering = False
            self._owed.clear()
        return Phase.GAVE_UP if gave_up else None


def _request(body: bytes) -> Request | None:
    found = _REQUEST.match(body.decode("latin-1"))
    if not found:
        return None
    kind, message = KINDS.get(found["kind"], (Kind.OTHER, f"kind {found['kind']}"))
    extra: list[tuple[str, str | int]] = [
        ("checkout", found["checkout"].strip()),
        ("mode", _MODES.get(found["mode"], found["mode"])),
        ("report", int(found["report"] == "1")),
        ("answer", "at_once" if found["at_once"] == "1" else "at_end"),
        ("forced", int(found["forced"] == "1")),
    ]
    if private := found["private"].strip():
        extra.append(("private", private))
    facts = Facts(amount=int(found["amount"]), currency=currencies.alpha(found["currency"]), extra=tuple(extra))
    return Request(direction=Direction.CASHIER, checksum=Checksum.OK, kind=kind, message=message, facts=facts)


def _answer(body: bytes) -> Answer | None:
    found = _ANSWER.fullmatch(body.decode("latin-1"))
    if not found:
        return None
    outcome, message = RESULTS.get(found["result"], (Outcome.UNKNOWN, f"result {found['result']}"))
    extra: list[tuple[str, str | int]] = [
        ("checkout", found["checkout"].strip()),
        ("mode", _MODES.get(found["mode"], found["mode"])),
    ]
    private = _private(found["report"], found["private"])
    if private:
        extra.append(("private", private))
    facts = Facts(
        amount=int(found["amount"]),
        currency=currencies.alpha(found["currency"]),
        response_code=found["result"],
        approval_code=private if outcome is Outcome.APPROVED else None,
        card=_card(found["report"]),
        extra=tuple(extra),
    )
    return Answer(
        direction=Direction.TERMINAL,
        checksum=Checksum.OK,
        outcome=outcome,
        final=True,
        message=message,
        at_once=found["result"] == "9",
        facts=facts,
    )


def _card(report: str) -> MaskedCard | None:
    found = _CARD.search(report)
    return mask(found.group()) if found else None


def _private(report: str, private: str) -> str | None:
    """The private field, unless the report runs into it with digits: then it may be a card number's end."""
    if report[-1:].isdigit() and private[:1].isdigit():
        return None
    return scrub(private).strip() or None


def _masked(direction: Direction, body: bytes, ok: bool) -> bytes:
    """The body of a frame for a recording. Where the layout isn't known, no digit stays."""
    text = body.decode("latin-1")
    if ok and direction is Direction.CASHIER and (asked := _REQUEST.match(text)):
        text = text[: asked.end()] + _no_digits(text[asked.end() :])
    elif ok and direction is Direction.TERMINAL and (answer := _ANSWER.fullmatch(text)):
        private = answer["private"] if _private(answer["report"], answer["private"]) else " " * len(answer["private"])
        text = text[: answer.start("report")] + _masked_report(answer["report"]) + answer["currency"] + private
    else:
        text = _no_digits(text)
    return text.encode("latin-1")


def _masked_report(report: str) -> str:
    """The card number masked, its filler blank so that it still reads as one; of the other data only zeros stay."""
    found = _CARD.search(report)
    card = mask(found.group()) if found else None
    if not found or not card:
        return _no_digits(report)
    number = card.masked.ljust(len(found.group()))
    return _no_digits(report[: found.start()]) + number + _no_digits(report[found.end() :])


def _no_digits(text: str) -> str:
    return _DIGIT.sub("*", text)


def _decoder(framing: Framing) -> Decoder:  # noqa: ARG001  there is one framing only
    return ConcertDecoder()


def _masker(framing: Framing) -> Masker:  # noqa: ARG001
    return LrcMasker(_masked)


def _simulated(settings: Simulation) -> SimulatedTerminal:
    # Imported when used: the bridge and the agent never simulate.
    from drivers.simulated.concert import SimulatedConcert

    return SimulatedConcert(settings)


DRIVER = Driver(
    name="concert",
    title="Caisse Concert (Ingenico Telium, Verifone, Sagem)",
    maturity=Maturity.EXPERIMENTAL,
    source="pyTeliumManager 2.4.2, pypostelium",
    line=LineDefaults(baudrate=9600, bytesize=8, parity="N", stopbits=1),
    framings=(Framing.SERIAL,),
    answer_timeout_s=100.0,  # 90 s for card, PIN and bank; then up to three ENQs a second apart; and a margin
    delivery_timeout_s=0.8,  # below the second that a terminal waits for the ACK
    byte_gap_s=1.0,  # a frame of 83 bytes takes 0.09 s at 9600 baud; terminals wait a second for an answer
    decoder=_decoder,
    simulated=_simulated,
    masker=_masker,
    asking=ASKING,
    probe=Probe(
        words=probe_words,
        converse=ConcertProbe,
        lines=(LineDefaults(), LineDefaults(baudrate=115200), LineDefaults(bytesize=7, parity="E")),
        patience_s=1.0,  # a terminal answers an ENQ within a second
    ),
)
