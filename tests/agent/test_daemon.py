"""The daemon without its loop: what it does while the journal's disk refuses, however long that lasts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tenacity

from agent import daemon as composition
from agent.config import load
from agent.daemon import Daemon
from agent.engine import Engine
from agent.errors import JournalError
from agent.journal import Journal
from agent.log import logger
from agent.payments import At

CONFIG = """
[agent]
id = "pc"
site = "s"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
[[terminal]]
name = "pos1"
protocol = "concert"
device = "serial:{folder}/device"
"""
REFUSED = JournalError("journal.write_failed", path="journal.sqlite", detail="no space left")


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """One that does not wait before it tries again."""
    monkeypatch.setattr(composition, "_DISK_RETRY", tenacity.wait_none())
    config = tmp_path / "agent.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    made = Daemon(load(str(config)), logger())
    yield made
    made._engine.journal.close()
    made._selector.close()


def refuse(monkeypatch: pytest.MonkeyPatch, times: int, meanwhile: Callable[[], object]) -> list[int]:
    """The journal can't be opened so often; `meanwhile` happens at each time."""
    left = [times]

    class Refusing(Journal):
        def __init__(self, folder: Path, site: str, agent: str) -> None:
            if left[0] > 0:
                left[0] -= 1
                meanwhile()
                raise REFUSED
            super().__init__(folder, site, agent)

    monkeypatch.setattr(composition, "Journal", Refusing)
    return left


def test_a_disk_may_refuse_for_a_week(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    left = refuse(monkeypatch, sys.getrecursionlimit() * 2, lambda: None)
    daemon._rebuild(REFUSED)
    assert left == [0]
    assert daemon._engine.journal.sequence > 0, "it says that the journal failed"


def test_who_asks_while_the_disk_refuses_begins_nothing_of_his_own(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = refuse(monkeypatch, 5, lambda: daemon._rebuild(REFUSED))
    daemon._rebuild(REFUSED)
    assert left == [0]


def test_an_engine_that_could_not_begin_leaves_the_journal_to_the_next(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock above all: the next try would take itself for another agent."""
    booted, left = Engine.booted, [3]

    def refusing(engine: Engine, boot: str, at: At) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise REFUSED
        booted(engine, boot, at)

    monkeypatch.setattr(Engine, "booted", refusing)
    daemon._rebuild(REFUSED)
    assert left == [0]
    daemon._engine.journal.commit([])


def test_an_agent_that_is_ended_while_the_disk_refuses_ends(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, 10**9, lambda: daemon._on_signal(15, None))
    daemon._rebuild(REFUSED)
    daemon._engine.journal.close()
