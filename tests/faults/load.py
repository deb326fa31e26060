"""A cashier PC under load: payments with all their faults on several terminals, an agent that may be killed any time.

Every payment has an amount of its own, so that what the simulated terminals did can be held against what the journal
and a subscriber say.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.bridge import wire
from agent.bridge.child import stop_bridge
from agent.demo.cashier import Manner, NoAnswer, pay_concert, pay_zvt
from agent.journal import FILE_NAME
from agent.tap import bridge_status
from drivers import registry
from drivers.driver import Framing, Log, Scenario, Simulation
from drivers.simulated.shell import Port, PtyPort, Shell, TcpPort
from tests.broker import Broker, free_port
from tests.subscriber import Subscriber
from tests.waits import until

FAULTS = (
    Scenario.APPROVE,
    Scenario.LOST,
    Scenario.APPROVE,
    Scenario.DECLINE,
    Scenario.SILENT,
    Scenario.APPROVE,
    Scenario.UNSURE,
    Scenario.REBOOT,
    Scenario.APPROVE,
    Scenario.GARBAGE,
    Scenario.CANCEL,
    Scenario.LATE,
)


#: how the agent asks in these tests: at once, as the cashiers do not wait
HURRY = 'first_delay = "0.2s"\nmax_delay = "1s"\nquiet = "0.1s"\n'


@dataclass(frozen=True, slots=True)
class Habits:
    """How long a cashier waits for an answer, and how often he leaves before he has it."""

    patience_s: float
    walks_away: float


HASTY = Habits(patience_s=0.4, walks_away=0.15)
PATIENT = Habits(patience_s=10.0, walks_away=0.0)


class Desk:
    """One terminal, and a cashier who never rests. `protocol`: zvt is on TCP, zvt-serial and concert on a pty."""

    def __init__(
        self, number: int, protocol: str, folder: Path, scenarios: Sequence[Scenario], habits: Habits = HASTY
    ) -> None:
        self.name = f"pos{number}"
        self.protocol = protocol.removesuffix("-serial")
        self.bare = protocol == "zvt"
        self.truth: dict[int, str] = {}  # amount → what the terminal says it did
        self.paid = 0
        self.unanswered = 0
        self._habits = habits
        self._amount = (number + 1) * 1_000_000
        self._drawn = random.Random(number)
        self._ready = threading.Event()
        self.device = ""
        settings = Simulation(
            scenarios=tuple(scenarios),
            framing=Framing.NONE if self.bare else Framing.SERIAL,
            think_s=0.03,
            slow_s=2.0,
            late_s=habits.patience_s * 1.5,
            reboot_s=0.3,
            currency="EUR",
        )
        port: Port = TcpPort("127.0.0.1", 0) if self.bare else PtyPort(folder / f"{self.name}-device")
        self._shell = Shell(registry.get(self.protocol).simulated(settings), port, self._report)
        self._terminal = threading.Thread(target=self._shell.run, daemon=True)
        self._terminal.start()
        assert self._ready.wait(10)
        self.address = ("127.0.0.1", free_port())
        self.port = folder / "run" / self.name

    def next_amount(self) -> int:
        """An amount that no other payment has."""
        self._amount += 1
        return self._amount

    def config(self, confirm: str) -> str:
        """Its part of the configuration."""
        cashier = f"tcp:{self.address[0]}:{self.address[1]}" if self.bare else f"pty:{self.port}"
        return (
            f'[[terminal]]\nname = "{self.name}"\nprotocol = "{self.protocol}"\ncurrency = "EUR"\n'
            f'device = "{self.device}"\ncashier = "{cashier}"\n'
            f'[terminal.confirm]\n{confirm}policy = "ask"\n'
        )

    def serve(self, stop: threading.Event) -> None:
        """Pay, one after the other, until told to stop."""
        while not stop.is_set():
            amount = self.next_amount()
            manner = Manner.WALK_AWAY if self._drawn.random() < self._habits.walks_away else Manner.PROPER
            self.paid += 1
            try:
                if self.bare:
                    pay_zvt(self.address, amount, manner, self._habits.patience_s)
                else:
                    pay_concert(self.port, amount, manner, self._habits.patience_s)
            except (OSError, NoAnswer):
                self.unanswered += 1
            stop.wait(self._drawn.uniform(0.02, 1.0))  # sometimes long enough for a question in between

    def close(self) -> None:
        self._shell.stop()
        self._terminal.join(10)

    def _report(self, entry: Log) -> None:
        facts = dict(entry.facts)
        if entry.event == "ready":
            self.device = str(facts["device"]).replace("pty:", "serial:")
            self._ready.set()
        elif entry.event in ("charged", "declined", "cancelled", "silent") and isinstance(facts.get("amount"), int):
            self.truth[int(facts["amount"] or 0)] = entry.event


@dataclass
class Verdict:
    """What the books say against what happened."""

    payments: int = 0
    charged: int = 0
    events: int = 0
    doubts: int = 0
    confirmed: int = 0
    escalated: int = 0
    republished: int = 0  # sent twice by one id, as at-least-once allows
    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    open_ends: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything that must not be."""
        return [*self.lost, *self.duplicates, *self.wrong, *self.open_ends]

    def __str__(self) -> str:
        return (
            f"{self.payments} payments ({self.charged} charged), {self.events} events: {len(self.lost)} lost,"
            f" {len(self.duplicates)} duplicates, {len(self.wrong)} wrong, {self.republished} sent again by one id;"
            f" {self.doubts} in doubt: {self.confirmed} confirmed, {self.escalated} escalated,"
            f" {len(self.open_ends)} open"
        )


class Load:
    """Terminals, cashiers, broker, subscriber and the agent's process."""

    def __init__(
        self,
        folder: Path,
        protocols: tuple[str, ...] = ("zvt", "zvt", "zvt", "concert"),
        scenarios: Sequence[Scenario] | Sequence[Sequence[Scenario]] = FAULTS,
        confirm: str = HURRY,
        habits: Habits = HASTY,
    ) -> None:
        self.folder = folder
        self.broker = Broker(folder / "broker")
        self.broker.start()
        self.subscriber = Subscriber(self.broker.port)
        own = [each if isinstance(each, Sequence) and not isinstance(each, str) else scenarios for each in scenarios]
        self.desks = [
            Desk(number, protocol, folder, own[number % len(own)], habits)  # type: ignore[arg-type]
            for number, protocol in enumerate(protocols)
        ]
        self.config = folder / "agent.toml"
        terminals = "".join(desk.config(confirm) for desk in self.desks)
        self.config.write_text(
            f'[agent]\nid = "pc"\nsite = "s"\nstate_dir = "{folder}/state"\nrun_dir = "{folder}/run"\n'
            f'language = "en"\n[mqtt]\nurl = "{self.broker.url}"\n{terminals}',
            encoding="utf-8",
        )
        self.agent: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._cashiers: list[threading.Thread] = []

    def start_agent(
        self, *prefix: str, environ: dict[str, str] | None = None, program: tuple[str, ...] = ("-m", "agent")
    ) -> None:
        """Start it, without waiting. `prefix`: what runs it, such as strace; `program`: another way into it."""
        command = [*prefix, sys.executable, *program, "run", "--config", str(self.config)]
        with (self.folder / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | (environ or {}))

    def start_agent_whole(self) -> None:
        """Start it, and wait until it is what systemd would call started."""
        log = self.folder / "agent.log"
        before = self._log().count('"agent.ready"') if log.exists() else 0
        self.start_agent()
        until(lambda: self._log().count('"agent.ready"') > before, 60, "agent ready")

    def await_end(self, seconds: float) -> bool:
        """Whether the agent ended by itself within that time."""
        assert self.agent is not None
        try:
            self.agent.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill_agent(self, number: int = signal.SIGKILL) -> int:
        """End it by a signal; returns its exit code."""
        assert self.agent is not None
        self.agent.send_signal(number)
        return self.agent.wait(30)

    def begin(self, bridge_is_service: bool = False) -> None:
        """The first patients come, once the lines are up; a service's log is not ours: its lines are up already."""
        if not bridge_is_service:
            self.await_lines()
        self._cashiers = [threading.Thread(target=desk.serve, args=(self._stop,)) for desk in self.desks]
        for cashier in self._cashiers:
            cashier.start()

    def await_lines(self) -> None:
        """Until every terminal is connected."""
        until(lambda: self._log().count('"link.up"') >= len(self.desks), what="lines up")

    def kill_all(self) -> None:
        """The agent and its bridge at once, as when the machine loses power."""
        pid = bridge_status(self.folder / "run")["pid"]
        self.kill_agent()
        os.kill(pid, signal.SIGKILL)

    def rest(self, seconds: float) -> None:
        """Let the cashiers pay for so long."""
        self._stop.wait(seconds)

    def end(self, seconds: float = 60) -> Verdict:
        """The last patients go; wait until nothing is in doubt any more, and hold the books against the truth."""
        self._stop.set()
        for cashier in self._cashiers:
            cashier.join(30)
        with contextlib.suppress(AssertionError):  # what is lost is for the verdict to say
            until(self._caught_up, 15)
        until(lambda: not self._journal_pending(), seconds, "every doubt settled or escalated")
        until(lambda: self.events() and self._all_heard(), 60, "every event published")
        return self._verdict()

    def close(self) -> None:
        """End every process."""
        self._stop.set()
        if self.agent is not None and self.agent.poll() is None:
            self.kill_agent(signal.SIGTERM)
        if (self.folder / "run" / wire.SOCKET_NAME).exists():
            stop_bridge(self.folder / "run")
        for desk in self.desks:
            desk.close()
        self.subscriber.__exit__()
        self.broker.stop()

    # --- the books ---

    def _log(self) -> str:
        return (self.folder / "agent.log").read_text(errors="replace")

    def events(self) -> list[dict[str, Any]]:
        """All events of the journal, in order."""
        database = sqlite3.connect(self.folder / "state" / FILE_NAME)
        rows = database.execute("SELECT body FROM events ORDER BY sequence").fetchall()
        database.close()
        return [json.loads(body) for (body,) in rows]

    def _journal_pending(self) -> list[str]:
        """Transactions that are neither final nor in people's hands."""
        ends: dict[str, bool] = {}
        for event in self.events():
            if event["type"].startswith("transaction."):
                final = event["data"]["final"] or event["type"] == "transaction.escalated"
                ends[event["data"]["transaction"]] = final or ends.get(event["data"]["transaction"], False)
        return [transaction for transaction, final in ends.items() if not final]

    def _caught_up(self) -> bool:
        """Whether all that the terminals did has come to the journal."""
        known = {event["data"].get("amount") for event in self.events()}
        return all(amount in known for desk in self.desks for amount in desk.truth)

    def _all_heard(self) -> bool:
        heard = {event["sequence"] for event in self.subscriber.events}
        return len(heard) >= len(self.events())

    def _verdict(self) -> Verdict:
        events = self.events()
        verdict = Verdict(payments=sum(desk.paid for desk in self.desks), events=len(events))
        numbers = [event["sequence"] for event in events]
        if numbers != list(range(1, len(events) + 1)):
            verdict.lost.append("the journal's sequence has gaps")
        heard = Counter(event["sequence"] for event in self.subscriber.events)
        verdict.republished = sum(heard.values()) - len(heard)
        by_number = {event["sequence"]: event for event in events}
        for event in self.subscriber.events:
            if by_number.get(event["sequence"], {}).get("id") != event["id"]:
                verdict.wrong.append(f"sequence {event['sequence']} was published with another content")
        verdict.lost += [f"sequence {number} was never published" for number in numbers if number not in heard]
        self._judge_payments(events, verdict)
        return verdict

    def _judge_payments(self, events: list[dict[str, Any]], verdict: Verdict) -> None:
        told = [event for event in events if event["type"].startswith("transaction.")]
        last = {event["data"]["transaction"]: event["data"] for event in told}
        kinds: dict[str, list[str]] = {}
        for event in told:
            kinds.setdefault(event["data"]["transaction"], []).append(event["type"])
        for transaction, types in kinds.items():
            ends = types.count("transaction.completed") + types.count("transaction.confirmed")
            if types.count("transaction.started") != 1 or (ends > 1 and types.count("transaction.undelivered") == 0):
                verdict.duplicates.append(f"{transaction}: {types}")
            verdict.doubts += "transaction.pending" in types
            verdict.confirmed += "transaction.confirmed" in types
            verdict.escalated += ends == 0 and "transaction.escalated" in types
        verdict.open_ends = self._journal_pending()
        booked = Counter(data["amount"] for data in last.values() if data["amount"])
        verdict.duplicates += [
            f"amount {amount} is booked {times} times" for amount, times in booked.items() if times > 1
        ]
        outcomes = {data["amount"]: data for data in last.values()}
        for desk in self.desks:
            for amount, happened in desk.truth.items():
                verdict.charged += happened == "charged"
                if amount not in outcomes:
                    verdict.lost.append(f"{desk.name} {amount}: {happened}, and not in the journal")
                elif outcomes[amount]["final"] and (happened == "charged") != (outcomes[amount]["charged"] == "yes"):
                    verdict.wrong.append(f"{desk.name} {amount}: {happened}, told {outcomes[amount]['outcome']}")
