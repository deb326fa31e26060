"""A UnionPay terminal that reaches its host through the line, sans-IO: what drivers/cup8583.py listens to.

    READY ─ENQ→ CARD ─→ [0400, as long as one is kept] ─→ 0200 sent ─0210→ READY
                                                            └─ no answer in time: the reversal stays kept ─→ READY

An ENQ from the other side stands for the person at its keys: it begins the next transaction of `program`. The other
side is whatever carries messages to a host, such as drivers/simulated/cup8583_host.py: the scenarios about the bank's
doings are the host's, those about the terminal (cancel, busy, reboot) are its own. Both are given the same settings.

As real ones do, the terminal stores a reversal before each request that can be undone, drops it when an answer passes
all checks, and sends it before its next online transaction, three times at most. A restart forgets none of it.

Events in the log: requested, then charged, declined, cancelled or silent (no answer: it may be charged or not);
reversal_sent, reversal_accepted, reversal_refused, reversal_dropped; busy, rebooted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from drivers.cards import mask
from drivers.cup8583_messages import TRANSACTIONS
from drivers.currencies import alpha, numeric
from drivers.driver import Action, Framing, HangUp, Log, Scenario, Send, Simulation
from drivers.framing_length import Byte, Control, Frame, LengthFramer, serial_frame, tcp_frame
from drivers.iso8583 import Message, read
from drivers.simulated.iso8583 import packed

T_ANSWER = 60.0  # s; a terminal waits that long for its host
REVERSAL_TRIES = 3
FRAME_GAP = 1.0  # s; a frame that paused for so long goes on no more
_BATCH = "000001"
_MERCHANT = "898111180620001"
_NAK, _ACK = bytes([Byte.NAK]), bytes([Byte.ACK])
_AMOUNTS = (12850, 3550, 500000, 100)

#: name of a transaction → type, field 3, field 25, field 60.1
_MONEY: dict[str, tuple[str, str, str, str]] = {
    "sale": ("0200", "000000", "00", "22"),
    "void": ("0200", "200000", "00", "23"),
    "refund": ("0220", "200000", "00", "25"),
    "preauth": ("0100", "030000", "06", "10"),
    "preauth_void": ("0100", "200000", "06", "11"),
    "completion": ("0200", "000000", "06", "20"),
    "completion_void": ("0200", "200000", "06", "21"),
    "balance": ("0200", "310000", "00", "01"),
}
_NO_REVERSAL = frozenset({"refund", "balance"})
_OTHERS = {"sign_in": ("0800", "003"), "echo": ("0820", "301"), "batch_upload": ("0320", "201")}


class _State(Enum):
    READY = auto()
    CARD = auto()  # card and PIN
    REVERSING = auto()
    WAITING = auto()


@dataclass(slots=True)
class _Done:
    """What the terminal remembers of its last approved transaction, for a void or a refund."""

    amount: int = 0
    trace: str = "000000"
    reference: str = ""
    approval: str = ""


@dataclass(slots=True)
class _Kept:
    """A reversal that is still to be sent."""

    values: dict[int, str | bytes]
    tries: int = 0


@dataclass(slots=True)
class _Batch:
    """What the terminal would settle: how many debits and credits, and their sums."""

    debits: list[int] = field(default_factory=list)
    credits: list[int] = field(default_factory=list)


class SimulatedCup8583:
    """Keys in the transactions of `program` one after the other, one for each ENQ."""

    def __init__(self, settings: Simulation, program: tuple[str, ...] = ("sale",)) -> None:
        self._settings = settings
        self._program = program
        self._patience = min(T_ANSWER, settings.late_s / 2)
        self._framer = LengthFramer(bare=False)
        self._heard = 0.0
        self._state = _State.READY
        self._deadline: float | None = None
        self._turn = 0
        self._scenario = Scenario.APPROVE
        self._name = "sale"
        self._amount = 0
        self._trace = 0
        self._sent: tuple[str, dict[int, str | bytes]] | None = None
        self._kept: _Kept | None = None
        self._done = _Done()
        self._batch = _Batch()
        self._actions: list[Action] = []

    def receive(self, data: bytes, now: float) -> Sequence[Action]:
        """Bytes came from the other side."""
        if now - self._heard > FRAME_GAP:
            self._framer.give_up()
        self._heard = now
        for token in self._framer.feed(data):
            if isinstance(token, Control) and token.byte is Byte.ENQ:
                self._keyed(now)
            elif isinstance(token, Frame):
                self._framed(token, now)
        return self._taken()

    def tick(self, now: float) -> Sequence[Action]:
        """Time has passed."""
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._time_up(now)
        return self._taken()

    def deadline(self) -> float | None:
        """When `tick` wants to be called next."""
        return self._deadline

    # --- the person at its keys ---------------------------------------------------------------------------------

    def _keyed(self, now: float) -> None:
        if self._state is not _State.READY:
            self._send_bytes(_NAK)
            return
        settings = self._settings
        self._scenario = settings.scenarios[self._turn % len(settings.scenarios)]
        self._name = self._program[self._turn % len(self._program)]
        self._amount = self._done.amount if "void" in self._name else _AMOUNTS[self._turn % len(_AMOUNTS)]
        self._turn += 1
        if self._scenario is Scenario.BUSY:
            self._log("busy")
            self._send_bytes(_NAK)
            return
        self._send_bytes(_ACK)
        self._state = _State.CARD
        self._deadline = now + settings.think_s / 2

    def _time_up(self, now: float) -> None:
        if self._state is _State.CARD:
            self._carded(now)
        elif self._state is _State.REVERSING:
            self._log("reversal_refused")
            self._reverse_or_go_on(now)
        elif self._state is _State.WAITING and self._scenario is Scenario.REBOOT:
            self._log("silent")
            self._log("rebooted")
            self._actions.append(HangUp(self._settings.reboot_s))
            self._framer = LengthFramer(bare=False)
            self._state = _State.READY
        elif self._state is _State.WAITING:
            self._log("silent")
            self._state = _State.READY

    def _carded(self, now: float) -> None:
        if self._scenario is Scenario.CANCEL:
            self._log("requested")
            self._log("cancelled")
            self._state = _State.READY
            return
        self._reverse_or_go_on(now)

    def _reverse_or_go_on(self, now: float) -> None:
        """Before anything else goes out, the kept reversal does; after its last try it is dropped."""
        kept = self._kept
        if kept is not None and kept.tries < REVERSAL_TRIES:
            kept.tries += 1
            self._state = _State.REVERSING
            self._log("reversal_sent", trace=str(kept.values[11]))
            self._send("0400", kept.values, now)
            return
        if kept is not None:
            self._kept = None
            self._log("reversal_dropped", trace=str(kept.values[11]))
        self._request(now)

    # --- messages -------------------------------------------------------------------------------------------------

    def _request(self, now: float) -> None:
        self._state = _State.WAITING
        self._trace += 1
        if self._name in _MONEY:
            mti, values = _MONEY[self._name][0], self._money()
            if self._name not in _NO_REVERSAL:
                self._kept = _Kept({number: values[number] for number in values if number not in (26, 35, 37, 52, 55)})
                self._kept.values[39] = "98"
        elif self._name == "settlement":
            mti, values = "0500", self._settlement()
        else:
            mti, network = _OTHERS[self._name]
            values = {**self._own(), 60: f"00{_BATCH}{network}"}
            if self._name == "batch_upload":
                values[48] = "01" + f"00{self._trace:06d}{self._settings.card:0>20}{self._amount:012d}"
            elif mti == "0800":
                values |= {62: b"Sequence No12313631234567", 63: "01 "}
        self._log("requested")
        self._send(mti, values, now)
        if self._scenario is Scenario.REBOOT:
            self._deadline = now + self._settings.think_s / 2

    def _own(self) -> dict[int, str | bytes]:
        return {11: f"{self._trace:06d}", 41: self._settings.terminal_id, 42: _MERCHANT}

    def _money(self) -> dict[int, str | bytes]:
        _, processing, condition, kind = _MONEY[self._name]
        card = self._settings.card
        values: dict[int, str | bytes] = {
            2: card,
            3: processing,
            4: f"{self._amount:012d}",
            22: "021",
            25: condition,
            26: "12",
            35: f"{card}=30122010000012300",
            49: numeric(self._settings.currency) or "156",
            52: b"\x11\x22\x33\x44\x55\x66\x77\x88",
            53: "2600000000000000",
            60: f"{kind}{_BATCH}000600",
            64: b"0A1B2C3D",
            **self._own(),
        }
        if "void" in self._name or self._name == "refund":
            values |= {37: self._done.reference, 38: self._done.approval, 61: f"{_BATCH}{self._done.trace}0607"}
        if self._name == "balance":
            del values[4]
        return values

    def _settlement(self) -> dict[int, str | bytes]:
        batch = self._batch
        totals = f"{sum(batch.debits):012d}{len(batch.debits):03d}{sum(batch.credits):012d}{len(batch.credits):03d}0"
        return {**self._own(), 48: totals + "0" * 31, 49: "156", 60: f"00{_BATCH}201", 63: "01 "}

    def _framed(self, got: Frame, now: float) -> None:
        if got.ok is False:
            self._send_bytes(_NAK)
            return
        message = read(got.data[: got.message[1]], got.message[0])
        if message is None or self._sent is None or not self._answers(message):
            return
        if self._settings.framing is Framing.SERIAL:
            self._send_bytes(_ACK)
        self._deadline = None
        if self._state is _State.REVERSING:
            self._reversal_answered(message.values.get(39, ""), now)
        else:
            self._answered(message)

    def _answers(self, message: Message) -> bool:
        """Whether it passes the checks of an answer: type, trace number, terminal, amount."""
        if self._sent is None or self._state not in (_State.WAITING, _State.REVERSING):
            return False
        mti, asked = self._sent
        wanted = f"{mti[:2]}{int(mti[2]) + 1}0"
        same = all(message.values.get(number) == asked.get(number) for number in (3, 4, 11, 41))
        return message.mti == wanted and same

    def _reversal_answered(self, code: str, now: float) -> None:
        if code in ("00", "12", "22", "25"):
            self._log("reversal_accepted", code=code)
            self._kept = None
        else:
            self._log("reversal_refused", code=code)
        self._reverse_or_go_on(now)

    def _answered(self, message: Message) -> None:
        self._kept = None
        self._state = _State.READY
        if message.values.get(39) != "00":
            self._log("declined", code=message.values.get(39))
            return
        self._log("charged", approval_code=message.values.get(38))
        if self._name == "settlement":
            self._batch = _Batch()
        elif self._name in _MONEY and self._name not in ("balance", "preauth"):
            back = "void" in self._name or self._name == "refund"
            (self._batch.credits if back else self._batch.debits).append(self._amount)
        if self._name in _MONEY:
            values = message.values
            self._done = _Done(self._amount, values.get(11, ""), values.get(37, ""), values.get(38, ""))

    # --- small parts ------------------------------------------------------------------------------------------------

    def _send(self, mti: str, values: dict[int, str | bytes], now: float) -> None:
        self._sent = (mti, values)
        self._deadline = now + self._patience
        message = packed(mti, values)
        self._send_bytes(serial_frame(message) if self._settings.framing is Framing.SERIAL else tcp_frame(message))

    def _send_bytes(self, data: bytes) -> None:
        self._actions.append(Send(data))

    def _log(self, event: str, **more: str | int | None) -> None:
        card = mask(self._settings.card)
        kind = next((str(kind) for (_, code), (kind, _) in TRANSACTIONS.items() if code == self._code()), self._name)
        facts: dict[str, str | int | None] = {
            "kind": kind,
            "amount": self._amount,
            "currency": alpha(numeric(self._settings.currency) or "156"),
            "card": card.masked if card else None,
        }
        self._actions.append(Log(event, tuple((facts | more).items())))

    def _code(self) -> str:
        return _MONEY[self._name][3] if self._name in _MONEY else ""

    def _taken(self) -> Sequence[Action]:
        actions, self._actions = self._actions, []
        return actions
