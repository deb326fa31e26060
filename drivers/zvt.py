"""ZVT (PA00P015): the terminal interface of Germany and Austria, on serial lines and on TCP.

    > 06 01 0A 04 000000011010 49 0978     authorisation, 110.00 EUR
    < 80 00 00                              understood; from here on the terminal leads
    < 04 FF 01 04                           intermediate status: waiting for the host
    > 80 00 00
    < 04 0F … 27 00 04 … 0B … 22 … 29 …     status information: the result (BMP 27) and the facts
    > 80 00 00
    < 06 D1 … / 06 D3 …                     receipt, line by line or in a block
    > 80 00 00
    < 06 0F 00                              completion (06 1E xx: abort)
    > 80 00 00                              delivered

Source: the public specification's tables as implemented by Portalum.Zvt (C#) and ecrterm (Python), and their test
frames. Confidence: high; the layout of the end-of-day totals (BMP 60): medium.

When the outcome is unknown: the codes that the table calls so; FF after the terminal said that it waits for the host;
an end without status information, of a command that moves money; an abort after an approval; an announced
auto-reversal whose result did not come.
"""

from __future__ import annotations

from drivers import codes
from drivers.driver import Decoder, Driver, Framing, LineDefaults, Maturity, Probe, SimulatedTerminal, Simulation
from drivers.masking import Masker
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
    Receipt,
    ReceiptKind,
    Request,
    Settlement,
    Total,
)
from drivers.zvt_fields import Field, bmps, facts_of, receipt_block, text, totals_of
from drivers.zvt_framing import Apdu, Broken, LinkAck, Token, framer_of
from drivers.zvt_queries import ASKING, ZvtProbe, probe_words

PASSWORD = 3  # bytes of the password that many commands begin with

#: control field of a command → what it opens (None: no transaction), its name, bytes before its bitmap fields
COMMANDS: dict[bytes, tuple[Kind | None, str, int]] = {
    b"\x06\x00": (None, "registration", PASSWORD + 1 + 2),
    b"\x06\x01": (Kind.PURCHASE, "authorisation", 0),
    b"\x06\x02": (None, "log-off", 0),
    b"\x06\x03": (Kind.BALANCE, "account balance request", 0),
    b"\x06\x10": (None, "send turnover totals", PASSWORD),
    b"\x06\x12": (None, "print turnover receipts", PASSWORD),
    b"\x06\x1a": (None, "reset terminal", 0),
    b"\x06\x20": (None, "repeat receipt", PASSWORD),
    b"\x06\x22": (Kind.PREAUTHORISATION, "pre-authorisation", 0),
    b"\x06\x23": (Kind.PREAUTHORISATION, "pre-authorisation", 0),
    b"\x06\x24": (Kind.COMPLETION, "booking of a pre-authorisation", 0),
    b"\x06\x25": (Kind.VOID, "reversal of a pre-authorisation", PASSWORD),
    b"\x06\x30": (Kind.VOID, "reversal", PASSWORD),
    b"\x06\x31": (Kind.REFUND, "refund", PASSWORD),
    b"\x06\x50": (Kind.SETTLEMENT, "end of day", PASSWORD),
    b"\x06\x70": (None, "diagnosis", 0),
    b"\x06\x93": (None, "initialisation", PASSWORD),
    b"\x06\xb0": (None, "abort command", 0),
    b"\x05\x01": (None, "status enquiry", PASSWORD),
    b"\x08\x30": (None, "select language", 0),
}
_DISPLAYS = frozenset(bytes([6, second]) for second in (0xD8, 0xD9, 0xDA, *range(0xE0, 0xE8)))
#: intermediate status (04 FF) → how far it has come, what the terminal shows
INTERMEDIATE: dict[int, tuple[Phase | None, str]] = {
    0x00: (Phase.WAITING_FOR_CARD, "waiting for the amount to be confirmed"),
    0x01: (Phase.WAITING_FOR_CARD, "watch the PIN pad"),
    0x02: (Phase.WAITING_FOR_CARD, "watch the PIN pad"),
    0x03: (None, "not accepted"),
    0x04: (Phase.WAITING_FOR_HOST, "waiting for the host"),
    0x05: (Phase.REVERSING, "sending an automatic reversal"),
    0x06: (Phase.WAITING_FOR_HOST, "sending subsequent bookings"),
    0x07: (None, "card not admitted"),
    0x08: (None, "card unknown"),
    0x09: (None, "card expired"),
    0x0A: (Phase.WAITING_FOR_CARD, "insert card"),
    0x0B: (None, "remove card"),
    0x0C: (None, "card not readable"),
    0x0D: (None, "processing error"),
    0x0E: (None, "please wait"),
    0x0F: (None, "please wait"),
    0x10: (None, "please wait for the host"),
    0x13: (None, "limit exceeded"),
    0x17: (Phase.WAITING_FOR_HOST, "please wait"),
    0x1C: (None, "approved, please take the goods"),
    0x1D: (None, "declined"),
}
_ACKNOWLEDGED = frozenset({b"\x80\x00", b"\x84\x00"})  # some terminals use the second one
_WAIT = "9C"
_ABORT_COMMAND, _LOG_OFF = b"\x06\xb0", b"\x06\x02"
_STATUS_INFORMATION, _COMPLETION, _ABORT = b"\x04\x0f", b"\x06\x0f", b"\x06\x1e"
_LAST_LINE = 0x81


class ZvtDecoder:
    """Follows a ZVT line in both directions."""

    def __init__(self, framing: Framing) -> None:
        self._framers = {direction: framer_of(framing) for direction in Direction}
        self._exchange = _Exchange()

    @property
    def idle(self) -> bool:
        """Nothing is held, and no command waits for its end."""
        return not self._exchange.open and all(framer.idle for framer in self._framers.values())

    def feed(self, direction: Direction, data: bytes) -> list[Observation]:
        """Take bytes that `direction` sent; return what they complete."""
        return self._observed(direction, self._framers[direction].feed(data))

    def silence(self, direction: Direction) -> list[Observation]:
        """The sender paused within a message: the rest of it will not come."""
        return self._observed(direction, self._framers[direction].give_up())

    def reset(self) -> list[Observation]:
        """The line was cut: give up partial messages, an unfinished receipt, and the exchange."""
        seen = self.finish()
        self._exchange = _Exchange()
        return seen

    def finish(self) -> list[Observation]:
        """The input has ended: whatever is still held comes out."""
        seen = [observation for direction in Direction for observation in self.silence(direction)]
        return seen + self._exchange.printed(complete=False)

    def _observed(self, direction: Direction, tokens: list[Token]) -> list[Observation]:
        return [observation for token in tokens for observation in self._observe(direction, token)]

    def _observe(self, direction: Direction, token: Token) -> list[Observation]:
        if isinstance(token, LinkAck):
            return [Ack(direction=direction, positive=token.positive, of=Acked.OTHER)]
        if isinstance(token, Apdu):
            checksum = Checksum.NONE if token.checked is None else Checksum.OK
            return self._exchange.message(direction, token, checksum)
        if isinstance(token, Broken):
            checksum = Checksum.OK if token.checked else Checksum.BAD
            return [Noise(direction=direction, checksum=checksum, length=len(token.apdu), reason=token.reason)]
        return [Noise(direction=direction, length=token.length, reason=token.reason)]


class _Exchange:
    """One command from its request to the acknowledgement of its end. A new command begins anew."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._begin(None, b"")
        self.open = False

    def _begin(self, kind: Kind | None, command: bytes) -> None:
        self.open = True
        self._kind, self._command = kind, command
        self._stated: Outcome | None = None
        self._host = self._reversing = False
        self._owed: dict[Direction, Acked] = {}

    def message(self, direction: Direction, apdu: Apdu, checksum: Checksum) -> list[Observation]:
        """What a message means here."""
        if apdu.control in _ACKNOWLEDGED or apdu.control[0] == 0x84:
            return self._acknowledged(direction, apdu, checksum)
        if direction is Direction.CASHIER:
            return self._asked(apdu, checksum)
        self.open = True
        self._owed[direction] = {
            _STATUS_INFORMATION: Acked.ANSWER,
            _COMPLETION: Acked.END,
            _ABORT: Acked.END,
        }.get(apdu.control, Acked.OTHER)
        return self._told(apdu, checksum)

    def printed(self, complete: bool) -> list[Observation]:
        """The lines printed so far as one receipt."""
        lines, self._lines = tuple(self._lines), []
        if not lines:
            return []
        receipt = Receipt(
            direction=Direction.TERMINAL, text=lines, receipt_kind=kind_of_receipt(lines), complete=complete
        )
        return [receipt]

    def _asked(self, apdu: Apdu, checksum: Checksum) -> list[Observation]:
        kind, name, skipped = COMMANDS.get(apdu.control, (None, f"command {apdu.control.hex(' ').upper()}", 0))
        before = self.printed(complete=False)
        if apdu.control == _ABORT_COMMAND:  # it speaks of the command under way, and does not replace it
            self._owed[Direction.CASHIER] = Acked.OTHER
        else:
            self._begin(kind, apdu.control)
            self._owed[Direction.CASHIER] = Acked.REQUEST
        facts = facts_of(bmps(apdu.body[skipped:])) if kind else Facts()
        asked = Request(direction=Direction.CASHIER, checksum=checksum, kind=kind, message=name, facts=facts)
        return [*before, asked]

    def _acknowledged(self, direction: Direction, apdu: Apdu, checksum: Checksum) -> list[Observation]:
        of = self._owed.pop(direction.opposite, Acked.OTHER)
        positive = apdu.control in _ACKNOWLEDGED
        code = None if positive else f"{apdu.control[1]:02X}"
        refused = of is Acked.REQUEST and not positive and code != _WAIT
        over = of is Acked.END or (of is Acked.REQUEST and self._command == _LOG_OFF)
        if refused or over:
            self.open = False
        if self._kind is None and self._stated is None:
            of = Acked.OTHER  # of a command that says nothing of a payment, as a registration: it delivers none
        meaning = codes.meaning("zvt", code)
        extra: tuple[tuple[str, str | int], ...] = (("message", "positive acknowledgement"),)
        if not positive:
            extra = (("message", f"negative acknowledgement{', ' + meaning.text['en'].lower() if meaning else ''}"),)
        facts = Facts(response_code=code, extra=extra)
        return [Ack(direction=direction, checksum=checksum, positive=positive, of=of, facts=facts)]

    def _told(self, apdu: Apdu, checksum: Checksum) -> list[Observation]:
        if apdu.control == _STATUS_INFORMATION:
            return self._status_information(apdu, checksum)
        if apdu.control in (_COMPLETION, _ABORT):
            return [*self.printed(complete=True), self._end(apdu, checksum)]
        if apdu.control == b"\x06\xd1":
            return self._print_line(apdu, checksum)
        if apdu.control == b"\x06\xd3":
            kind, lines = receipt_block(bmps(apdu.body))
            receipt = Receipt(direction=Direction.TERMINAL, checksum=checksum, receipt_kind=kind, text=lines)
            return [*self.printed(complete=False), receipt]
        return [self._progress(apdu, checksum)]

    def _status_information(self, apdu: Apdu, checksum: Checksum) -> list[Observation]:
        fields = bmps(apdu.body)
        facts = facts_of(fields)
        outcome = self._outcome_of(facts.response_code)
        self._stated, self._reversing = outcome, False
        seen: list[Observation] = [
            Answer(
                direction=Direction.TERMINAL,
                checksum=checksum,
                outcome=outcome,
                final=False,
                message="status information",
                facts=facts,
            )
        ]
        if self._kind is Kind.SETTLEMENT and outcome is Outcome.APPROVED:
            seen.append(_settlement(fields, facts, checksum))
        return seen

    def _end(self, apdu: Apdu, checksum: Checksum) -> Answer:
        """06 0F or 06 1E: the last word on the command."""
        aborted = apdu.control == _ABORT
        extra: tuple[tuple[str, str | int], ...] = ()
        if aborted:
            facts = Facts(response_code=f"{apdu.body[0]:02X}") if apdu.body else Facts()
        elif self._command == b"\x05\x01" and apdu.body:
            facts, extra = Facts(), (("status", f"{apdu.body[0]:02X}"),)
        else:
            facts = facts_of(bmps(apdu.body))
        outcome = self._outcome_at_end(aborted, facts.response_code)
        if extra:
            facts = Facts(extra=extra)
        name = "abort" if aborted else "completion"
        return Answer(
            direction=Direction.TERMINAL, checksum=checksum, outcome=outcome, final=True, message=name, facts=facts
        )

    def _outcome_at_end(self, aborted: bool, code: str | None) -> Outcome | None:
        if self._kind is None:
            return None
        if self._kind is Kind.SETTLEMENT:
            return (self._outcome_of(code) if aborted else None) or self._stated or Outcome.APPROVED
        if self._stated is None or self._reversing:
            return Outcome.UNKNOWN
        if aborted and self._stated is Outcome.APPROVED:
            return Outcome.UNKNOWN
        return None  # it was stated before, and this agrees

    def _outcome_of(self, code: str | None) -> Outcome | None:
        if code is None:
            return None
        if code == "FF":
            return Outcome.UNKNOWN if self._host else Outcome.DECLINED
        meaning = codes.meaning("zvt", code)
        return meaning.outcome if meaning else Outcome.DECLINED

    def _print_line(self, apdu: Apdu, checksum: Checksum) -> list[Observation]:
        attribute = apdu.body[0] if apdu.body else 0
        line = text(apdu.body[1:])
        shown: tuple[str, ...] = (line,)
        last = attribute == _LAST_LINE
        if last and not line:
            shown = ()
        self._lines += shown
        step = Progress(direction=Direction.TERMINAL, checksum=checksum, message="print line", text=shown)
        return [step, *(self.printed(complete=True) if last else [])]

    def _progress(self, apdu: Apdu, checksum: Checksum) -> Progress:
        phase, extra = None, ()  # type: tuple[Phase | None, tuple[tuple[str, str | int], ...]]
        name = f"message {apdu.control.hex(' ').upper()}"
        if apdu.control == b"\x04\xff" and apdu.body:
            phase, shown = INTERMEDIATE.get(apdu.body[0], (None, f"status {apdu.body[0]:02X}"))
            name, extra = "intermediate status", (("status", f"{apdu.body[0]:02X}"), ("status_text", shown))
            self._host = self._host or phase is Phase.WAITING_FOR_HOST
            self._reversing = self._reversing or phase is Phase.REVERSING
        elif apdu.control in _DISPLAYS:
            name = "display text"
        return Progress(
            direction=Direction.TERMINAL, checksum=checksum, message=name, phase=phase, facts=Facts(extra=extra)
        )


def kind_of_receipt(lines: tuple[str, ...]) -> ReceiptKind | None:
    """Whose copy these lines are, where they say so."""
    whole = "\n".join(lines).upper()
    if "KUNDENBELEG" in whole or "CUSTOMER" in whole:
        return ReceiptKind.CUSTOMER
    if "NDLERBELEG" in whole or "MERCHANT" in whole:
        return ReceiptKind.MERCHANT
    if "KASSENSCHNITT" in whole or "END OF DAY" in whole or "DIAGNOS" in whole:
        return ReceiptKind.ADMINISTRATION
    return None


def _settlement(fields: list[Field], facts: Facts, checksum: Checksum) -> Settlement:
    totals = totals_of(fields) or (Total("total", None, facts.amount),)
    return Settlement(direction=Direction.TERMINAL, checksum=checksum, totals=totals)


def _masker(framing: Framing) -> Masker:
    # Imported when used: only recordings are masked this way.
    from drivers.zvt_masking import ZvtMasker

    return ZvtMasker(framing)


def _decoder(framing: Framing) -> Decoder:
    return ZvtDecoder(framing)


def _simulated(settings: Simulation) -> SimulatedTerminal:
    # Imported when used: the bridge and the agent never simulate.
    from drivers.simulated.zvt import SimulatedZvt

    return SimulatedZvt(settings)


DRIVER = Driver(
    name="zvt",
    title="ZVT / PA00P015 (Germany, Austria)",
    maturity=Maturity.EXPERIMENTAL,
    source="PA00P015 as implemented by Portalum.Zvt and ecrterm",
    line=LineDefaults(baudrate=9600, bytesize=8, parity="N", stopbits=2),
    framings=(Framing.SERIAL, Framing.NONE),
    answer_timeout_s=120.0,  # from one sign of life to the next: card and PIN may take 90 s, the host 30 s
    delivery_timeout_s=0.8,  # an application acknowledges within milliseconds; people are to know within a second
    byte_gap_s=5.0,  # T3 of the specification: the time between two bytes or frames of a message
    decoder=_decoder,
    simulated=_simulated,
    masker=_masker,
    asking=ASKING,
    probe=Probe(
        words=probe_words,
        converse=ZvtProbe,
        lines=(LineDefaults(stopbits=2), LineDefaults(baudrate=115200)),
        patience_s=2.0,  # terminals acknowledge within some 100 ms; T3, the specification's 5 s, is for a busy one
    ),
)
