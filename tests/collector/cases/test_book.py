"""Cases open once, follow the table of transitions, and keep a history that shows every change."""

from __future__ import annotations

from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from agent.errors import TillwatchError
from collector.access.access import Access
from collector.access.people import CONSOLE, SYSTEM, User, Via
from collector.access.roles import Role
from collector.cases import Kind, Reason, Status, open_for
from collector.cases.desk import ChangedMeanwhileError, Desk
from collector.cases.life import TRANSITIONS
from collector.ledger import Ledger, audit, cases
from tests.collector.conftest import FixedClock
from tests.collector.planted import NOW_US, plant

LI = User(name="li", display="Li", role=Role.OPERATIONS, via=Via.SESSION, address="10.0.0.7")


@pytest.fixture
def desk(ledger: Ledger, clock: FixedClock) -> Desk:
    return Desk(ledger, clock)


def opened(ledger: Ledger, kind: Kind = Kind.ESCALATED, subject: str = "T1") -> int:
    with ledger.write() as connection:
        return open_for(connection, kind, subject, now_us=NOW_US, transaction=subject, detail={"reason": "link_lost"})[
            0
        ]


def test_the_same_trouble_is_one_case_however_often_it_is_found(ledger: Ledger) -> None:
    with ledger.write() as connection:
        first, is_new = open_for(connection, Kind.ESCALATED, "T1", now_us=NOW_US)
        again, is_new_again = open_for(connection, Kind.ESCALATED, "T1", now_us=NOW_US + 5)
        other, _ = open_for(connection, Kind.UNDELIVERED, "T1", now_us=NOW_US)
    assert (is_new, is_new_again) == (True, False)
    assert first == again != other
    with ledger.read() as connection:
        assert [entry.action for entry in cases.history(connection, first)] == ["opened"]
        assert cases.count(connection, cases.Wanted(open=True)) == 2


def test_a_case_that_is_rolled_back_was_never_opened(ledger: Ledger) -> None:
    with suppress(RuntimeError), ledger.write() as connection:
        open_for(connection, Kind.ESCALATED, "T1", now_us=NOW_US)
        raise RuntimeError
    with ledger.read() as connection:
        assert cases.count(connection, cases.Wanted()) == 0


def test_a_due_time_that_no_page_could_show_is_refused(ledger: Ledger, desk: Desk) -> None:
    number = opened(ledger)
    for due_us in (-1, 1 << 62, NOW_US + 11 * 366 * 86_400_000_000):
        with pytest.raises(TillwatchError):
            desk.set_due(LI, number, due_us)
    assert [entry.action for entry in desk.view(number).history] == ["opened"]


def test_a_case_is_worked_to_its_end(ledger: Ledger, desk: Desk, clock: FixedClock, access: Access) -> None:
    access.invite(CONSOLE, "wang", Role.OPERATIONS)
    number = opened(ledger)
    desk.set_owner(LI, number, "Wang")
    desk.note(LI, number, "Called the acquirer, ticket 4711.\x00")
    clock.advance(hours=1)
    desk.set_due(LI, number, NOW_US + 86_400_000_000)
    desk.set_status(LI, number, Status.WAITING)
    desk.set_status(LI, number, Status.REFUND_AGREED, note="by mail")
    desk.set_status(LI, number, Status.REFUNDED)
    desk.set_status(LI, number, Status.CLOSED, reason=Reason.REFUNDED)
    view = desk.view(number)
    assert view.case.status == "closed"
    assert view.case.reason == "refunded"
    assert view.case.owner == "wang"
    assert view.case.closed_us == NOW_US + 3600_000_000
    assert view.broken_at is None
    assert view.next == (Status.OPEN,)
    assert [entry.action for entry in view.history] == ["opened", "owner", "note", "due"] + ["status"] * 4
    assert view.history[2].data == '{"text":"Called the acquirer, ticket 4711."}'
    assert {entry.actor for entry in view.history} == {SYSTEM.name, "li"}
    with ledger.read() as connection:
        audited = audit.entries(connection, action="case.")
    assert len(audited) == 7
    assert {(entry.actor, entry.address, entry.object) for entry in audited} == {("li", "10.0.0.7", str(number))}


def test_every_step_is_allowed_exactly_where_the_table_says(ledger: Ledger, desk: Desk) -> None:
    ways = {
        Status.OPEN: [],
        Status.WAITING: [Status.WAITING],
        Status.REFUND_AGREED: [Status.REFUND_AGREED],
        Status.REFUNDED: [Status.REFUND_AGREED, Status.REFUNDED],
        Status.CLOSED: [Status.CLOSED],
    }

    def go(number: int, status: Status) -> None:
        reason = Reason.MISTAKE if status is Status.CLOSED else None
        desk.set_status(LI, number, status, reason=reason, note="because")

    for before, way in ways.items():
        for after in Status:
            number = opened(ledger, subject=f"{before}-{after}")
            for step in way:
                go(number, step)
            if after in TRANSITIONS[before]:
                go(number, after)
                assert desk.view(number).case.status == after
            else:
                with pytest.raises(TillwatchError, match="can't become"):
                    go(number, after)


def test_what_needs_a_reason_or_a_note_is_refused_without(ledger: Ledger, desk: Desk) -> None:
    number = opened(ledger)
    for given, why in (
        ({"status": Status.CLOSED}, "needs a reason"),
        ({"status": Status.WAITING, "reason": Reason.BOOKED}, "only when"),
        ({"status": Status.CLOSED, "reason": Reason.OTHER}, "needs a note"),
        ({"status": Status.CLOSED, "reason": Reason.OTHER, "note": " \n "}, "needs a note"),
    ):
        with pytest.raises(TillwatchError, match=why):
            desk.set_status(LI, number, **given)  # type: ignore[arg-type]
    for bad, why in (("  ", "empty"), ("x" * 5000, "too long")):
        with pytest.raises(TillwatchError, match=why):
            desk.note(LI, number, bad)
    with pytest.raises(TillwatchError, match="no account ghost"):
        desk.set_owner(LI, number, "ghost")
    with pytest.raises(TillwatchError, match="no case 999"):
        desk.note(LI, 999, "hello")
    assert [entry.action for entry in desk.view(number).history] == ["opened"]


def test_two_people_do_not_overwrite_each_other(ledger: Ledger, desk: Desk) -> None:
    number = opened(ledger)
    seen = desk.view(number).case.entries
    desk.set_status(LI, number, Status.WAITING, seen=seen)
    with pytest.raises(ChangedMeanwhileError):
        desk.set_status(LI, number, Status.CLOSED, reason=Reason.MISTAKE, seen=seen)


def test_a_card_number_in_a_note_is_masked_before_it_is_kept(ledger: Ledger, desk: Desk) -> None:
    number = opened(ledger)
    desk.note(LI, number, "the card was 6222 0212 3456 7890 128, order 20260305123456")
    kept = desk.view(number).history[-1].data
    assert "6222 0212 3456 7890 128" not in kept
    assert "3456" not in kept.replace("20260305123456", "")
    assert "20260305123456" in kept, "an order number is no card number"


def test_nobody_rewrites_a_history_through_the_database(ledger: Ledger, desk: Desk) -> None:
    number = opened(ledger)
    desk.note(LI, number, "first")
    for statement in (
        "UPDATE case_history SET data = '{}'",
        "DELETE FROM case_history",
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
    ):
        with pytest.raises(DBAPIError, match="append-only"), ledger.write() as connection:
            connection.execute(text(statement))
    assert desk.view(number).broken_at is None


@pytest.mark.parametrize(
    ("tampering", "broken_at"),
    [
        ('UPDATE case_history SET data = \'{"text":"other"}\' WHERE entry = 2', 2),
        ("UPDATE case_history SET actor = 'wang' WHERE entry = 3", 3),
        ("DELETE FROM case_history WHERE entry = 2", 2),
        ("DELETE FROM case_history WHERE entry = 3", 3),
    ],
)
def test_a_history_changed_by_the_owner_of_the_database_shows(
    ledger: Ledger, desk: Desk, tampering: str, broken_at: int
) -> None:
    number = opened(ledger)
    desk.note(LI, number, "first")
    desk.note(LI, number, "second")
    with ledger.write() as connection:
        if ledger.is_postgresql:
            connection.execute(text("ALTER TABLE case_history DISABLE TRIGGER ALL"))
        else:
            connection.execute(text("DROP TRIGGER case_history_no_update"))
            connection.execute(text("DROP TRIGGER case_history_no_delete"))
        connection.execute(text(tampering))
    assert desk.view(number).broken_at == broken_at


def test_a_person_opens_a_case_about_a_payment(ledger: Ledger, desk: Desk) -> None:
    payment = plant(ledger)
    case = desk.create(LI, payment, "The patient came back with a bank statement.")
    assert (case.kind, case.amount, case.site) == ("other", 3550, "east")
    assert desk.create(LI, payment, "Once more.").number == case.number
    with pytest.raises(TillwatchError, match="knows no transaction"):
        desk.create(LI, "nothing", "hello")
