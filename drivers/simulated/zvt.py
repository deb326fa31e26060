"""A simulated ZVT terminal: the terminal's end of drivers/zvt.py, with charges, receipts and faults. Sans-IO.

It follows the specification's roles: after a command it leads, and waits for `80 00 00` after each message before it
sends the next one. On a serial line each frame is also acknowledged by one byte, and sent again when it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from drivers.currencies import numeric
from drivers.driver import Action, Framing, HangUp, Log, Scenario, Send, Simulation
from drivers.observations import Kind
from drivers.zvt import COMMANDS
from drivers.zvt_fields import bmps
from drivers.zvt_framing import ACK, NAK, Apdu, BareFramer, Broken, LinkAck, SerialFramer, apdu, serial_frame

RETRY_S = 5.0  # the specification's time for an acknowledgement
RETRIES = 3
_OK = b"\x80\x00"
_PRINTS = 0x02 | 0x04  # registration's configuration byte: the cashier application prints payment and other receipts


@dataclass(frozen=True, slots=True)
class Booked:
    """A transaction in the terminal's memory."""

    kind: Kind
    amount: int
    code: int
    trace: int
    receipt: int
    clock: bytes  # time and date, as status information states them

    @property
    def counts(self) -> int:
        """What it adds to the day's total."""
        if self.code != 0:
            return 0
        return -self.amount if self.kind in (Kind.REFUND, Kind.VOID) else self.amount


@dataclass(frozen=True, slots=True)
class _Step:
    """Something to do: say a message and wait for its acknowledgement, or act at once; `after` seconds before it.

    `raw` bytes go out as they are; a `hurt` message goes out with a wrong CRC so many times.
    """

    message: bytes | None = None
    action: Action | None = None
    after: float = 0.0
    raw: bool = False
    hurt: int = 0


class SimulatedZvt:
    """One terminal. Its memory outlives a reboot."""

    def __init__(self, settings: Simulation) -> None:
        self._settings = settings
        self._serial = settings.framing is Framing.SERIAL
        self._framer: SerialFramer | BareFramer = SerialFramer() if self._serial else BareFramer()
        self._turn = 0
        self._trace = self._receipt = 0
        self._prints = False
        self._repeating = False  # a receipt is being repeated, which may be stopped at any time
        self._steps: list[_Step] = []
        self._due: float | None = None  # when the next step is to be done
        self._unacknowledged: bytes | None = None
        self._tries = 0
        self._hurt = 0  # so many more frames go out broken
        self._booked: list[Booked] = []
        self._since_settlement = 0

    def receive(self, data: bytes, now: float) -> Sequence[Action]:
        """Bytes came from the cashier's side."""
        actions: list[Action] = []
        for token in self._framer.feed(data):
            if isinstance(token, Broken):
                actions.append(Send(bytes([NAK])))
            elif isinstance(token, Apdu):
                if self._serial:
                    actions.append(Send(bytes([ACK])))
                actions += self._message(token, now)
            elif isinstance(token, LinkAck) and not token.positive and self._unacknowledged is not None:
                actions += self._again(now)
        return actions

    def tick(self, now: float) -> Sequence[Action]:
        """Time has passed."""
        if self._due is None or now < self._due:
            return ()
        if self._unacknowledged is not None:
            return self._again(now)
        return self._proceed(now)

    def deadline(self) -> float | None:
        """When `tick` is wanted."""
        return self._due

    def _message(self, message: Apdu, now: float) -> list[Action]:
        if message.control == _OK or message.control[0] == 0x84:
            if self._unacknowledged is None:
                return []
            self._unacknowledged = None
            return self._proceed(now)
        if message.control == b"\x06\xb0":
            return self._abort(now)
        if self._steps or self._unacknowledged is not None:
            return [self._frame(apdu(b"\x84\x9c"))]
        return self._command(message, now)

    def _command(self, message: Apdu, now: float) -> list[Action]:
        kind, name, skipped = COMMANDS.get(message.control, (None, "", 0))
        if not name:
            return [self._frame(apdu(b"\x84\x83"))]
        scenario = self._next_scenario() if kind is not None and kind is not Kind.SETTLEMENT else Scenario.APPROVE
        if scenario is Scenario.BUSY:
            return [self._frame(apdu(b"\x84\xa0")), Log("refused", (("command", name),))]
        fields = {field.tag: field.value for field in bmps(message.body[skipped:])}
        amount = int(fields[0x04].hex()) if 0x04 in fields and fields[0x04].hex().isdecimal() else 0
        if message.control == b"\x06\x00" and len(message.body) > 3:
            self._prints = bool(message.body[3] & _PRINTS)
        if kind is Kind.SETTLEMENT:
            self._steps = self._end_of_day()
        elif kind is Kind.VOID:
            self._steps = self._payment(kind, self._amount_of(fields.get(0x87), amount), scenario)
        elif kind is not None:
            self._steps = self._payment(kind, amount, scenario)
        else:
            self._steps = self._service(message.control)
        self._repeating = message.control == b"\x06\x20"
        return [self._frame(apdu(_OK)), *self._proceed(now)]

    # --- what the terminal does, as steps ---

    def _payment(self, kind: Kind, amount: int, scenario: Scenario) -> list[_Step]:
        settings = self._settings
        think = {Scenario.SLOW: settings.slow_s, Scenario.LATE: settings.late_s}.get(scenario, settings.think_s)
        begun = [_Step(_intermediate(0x0A)), _Step(_intermediate(0x04), after=think / 2)]
        if scenario is Scenario.SILENT:
            return [begun[0], _Step(action=Log("silent", (("amount", amount),)))]
        if scenario is Scenario.CANCEL:
            return [begun[0], *self._refused(kind, amount, 0x6C, "cancelled", think)]
        if scenario is Scenario.DECLINE:
            return [*begun, *self._refused(kind, amount, 0x05, "declined", think / 2)]
        booked = self._book(kind, amount, 0)
        charged = _Step(action=_log("charged", booked), after=think / 2)
        if (lost := self._no_good_answer(booked, scenario)) is not None:
            return [*begun, charged, *lost]
        garbage = scenario is Scenario.GARBAGE
        noise = [_Step(b"\x00\xff\x55\xaa\x99", raw=True)] if garbage else []
        end = [_Step(apdu(b"\x06\x0f")), _Step(action=_log("delivered", booked))]
        told = _Step(self._status(booked), hurt=1 if garbage and self._serial else 0)
        return [*begun, charged, *noise, told, *self._receipts(booked), *end]

    def _no_good_answer(self, booked: Booked, scenario: Scenario) -> list[_Step] | None:
        """What comes behind the charge instead of an answer; None when the scenario has nothing against one."""
        if scenario is Scenario.LOST:
            return [_Step(action=_log("answer_lost", booked))]
        if scenario is Scenario.REBOOT:
            return [_Step(action=HangUp(self._settings.reboot_s)), _Step(action=_log("rebooted", booked))]
        if scenario is Scenario.UNSURE:
            return [_Step(apdu(b"\x06\x1e", b"\x7d")), _Step(action=_log("answer_unclear", booked))]
        if scenario is Scenario.BROKEN:
            hurt = _Step(self._status(booked), hurt=RETRIES + 1)
            torn = _Step(self._status(booked)[:9], raw=True)  # TCP has no checksum: half of a message, and no more
            return [_Step(action=_log("answer_broken", booked)), hurt if self._serial else torn]
        return None

    def _refused(self, kind: Kind, amount: int, code: int, event: str, after: float) -> list[_Step]:
        booked = self._book(kind, amount, code)
        told = _Step(action=_log(event, booked), after=after)
        return [told, _Step(self._status(booked)), _Step(apdu(b"\x06\x1e", bytes([code])))]

    def _service(self, control: bytes) -> list[_Step]:
        done = _Step(apdu(b"\x06\x0f"))
        if control == b"\x05\x01":
            return [_Step(apdu(b"\x06\x0f", b"\x00"))]
        if control == b"\x06\x20":
            if not self._booked:
                return [_Step(apdu(b"\x06\x1e", b"\x83"))]
            last = self._booked[-1]
            return [_Step(self._status(last)), *self._receipts(last, again=True), done]
        if control == b"\x06\x70":
            lines = ("DIAGNOSE", f"Terminal {self._settings.terminal_id}", "OK")
            return [*_print_lines(lines), _Step(apdu(b"\x06\x0f", b"\x27\x00"), after=self._settings.think_s)]
        if control == b"\x06\x02":
            return []
        return [done]

    def _end_of_day(self) -> list[_Step]:
        counted = [booked for booked in self._booked[self._since_settlement :] if booked.code == 0]
        total = sum(booked.counts for booked in counted)
        self._since_settlement = len(self._booked)
        group = bytes([len(counted) & 0xFF]) + _bcd(abs(total), 6)
        body = b"\x00\x00" + _bcd(self._receipt, 2) + bytes(28) + group + bytes(14)  # all under one card type
        fields = b"\x27\x00\x04" + _bcd(abs(total), 6) + b"\x60" + _lll(body) + self._clock()
        lines = ("** KASSENSCHNITT **", f"Anzahl {len(counted)}", f"Summe {total / 100:.2f}")
        told = _Step(action=Log("settled", (("count", len(counted)), ("amount", total))))
        return [_Step(apdu(b"\x04\x0f", fields)), *_print_lines(lines), told, _Step(apdu(b"\x06\x0f"))]

    def _receipts(self, booked: Booked, again: bool = False) -> list[_Step]:
        copies = ((1, "HAENDLERBELEG"), (2, "KUNDENBELEG"))
        if self._prints or again:
            return [step for _, title in copies for step in _print_lines(self._receipt_lines(booked, title, again))]
        return [_Step(_text_block(kind, self._receipt_lines(booked, title, again))) for kind, title in copies]

    def _receipt_lines(self, booked: Booked, title: str, again: bool) -> tuple[str, ...]:
        card = self._settings.card
        return (
            title,
            *(("** WIEDERHOLUNG **",) if again else ()),
            f"Terminal-ID {self._settings.terminal_id}",
            f"Trace {booked.trace:06} Beleg {booked.receipt:04}",
            f"Karte {card[:6]}{'*' * (len(card) - 10)}{card[-4:]}",
            f"Betrag {self._settings.currency} {booked.amount / 100:.2f}",
            "Zahlung erfolgt" if booked.code == 0 else "Zahlung abgelehnt",
        )

    # --- the messages' contents ---

    def _book(self, kind: Kind, amount: int, code: int) -> Booked:
        self._trace += 1
        self._receipt += 1
        booked = Booked(kind, amount, code, self._trace, self._receipt, self._clock())
        self._booked.append(booked)
        return booked

    def _amount_of(self, receipt: bytes | None, otherwise: int) -> int:
        found = [b.amount for b in self._booked if receipt and f"{b.receipt:04}" == receipt.hex()]
        return found[-1] if found else otherwise

    def _status(self, booked: Booked) -> bytes:
        code = numeric(self._settings.currency) or "978"
        card = self._settings.card
        pan = bytes.fromhex((number := card[:6] + "E" * (len(card) - 10) + card[-4:]) + "F" * (len(number) % 2))
        fields = (
            bytes([0x27, booked.code, 0x04])
            + _bcd(booked.amount, 6)
            + b"\x0b"
            + _bcd(booked.trace, 3)
            + booked.clock
            + b"\x22"
            + _ll(pan)
            + b"\x29"
            + bytes.fromhex(self._settings.terminal_id.zfill(8)[-8:])
            + b"\x49"
            + bytes.fromhex(code.zfill(4))
            + b"\x87"
            + _bcd(booked.receipt, 2)
            + b"\x8a\x2e\x8b"
            + _ll(b"Visa Debit\0")
            + b"\x06\x04\x1f\x12\x01\x02"
        )
        return apdu(b"\x04\x0f", fields)

    def _clock(self) -> bytes:
        """Time and date. A clock of its own moves a minute a receipt, so that runs are the same again."""
        if self._settings.clock is None:
            return b"\x0c" + bytes.fromhex(f"12{self._receipt % 60:02}00") + b"\x0d\x11\x24"
        moment = self._settings.clock()
        return b"\x0c" + bytes.fromhex(f"{moment:%H%M%S}") + b"\x0d" + bytes.fromhex(f"{moment:%m%d}")

    # --- sending, waiting, sending again ---

    def _proceed(self, now: float) -> list[Action]:
        actions: list[Action] = []
        self._due = None
        while self._steps:
            step = self._steps[0]
            if step.after > 0:
                self._steps[0] = replace(step, after=0.0)
                self._due = now + step.after
                return actions
            del self._steps[0]
            if step.action is not None:
                actions.append(step.action)
                if isinstance(step.action, HangUp):
                    self._framer = SerialFramer() if self._serial else BareFramer()
            elif step.raw and step.message is not None:
                actions.append(Send(step.message))
            elif step.message is not None:
                self._unacknowledged, self._tries = step.message, 1
                self._due = now + RETRY_S
                self._hurt = step.hurt
                actions.append(self._frame(step.message))
                return actions
        return actions

    def _again(self, now: float) -> list[Action]:
        """The message was not acknowledged in time, or refused."""
        if self._unacknowledged is None:
            return []
        if self._tries > RETRIES or not self._serial:
            self._unacknowledged, self._due, self._hurt = None, None, 0
            given_up: list[Action] = [Log("not_acknowledged"), *([Log("cancelled")] if self._uncharge() else [])]
            self._steps.clear()
            return given_up
        self._tries += 1
        self._due = now + RETRY_S
        return [self._frame(self._unacknowledged)]

    def _abort(self, now: float) -> list[Action]:
        """The cashier application gives up: before the charge, that ends it; after it, it comes too late."""
        aborted = _Step(apdu(b"\x06\x1e", b"\x6c"))
        if self._uncharge():
            self._steps = [aborted, _Step(action=Log("cancelled"))]
        elif self._repeating and (self._steps or self._unacknowledged is not None):
            self._steps = [aborted]
        else:
            return [self._frame(apdu(_OK))]
        self._unacknowledged = None
        return [self._frame(apdu(_OK)), *self._proceed(now)]

    def _uncharge(self) -> bool:
        """Whether the payment under way was not charged yet; it is forgotten then."""
        charging = any(isinstance(step.action, Log) and step.action.event == "charged" for step in self._steps)
        if charging:
            self._booked = self._booked[:-1]
        return charging

    def _frame(self, message: bytes) -> Send:
        if self._hurt:
            self._hurt -= 1
            return Send(serial_frame(message, wrong=0x0101))
        return Send(serial_frame(message) if self._serial else message)

    def _next_scenario(self) -> Scenario:
        scenario = self._settings.scenarios[self._turn % len(self._settings.scenarios)]
        self._turn += 1
        return scenario


def _log(event: str, booked: Booked) -> Log:
    facts: dict[str, str | int | None] = {
        "kind": str(booked.kind),
        "amount": booked.amount,
        "trace": f"{booked.trace:06}",
    }
    return Log(event, tuple(facts.items()))


def _intermediate(status: int) -> bytes:
    return apdu(b"\x04\xff", bytes([status]))


def _print_lines(lines: Sequence[str]) -> list[_Step]:
    shown = [_Step(apdu(b"\x06\xd1", b"\x00" + line.encode("cp437"))) for line in lines]
    return [*shown, _Step(apdu(b"\x06\xd1", b"\x81"))]


def _text_block(kind: int, lines: Sequence[str]) -> bytes:
    texts = b"".join(b"\x07" + _ber(line.encode("cp437")) for line in lines) + b"\x09\x01\x81"
    inner = b"\x1f\x07\x01" + bytes([kind]) + b"\x25" + _ber(texts)
    return apdu(b"\x06\xd3", b"\x06" + _ber(inner))


def _ber(value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:
        return bytes([size]) + value
    head = b"\x81" + bytes([size]) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")
    return head + value


def _bcd(number: int, size: int) -> bytes:
    return bytes.fromhex(f"{number:0{2 * size}}"[-2 * size :])


def _ll(value: bytes) -> bytes:
    return bytes(0xF0 | int(digit) for digit in f"{len(value):02}") + value


def _lll(value: bytes) -> bytes:
    return bytes(0xF0 | int(digit) for digit in f"{len(value):03}") + value
