"""What the trials in the guest are made with: the words with the host, programs, units, payments.

Speaks to the host over the second serial port, or in a container over /talk/host: `ok NAME` or `bad NAME: why` for each
trial, `unplug`, `plug` and `think SECONDS` when something is to be done with cable or terminal (the host answers
`done`), `end` at last.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from agent.tap import Tap, bridge_status

CONTAINER = Path("/talk").exists()
RUN = Path("/run/tillwatch")
PORT = RUN / "pos1"
BRIDGE, AGENT, PASSTHROUGH = (f"tillwatch-{name}.service" for name in ("bridge", "agent", "passthrough"))
PYTHON = "/opt/tillwatch/bin/python3.11"
PAY = """\
import sys
from pathlib import Path
from agent.demo.cashier import Manner, pay_concert
print(pay_concert(Path("/run/tillwatch/pos1"), int(sys.argv[1]), Manner.PROPER, 240))
"""


class Trials:
    """What was tried, and the words with the host."""

    def __init__(self) -> None:
        self.held = -1
        self._cable: subprocess.Popen[bytes] | None = None
        if CONTAINER:
            talk = socket.socket(socket.AF_UNIX)
            talk.connect("/talk/host")
            self.host = talk.detach()
        else:
            self.host = os.open("/dev/ttyS1", os.O_RDWR | os.O_NOCTTY)
            subprocess.run(["stty", "-F", "/dev/ttyS1", "raw", "-echo"], check=True)

    def say(self, line: str) -> None:
        """A line to the host."""
        os.write(self.host, line.encode() + b"\n")

    def ask(self, word: str) -> None:
        """Have the host do something, and wait until it is done."""
        self.say(word)
        while b"done" not in os.read(self.host, 64):
            pass

    def plug(self) -> None:
        """Plug the cable in: the host does, or a pty is made."""
        if not CONTAINER:
            return self.ask("plug")
        Path("/dev/tillwatch").mkdir(exist_ok=True)
        pty = "pty,raw,echo=0,link=/dev/tillwatch/cable,group=tillwatch,mode=660"
        self._cable = subprocess.Popen(["socat", pty, "unix-connect:/talk/terminal"])
        return None

    def unplug(self) -> None:
        """Pull it out."""
        if self._cable is None:
            return self.ask("unplug")
        self._cable.terminate()
        self._cable.wait(30)
        return None

    def think(self, seconds: int) -> None:
        """From now on the terminal takes so long for a payment."""
        self.ask(f"think {seconds}")
        if CONTAINER:  # the terminal was started again; QEMU's cable finds it by itself
            self.unplug()
            self.plug()
        until(lambda: link() == "up", 120, "the line")

    def run(self, trial: Callable[[Trials], str]) -> None:
        """One trial; what it returns is the evidence."""
        name = (trial.__doc__ or trial.__name__).splitlines()[0]
        began = time.monotonic()
        try:
            evidence = trial(self)
        except Exception as error:  # noqa: BLE001  whatever goes wrong is told, and the next one tried
            at = traceback.extract_tb(error.__traceback__)[1:]
            where = ", ".join(f"{frame.name}:{frame.lineno}" for frame in at)
            self.say(f"bad {name}: {type(error).__name__} {error} ({where})".replace("\n", " | "))
            journal = command("journalctl", "--no-pager", "-n", "15", "-o", "cat", "-u", "tillwatch-*").splitlines()
            for line in journal:
                self.say(f"    {line[:240]}")
        else:
            self.say(f"ok {name} [{time.monotonic() - began:.1f} s]{': ' if evidence else ''}{evidence}")


def command(*words: str, fine: bool = False) -> str:
    """Run a program; its output. `fine`: raises RuntimeError when it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if fine and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.returncode} {done.stdout[-400:]} {done.stderr[-400:]}")
    return (done.stdout + done.stderr).strip()


def until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until it is true. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def show(unit: str, what: str) -> str:
    """A property of a unit."""
    return command("systemctl", "show", "--value", "-p", what, unit)


def pid(unit: str = BRIDGE) -> int:
    """The main process."""
    return int(show(unit, "MainPID"))


def ring() -> str:
    """The identity of the bridge's ring."""
    tap = Tap.connect(RUN)
    tap.close()
    return tap.hello.ring


def link() -> str:
    """up or down."""
    try:
        return str(bridge_status(RUN)["lines"]["pos1"]["link"])
    except Exception:  # noqa: BLE001  it is just being started
        return "?"


def as_user(user: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run as somebody else."""
    who = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups")
    return subprocess.run([*who, *words], capture_output=True, text=True, check=False)


def pay(amount: int) -> None:
    """A payment by the cashier application, which is another user's. Raises RuntimeError when it was not approved."""
    done = as_user("cashier", PYTHON, "-I", "-c", PAY, str(amount))
    if done.stdout.strip() != "0":
        raise RuntimeError(f"payment {amount}: {done.stdout} {done.stderr[-300:]}")


class Payment:
    """A payment that is under way while something else is done; entered when the terminal thinks about it."""

    def __init__(self, amount: int) -> None:
        self.amount = amount
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._pay)

    def __enter__(self) -> None:
        before = bridge_status(RUN)["lines"]["pos1"]["bytes_to_terminal"]
        self._thread.start()
        until(lambda: bridge_status(RUN)["lines"]["pos1"]["bytes_to_terminal"] > before + 20, 120, "the request")

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.join(300)
        if kind is None and self.error is not None:
            raise self.error

    def _pay(self) -> None:
        try:
            pay(self.amount)
        except Exception as error:  # noqa: BLE001  told by whoever waits for the thread
            self.error = error


def outcomes() -> dict[int, str]:
    """Amount → outcome, of every payment in the journal."""
    rows = command("tillwatch", "transactions", "--json").splitlines()
    return {row["amount"]: row["outcome"] for row in map(json.loads, rows)}


def booked(amount: int) -> None:
    """Wait until the agent has the payment in its journal as approved."""
    until(lambda: outcomes().get(amount) == "approved", 90, f"{amount} approved in the journal: {outcomes()}")


def still_open(trials: Trials) -> None:
    """A cashier application that keeps its port open has noticed nothing. Raises RuntimeError."""
    poll = select.poll()
    poll.register(trials.held, select.POLLHUP)
    if any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0)):
        raise RuntimeError("the virtual port has hung up")
