"""The journal: durable, exactly once, and never written by two."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import JournalError
from agent.events import AgentData, Draft, EventType
from agent.journal import FILE_NAME, SCHEMA_VERSION, Journal, TapPosition, connect_read_only
from agent.outbox import Outbox
from agent.payments import Book, Link
from tests.agent.lines import Play, answer, cashier_ack, request
from tests.agent.shut import shut

NOTE = Draft(EventType.AGENT_STARTED, AgentData(version="1"), 1_790_000_000_000_000_000)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path, "site", "pc-1")
    yield journal
    journal.close()


def reopened(journal: Journal) -> Journal:
    journal.close()
    return Journal(journal.path.parent, "site", "pc-1")


def test_sequence_numbers_begin_at_one_and_have_no_gap(journal: Journal, tmp_path: Path) -> None:
    journal.commit([NOTE])
    journal.commit([])
    journal.commit([NOTE, NOTE])
    assert [event.sequence for event in Outbox(journal.path).after(0, 10)] == [1, 2, 3]
    assert journal.sequence == 3


def test_sequence_numbers_and_epoch_go_on_after_a_restart(tmp_path: Path) -> None:
    first = Journal(tmp_path, "site", "pc-1")
    first.commit([NOTE, NOTE])
    second = reopened(first)
    assert second.source == first.source
    assert second.commit([NOTE]) == 3
    second.close()


def test_a_new_journal_has_a_new_epoch(tmp_path: Path) -> None:
    one, other = Journal(tmp_path / "a", "s", "pc"), Journal(tmp_path / "b", "s", "pc")
    assert one.source.epoch != other.source.epoch
    one.close()
    other.close()


def test_events_are_cloudevents_with_the_contracts_envelope(journal: Journal) -> None:
    play = Play()
    play.see(request(), answer(), cashier_ack())
    journal.commit(play.drafts)
    body = json.loads(Outbox(journal.path).after(1, 1)[0].body)
    epoch = journal.source.epoch
    assert body["specversion"] == "1.0"
    assert body["id"] == f"pc-1:{epoch}:2"
    assert body["source"] == "/site/pc-1/pos1"
    assert (body["type"], body["sequence"], body["epoch"]) == ("transaction.completed", 2, epoch)
    assert body["subject"] == body["data"]["transaction"]
    assert body["data"]["response_text"] is None or set(body["data"]["response_text"]) == {"en", "zh-CN"}
    assert body["time"][10] == "T"
    assert body["time"][-6] in "+-"


def test_book_and_tap_position_come_back_as_they_were(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "site", "pc-1")
    play = Play()
    play.see(request(), answer())
    position = TapPosition("abcd", 4096, (("pos1", 2048), ("pos2", 4000)))
    journal.commit(play.drafts, {"pos1": play.book}, position)
    again = reopened(journal)
    assert again.books() == {"pos1": play.book}
    assert again.tap_position() == position
    assert position.oldest_needed == 2048
    again.close()


def test_nothing_of_a_refused_commit_has_happened(journal: Journal) -> None:
    journal.commit([NOTE], {"pos1": Book()})
    blocker = sqlite3.connect(journal.path, isolation_level=None)
    blocker.execute("CREATE TRIGGER full BEFORE INSERT ON books BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    with pytest.raises(JournalError, match="disk is full"):
        journal.commit([NOTE, NOTE], {"pos1": Book(link=Link.UP)})
    blocker.execute("DROP TRIGGER full")
    assert journal.sequence == 1
    assert journal.commit([NOTE], {"pos1": Book()}) == 2
    blocker.close()


def test_a_second_agent_is_refused(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(JournalError) as caught:
        Journal(tmp_path, "site", "pc-1")
    assert caught.value.key == "journal.locked"
    assert caught.value.exit_code == 3


def test_a_newer_journal_is_left_alone(tmp_path: Path) -> None:
    Journal(tmp_path, "site", "pc-1").close()
    db = sqlite3.connect(tmp_path / FILE_NAME)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(JournalError) as caught:
        Journal(tmp_path, "site", "pc-1")
    assert caught.value.key == "journal.too_new"
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database, but long enough to be taken for one" * 50)
    with pytest.raises(JournalError, match=FILE_NAME):
        Journal(tmp_path, "site", "pc-1")


def test_reading_needs_no_agent_and_a_missing_journal_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="tillwatch run"):
        connect_read_only(tmp_path / FILE_NAME)
    journal = Journal(tmp_path, "site", "pc-1")
    journal.commit([NOTE])
    reader = connect_read_only(journal.path)
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,)
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("DELETE FROM events")
    reader.close()
    journal.close()


def test_a_journal_in_a_folder_that_is_closed_to_us_says_who_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    with shut(folder), pytest.raises(JournalError, match="agent's user or as root"):
        connect_read_only(folder / FILE_NAME)


def test_a_transaction_row_follows_its_events(journal: Journal) -> None:
    play = Play()
    journal.commit(play.see(request(), answer(amount=999)))
    reader = connect_read_only(journal.path)
    row = "SELECT amount, outcome, pending, last4 FROM transactions"
    assert reader.execute(row).fetchall() == [(1234, "unknown", 1, None)]
    journal.commit(play.see(answer(), cashier_ack()))
    assert reader.execute(row).fetchall() == [(1234, "approved", 0, "4970")]
    reader.close()


def test_only_what_everybody_has_is_pruned(journal: Journal) -> None:
    journal.commit([NOTE] * 5)
    outbox = Outbox(journal.path)
    outbox.acknowledge(4)
    outbox.store(3)
    assert journal.prune(NOTE.wall_ns + 1) == 3
    assert [event.sequence for event in outbox.after(0, 10)] == [4, 5]
    outbox.close()


def test_answers_to_old_commands_are_forgotten(journal: Journal) -> None:
    outbox = Outbox(journal.path)
    outbox.keep_command_result("old", "{}", NOTE.wall_ns)
    outbox.keep_command_result("new", "{}", NOTE.wall_ns + 2)
    journal.prune(NOTE.wall_ns + 1)
    assert (outbox.command_result("old"), outbox.command_result("new")) == (None, "{}")
    outbox.close()


def test_a_clock_that_jumped_by_years_does_not_empty_the_journal(journal: Journal) -> None:
    journal.commit([NOTE] * 5)
    outbox = Outbox(journal.path)
    outbox.acknowledge(5)
    outbox.store(5)
    assert journal.prune(NOTE.wall_ns * 2, keep=3) == 2
    assert [event.sequence for event in outbox.after(0, 10)] == [3, 4, 5]
    outbox.close()


def test_sequence_numbers_are_not_reused_after_everything_was_pruned(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "site", "pc-1")
    journal.commit([NOTE] * 3)
    outbox = Outbox(journal.path)
    outbox.acknowledge(3)
    assert journal.prune(NOTE.wall_ns + 1) == 3
    outbox.close()
    journal = reopened(journal)
    assert journal.commit([NOTE]) == 4
    journal.close()


_WRITER = """
import sys
from collections.abc import Iterator
from pathlib import Path
from agent.events import AgentData, Draft, EventType
from agent.journal import Journal
journal = Journal(Path(sys.argv[1]), "site", "pc-1")
note = Draft(EventType.AGENT_STARTED, AgentData(version="1"), 1)
while True:
    print(journal.commit([note]), flush=True)
"""


def test_what_was_committed_survives_kill_9_and_nothing_is_there_twice(tmp_path: Path) -> None:
    told = 0
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(20):
            told = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        told = max([told, *(int(line) for line in writer.stdout.read().split()[:-1] or [told])])
        writer.wait()
        writer.stdout.close()
        journal = Journal(tmp_path, "site", "pc-1")
        numbers = [event.sequence for event in Outbox(journal.path).after(0, 10_000_000)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= told
        journal.close()


def test_every_commit_is_flushed_before_it_returns(tmp_path: Path) -> None:
    script = _WRITER.replace("while True:", "for _ in range(50):")
    trace = tmp_path / "trace"
    subprocess.run(
        ["strace", "-fc", "-e", "trace=fdatasync,fsync", "-o", trace, sys.executable, "-c", script, tmp_path / "j"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    calls = {line.split()[-1]: int(line.split()[3]) for line in trace.read_text().splitlines() if "sync" in line}
    assert sum(calls.values()) >= 50


def test_a_disk_that_refuses_is_told_as_such_whatever_was_to_be_done(journal: Journal) -> None:
    journal.commit([NOTE])
    journal._db.execute("PRAGMA query_only = 1")
    with pytest.raises(JournalError):
        journal.prune(NOTE.wall_ns + 1)
    journal._db.close()
    for read in (journal.books, journal.tap_position):
        with pytest.raises(JournalError):
            read()


def test_a_closed_journal_may_be_closed_again(tmp_path: Path) -> None:
    """The lock's number may belong to somebody else by then."""
    journal = Journal(tmp_path, "site", "pc-1")
    journal.close()
    other = os.open(tmp_path, os.O_RDONLY)
    journal.close()
    os.close(other)
