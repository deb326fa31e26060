"""The collector with real agents' publishers, a real broker that is killed, and both databases."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from agent.events import AgentData, Draft, EventType
from agent.hooks import Hooks
from agent.journal import Journal
from agent.log import logger
from agent.publish import Publisher
from tests.broker import Broker
from tests.collector.process import Collector
from tests.collector.publishing import settings
from tests.postgres import Cluster
from tests.waits import until

EVENTS = 10_000
_NOTE = Draft(EventType.AGENT_STARTED, AgentData(version="1"), 1_772_703_000_000_000_000)


class Agent:
    """The publishing half of an agent: a journal full of events and the real publisher."""

    def __init__(self, folder: Path, broker: Broker, name: str, events: int) -> None:
        self.journal = Journal(folder / name, "site", name)
        self.happen(events)
        hooks = Hooks(
            state=self._state, metrics=lambda: b"{}", log_level=lambda _level: True, confirm=lambda _id: "no_query"
        )
        self.publisher = Publisher(settings(broker), self.journal.source, self.journal.path, hooks, logger())

    def happen(self, events: int) -> None:
        """So many more events are in the journal."""
        for at in range(0, events, 1000):
            self.journal.commit([_NOTE] * min(1000, events - at))

    def _state(self, online: bool, acknowledged: int) -> bytes:
        source, last = self.journal.source, self.journal.sequence
        body = {"online": online, "agent": source.agent, "site": source.site, "epoch": source.epoch, "sequence": last}
        return json.dumps(body | {"outbox": last - acknowledged}).encode()

    def stop(self) -> None:
        self.publisher.stop(0)
        self.journal.close()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


def numbers(path: Path) -> list[int]:
    """The sequence numbers in the ledger, with repetitions if there were any."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as db:
        found = [number for (number,) in db.execute("SELECT sequence FROM events ORDER BY sequence")]
    db.close()
    return found


def test_the_broker_is_killed_among_ten_thousand_events_and_each_is_there_once(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    with Broker(tmp_path / "broker") as broker, Collector(tmp_path, f"sqlite:///{ledger}", broker) as collector:
        agent = Agent(tmp_path, broker, "cashier-07", EVENTS // 2)
        agent.publisher.start()
        try:
            until(lambda: len(numbers(ledger)) > EVENTS // 5, 60, "a part of them")
            agent.happen(EVENTS // 4)
            agent.publisher.wake()
            broker.kill()
            agent.happen(EVENTS // 4)
            broker.start()
            until(lambda: len(numbers(ledger)) >= EVENTS, 90, "all of them")
        finally:
            agent.stop()
        assert numbers(ledger) == list(range(1, EVENTS + 1))
        with urllib.request.urlopen(f"{collector.url}/api/health", timeout=20) as answer:
            assert answer.status == 200
        assert collector.stop() == 0


def test_two_collectors_on_one_postgresql_share_the_load_and_count_each_event_once(
    tmp_path: Path, cluster: Cluster
) -> None:
    url = cluster.create()
    each = 600
    with (
        Broker(tmp_path / "broker", options="max_queued_messages 0") as broker,
        Collector(tmp_path, url, broker) as first,
        Collector(tmp_path, url, broker) as second,
    ):
        agents = [Agent(tmp_path, broker, f"cashier-{n:02}", each) for n in range(5)]
        for agent in agents:
            agent.publisher.start()
        try:
            with psycopg.connect(
                f"host={cluster.folder} user=postgres dbname={url.split('?')[0].rsplit('/', 1)[1]}", autocommit=True
            ) as db:

                def counted() -> tuple[int, int, int]:
                    query = "SELECT count(*), count(DISTINCT (agent, epoch, sequence)), min(sequence) FROM events"
                    row = db.execute(query).fetchone()
                    assert row is not None
                    return row

                until(lambda: counted()[0] >= 5 * each, 60, "all of them")
                assert counted() == (5 * each, 5 * each, 1)
                streams = db.execute("SELECT contiguous, gaps FROM streams ORDER BY agent").fetchall()
                assert streams == [(each, [])] * 5
        finally:
            for agent in agents:
                agent.stop()
        assert (first.stop(), second.stop()) == (0, 0)
        shares = [collector.logged("ingest.stopped")[0]["stored"] for collector in (first, second)]
        assert sum(shares) == 5 * each
        assert min(shares) > each


def test_a_killed_collector_comes_back_and_nothing_is_missing(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    with Broker(tmp_path / "broker", options="max_queued_messages 0") as broker:
        name = tmp_path / "collector.toml"
        name.write_text('[mqtt]\nclient_id = "collector-a"\n' + f'url = "{broker.url}"\n', encoding="utf-8")
        agent = Agent(tmp_path, broker, "cashier-07", 2000)
        try:
            with Collector(tmp_path, f"sqlite:///{ledger}", broker, "--config", str(name)) as killed:
                agent.publisher.start()
                until(lambda: numbers(ledger), 60, "some of them")
                killed.kill()
            with Collector(tmp_path, f"sqlite:///{ledger}", broker, "--config", str(name)):
                until(lambda: len(numbers(ledger)) >= 2000, 60, "all of them")
        finally:
            agent.stop()
    assert numbers(ledger) == list(range(1, 2001))
