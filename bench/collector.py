"""The collector's figures, each beside a baseline of the same run: ingest, its cost as the ledger grows, many agents.

    python -m bench collector
    BENCH_LEDGER=5000000 BENCH_AGENTS=10000 python -m bench collector

Needs PostgreSQL and mosquitto on the machine; starts its own of both, with their default durability.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.log import configure
from collector.hub import Hub
from collector.ingest.envelope import parse
from collector.ingest.ingest import BATCH, Ingest
from collector.ledger import Ledger, tables
from collector.ledger.incoming import Event
from collector.ledger.write import _EVENT_COLUMNS, Writer
from tests.broker import Broker
from tests.collector.ledger.made import messages
from tests.collector.publishing import settings
from tests.postgres import Cluster

Message = tuple[str, bytes]

EVENTS = int(os.environ.get("BENCH_EVENTS", "40000"))
SMALL = 100_000
LEDGER = int(os.environ.get("BENCH_LEDGER", "500000"))
AGENTS = int(os.environ.get("BENCH_AGENTS", "2000"))
_RECEIVED_US = 1_772_703_000_000_000
_SAMPLES = 12
#: (table, column) → its value in a copy of the rows; @ is the number of the copy
_OTHER_NAME = {
    **{(name, "agent"): "'copy-@-' || agent" for name in ("streams", "events", "transactions", "receipts")},
    ("transactions", "id"): "'@-' || id",
    ("events", "subject"): "'@-' || subject",
    ("receipts", "transaction"): "'@-' || \"transaction\"",
}


def run() -> Iterator[dict[str, Any]]:
    """One JSON object a figure."""
    configure("warning")
    with Cluster(settings=()) as cluster, tempfile.TemporaryDirectory() as name:
        yield store(cluster, Path(name))
        yield through_the_broker(cluster, Path(name))
        yield from growing(cluster)
        yield many_agents(cluster, Path(name))


def store(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """Events already read, into the ledger with all that follows, beside COPY of the same rows into a bare table."""
    told = [item for item in _read(messages(200, EVENTS)) if isinstance(item, Event)]
    url = cluster.create()
    ours = []
    raw = []
    with closing(Ledger.open(url)) as ledger:
        writer = Writer(ledger)
        third = len(told) // 3
        for part in range(3):  # interleaved, so that what else the machine does meets both
            some = told[part * third : (part + 1) * third]
            raw.append(_copy(cluster, url, some))
            started = time.perf_counter()
            _store(writer, some)
            ours.append(len(some) / (time.perf_counter() - started))
    with closing(Ledger.open(f"sqlite:///{folder}/ledger.sqlite")) as ledger:
        started = time.perf_counter()
        _store(Writer(ledger), told)
        sqlite = len(told) / (time.perf_counter() - started)
    return {
        "figure": "store, events already read",
        "events_per_s": round(statistics.median(ours)),
        "raw_copy_per_s": round(statistics.median(raw)),
        "ratio": round(statistics.median(ours) / statistics.median(raw), 2),
        "sqlite_per_s": round(sqlite),
    }


def through_the_broker(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """From a real broker into the ledger, one collector, beside what mosquitto_sub alone receives of the same."""
    told = list(messages(200, EVENTS))
    with Broker(folder / "broker", options="max_queued_messages 0\nmax_inflight_messages 0") as broker:
        alone = _subscriber_alone(broker, told)
        url = cluster.create()
        with closing(Ledger.open(url)) as ledger:
            ingest = Ingest(ledger, settings(broker), Hub())
            ingest.start()
            _until(lambda: ingest.health().connected)
            started = time.perf_counter()
            publisher = _publisher(broker, told)
            _until(lambda: ingest.health().stored >= EVENTS)
            ours = EVENTS / (time.perf_counter() - started)
            publisher.wait()
            ingest.stop()
        raw = _copy(cluster, url, [item for item in _read(told) if isinstance(item, Event)])
    return {
        "figure": "from the broker into PostgreSQL, one collector",
        "events_per_s": round(ours),
        "mosquitto_sub_alone_per_s": round(alone),
        "ratio_to_mosquitto_sub": round(ours / alone, 2),
        "raw_copy_per_s": round(raw),
        "ratio_to_raw_copy": round(ours / raw, 2),
    }


def growing(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """What an event costs when so many are in the ledger already."""
    url = cluster.create()
    costs: dict[int, float] = {}
    with closing(Ledger.open(url)) as ledger:
        writer = Writer(ledger)
        stream = _read(messages(2000, SMALL + 2 * _SAMPLES * BATCH))
        count = 0
        while count < SMALL:
            count += _store(writer, list(islice(stream, BATCH)))
        for size in (SMALL, LEDGER):
            _multiply(ledger, size // SMALL)
            samples = []
            for _ in range(_SAMPLES):
                some = list(islice(stream, BATCH))
                started = time.perf_counter()
                _store(writer, some)
                samples.append((time.perf_counter() - started) / len(some))
            costs[size] = statistics.median(samples)
    yield {
        "figure": "cost of an event as the ledger grows",
        **{f"us_at_{size}": round(1e6 * cost, 1) for size, cost in costs.items()},
        "ratio": round(costs[LEDGER] / costs[SMALL], 2),
    }


def _multiply(ledger: Ledger, times: int) -> None:
    """So many times the events, payments, receipts and streams of the first fill, under other names."""
    for copy in range(1, times):
        with ledger.write() as connection:
            for table in (tables.streams, tables.events, tables.transactions, tables.receipts):
                names = [column.name for column in table.columns]
                values = [_OTHER_NAME.get((table.name, name), f'"{name}"') for name in names]
                connection.exec_driver_sql(
                    f"INSERT INTO {table.name} ({', '.join(f'{chr(34)}{n}{chr(34)}' for n in names)})"
                    f" SELECT {', '.join(values).replace('@', str(copy))} FROM {table.name}"
                    " WHERE agent LIKE 'cashier-%%'"
                )
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def many_agents(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """So many agents, each with one event in ten seconds' worth: how far the collector is behind, and how late."""
    seconds = 10
    rate = AGENTS / 10
    told = list(messages(AGENTS, int(rate * seconds)))
    with (
        Broker(folder / "many", options="max_queued_messages 0\nmax_inflight_messages 0") as broker,
        closing(Ledger.open(cluster.create())) as ledger,
    ):
        ingest = Ingest(ledger, settings(broker), Hub())
        ingest.start()
        _until(lambda: ingest.health().connected)
        lags = []
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.05):
                lags.append(ingest.health().lag_s)

        watcher = threading.Thread(target=watch)
        watcher.start()
        started = time.perf_counter()
        publisher = _publisher(broker, told, rate)
        _until(lambda: ingest.health().stored >= len(told))
        took = time.perf_counter() - started
        done.set()
        watcher.join()
        publisher.wait()
        cpu = time.process_time()
        ingest.stop()
    lags.sort()
    return {
        "figure": "agents with one event each 10 s",
        "agents": AGENTS,
        "events_per_s": round(len(told) / took),
        "wanted_per_s": round(rate),
        "waiting_p99_ms": round(1000 * lags[int(len(lags) * 0.99)], 1),
        "cpu_seconds_of_this_process": round(cpu, 1),
    }


# -- baselines and helpers ----------------------------------------------------------------------------------


def _read(told: Any) -> Iterator[Any]:
    for topic, payload in told:
        yield parse(topic, payload, _RECEIVED_US)


def _store(writer: Writer, events: list[Any]) -> int:
    for at in range(0, len(events), BATCH):
        writer.store(events[at : at + BATCH])
    return len(events)


def _copy(cluster: Cluster, url: str, events: list[Event]) -> float:
    """Rows a second that COPY brings into a table of the same columns without any index."""
    name = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
    rows = [(*event[:9], True, event.body) for event in events]
    with psycopg.connect(f"host={cluster.folder} user=postgres dbname={name}") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare (LIKE events)")
        connection.commit()
        started = time.perf_counter()
        statement = f"COPY bare ({', '.join(_EVENT_COLUMNS)}) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
        connection.commit()
        took = time.perf_counter() - started
        connection.execute("DROP TABLE bare")
    return len(rows) / took


def _subscriber_alone(broker: Broker, told: list[Message]) -> float:
    words = ["mosquitto_sub", "-V", "5", "-q", "1", "-p", str(broker.port), "-t", "tillwatch/+/+/+/events/#"]
    subscriber = subprocess.Popen([*words, "-C", str(len(told))], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    started = time.perf_counter()
    publisher = _publisher(broker, told)
    subscriber.wait()
    took = time.perf_counter() - started
    publisher.wait()
    return len(told) / took


def _publisher(broker: Broker, told: list[Message], rate: float = 0.0) -> subprocess.Popen[bytes]:
    """Publishes from a process of its own, as agents do."""
    file = broker.folder / f"told-{time.monotonic_ns()}.jsonl"
    file.write_text("".join(json.dumps([topic, payload.decode()]) + "\n" for topic, payload in told), encoding="utf-8")
    return subprocess.Popen([sys.executable, "-m", "bench.collector", str(broker.port), str(file), str(rate)])


def _publish(port: int, file: Path, rate: float) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    told = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    started = time.perf_counter()
    sent = []
    for number, (topic, payload) in enumerate(told):
        if rate and (ahead := number / rate - (time.perf_counter() - started)) > 0:
            time.sleep(ahead)
        sent.append(client.publish(topic, payload, 1))
    for info in sent:
        info.wait_for_publish()
    client.disconnect()
    client.loop_stop()


def _until(true: Any) -> None:
    while not true():
        time.sleep(0.01)


if __name__ == "__main__":
    _publish(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
