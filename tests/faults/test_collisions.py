"""F48: the cashier application starts while the agent asks. Nothing is mixed, nothing unlisted is said, no long hold.

A real bridge, a real lease, the agent's own Confirmer and conversations, simulated terminals; the moment at which the
cashier application starts is drawn anew each time.
"""

from __future__ import annotations

import random
import select
import socket
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from agent.bridge import wire
from agent.confirm import Asker, Confirmer
from agent.demo.cashier import Manner, pay_concert
from agent.payments import At, Book, Doubt, Link, Payment, State
from agent.tap import Record, Tap, Told
from drivers import registry
from drivers.driver import Action, Framing, SimulatedTerminal, Simulation
from drivers.framing_lrc import Frame, LrcFramer
from drivers.observations import Facts, Kind
from drivers.queries import Policy, Query, QueryLine
from drivers.simulated.shell import Port, PtyPort, Shell, TcpPort
from drivers.zvt_framing import Apdu, BareFramer, Broken, SerialFramer
from tests.agent.bridge.rig import Rig
from tests.broker import free_port
from tests.drivers.zvt_peer import COMPLETION, STATUS_INFORMATION, ZvtPeer, authorisation, bcd
from tests.faults.size import figure, times

FIRST_S = 10.0
LATENCY_S = 0.004  # a terminal's time for an answer: in memory it would be done before anybody could interrupt it


class Overheard:
    """A simulated terminal that remembers every byte it was sent, and takes its time for every answer."""

    def __init__(self, terminal: SimulatedTerminal) -> None:
        self._terminal = terminal
        self._later: deque[tuple[float, Action]] = deque()
        self.got = bytearray()

    def receive(self, data: bytes, now: float) -> Sequence[Action]:
        self.got += data
        return self._delay(self._terminal.receive(data, now), now)

    def tick(self, now: float) -> Sequence[Action]:
        due = [self._later.popleft()[1] for _ in range(len(self._later)) if self._later[0][0] <= now]
        return [*due, *self._delay(self._terminal.tick(now), now)]

    def deadline(self) -> float | None:
        dues = [self._terminal.deadline(), self._later[0][0] if self._later else None]
        return min((due for due in dues if due is not None), default=None)

    def _delay(self, actions: Sequence[Action], now: float) -> Sequence[Action]:
        self._later += [(now + LATENCY_S, action) for action in actions]
        return ()


class Line:
    """One terminal, the agent's side and the cashier's side of one line of the bridge."""

    def __init__(self, name: str, protocol: str, framing: Framing, rig: Rig) -> None:
        self.name = name
        self.framing = framing
        self.driver = registry.get(protocol)
        assert self.driver.asking is not None
        simulated = self.driver.simulated(Simulation(framing=framing, think_s=0.004, currency="EUR"))
        self.terminal = Overheard(simulated)
        bare = framing is Framing.NONE
        self.address = ("127.0.0.1", free_port())
        port: Port = TcpPort("127.0.0.1", 0) if bare else PtyPort(rig.folder / f"{name}-device")
        ready = threading.Event()
        device: list[str] = []

        def report(entry: Any) -> None:
            if entry.event == "ready":
                device.append(str(dict(entry.facts)["device"]))
                ready.set()

        self.shell = Shell(self.terminal, port, report)
        self.thread = threading.Thread(target=self.shell.run, daemon=True)
        self.thread.start()
        assert ready.wait(10)
        where = device[0].replace("pty:", "serial:")
        cashier = f"tcp:{self.address[0]}:{self.address[1]}" if bare else None
        rig.line(where, cashier=cashier, name=name)
        self.port = rig.port(name)
        self.asker = Asker(
            terminal=name,
            asking=self.driver.asking,
            line=QueryLine(framing, "EUR"),
            policy=Policy.ASK,
            quiet_s=0.0,
            first_delay_s=1.0,
            max_delay_s=1.0,
        )
        self.words = set(self.asker.words.values())
        self.ended: dict[str, Any] = {}  # the bridge's notice of the last lease's end

    def connect(self, run_dir: Path) -> None:
        """Connect the agent's side: the Confirmer with a payment that is always in doubt and always due."""
        self.tap = Tap.connect(run_dir)
        self.tap.request("tap", **{"from": None})
        doubt = Doubt(wall_ns=0, mono_ns=0, asks_left=(Query.LAST_RESULT,), due_mono_ns=0)
        payment = Payment(
            id="doubt",
            state=State.PENDING,
            kind=Kind.PURCHASE,
            message="",
            facts=Facts(),
            started_wall_ns=0,
            deadline_mono_ns=0,
            doubt=doubt,
        )
        engine: Any = SimpleNamespace(
            watchers={self.name: SimpleNamespace(book=Book(current=payment, link=Link.UP))}, schedule=lambda *_: None
        )
        quiet = structlog.wrap_logger(structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(50))
        self.confirmer = Confirmer([self.asker], lambda: engine, quiet)
        self.confirmer.connected(self.tap.request)

    def close(self) -> None:
        self.tap.close()
        self.shell.stop()
        self.thread.join(10)


@dataclass
class Seen:
    """What the collisions of one line showed."""

    held_ms: list[float] = field(default_factory=list)
    collided: int = 0
    mixed: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def collide(line: Line, count: int, seed: int) -> Seen:
    """Let the cashier application pay that many times, each while a query is under way."""
    drawn = random.Random(seed)
    seen = Seen()
    pay(line, 100, 0.0, seen)  # so that there is a last transaction
    latest_s = 1.2 * query_time(line)  # most starts meet the query, some come behind it
    for number in range(count):
        amount = 1000 + number
        line.terminal.got.clear()
        payer = threading.Thread(target=pay, args=(line, amount, drawn.uniform(0, latest_s), seen))
        if not ask(line, payer):
            seen.failed.append(f"{number}: no lease was granted")
            continue
        heard = finish(line, payer)
        if heard is None:
            seen.failed.append(f"{number}: the lease or the payment did not end")
            break
        if heard > 0:
            seen.collided += 1
            seen.held_ms.append(heard)
        check_terminal(line, amount, seen)
    return seen


def query_time(line: Line) -> float:
    """How long a query takes when nobody disturbs it, in seconds."""
    while True:
        nobody = threading.Thread()
        assert ask(line, nobody)
        began = time.monotonic()
        assert finish(line, nobody) is not None
        if line.ended["reason"] == "released":  # and not by what the terminal still had to say
            return time.monotonic() - began


def ask(line: Line, payer: threading.Thread) -> bool:
    """Begin a query; the cashier application's clock starts at the grant."""
    line.ended = {}
    deadline = time.monotonic() + FIRST_S
    while time.monotonic() < deadline:
        line.confirmer.poll(now())
        if pump(line, 0.2, payer):
            return True
    return False


def finish(line: Line, payer: threading.Thread) -> float | None:
    """Until the lease has ended and the payment is done: how long the application was held, ms."""
    deadline = time.monotonic() + FIRST_S
    while time.monotonic() < deadline:
        pump(line, 0.02)
        if line.ended and not payer.is_alive():
            return float(line.ended["held_ms"])
    return None


def pump(line: Line, seconds: float, payer: threading.Thread | None = None) -> bool:
    """The agent's loop: replies to the conversation, notices to the Confirmer. Returns whether a lease was granted."""
    granted = False
    if not select.select([line.tap], [], [], seconds)[0]:
        return granted
    for message in line.tap.receive():
        if isinstance(message, Told):
            if payer is not None and message.body.get("lease") == "granted":
                payer.start()
                granted = True
            elif message.body.get("lease") == "ended":
                line.ended = message.body
            line.confirmer.told(message.body, now())
        elif isinstance(message, Record) and message.kind == wire.REPLY:
            line.confirmer.heard(message.line, message.payload)
    return granted


def now() -> At:
    return At(time.time_ns(), time.monotonic_ns(), "test")


# --- the cashier application ----------------------------------------------------------------------------------------


def pay(line: Line, amount: int, after_s: float, seen: Seen) -> None:
    """Start after so long; whatever does not belong into the application's own exchange is noted."""
    time.sleep(after_s)
    try:
        if line.driver.name == "concert":
            code = pay_concert(line.port, amount, Manner.PROPER, FIRST_S)
            wrong = None if code == "0" else f"answer {code}"
        else:
            wrong = pay_zvt(line, amount)
    except Exception as error:  # noqa: BLE001 (whatever went wrong for the application is a finding)
        wrong = f"{type(error).__name__} {error}"
    if wrong:
        seen.mixed.append(f"{line.name} {amount}: {wrong}")


def pay_zvt(line: Line, amount: int) -> str | None:
    """Pay; None when the application heard nothing but its own payment."""
    peer = ZvtPeer(line.framing)
    if line.framing is Framing.NONE:
        with socket.create_connection(line.address, 5) as opened:
            return talk(peer, opened, amount)
    import serial

    with serial.Serial(str(line.port), 9600, timeout=0) as port:
        return talk(peer, port, amount)


def talk(peer: ZvtPeer, opened: Any, amount: int) -> str | None:
    """The exchange from the application's side; None when all was as it should be."""
    send = getattr(opened, "sendall", None) or opened.write
    receive = getattr(opened, "recv", None) or opened.read
    send(peer.command(authorisation(amount)))
    deadline = time.monotonic() + FIRST_S
    while COMPLETION not in peer.controls():
        if time.monotonic() > deadline:
            return f"not completed; heard {[control.hex() for control in peer.controls()]}"
        if select.select([opened], [], [], 0.1)[0]:
            send(peer.receive(receive(4096)))
    known = {b"\x80\x00", b"\x04\xff", STATUS_INFORMATION, b"\x06\xd1", b"\x06\xd3", COMPLETION}
    strange = [message.control.hex() for message in peer.heard if message.control not in known]
    told = [message.body for message in peer.heard if message.control == STATUS_INFORMATION]
    if strange or len(told) != 1 or b"\x04" + bcd(amount, 6) not in told[0]:
        return f"strange {strange}, status {[body.hex() for body in told]}"
    return None


# --- the terminal's side --------------------------------------------------------------------------------------------


def check_terminal(line: Line, amount: int, seen: Seen) -> None:
    """Every frame that reached the terminal is whole, and is either of the table or of the application's payment."""
    got = bytes(line.terminal.got)
    if line.driver.name == "concert":
        tokens = LrcFramer().feed(got)
        frames = [token for token in tokens if isinstance(token, Frame)]
        listed = [token for token in frames if any(token.body in word for word in line.words)]
        own = [token for token in frames if token.body[2:10] == f"{amount:08}".encode()]
        bad = [token for token in frames if not token.ok]
    else:
        framer: SerialFramer | BareFramer = SerialFramer() if line.framing is Framing.SERIAL else BareFramer()
        zvt = framer.feed(got)
        messages = [token for token in zvt if isinstance(token, Apdu)]
        shown = [message.control + bytes([len(message.body)]) + message.body for message in messages]
        listed = [each for each in shown if any(each in word for word in line.words)]  # type: ignore[misc]
        own = [each for each in shown if each == authorisation(amount)]  # type: ignore[misc]
        frames, bad = shown, [token for token in zvt if isinstance(token, Broken)]  # type: ignore[assignment,misc]
    if bad:
        seen.mixed.append(f"{line.name} {amount}: {len(bad)} broken frames at the terminal")
    if len(own) != 1 or len(listed) + len(own) != len(frames):
        seen.unlisted.append(f"{line.name} {amount}: {len(frames)} frames, {len(listed)} listed, {len(own)} own")


@contextmanager
def lines(rig: Rig, protocol: str, framing: Framing, count: int) -> Iterator[list[Line]]:
    """That many terminals on one bridge."""
    made = [Line(f"pos{number}", protocol, framing, rig) for number in range(count)]
    rig.start()
    for line in made:
        line.connect(rig.run_dir)
    try:
        yield made
    finally:
        for line in made:
            line.close()


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("protocol", "framing"), [("zvt", Framing.NONE), ("zvt", Framing.SERIAL), ("concert", Framing.SERIAL)]
)
def test_f48_the_cashier_starts_while_the_terminal_is_asked(protocol: str, framing: Framing, tmp_path: Path) -> None:
    count, parallel = times(30, 3400), 3
    rig = Rig(tmp_path)
    try:
        with lines(rig, protocol, framing, parallel) as made, ThreadPoolExecutor(parallel) as pool:
            seen = list(pool.map(collide, made, [count // parallel] * parallel, range(parallel)))
    finally:
        rig.close()
    problems = [text for each in seen for text in (*each.mixed, *each.unlisted, *each.failed)]
    held = [ms for each in seen for ms in each.held_ms]
    asking = registry.get(protocol).asking
    assert asking is not None
    figure(
        f"F48 {protocol}-{framing}",
        f"{count // parallel * parallel} starts, {len(held)} while asking, {sum(len(e.mixed) for e in seen)} mixed,"
        f" {sum(len(e.unlisted) for e in seen)} unlisted, {sum(len(e.failed) for e in seen)} failed; held median"
        f" {statistics.median(held or [0]):.1f} ms, longest {max(held or [0]):.1f} ms,"
        f" bound {asking.patience_s * 500:.0f} ms",
    )
    assert problems == []
    assert held, "no start met a query"
    assert max(held) <= asking.patience_s * 1000 / 2
