"""F43-F47: what a line and a terminal can do to an exchange. Decoder, watcher and book, on a clock of the test."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.bridge import wire
from agent.events import Draft, EventType, TransactionData
from agent.payments import Book, Terms
from agent.watch import Seen, Watcher
from drivers import registry
from drivers.driver import Driver, Framing, Scenario
from drivers.framing_lrc import frame
from drivers.observations import Answer, Checksum, Direction, Noise, Outcome, Request
from drivers.zvt_framing import ACK, apdu, serial_frame
from tests.agent.lines import SECOND
from tests.drivers.zvt_peer import authorisation, bcd
from tests.faults.load import Load
from tests.faults.size import figure, times

ENDS = (EventType.TRANSACTION_COMPLETED, EventType.TRANSACTION_CONFIRMED)
CASES = [("concert", Framing.SERIAL), ("zvt", Framing.SERIAL), ("zvt", Framing.NONE)]
each = pytest.mark.parametrize(("protocol", "framing"), CASES)


@dataclass(frozen=True)
class Piece:
    """What one side said at once. `ack`: a link acknowledgement or a protocol's one."""

    kind: int
    data: bytes
    ack: bool = False
    repeatable: bool = True  # a sender may say it twice


def exchange(protocol: str, framing: Framing, amount: int) -> list[Piece]:
    """An approved payment as it passes."""
    cashier, terminal = wire.CASHIER, wire.TERMINAL
    if protocol == "concert":
        answer = frame(f"010{amount:08}1{'4975541234514970':<55}978A123456789".encode())
        return [
            Piece(cashier, b"\x05"),
            Piece(terminal, b"\x06", ack=True),
            Piece(cashier, frame(f"01{amount:08}110978          A010B010".encode())),
            Piece(terminal, b"\x06", ack=True),
            Piece(cashier, b"\x04", repeatable=False),
            Piece(terminal, b"\x05"),
            Piece(cashier, b"\x06", ack=True),
            Piece(terminal, answer),
            Piece(cashier, b"\x06", ack=True),
            Piece(terminal, b"\x04", repeatable=False),
        ]
    status = apdu(b"\x04\x0f", b"\x27\x00\x04" + bcd(amount, 6) + b"\x0b" + bcd(amount % 1_000_000, 3))
    said = [(cashier, authorisation(amount)), (terminal, status), (terminal, apdu(b"\x06\x0f"))]
    pieces = []
    for kind, message in said:
        other = cashier if kind == terminal else terminal
        pieces.append(Piece(kind, laid(message, framing)))
        if framing is Framing.SERIAL:
            pieces.append(Piece(other, bytes([ACK]), ack=True))
        pieces.append(Piece(other, laid(apdu(b"\x80\x00"), framing), ack=True))
        if framing is Framing.SERIAL:
            pieces.append(Piece(kind, bytes([ACK]), ack=True))
    return pieces


def laid(message: bytes, framing: Framing) -> bytes:
    return serial_frame(message) if framing is Framing.SERIAL else message


class Line:
    """A watcher and its clock."""

    def __init__(self, protocol: str, framing: Framing) -> None:
        driver = registry.get(protocol)
        self.driver = driver
        self.now = 1_000 * SECOND
        self._count = 0
        terms = Terms(
            "pos1",
            protocol,
            "serial:x",
            "EUR",
            int(driver.answer_timeout_s * SECOND),
            int(driver.delivery_timeout_s * SECOND),
        )
        self.watcher = Watcher(terms, lambda: driver.decoder(framing), driver.byte_gap_s, Book())
        self.drafts: list[Draft] = []
        self.see(wire.LINK, b'{"link": "up"}')

    def see(self, kind: int, data: bytes, after_s: float = 0.01) -> None:
        self.now += int(after_s * SECOND)
        self._count += 1
        seen = Seen(self._count, 1_790_000_000 * SECOND + self.now, self.now, kind, data, f"t:{self._count}")
        self.drafts += self.watcher.record(seen)

    def play(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            self.see(piece.kind, piece.data)

    def told(self, *kinds: EventType) -> list[TransactionData]:
        return [d.data for d in self.drafts if d.type in kinds and isinstance(d.data, TransactionData)]


@each
def test_f43_noise_never_raises_and_the_next_good_frame_is_read(protocol: str, framing: Framing) -> None:
    """Bits flipped at rates from 1e-4 to 1e-1; behind a pause a clean exchange is read whole."""
    wanted, drawn = times(200_000, 20_000_000), random.Random(43)
    fed = missed = 0
    driver: Driver = registry.get(protocol)
    while fed < wanted:
        rate = 10 ** drawn.uniform(-4, -1)
        decoder = driver.decoder(framing)
        for _ in range(20):
            for piece in exchange(protocol, framing, drawn.randrange(1, 10**6)):
                side = Direction.CASHIER if piece.kind == wire.CASHIER else Direction.TERMINAL
                decoder.feed(side, flipped(piece.data, rate, drawn))
                fed += len(piece.data)
        for side in Direction:
            decoder.silence(side)
        clean = exchange(protocol, framing, 4321)
        seen = [
            what
            for piece in clean
            for what in decoder.feed(
                Direction.CASHIER if piece.kind == wire.CASHIER else Direction.TERMINAL, piece.data
            )
        ]
        fed += sum(len(piece.data) for piece in clean)
        told = [what for what in seen if isinstance(what, Answer) and what.outcome is Outcome.APPROVED]
        asked = [what for what in seen if isinstance(what, Request)]
        missed += not (told and asked and told[0].facts.amount == asked[0].facts.amount == 4321)
        assert not [what for what in seen if isinstance(what, Noise) and what.checksum is Checksum.BAD]
    figure(f"F43 {protocol}-{framing}", f"{fed} bytes, 0 exceptions, {missed} clean exchanges not read behind noise")
    assert missed == 0


def flipped(data: bytes, rate: float, drawn: random.Random) -> bytes:
    return bytes(byte ^ (1 << drawn.randrange(8)) if drawn.random() < rate * 8 else byte for byte in data)


@each
def test_f44_repeated_frames_and_lost_acknowledgements_make_one_record(protocol: str, framing: Framing) -> None:
    rounds, drawn = times(60, 5000), random.Random(44)
    for number in range(rounds):
        line = Line(protocol, framing)
        amount = 1000 + number
        for piece in exchange(protocol, framing, amount):
            if piece.ack and drawn.random() < 0.15:
                continue  # lost
            line.play([piece] * (2 if piece.repeatable and drawn.random() < 0.3 else 1))
        line.see(wire.PORT, b'{"port": "closed"}', 5.0)
        kinds = Counter(draft.type for draft in line.drafts)
        assert kinds[EventType.TRANSACTION_STARTED] == 1, number
        ends = line.told(*ENDS)
        assert {data.outcome for data in ends} <= {Outcome.APPROVED}
        assert len({data.transaction for data in ends}) <= 1
        doubts = line.told(EventType.TRANSACTION_PENDING)
        assert ends or doubts, f"{number}: neither an end nor a doubt"
    figure(f"F44 {protocol}-{framing}", f"{rounds} exchanges, 0 double records")


@each
def test_f45_an_answer_after_the_cashier_gave_up_settles_its_payment(protocol: str, framing: Framing) -> None:
    delays = range(1, 301, times(50, 1))
    for delay in delays:
        line = Line(protocol, framing)
        pieces = exchange(protocol, framing, 1234)
        answer = next(
            place for place, piece in enumerate(pieces) if piece.kind == wire.TERMINAL and len(piece.data) > 9
        )
        line.play(pieces[:answer])
        line.see(wire.PORT, b'{"port": "closed"}')
        assert len(line.told(EventType.TRANSACTION_PENDING)) == 1
        line.see(wire.PORT, b'{"port": "opened"}', delay)
        line.play(pieces[answer:])
        line.now += 10 * SECOND
        (known,) = line.told(EventType.TRANSACTION_CONFIRMED)
        assert (known.outcome, known.late, known.how) == (Outcome.APPROVED, True, "late_answer")
        assert known.transaction == line.told(EventType.TRANSACTION_STARTED)[0].transaction
    figure(f"F45 {protocol}-{framing}", f"{len(delays)} late answers, each with its payment")


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("row", "scenarios"),
    [
        ("F46", (Scenario.APPROVE, Scenario.LOST, Scenario.SILENT)),
        ("F47", (Scenario.APPROVE, Scenario.REBOOT)),
    ],
)
def test_f46_f47_silent_and_restarting_terminals(row: str, scenarios: tuple[Scenario, ...], tmp_path: Path) -> None:
    load = Load(tmp_path, scenarios=scenarios)
    try:
        load.start_agent()
        load.begin()
        load.rest(times(4, 600))
        verdict = load.end(120)
    finally:
        load.close()
    figure(row, str(verdict))
    assert verdict.problems == []
    assert verdict.doubts > 0
    assert verdict.confirmed + verdict.escalated >= verdict.doubts
