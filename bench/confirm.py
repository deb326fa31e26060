"""From unknown to the truth: 205 payments that lose their outcome, for every reason that there is, default settings.

python -m bench confirm

The cashier does nothing but wait. The time is that between the two events `transaction.pending` and
`transaction.confirmed` of the journal; the outcome told is held against what the simulated terminal did.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sqlite3
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import serial

from agent.demo.cashier import Manner, NoAnswer, pay_concert
from agent.journal import FILE_NAME
from drivers import registry
from drivers.driver import Framing, Scenario
from drivers.framing_lrc import frame
from tests.drivers.zvt_peer import STATUS_ENQUIRY, ZvtPeer, authorisation
from tests.faults.load import Desk, Load
from tests.waits import until

PROTOCOLS = ("zvt",) * 5 + ("zvt-serial", "concert", "concert", "concert")
EACH = 23  # payments at each of the first eight desks; at the last one, one that waits for all of Concert's patience
RESTARTS = 4  # rounds in which agent and bridge die in mid-payment, at the five desks on TCP
LONGEST_S = 90.0

Lose = Callable[[Desk, int], None]


def run() -> Iterator[dict[str, Any]]:
    """One JSON object a figure."""
    with tempfile.TemporaryDirectory() as name:
        load = Load(Path(name), PROTOCOLS, [_scenarios(lost) for lost in LOST], confirm="")
        try:
            load.start_agent()
            load.await_lines()
            _pay_well(load)
            yield from _measure(load)
        finally:
            load.close()


def _measure(load: Load) -> Iterator[dict[str, Any]]:
    desks = [
        threading.Thread(target=_lose_many, args=(load, desk, lost))
        for desk, lost in zip(load.desks, LOST, strict=True)
    ]
    for thread in desks:
        thread.start()
    for thread in desks:
        thread.join()
    for _ in range(RESTARTS):
        _restart_in_mid_payment(load)
    yield from _figures(load)


def _figures(load: Load) -> Iterator[dict[str, Any]]:
    times: dict[str, list[float]] = {}
    escalated: Counter[str] = Counter()
    wrong = 0
    truth = {amount: happened for desk in load.desks for amount, happened in desk.truth.items()}
    pending: dict[str, dict[str, Any]] = {}
    for event in load.events():
        data = event["data"]
        if event["type"] == "transaction.pending":
            pending[data["transaction"]] = event
        elif event["type"] == "transaction.confirmed":
            began = pending.pop(data["transaction"])
            times.setdefault(began["data"]["reason"], []).append(_seconds(event) - _seconds(began))
            wrong += (truth.get(data["amount"]) == "charged") != (data["charged"] == "yes")
    for event in pending.values():
        escalated[event["data"]["reason"]] += 1
    every = sorted(seconds for of_reason in times.values() for seconds in of_reason)
    yield {
        "figure": "unknown to truth",
        "payments": len(every) + sum(escalated.values()),
        "confirmed": len(every),
        "escalated": dict(escalated),
        "wrong": wrong,
        "median_s": round(statistics.median(every), 2),
        "p95_s": round(every[int(len(every) * 0.95)], 2),
        "longest_s": round(every[-1], 2),
    }
    for reason, of_reason in sorted(times.items()):
        yield {
            "figure": f"unknown to truth, {reason}",
            "payments": len(of_reason),
            "median_s": round(statistics.median(of_reason), 2),
        }


def _seconds(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


# --- the ways to lose an outcome -------------------------------------------------------------------------------------


def _lose_many(load: Load, desk: Desk, lost: tuple[tuple[Scenario, Lose], ...]) -> None:
    for number in range(EACH if lost is not _PATIENT else 1):
        amount = desk.next_amount()
        with contextlib.suppress(OSError, NoAnswer):
            lost[number % len(lost)][1](desk, amount)
        _await_truth(load, amount)


def _await_truth(load: Load, amount: int) -> None:
    """Until nobody wonders about this amount any more."""
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        if _settled(load.folder, amount):
            return
        time.sleep(0.2)


def _settled(folder: Path, amount: int) -> bool:
    return any(data["final"] or data["call"] == "final" for data in _booked(folder, amount))


def _booked(folder: Path, amount: int) -> list[dict[str, Any]]:
    """What the journal knows of an amount."""
    database = sqlite3.connect(f"file:{folder}/state/{FILE_NAME}?mode=ro", uri=True)
    try:
        rows = database.execute("SELECT data FROM transactions WHERE amount = ?", (amount,)).fetchall()
    finally:
        database.close()
    return [json.loads(data) for (data,) in rows]


def _close(desk: Desk, amount: int) -> None:
    """cashier_closed: the application gives up and closes its port."""
    with socket.create_connection(desk.address, 5) as opened:
        _talk(opened, ZvtPeer(Framing.NONE), authorisation(amount), 0.4)


def _stay(desk: Desk, amount: int) -> None:
    """link_lost, host_timeout: the application stays on the line and hears nothing, or nothing clear."""
    with socket.create_connection(desk.address, 5) as opened:
        _talk(opened, ZvtPeer(Framing.NONE), authorisation(amount), 2.0)


def _do_something_else(desk: Desk, amount: int) -> None:
    """terminal_restarted: another command is answered while the payment should be under way."""
    with socket.create_connection(desk.address, 5) as opened:
        peer = ZvtPeer(Framing.NONE)
        _talk(opened, peer, authorisation(amount), 0.5)
        _talk(opened, peer, STATUS_ENQUIRY, 0.5)


def _serial(desk: Desk, amount: int) -> None:
    """bad_frame: every try of the terminal to answer arrives broken."""
    with serial.Serial(str(desk.port), 9600, timeout=0) as opened:
        _talk(opened, ZvtPeer(Framing.SERIAL), authorisation(amount), 3.0)


def _concert_patiently(desk: Desk, amount: int) -> None:
    """answer_timeout: the application waits for as long as the protocol may take."""
    pay_concert(desk.port, amount, Manner.PROPER, registry.get("concert").answer_timeout_s + 2)


def _concert(desk: Desk, amount: int) -> None:
    """code_ambiguous, cashier_closed."""
    pay_concert(desk.port, amount, Manner.PROPER, 1.0)


def _concert_broken(desk: Desk, amount: int) -> None:
    """bad_frame: the application refuses three broken answers, and the terminal gives up."""
    with serial.Serial(str(desk.port), 9600, timeout=1.0) as line:
        for sent in (b"\x05", frame(f"01{amount:08}110978          A010B010".encode())):
            line.write(sent)
            line.read(1)
        line.write(b"\x04")
        line.read(1)
        line.write(b"\x06")
        for _ in range(3):
            line.read(83)
            line.write(b"\x15")
        line.read(1)


def _talk(opened: Any, peer: ZvtPeer, command: bytes, seconds: float) -> None:
    """Say a command, and answer whatever comes for so long."""
    send = getattr(opened, "sendall", None) or opened.write
    receive = getattr(opened, "recv", None) or opened.read
    send(peer.command(command))
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([opened], [], [], left)[0]:
            data = receive(4096)
            if not data:
                return
            send(peer.receive(data))


_ZVT: tuple[tuple[Scenario, Lose], ...] = (
    (Scenario.LOST, _close),
    (Scenario.REBOOT, _stay),
    (Scenario.UNSURE, _stay),
    (Scenario.LOST, _do_something_else),
    (Scenario.SILENT, _close),
)
_ZVT_SERIAL: tuple[tuple[Scenario, Lose], ...] = ((Scenario.BROKEN, _serial), (Scenario.BROKEN, _serial))
_CONCERT: tuple[tuple[Scenario, Lose], ...] = (
    (Scenario.UNSURE, _concert),
    (Scenario.LOST, _concert),
    (Scenario.BROKEN, _concert_broken),
)


_PATIENT: tuple[tuple[Scenario, Lose], ...] = ((Scenario.LOST, _concert_patiently),)
LOST = (*[_ZVT] * 5, _ZVT_SERIAL, _CONCERT, _CONCERT, _PATIENT)


def _scenarios(lost: tuple[tuple[Scenario, Lose], ...]) -> list[Scenario]:
    """A good payment, then those that lose their outcome, then slow ones to be killed in."""
    faults = [lost[number % len(lost)][0] for number in range(EACH)]
    return [Scenario.APPROVE, *faults, *[Scenario.SLOW] * RESTARTS]


def _pay_well(load: Load) -> None:
    """A payment as it should be, at each desk: from then on the last transaction is known."""
    for desk in load.desks:
        amount = desk.next_amount()
        if desk.protocol == "concert":
            _concert(desk, amount)
        elif desk.bare:
            _stay(desk, amount)
        else:
            _serial(desk, amount)


def _restart_in_mid_payment(load: Load) -> None:
    """agent_restarted: agent and bridge die while the terminals work, and come back."""
    amounts = {desk: desk.next_amount() for desk in load.desks if desk.bare}
    payers = [threading.Thread(target=_stay_through, args=item) for item in amounts.items()]
    for payer in payers:
        payer.start()
    until(lambda: all(_booked(load.folder, amount) for amount in amounts.values()), 10, "payments begun")
    load.kill_all()
    load.start_agent()
    for payer in payers:
        payer.join()
    for amount in amounts.values():
        _await_truth(load, amount)


def _stay_through(desk: Desk, amount: int) -> None:
    with contextlib.suppress(OSError):
        _stay(desk, amount)
