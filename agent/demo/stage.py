"""The demo's stage: simulated terminals, agents, and the cashier applications that pay through them."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.control import ask
from agent.demo.broker import free_port
from agent.demo.cashier import Manner, NoAnswer, pay_concert, pay_ing_tlv, pay_zvt
from agent.errors import UnreachableError
from agent.payments import Link
from agent.texts import Texts

#: how long a scripted cashier application waits for an answer
PATIENCE_S = 12.0
#: ISO 4217 number of the yuan
CNY = "156"
_CONFIG = """[agent]
id = "{pc}"
site = "{site}"
state_dir = "{folder}/state"
run_dir = "{folder}/run"

[mqtt]
url = "mqtt://127.0.0.1:{broker}"

[log]
level = "info"
format = "json"
"""
_TERMINAL = """
[[terminal]]
name = "{name}"
protocol = "{protocol}"
device = "{device}"
cashier = "{cashier}"
currency = "{currency}"
[terminal.confirm]
first_delay = "2s"
max_delay = "20s"
quiet = "0.5s"
escalate_after = "1m"
{policy}
"""


@dataclass(frozen=True, slots=True)
class Post:
    """One terminal of a cashier PC, and what goes wrong there: scenarios of the terminal, manners of the cashier."""

    name: str
    protocol: str
    scenarios: str
    manners: tuple[Manner, ...] = (Manner.PROPER,)
    tcp: bool = False
    printer: bool = False  # only its printer is heard, and it pays by itself
    card: str = "6220000000000019"
    ask: bool = False  # the site allows what the driver by itself only watches


@dataclass(frozen=True, slots=True)
class Pc:
    """A cashier PC."""

    name: str
    site: str
    posts: tuple[Post, ...]


_PROPER = (Manner.PROPER,) * 4
PCS = (
    Pc(
        "cashier-01",
        "outpatient-1",
        (
            Post("pos1", "ing-tlv", "approve,approve,decline,approve,approve,approve"),
            Post("pos2", "receipt", "approve", printer=True, card="6220000000000027"),
        ),
    ),
    Pc(
        "cashier-02",
        "outpatient-1",
        (
            Post(
                "pos1",
                "concert",
                "approve,approve,reboot,approve,garbage,approve,silent,approve",
                ask=True,
                card="6200000000000005",
            ),
            Post(
                "pos2",
                "ing-tlv",
                ",".join(["approve"] * 5 + ["cancel"] + ["approve"] * 7 + ["lost"]),
                card="6220000000000035",
            ),
        ),
    ),
    Pc(
        "cashier-03",
        "inpatient-1",
        (
            Post("pos1", "concert", "approve", (*_PROPER, Manner.NO_ACK, *_PROPER, Manner.WALK_AWAY), ask=True),
            Post("pos2", "zvt", "approve,decline,approve,reboot", tcp=True, card="6220000000000043"),
        ),
    ),
    Pc("cashier-04", "inpatient-1", (Post("pos1", "zvt", "approve,approve,approve,cancel,lost", tcp=True),)),
)


@dataclass
class Stage:
    """Everything that runs; `stop` ends all of it."""

    folder: Path
    broker_port: int
    say: Callable[[str], None]
    texts: Texts
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _agents: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Set up terminals, agents and cashiers, in this order."""
        for number, pc in enumerate(PCS):
            home = self.folder / pc.name
            (home / "run").mkdir(parents=True)
            text = _CONFIG.format(pc=pc.name, site=pc.site, folder=home, broker=self.broker_port)
            ports: list[Path | int] = []
            for post in pc.posts:
                device = self._start_terminal(post, home)
                cashier: Path | int = free_port() if post.tcp else home / "run" / post.name
                ports.append(cashier)
                address = "none" if post.printer else f"tcp:127.0.0.1:{cashier}" if post.tcp else f"pty:{cashier}"
                text += _TERMINAL.format(
                    name=post.name,
                    protocol=post.protocol,
                    device=device,
                    cashier=address,
                    currency="CNY",
                    policy='policy = "ask"' if post.ask else "",
                )
            config = home / "agent.toml"
            config.write_text(text, encoding="utf-8")
            self._agents.append(self._spawn("run", "--config", str(config), log=home / "agent.log"))
            for post, port in zip(pc.posts, ports, strict=True):
                if post.printer:
                    continue
                pay = threading.Thread(target=self._pay_on, args=(pc, post, port, home / "run", number), daemon=True)
                pay.start()

    def stop(self) -> None:
        """End cashiers, agents (each takes its bridge along), terminals."""
        self._stopping.set()
        for group in (self._agents, self._processes):
            for process in group:
                process.terminate()
            for process in group:
                try:
                    process.wait(8)
                except subprocess.TimeoutExpired:
                    process.kill()

    def _start_terminal(self, post: Post, home: Path) -> str:
        """A simulated terminal; returns the device the agent is to open."""
        common = [
            "--scenario",
            post.scenarios,
            "--think",
            "9" if post.printer else "1.5",
            "--reboot",
            "4",
            "--late",
            "20",
        ]
        common += ["--card", post.card, "--currency", "CNY"]
        log = home / f"{post.name}.log"
        if post.tcp:
            address = f"127.0.0.1:{free_port()}"
            self._processes.append(self._spawn("simulate", post.protocol, "--tcp", address, *common, log=log))
            return f"tcp:{address}"
        link = home / f"{post.name}-terminal"
        self._processes.append(self._spawn("simulate", post.protocol, "--pty", str(link), *common, log=log))
        return f"serial:{link}"

    def _spawn(self, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "agent", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the demo; it ends its parts in order
            )

    def _pay_on(self, pc: Pc, post: Post, port: Path | int, run_dir: Path, seed: int) -> None:
        """One cashier: patient after patient until the demo ends."""
        chance = random.Random(f"{seed}{post.name}")  # noqa: S311 (amounts of a show)
        turn = 0
        while not self._stopping.is_set() and not _is_up(run_dir, post.name):  # nobody pays before the shift begins
            self._stopping.wait(0.2)
        while not self._stopping.wait(chance.uniform(1.5, 5)):
            amount, manner = chance.randrange(500, 40_000), post.manners[turn % len(post.manners)]
            try:
                result = _pay(post.protocol, port, amount, manner) or self.texts.say(f"demo.{manner}")
                turn += 1
            except NoAnswer:
                result = self.texts.say("demo.no_answer")
            except OSError as error:
                result = self.texts.say("demo.port_away", reason=error.strerror or error)
            if self._stopping.is_set():  # the demo is being taken down under it: that is no payment's end
                return
            self.say(f"{pc.name}/{post.name}: {amount / 100:.2f} → {result}")


def _is_up(run_dir: Path, terminal: str) -> bool:
    """Whether the agent there has the terminal's line."""
    try:
        found: dict[str, Any] = ask(run_dir, "status")["terminals"][terminal]
    except (UnreachableError, KeyError):
        return False
    return bool(found["link"] == Link.UP)


def _pay(protocol: str, port: Path | int, amount: int, manner: Manner) -> str | None:
    if isinstance(port, int):
        return pay_zvt(("127.0.0.1", port), amount, manner, PATIENCE_S, CNY)
    if protocol == "concert":
        return pay_concert(port, amount, manner, PATIENCE_S, CNY)
    return pay_ing_tlv(port, amount, manner, PATIENCE_S)
