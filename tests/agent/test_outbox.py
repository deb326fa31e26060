"""The publisher's cursor: what is sent again, and what never is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.journal import Journal
from agent.outbox import Outbox
from tests.agent.test_journal import NOTE


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    journal = Journal(tmp_path, "site", "pc-1")
    journal.commit([NOTE] * 10)
    outbox = Outbox(journal.path)
    yield outbox
    outbox.close()
    journal.close()


def test_without_a_collector_the_brokers_acknowledgement_counts(outbox: Outbox) -> None:
    outbox.acknowledge(7)
    assert outbox.resend_from == 8


def test_a_collector_is_believed_more_than_the_broker(outbox: Outbox) -> None:
    outbox.acknowledge(7)
    outbox.store(3)
    assert outbox.resend_from == 4


def test_cursors_never_go_back(outbox: Outbox) -> None:
    outbox.acknowledge(7)
    outbox.acknowledge(5)
    outbox.store(6)
    outbox.store(2)
    assert (outbox.acknowledged, outbox.stored) == (7, 6)


def test_cursors_survive_a_restart(outbox: Outbox, tmp_path: Path) -> None:
    outbox.acknowledge(7)
    outbox.store(6)
    again = Outbox(tmp_path / "journal.sqlite")
    assert (again.acknowledged, again.stored) == (7, 6)
    again.close()


def test_events_come_in_order_and_in_portions(outbox: Outbox) -> None:
    assert [event.sequence for event in outbox.after(4, 3)] == [5, 6, 7]
    assert outbox.after(10, 3) == []


def test_a_repeated_command_gets_its_stored_answer(outbox: Outbox) -> None:
    assert outbox.command_result("c1") is None
    outbox.keep_command_result("c1", '{"ok": true}', 1)
    assert outbox.command_result("c1") == '{"ok": true}'


def test_on_a_full_disk_the_cursors_move_on_and_are_written_when_it_has_room_again(
    outbox: Outbox, tmp_path: Path
) -> None:
    outbox._db.execute("PRAGMA query_only = ON")  # refuses like a disk without room: with an OperationalError
    outbox.acknowledge(7)
    outbox.store(6)
    outbox.keep_command_result("c1", "{}", 1)
    assert (outbox.acknowledged, outbox.stored, outbox.resend_from) == (7, 6, 7)
    assert outbox.command_result("c1") is None
    outbox._db.execute("PRAGMA query_only = OFF")
    outbox.acknowledge(7)
    again = Outbox(tmp_path / "journal.sqlite")
    assert (again.acknowledged, again.stored) == (7, 6)
    again.close()
