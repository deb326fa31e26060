"""The agent's figures: memory, durable observations, answer to subscriber, outbox drain. Each beside a baseline.

python -m bench agent
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.bridge import wire
from agent.config import Mqtt
from agent.demo.broker import DemoBroker
from agent.demo.cashier import Manner, pay_concert
from agent.engine import Engine
from agent.errors import UnreachableError
from agent.events import AgentData, Draft, EventType
from agent.hooks import Hooks
from agent.journal import Journal
from agent.log import configure, logger
from agent.payments import At, Book, Terms
from agent.publish import WINDOW, Publisher
from agent.tap import Record, bridge_status
from agent.watch import Watcher
from drivers.concert import ConcertDecoder
from drivers.framing_lrc import frame

SECOND = 1_000_000_000
NOTE = Draft(EventType.AGENT_STARTED, AgentData(version="bench"), 1_790_000_000 * SECOND)
EVENTS = 100_000


def run() -> Iterator[dict[str, Any]]:
    """One JSON object a figure."""
    configure("warning")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield durable_observations(folder)
        yield from drain(folder)
        yield from whole(folder)


def durable_observations(folder: Path) -> dict[str, Any]:
    """Commits a second, one a tap record that matters, beside raw append + fdatasync of 4 KiB."""
    journal = Journal(folder / "durable", "site", "pc")
    terms = Terms("pos1", "concert", "serial:x", "EUR", 100 * SECOND, SECOND)
    engine = Engine(journal, {"pos1": Watcher(terms, ConcertDecoder, 1.0, Book())}, lambda _drafts: None)
    engine.begin("ring", 0, At(0, 0, "begin"))
    records = list(_payments(400))
    started = time.perf_counter()
    for record in records:
        engine.take([record])
    ours = len(records) / (time.perf_counter() - started)
    journal.close()
    raw = _raw_flushes(folder / "raw", 1000)
    return {
        "figure": "durable observations",
        "records_per_s": round(ours),
        "raw_4KiB_per_s": round(raw),
        "ratio": round(ours / raw, 2),
    }


def drain(folder: Path) -> Iterator[dict[str, Any]]:
    """100,000 events that wait, beside paho alone with the same window."""
    broker = DemoBroker(folder)
    journal = Journal(folder / "drain", "site", "pc")
    for _ in range(EVENTS // 1000):
        journal.commit([NOTE] * 1000)
    hooks = Hooks(
        state=lambda _on, _acked: b"{}",
        metrics=lambda: b"{}",
        log_level=lambda _level: True,
        confirm=lambda _id: "no_query",
    )
    publisher = Publisher(_settings(broker.port), journal.source, journal.path, hooks, logger())
    before = _resident(os.getpid())
    started = time.perf_counter()
    publisher.start()
    while publisher.acknowledged < EVENTS:
        time.sleep(0.01)
    ours = EVENTS / (time.perf_counter() - started)
    grown = _resident(os.getpid()) - before
    publisher.stop(1)
    body = b"x" * 330  # as long as one of these events
    alone = _paho_alone(broker.port, body, EVENTS)
    broker.stop()
    journal.close()
    yield {
        "figure": "outbox drain",
        "events_per_s": round(ours),
        "paho_alone_per_s": round(alone),
        "ratio": round(ours / alone, 2),
        "window": WINDOW,
        "resident_growth_MiB": round(grown, 1),
    }


def whole(folder: Path) -> Iterator[dict[str, Any]]:
    """Real processes: memory of bridge and agent, idle CPU, and the time from the answer to the subscriber."""
    broker = DemoBroker(folder)
    terminal = folder / "terminal"
    port = folder / "run" / "pos1"
    config = folder / "agent.toml"
    config.write_text(
        f'[agent]\nid="pc"\nsite="s"\nstate_dir="{folder}/state"\nrun_dir="{folder}/run"\n'
        f'[mqtt]\nurl="mqtt://127.0.0.1:{broker.port}"\n[[terminal]]\nname="pos1"\nprotocol="concert"\n'
        f'device="serial:{terminal}"\ncashier="pty:{port}"\n',
        encoding="utf-8",
    )
    simulator = _spawn("simulate", "concert", "--pty", str(terminal), "--think", "0.02")
    _until(terminal.exists)
    started = time.perf_counter()
    agent = _spawn("run", "--config", str(config))
    _until(port.exists)
    _until(lambda: _link_up(folder / "run"))
    ready = time.perf_counter() - started
    try:
        delays = _answer_to_subscriber(broker.port, port, 60)
        flush, hop = 1 / _raw_flushes(folder / "flush", 300), _hop(broker.port, 300)
        bridge = _child_of(agent.pid)
        cpu = _cpu([agent.pid, bridge], 10)
        yield {
            "figure": "answer acknowledged on the line to subscriber",
            "p50_ms": round(1000 * statistics.median(delays), 2),
            "flush_plus_hop_p50_ms": round(1000 * (flush + hop), 2),
            "ratio": round(statistics.median(delays) / (flush + hop), 2),
        }
        yield {
            "figure": "resident memory",
            "agent_MiB": round(_resident(agent.pid), 1),
            "bridge_MiB": round(_resident(bridge), 1),
            "line_up_after_s": round(ready, 2),
            "idle_cpu_percent_of_a_core": round(cpu, 2),
        }
    finally:
        agent.terminate()
        agent.wait()
        simulator.terminate()
        simulator.wait()
        broker.stop()


def _payments(count: int) -> Iterator[Record]:
    offset = 0
    for number in range(count):
        ask, told = f"01{number:08}110978          A010B010", f"010{number:08}1{'4975541234514970':<55}978A123456789"
        passed = [
            (wire.CASHIER, b"\x05"),
            (wire.TERMINAL, b"\x06"),
            (wire.CASHIER, frame(ask.encode())),
            (wire.TERMINAL, b"\x06"),
            (wire.TERMINAL, frame(told.encode())),
            (wire.CASHIER, b"\x06"),
        ]
        for kind, data in passed:
            after = offset + wire.RECORD.size + len(data)
            mono_ns = offset * 1000
            yield Record(offset, after, 1_790_000_000 * SECOND + mono_ns, mono_ns, "pos1", kind, data)
            offset = after


def _raw_flushes(path: Path, count: int) -> float:
    block = bytes(4096)
    with path.open("ab", buffering=0) as file:
        started = time.perf_counter()
        for _ in range(count):
            file.write(block)
            os.fdatasync(file.fileno())
    return count / (time.perf_counter() - started)


def _paho_alone(port: int, body: bytes, count: int) -> float:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(WINDOW)
    client.max_queued_messages_set(0)
    done = threading.Semaphore(0)
    room = threading.Semaphore(WINDOW)

    def acknowledged(*_: object) -> None:
        done.release()
        room.release()

    client.on_publish = acknowledged
    client.connect("127.0.0.1", port)
    client.loop_start()
    started = time.perf_counter()
    for _ in range(count):
        room.acquire()
        client.publish("bench/alone", body, 1)
    for _ in range(count):
        done.acquire()
    rate = count / (time.perf_counter() - started)
    client.disconnect()
    client.loop_stop()
    return rate


def _subscribe(port: int, topic: str, heard: Callable[[bytes], None]) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_message = lambda _c, _d, message: heard(message.payload)
    ready = threading.Event()
    client.on_subscribe = lambda *_: ready.set()
    client.on_connect = lambda c, *_: c.subscribe(topic, 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    ready.wait(5)
    return client


def _answer_to_subscriber(port: int, cashier: Path, count: int) -> list[float]:
    """From the moment the cashier application has all of the answer and its EOT, to the event at a subscriber."""
    heard: list[float] = []
    came = threading.Event()

    def note(_payload: bytes) -> None:
        heard.append(time.perf_counter())
        came.set()

    client = _subscribe(port, "tillwatch/1/+/+/events/transaction.completed", note)
    delays = []
    for number in range(count):
        came.clear()
        pay_concert(cashier, 100 + number, Manner.PROPER, 5)
        done = time.perf_counter()
        came.wait(5)
        delays.append(heard[-1] - done)
    client.disconnect()
    client.loop_stop()
    return delays


def _hop(port: int, count: int) -> float:
    """The median time of one QoS 1 message through the broker."""
    came = threading.Event()
    client = _subscribe(port, "bench/hop", lambda _payload: came.set())
    times = []
    for _ in range(count):
        came.clear()
        started = time.perf_counter()
        client.publish("bench/hop", b"x" * 900, 1)
        came.wait(5)
        times.append(time.perf_counter() - started)
    client.disconnect()
    client.loop_stop()
    return statistics.median(times)


def _settings(port: int) -> Mqtt:
    return Mqtt(
        url="",
        host="127.0.0.1",
        port=port,
        tls=False,
        username=None,
        password_file=None,
        ca_file=None,
        cert_file=None,
        key_file=None,
        keepalive_s=30,
    )


def _spawn(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "agent", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def _link_up(run_dir: Path) -> bool:
    try:
        return bool(bridge_status(run_dir)["lines"]["pos1"]["link"] == "up")
    except UnreachableError:
        return False


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])


def _cpu(pids: list[int], seconds: float) -> float:
    def used() -> float:
        ticks = 0
        for pid in pids:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    before = used()
    time.sleep(seconds)
    return 100 * (used() - before) / seconds


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("did not start")
        time.sleep(0.005)
