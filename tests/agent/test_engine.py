"""Records in, durable events out: the same whatever crashes in between, each once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bridge import wire
from agent.engine import Engine
from agent.events import EventType
from agent.journal import Journal
from agent.outbox import Outbox
from agent.payments import At, Book
from agent.tap import Record
from agent.watch import Watcher
from drivers import concert_queries
from drivers.concert import ConcertDecoder
from drivers.framing_lrc import frame
from drivers.queries import QueryLine, Word
from tests.agent.lines import SECOND, TERMS

ENQ, ACK, EOT = b"\x05", b"\x06", b"\x04"
CARD = "4975541234514970"
T0 = 5_000 * SECOND


def request(amount: int) -> bytes:
    return frame(f"01{amount:08}110978          A010B010".encode())


def answer(amount: int, result: str = "0") -> bytes:
    return frame(f"01{result}{amount:08}1{CARD:<55}978A123456789".encode())


def payment(amount: int, result: str = "0") -> list[tuple[int, bytes]]:
    """What passes in one payment: (kind of record, bytes)."""
    ask = [(wire.CASHIER, ENQ), (wire.TERMINAL, ACK), (wire.CASHIER, request(amount)), (wire.TERMINAL, ACK)]
    told = [(wire.CASHIER, EOT), (wire.TERMINAL, ENQ), (wire.CASHIER, ACK), (wire.TERMINAL, answer(amount, result))]
    return [*ask, *told, (wire.CASHIER, ACK), (wire.TERMINAL, EOT)]


def tape(
    passed: list[tuple[int, bytes]],
    line: str = "pos1",
    offset: int = 0,
    start_ns: int = T0,
    step_ns: int = SECOND // 100,
) -> list[Record]:
    records = []
    for number, (kind, data) in enumerate(passed):
        after = offset + wire.RECORD.size + len(data)
        mono_ns = start_ns + number * step_ns
        records.append(Record(offset, after, 1_790_000_000 * SECOND + mono_ns, mono_ns, line, kind, data))
        offset = after
    return records


def link(up: bool, reason: str | None = None) -> tuple[int, bytes]:
    return wire.LINK, json.dumps({"link": "up" if up else "down", "reason": reason}).encode()


def port_closed() -> tuple[int, bytes]:
    return wire.PORT, json.dumps({"port": "closed"}).encode()


def asked(amount: int, result: str = "0") -> list[tuple[int, bytes]]:
    """What passes when the agent asks for the last transaction."""
    words = concert_queries.words(QueryLine("serial", "EUR"))
    granted, ended = ({"lease": news, "id": 1} for news in ("granted", "ended"))
    talk = [
        (wire.QUERY, words[Word.ENQUIRE]),
        (wire.REPLY, ACK),
        (wire.QUERY, words[Word.ASK_LAST_RESULT]),
        (wire.REPLY, ACK),
        (wire.QUERY, EOT),
        (wire.REPLY, ENQ),
        (wire.QUERY, ACK),
        (wire.REPLY, answer(amount, result)),
        (wire.QUERY, ACK),
        (wire.REPLY, EOT),
    ]
    return [(wire.LEASE, json.dumps(granted).encode()), *talk, (wire.LEASE, json.dumps(ended).encode())]


class Running:
    """An engine on a journal; `crash` loses everything that is not durable."""

    def __init__(self, folder: Path, names: tuple[str, ...] = ("pos1",)) -> None:
        self.folder = folder
        self.names = names
        self.start()

    def start(self) -> None:
        self.journal = Journal(self.folder, "site", "pc")
        books = self.journal.books()
        watchers = {}
        for name in self.names:
            terms = replace(TERMS, terminal=name, device="serial:x", currency="EUR")
            watchers[name] = Watcher(terms, ConcertDecoder, 1.0, books.get(name, Book()), concert_queries.finding)
        self.engine = Engine(self.journal, watchers, lambda _drafts: None)

    def crash(self) -> None:
        self.journal.close()
        self.start()

    def begin(self, ring: str = "ring", oldest: int = 0) -> int:
        return self.engine.begin(ring, oldest, At(0, T0, "begin"))

    def feed(self, records: list[Record], start: int) -> None:
        self.engine.take([record for record in records if record.offset >= start])

    def bodies(self) -> list[dict[str, object]]:
        outbox = Outbox(self.journal.path)
        bodies = [json.loads(event.body) for event in outbox.after(0, 10_000)]
        outbox.close()
        return bodies

    def told(self) -> list[tuple[object, object]]:
        return [(body["type"], body["data"]) for body in self.bodies()]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.journal.close()


PASSED = [
    link(True),
    *payment(1234),
    *payment(500, "7"),
    *payment(777)[:6],
    link(False, "gone"),
    link(True),
    *payment(88),
    *payment(555)[:5],
    port_closed(),
    *asked(555),
    *payment(99)[:5],
    port_closed(),
    *asked(99, "7"),
    *payment(66),
]


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(1, len(PASSED) - 1), max_size=6, unique=True).map(sorted),
    torn=st.lists(st.integers(1, 30), min_size=len(PASSED), max_size=len(PASSED)),
)
def test_crashes_change_nothing_of_what_is_told(cuts: list[int], torn: list[int]) -> None:
    """The line's bytes torn into chunks, the agent killed at any record: the events are those of an undisturbed run."""
    pieces = []
    for (kind, data), size in zip(PASSED, torn, strict=True):
        whole = kind not in (wire.CASHIER, wire.TERMINAL, wire.REPLY)
        pieces += [(kind, data)] if whole else [(kind, data[at : at + size]) for at in range(0, len(data), size)]
    records = tape(pieces)
    with TemporaryDirectory() as calm_folder, TemporaryDirectory() as rough_folder:
        calm = Running(Path(calm_folder))
        calm.feed(records, calm.begin())
        rough = Running(Path(rough_folder))
        for cut in cuts:
            rough.feed(records[: cut * len(records) // len(PASSED)], rough.begin())
            rough.crash()
        rough.feed(records, rough.begin())
        assert rough.told() == calm.told()
        assert [body["sequence"] for body in rough.bodies()] == list(range(1, len(calm.told()) + 1))
        calm.journal.close()
        rough.journal.close()


def test_what_the_terminal_shows_when_asked_settles_the_payment_once(running: Running) -> None:
    records = tape([link(True), *payment(1234), *payment(555)[:5], port_closed(), *asked(555)])
    running.feed(records[:-3], running.begin())
    assert running.told()[-1][0] == EventType.TRANSACTION_PENDING
    running.crash()
    running.feed(records, running.begin())
    data = [data for kind, data in running.told() if kind == EventType.TRANSACTION_CONFIRMED]
    assert [(d["outcome"], d["attempts"], d["how"]) for d in data] == [("approved", 1, "repeat_receipt")]  # type: ignore[index]


def test_a_lease_that_ended_before_anything_was_asked_is_no_attempt(running: Running) -> None:
    lease = [piece for piece in asked(555) if piece[0] == wire.LEASE]
    running.feed(tape([link(True), *payment(555)[:5], port_closed(), *lease]), running.begin())
    assert running.engine.watchers["pos1"].book.unknown[0].attempts == 0


def test_a_crash_in_mid_frame_leaves_no_byte_of_it_on_the_disk(running: Running, tmp_path: Path) -> None:
    records = tape([link(True), *payment(1234)[:7], (wire.TERMINAL, answer(1234)[:40])])
    running.feed(records, running.begin())
    for file in tmp_path.iterdir():
        assert CARD.encode() not in file.read_bytes()
        assert CARD[:13].encode() not in file.read_bytes()


def test_an_answer_that_came_while_the_agent_was_dead_is_no_timeout(running: Running) -> None:
    records = tape([link(True), *payment(1234)])
    running.feed(records[:7], running.begin())
    running.crash()
    running.feed(records, running.begin())
    assert [kind for kind, _ in running.told()][-1] == EventType.TRANSACTION_COMPLETED


def test_a_deadline_that_passed_meanwhile_is_told_as_of_its_own_time(running: Running) -> None:
    early = tape([link(True), *payment(1234)[:5]])
    late = tape(payment(1234)[5:], offset=early[-1].next_offset, start_ns=T0 + 300 * SECOND)
    running.feed(early + late, running.begin())
    kinds = [kind for kind, _ in running.told()]
    assert kinds[-2:] == [EventType.TRANSACTION_PENDING, EventType.TRANSACTION_CONFIRMED]


def test_another_bridge_process_means_that_bytes_were_missed(running: Running) -> None:
    running.feed(tape([link(True), *payment(1234)[:5]]), running.begin())
    assert running.begin(ring="another") == 0
    assert running.told()[-1][0] == EventType.TRANSACTION_PENDING
    assert running.told()[-1][1]["reason"] == "agent_restarted"  # type: ignore[index]


def test_an_overrun_ring_means_that_bytes_were_missed(running: Running) -> None:
    records = tape([link(True), *payment(1234)[:5]])
    running.feed(records, running.begin())
    running.crash()
    assert running.begin(oldest=records[-1].next_offset + 5000) == records[-1].next_offset + 5000
    assert running.told()[-1][1]["reason"] == "agent_restarted"  # type: ignore[index]


def test_the_same_bridge_again_means_that_nothing_was_missed(running: Running) -> None:
    records = tape([link(True), *payment(1234)[:5]])
    running.feed(records, running.begin())
    running.crash()
    assert running.begin() == records[1].offset  # where the exchange under way began
    assert running.told()[-1][0] == EventType.TRANSACTION_STARTED


def test_a_gap_behind_what_was_read_already_is_none(running: Running) -> None:
    records = tape([link(True), *payment(1234)[:5]])
    running.feed(records, running.begin())
    running.engine.gap(records[2].offset, At(0, T0, "gap"))
    assert running.told()[-1][0] == EventType.TRANSACTION_STARTED


def test_terminals_do_not_mix(tmp_path: Path) -> None:
    running = Running(tmp_path, ("pos1", "pos2"))
    one, other = tape(payment(100)), tape(payment(200), "pos2")
    mixed, offset = [], 0
    for a, b in zip(one, other, strict=True):
        for record in (a, b):
            size = record.next_offset - record.offset
            mixed.append(
                Record(offset, offset + size, record.wall_ns, record.mono_ns, record.line, record.kind, record.payload)
            )
            offset += size
    running.feed(mixed[:9], running.begin())
    running.crash()
    running.feed(mixed, running.begin())
    done = [data for kind, data in running.told() if kind == EventType.TRANSACTION_COMPLETED]
    assert [(d["terminal"], d["amount"]) for d in done] == [("pos1", 100), ("pos2", 200)]  # type: ignore[index]
    running.journal.close()


def test_the_end_of_the_bridge_is_told_and_leaves_open_payments_in_doubt(running: Running) -> None:
    running.feed(tape([link(True), *payment(1234)[:5]]), running.begin())
    running.engine.bridge_lost(At(1, T0, "lost"))
    kinds = [kind for kind, _ in running.told()]
    assert kinds[-2:] == [EventType.TRANSACTION_PENDING, EventType.TERMINAL_DISCONNECTED]
    assert running.engine.unknown == 1


def test_a_line_heard_again_costs_no_flush(running: Running) -> None:
    running.feed(tape([link(True), *payment(1234)]), running.begin())
    before = running.journal.path.with_suffix(".sqlite-wal").stat().st_size
    running.engine.take(tape([(wire.TERMINAL, EOT)], offset=10_000))
    assert running.journal.path.with_suffix(".sqlite-wal").stat().st_size == before
