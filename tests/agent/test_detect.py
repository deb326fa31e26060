"""A terminal whose protocol nobody named: once it is clear, everything is as if it had been known from the start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bridge import wire
from agent.detect import MOST_HELD, DetectingWatcher
from agent.engine import Engine
from agent.history import History
from agent.journal import Journal
from agent.payments import At, Book, Terms
from agent.tap import Record
from agent.terminals import asker_of, watcher_of
from agent.watch import Watcher
from drivers import registry
from drivers.detection import UNKNOWN_BYTES
from drivers.driver import Decoder
from tests.agent.checks.checked import terminal_of
from tests.agent.lines import SECOND, TERMS
from tests.agent.test_engine import T0, Running, link, payment, port_closed, tape

AUTO_TERMS = Terms("pos1", "auto", "serial:x", "EUR", 0, 0)
CANDIDATES: dict[str, Callable[[], Decoder]] = {
    name: lambda name=name: registry.get(name).decoder(registry.get(name).framings[0])  # type: ignore[misc]
    for name in ("concert", "zvt")
}


def concert(protocol: str, book: Book) -> Watcher:
    terms = replace(TERMS, protocol=protocol, device="serial:x", currency="EUR")
    driver = registry.get("concert")
    return Watcher(terms, lambda: driver.decoder(driver.framings[0]), driver.byte_gap_s, book)


class Listening(Running):
    """As Running, with a terminal that is listened to first."""

    fallback: str | None = "sniffer"

    def start(self) -> None:
        self.decided: list[tuple[str, str]] = []
        self.journal = Journal(self.folder, "site", "pc")
        book = self.journal.books().get("pos1", Book())

        def decide(terminal: str, protocol: str) -> None:
            self.decided.append((terminal, protocol))

        self.watcher = DetectingWatcher(AUTO_TERMS, book, CANDIDATES, concert, decide, self.fallback)
        self.engine = Engine(self.journal, {"pos1": self.watcher}, lambda _drafts: None)


class Known(Running):
    """The same terminal, its protocol known."""

    def start(self) -> None:
        self.journal = Journal(self.folder, "site", "pc")
        book = self.journal.books().get("pos1", Book())
        self.engine = Engine(self.journal, {"pos1": concert("concert", book)}, lambda _drafts: None)


def transactions(running: Running) -> list[tuple[object, object]]:
    return [(kind, data) for kind, data in running.told() if not str(kind).startswith("terminal.")]


def links(running: Running) -> list[tuple[object, object]]:
    return [
        (kind, data["reason"])  # type: ignore[index]
        for kind, data in running.told()
        if str(kind).startswith("terminal.") and data["reason"] != "protocol_detected"  # type: ignore[index]
    ]


def whole(running: Running, records: list[Record]) -> None:
    running.feed(records, running.begin())


PASSED = [
    link(True),
    *payment(777)[:5],
    link(False, "gone"),
    link(True),
    *payment(555)[:5],
    port_closed(),
    *payment(1234),
    *payment(500, "7"),
    *payment(88)[:4],
    link(False, "gone"),
    link(True),
    *payment(66),
]


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(1, len(PASSED) - 1), max_size=5, unique=True).map(sorted),
    torn=st.lists(st.integers(1, 90), min_size=len(PASSED), max_size=len(PASSED)),
)
def test_nothing_is_lost_before_the_decision_whatever_crashes(cuts: list[int], torn: list[int]) -> None:
    pieces = []
    for (kind, data), size in zip(PASSED, torn, strict=True):
        fixed = kind not in (wire.CASHIER, wire.TERMINAL)
        pieces += [(kind, data)] if fixed else [(kind, data[at : at + size]) for at in range(0, len(data), size)]
    records = tape(pieces)
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        known, heard = Known(Path(one)), Listening(Path(other))
        whole(known, records)
        for cut in cuts:
            heard.feed(records[: cut * len(records) // len(PASSED)], heard.begin())
            heard.crash()
        whole(heard, records)
        assert heard.watcher.protocol == "auto → concert"
        assert transactions(heard) == transactions(known)
        assert links(heard) == links(known)
        named = [data for _, data in heard.told() if data.get("reason") == "protocol_detected"]  # type: ignore[attr-defined]
        assert [data["protocol"] for data in named] == ["concert"]
        known.journal.close()
        heard.journal.close()


def test_it_is_listened_to_and_never_asked_before_it_is_clear(tmp_path: Path) -> None:
    heard = Listening(tmp_path)
    records = tape([link(True), *payment(1234)])
    heard.feed(records[:6], heard.begin())
    assert heard.watcher.protocol == "auto"
    assert heard.engine.deadline_mono_ns() is None
    assert heard.engine.unknown == 0
    assert heard.decided == []
    assert heard.watcher.resume == records[1].offset
    heard.engine.take(records[6:])
    assert heard.decided == [("pos1", "concert")]
    assert heard.watcher.book.heard == "concert"
    heard.journal.close()


def test_what_was_heard_once_is_known_after_a_restart(tmp_path: Path) -> None:
    heard = Listening(tmp_path)
    records = tape([link(True), *payment(1234), *payment(50)])
    heard.feed(records[:11], heard.begin())
    heard.crash()
    assert heard.watcher.protocol == "auto → concert"
    whole(heard, records)
    assert [kind for kind, _ in transactions(heard)].count("transaction.completed") == 2
    assert heard.decided == []
    heard.journal.close()


class Alone(Listening):
    """There is no fallback."""

    fallback = None


def test_what_is_held_is_bounded(tmp_path: Path) -> None:
    heard = Alone(tmp_path)
    junk = [(wire.CASHIER, b"\xff" * 5000)] * 100 + [(wire.CASHIER, b"\xff")] * 9000
    records = tape([link(True), *junk, *payment(1234)])
    whole(heard, records[:-10])
    assert heard.watcher._held_bytes <= MOST_HELD
    assert heard.watcher.resume is not None
    assert heard.watcher.resume > records[50].offset
    heard.journal.close()


def test_a_gap_ends_an_exchange_but_what_was_before_it_is_kept(tmp_path: Path) -> None:
    heard = Listening(tmp_path)
    first = tape([link(True), *payment(777)[:5]])
    whole(heard, first)
    heard.engine.begin("another ring", 0, At(T0, T0 + SECOND, "later"))
    assert heard.watcher.resume is None  # the new ring has none of it
    heard.engine.take(tape([link(True), *payment(1234)], start_ns=T0 + 2 * SECOND))
    kinds = [(kind, data["amount"]) for kind, data in transactions(heard)]  # type: ignore[index]
    assert kinds[:2] == [("transaction.started", 777), ("transaction.pending", 777)]
    assert ("transaction.completed", 1234) in kinds
    heard.journal.close()


def test_a_line_that_nobody_understands_goes_to_the_fallback_and_is_still_listened_to(tmp_path: Path) -> None:
    heard = Listening(tmp_path)
    whole(heard, tape([link(True), *[(wire.CASHIER, b"AT+PAY=1\r\n" * 10)] * (UNKNOWN_BYTES // 90)]))
    assert heard.decided == [("pos1", "sniffer")]
    after = heard.engine.consumed
    noise_ends = [part for _ in range(12) for part in payment(900)]  # the noise counts against it for a while
    heard.engine.take(tape([*noise_ends, *payment(1234), *payment(50)], offset=after, start_ns=T0 + 60 * SECOND))
    assert heard.decided[-1] == ("pos1", "concert")
    assert heard.watcher.protocol == "auto → concert"
    heard.journal.close()


def test_a_configured_auto_terminal_has_candidates_and_no_asker(tmp_path: Path) -> None:
    terminal = replace(terminal_of(tmp_path), protocol="auto")
    watcher = watcher_of(terminal, Book())
    assert isinstance(watcher, DetectingWatcher)
    assert watcher.terms.protocol == "auto"
    assert asker_of(terminal) is None
    assert asker_of(terminal, "concert") is not None
    known = watcher_of(terminal, Book(heard="zvt"))
    assert (known.terms.protocol, known.protocol) == ("zvt", "auto → zvt")
    gone = watcher_of(terminal, Book(heard="of a plug-in that was removed"))
    assert gone.protocol == "auto"


def test_people_are_told_by_the_protocol_that_was_heard(tmp_path: Path) -> None:
    heard = Listening(tmp_path)
    whole(heard, tape([link(True), *payment(1234)]))
    with History(heard.journal.path) as history:
        assert history.protocol("pos1", "auto") == "concert"
        assert history.protocol("pos1", "zvt") == "zvt"  # written down since
        assert history.protocol("pos2", "auto") == "auto"
    heard.journal.close()


# --- a printer, and nothing else --------------------------------------------------------------------------------------

SLIP = next((Path(__file__).parent.parent / "data" / "receipts").glob("04_*.txt")).read_text("utf-8").encode("gbk")


class Printing(Running):
    """A terminal as it is configured, with protocol = "auto"."""

    def start(self) -> None:
        self.journal = Journal(self.folder, "site", "pc")
        terminal = replace(terminal_of(self.folder), name="pos1", protocol="auto")
        self.watcher = watcher_of(terminal, self.journal.books().get("pos1", Book()))
        self.engine = Engine(self.journal, {"pos1": self.watcher}, lambda _drafts: None)


def outcomes(running: Running) -> list[object]:
    return [data["outcome"] for kind, data in running.told() if kind == "transaction.completed"]  # type: ignore[index]


@pytest.mark.parametrize("crash", [False, True])
def test_one_whole_slip_that_nobody_cuts_is_a_transaction_when_the_printer_falls_silent(
    tmp_path: Path, crash: bool
) -> None:
    heard = Printing(tmp_path)
    records = tape([link(True), *((wire.TERMINAL, SLIP[at : at + 50]) for at in range(0, len(SLIP), 50))])
    heard.feed(records, heard.begin())
    if crash:
        heard.crash()
        heard.feed(records, heard.begin())
    due = heard.engine.deadline_mono_ns()
    assert due is not None
    assert due > records[-1].mono_ns + 2 * SECOND
    heard.engine.tick(At(T0, due, "tick"))
    assert heard.watcher.protocol == "auto → sniffer"
    assert outcomes(heard) == ["approved"]
    assert heard.engine.deadline_mono_ns() is None
    heard.journal.close()


def test_one_whole_slip_that_is_cut_is_a_transaction_at_once(tmp_path: Path) -> None:
    heard = Printing(tmp_path)
    whole(heard, tape([link(True), (wire.TERMINAL, SLIP + b"\n\x1dV\x00")]))
    assert outcomes(heard) == ["approved"]
    heard.journal.close()


def test_a_slip_printed_by_a_protocol_that_is_being_understood_decides_nothing(tmp_path: Path) -> None:
    heard = Printing(tmp_path)
    first = payment(1234)
    whole(heard, tape([link(True), *first[:6], (wire.TERMINAL, SLIP + b"\n\x1dV\x00"), *first[6:], *payment(50)]))
    assert heard.watcher.protocol == "auto → concert"
    heard.journal.close()
