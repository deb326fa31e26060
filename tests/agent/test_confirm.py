"""How terminals are asked: the journal keeps the schedule, the bridge grants the line, a table has the words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from agent.bridge import wire
from agent.confirm import Asker, Confirmer
from agent.engine import Engine
from agent.journal import Journal
from agent.payments import At, Book, Payment
from agent.schedule import wait_of
from agent.tap import Record
from agent.watch import Watcher
from drivers import concert_queries, registry
from drivers.concert import ConcertDecoder
from drivers.driver import Framing
from drivers.queries import Policy, Query, QueryLine, Word
from tests.agent.lines import SECOND, TERMS
from tests.agent.test_engine import ACK, ENQ, EOT, answer, asked, link, payment, port_closed, tape

WORDS = concert_queries.words(QueryLine("serial", "EUR"))
IN_DOUBT = [link(True), *payment(800), *payment(3550)[:5], port_closed()]


class Desk:
    """A terminal with a payment in doubt, a bridge that the test plays, and a clock that the test moves."""

    def __init__(self, folder: Path, policy: Policy = Policy.ASK) -> None:
        self.folder = folder
        self.policy = policy
        self.sent: list[dict[str, Any]] = []
        self.offset = 0
        self.start()
        self.pass_by(IN_DOUBT)

    def start(self) -> None:
        """As after a restart: everything from the journal."""
        self.journal = Journal(self.folder, "site", "pc")
        asks = (Query.LAST_RESULT,) if self.policy is Policy.ASK else ()
        terms = replace(TERMS, currency="EUR", asks=asks)
        book = self.journal.books().get("pos1", Book())
        watcher = Watcher(terms, ConcertDecoder, 1.0, book, concert_queries.finding)
        self.engine = Engine(self.journal, {"pos1": watcher}, lambda _drafts: None)
        self.now_ns = getattr(self, "now_ns", 5_000 * SECOND)
        self.engine.begin("ring", 0, self.at)
        self.asker = Asker(
            terminal="pos1",
            asking=concert_queries.ASKING,
            line=QueryLine("serial", "EUR"),
            policy=self.policy,
            quiet_s=2.0,
            first_delay_s=5.0,
            max_delay_s=300.0,
        )
        self.confirmer = Confirmer([self.asker], lambda: self.engine, structlog.get_logger())
        self.confirmer.connected(lambda op, **values: self.sent.append({"op": op, **values}))

    @property
    def at(self) -> At:
        return At(1_790_000_000 * SECOND + self.now_ns, self.now_ns, f"now:{self.now_ns}")

    def pass_by(self, passed: list[tuple[int, bytes]]) -> None:
        """Let this pass on the line."""
        records = tape(passed, offset=self.offset, start_ns=self.now_ns)
        self.offset = records[-1].next_offset
        self.now_ns = records[-1].mono_ns
        self.take(records)

    def take(self, records: list[Record]) -> None:
        self.engine.take(records)

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        """Let time pass; what is requested of the bridge then."""
        before = len(self.sent)
        self.now_ns += int(seconds * SECOND)
        self.confirmer.poll(self.at)
        return self.sent[before:]

    def told(self, **body: Any) -> list[dict[str, Any]]:
        """A notice of the bridge; what is requested of it then."""
        before = len(self.sent)
        self.confirmer.told(body, self.at)
        return self.sent[before:]

    def heard(self, data: bytes) -> list[str]:
        """The terminal answers; the bytes written then."""
        before = len(self.sent)
        self.confirmer.heard("pos1", data)
        return [request.get("hex", request["op"]) for request in self.sent[before:]]

    @property
    def doubt(self) -> Payment:
        return self.engine.watchers["pos1"].book.unknown[0]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.journal.close()


def test_the_first_question_comes_after_the_first_delay(desk: Desk) -> None:
    assert desk.wait(0) == []
    assert desk.wait(4.9) == []
    (request,) = desk.wait(0.2)
    assert (request["op"], request["line"], request["quiet_ms"], request["wait_ms"]) == ("lease", "pos1", 2000, 0)


def test_the_cashier_is_never_held_for_more_than_half_of_the_protocols_patience() -> None:
    for name in registry.names():
        asking = registry.get(name).asking
        if asking is None:
            continue
        for framing in registry.get(name).framings:
            asker = Asker(
                terminal="t",
                asking=asking,
                line=QueryLine(framing, "EUR"),
                policy=Policy.ASK,
                quiet_s=2,
                first_delay_s=5,
                max_delay_s=300,
            )
            terms = asker.lease_terms()
            assert terms["hold_ms"] + terms["drain_ms"] <= asking.patience_s * 1000 / 2
            assert bytes.fromhex(terms["abort"]) in {b"", *asker.words.values()}


def test_a_whole_question_in_the_words_of_the_table(desk: Desk) -> None:
    desk.wait(0)
    desk.wait(5.1)
    assert desk.told(lease="granted", id=7, line="pos1") == [{"op": "write", "id": 7, "hex": WORDS[Word.ENQUIRE].hex()}]
    assert desk.heard(ACK) == [WORDS[Word.ASK_LAST_RESULT].hex()]
    assert desk.heard(ACK) == [EOT.hex()]
    assert desk.heard(ENQ) == [ACK.hex()]
    assert desk.heard(answer(3550)) == [ACK.hex()]
    assert desk.heard(EOT) == ["release"]
    desk.pass_by(asked(3550))
    desk.told(lease="ended", id=7, reason="released")
    assert not desk.engine.watchers["pos1"].book.unknown
    assert desk.wait(100_000) == []


def test_an_answer_without_proof_is_followed_by_growing_pauses(desk: Desk) -> None:
    busy = [(wire.LEASE, json.dumps({"lease": "granted", "id": 1}).encode()), (wire.QUERY, ENQ), (wire.REPLY, b"\x15")]
    ended = (wire.LEASE, json.dumps({"lease": "ended", "id": 1}).encode())
    for attempt in range(1, 6):
        desk.wait(0)
        due = desk.doubt.doubt.due_mono_ns if desk.doubt.doubt else None
        assert due is not None
        assert 0 <= due - desk.now_ns <= min(300, 5 * 2 ** (attempt - 1)) * SECOND
        assert [request["op"] for request in desk.wait(301)] == ["lease"]
        desk.told(lease="granted", id=attempt, line="pos1")
        desk.pass_by([*busy, ended])
        desk.told(lease="ended", id=attempt, reason="released")
        assert desk.doubt.attempts == attempt


def test_the_schedule_outlives_a_crash(desk: Desk) -> None:
    desk.wait(0)
    due = desk.doubt.doubt
    desk.journal.close()
    desk.start()
    assert desk.doubt.doubt == due
    assert desk.wait(4.9) == []
    assert [request["op"] for request in desk.wait(0.2)] == ["lease"]


def test_a_line_that_is_not_granted_is_asked_for_again_soon(desk: Desk) -> None:
    desk.wait(0)
    desk.wait(6)
    desk.told(lease="denied", id=None, line="pos1", reason="busy")
    assert desk.wait(0.4) == []
    assert [request["op"] for request in desk.wait(0.2)] == ["lease"]
    assert desk.doubt.attempts == 0


def test_nothing_is_asked_while_the_cashier_pays(desk: Desk) -> None:
    desk.wait(0)
    desk.pass_by(payment(1000)[:5])
    assert desk.wait(60) == []
    desk.pass_by(payment(1000)[5:])
    assert [request["op"] for request in desk.wait(1)] == ["lease"]


def test_a_lease_granted_when_a_payment_has_just_begun_is_given_back_unused(desk: Desk) -> None:
    desk.wait(0)
    desk.wait(6)
    desk.pass_by(payment(1000)[:5])
    assert desk.told(lease="granted", id=1, line="pos1") == [{"op": "release", "id": 1}]


def test_nothing_is_asked_of_a_terminal_that_is_away(desk: Desk) -> None:
    desk.wait(0)
    desk.pass_by([link(False, "gone")])
    assert desk.wait(60) == []
    assert desk.confirmer.deadline_mono_ns() is None
    desk.pass_by([link(True)])
    assert [request["op"] for request in desk.wait(1)] == ["lease"]


def test_the_cashier_who_waits_ends_the_question(desk: Desk) -> None:
    desk.wait(0)
    desk.wait(6)
    desk.told(lease="granted", id=1, line="pos1")
    assert desk.told(lease="cashier_waiting", id=1) == []  # Concert: the ACK to our ENQ is on its way
    assert desk.heard(ACK) == [EOT.hex(), "release"]


def test_a_bridge_that_went_away_takes_the_question_with_it(desk: Desk) -> None:
    desk.wait(0)
    desk.wait(6)
    desk.told(lease="granted", id=1, line="pos1")
    desk.confirmer.disconnected()
    assert desk.wait(60) == []
    assert desk.heard(ACK) == []
    desk.confirmer.connected(lambda op, **values: desk.sent.append({"op": op, **values}))
    assert [request["op"] for request in desk.wait(1)] == ["lease"]


def test_notices_about_unknown_leases_are_nothing(desk: Desk) -> None:
    assert desk.told(lease="ended", id=99) == []
    assert desk.told(lease="granted", id=1, line="pos9") == []


# --- when a person wants it ------------------------------------------------------------------------------------------


def test_a_person_need_not_wait_for_the_schedule(desk: Desk) -> None:
    assert desk.confirmer.ask_now(desk.doubt.id, desk.at) == "asking"
    assert [request["op"] for request in desk.wait(0)] == ["lease"]


def test_a_terminal_that_is_only_watched_is_asked_when_a_person_insists(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Policy.WATCH)
    assert desk.wait(60) == []
    assert desk.confirmer.ask_now(desk.doubt.id, desk.at) == "watch_only"
    assert desk.confirmer.ask_now(desk.doubt.id, desk.at, anyway=True) == "asking"
    assert [request["op"] for request in desk.wait(0)] == ["lease"]
    desk.told(lease="granted", id=1, line="pos1")
    desk.pass_by(asked(800))
    desk.told(lease="ended", id=1, reason="released")
    assert desk.wait(100_000) == []
    desk.journal.close()


def test_what_can_not_be_asked_is_said(desk: Desk) -> None:
    assert desk.confirmer.ask_now("nobody", desk.at) == "not_pending"
    assert Confirmer([], lambda: desk.engine, structlog.get_logger()).ask_now(desk.doubt.id, desk.at) == "no_query"
    doubt = desk.doubt.id
    desk.pass_by([link(False, "gone")])
    assert desk.confirmer.ask_now(doubt, desk.at) == "link_down"


def test_pauses_are_spread_and_capped() -> None:
    schedule = Asker(
        terminal="t",
        asking=concert_queries.ASKING,
        line=QueryLine(Framing.SERIAL, "EUR"),
        policy=Policy.ASK,
        quiet_s=2,
        first_delay_s=5,
        max_delay_s=60,
    ).schedule()
    assert wait_of(schedule, 1) == 5
    later = [wait_of(schedule, attempt) for attempt in range(2, 40) for _ in range(10)]
    assert all(0 <= pause <= 60 for pause in later)
    assert len(set(later)) > 300
