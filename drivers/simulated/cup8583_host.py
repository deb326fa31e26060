"""A UnionPay host, sans-IO: answers what SimulatedCup8583 sends, by the same scenarios, and knows who was charged.

Each transaction that moves money takes the next scenario; those about the terminal alone are passed over. Reversals
undo what was charged (00), and find nothing otherwise (25).

Events in the log: charged, declined, reversed, not_found, answer_lost, silent: the truth about the money.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from drivers.driver import Action, Framing, Log, Scenario, Send, Simulation
from drivers.framing_length import Byte, Control, Frame, LengthFramer, serial_frame, tcp_frame
from drivers.iso8583 import Message, read
from drivers.simulated.iso8583 import packed

ANSWER_TRIES = 3
_TERMINALS_OWN = (Scenario.CANCEL, Scenario.BUSY)
_MONEY = ("0100", "0200", "0220")
_ECHOED = (3, 4, 11, 25, 41, 42, 49, 60)
_NAK_BYTE = Byte.NAK
_CHARGES = frozenset(Scenario) - {Scenario.DECLINE, Scenario.SILENT, *_TERMINALS_OWN}


class SimulatedHost:
    """Takes messages one after the other; answers are sent when their time has come."""

    def __init__(self, settings: Simulation) -> None:
        self._settings = settings
        self._random = random.Random(settings.seed)  # noqa: S311  reproducible, not secret
        self._framer = LengthFramer(bare=False)
        self._turn = 0
        self._count = 0
        self._charged: dict[tuple[str, str, str], int] = {}  # terminal, batch, trace → amount
        self._due: list[tuple[float, bytes]] = []
        self._spoiled: tuple[bytes, int] | None = None  # an answer that is to go out broken, and how often still
        self._actions: list[Action] = []

    @property
    def charged(self) -> int:
        """The sum of what card holders have paid and not got back."""
        return sum(self._charged.values())

    def receive(self, data: bytes, now: float) -> Sequence[Action]:
        """Bytes came from the terminal."""
        for token in self._framer.feed(data):
            if isinstance(token, Control) and token.byte is _NAK_BYTE and self._spoiled:
                self._again(now)
            elif isinstance(token, Frame) and token.ok is not False:
                message = read(token.data[: token.message[1]], token.message[0])
                if message is not None:
                    self._asked(message, now)
        return self._taken()

    def tick(self, now: float) -> Sequence[Action]:
        """Time has passed."""
        while self._due and self._due[0][0] <= now:
            self._actions.append(Send(self._due.pop(0)[1]))
        return self._taken()

    def deadline(self) -> float | None:
        """When `tick` wants to be called next."""
        return self._due[0][0] if self._due else None

    def _asked(self, message: Message, now: float) -> None:
        if message.mti in _MONEY:
            self._payment(message, now)
        elif message.mti == "0400":
            self._reverse(message, now)
        else:
            self._answer(message, "00", now + self._settings.think_s)

    def _payment(self, message: Message, now: float) -> None:
        scenario = self._next()
        settings = self._settings
        if scenario is Scenario.SILENT:
            self._log("silent", message)
            return
        if scenario in _CHARGES and message.values.get(3, "")[:2] in ("00", "20", "03"):
            back = message.values[3].startswith("20")
            amount = int(message.values.get(4, "0"))
            self._charged[_key(message)] = 0 if message.mti == "0100" else -amount if back else amount
            self._log("charged", message)
        if scenario in (Scenario.LOST, Scenario.REBOOT):
            self._log("answer_lost", message)
            return
        code = {Scenario.DECLINE: "51", Scenario.UNSURE: "98"}.get(scenario, "00")
        if code == "51":
            self._log("declined", message)
        wait = {Scenario.SLOW: settings.slow_s, Scenario.LATE: settings.late_s}.get(scenario, settings.think_s)
        answer = self._answer_bytes(message, code)
        noise = bytes(self._random.choices(range(0x80, 0x100), k=7)) if scenario is Scenario.GARBAGE else b""
        if settings.framing is not Framing.SERIAL:  # nobody refuses a frame there: what is cut stays away
            answer = noise + (answer[: len(answer) // 2] if scenario is Scenario.BROKEN else answer)
        elif scenario in (Scenario.GARBAGE, Scenario.BROKEN):
            self._spoiled = (answer, ANSWER_TRIES if scenario is Scenario.BROKEN else 1)
            answer = noise + _broken(answer)
        self._plan(now + wait, answer)

    def _next(self) -> Scenario:
        scenarios = [each for each in self._settings.scenarios if each not in _TERMINALS_OWN] or [Scenario.APPROVE]
        self._turn += 1
        return scenarios[(self._turn - 1) % len(scenarios)]

    def _again(self, now: float) -> None:
        """The terminal refused a broken answer: once more, whole when it has been broken often enough."""
        if self._spoiled is None:
            return
        answer, left = self._spoiled
        self._spoiled = (answer, left - 1) if left > 1 else None
        if left > 1:
            self._plan(now, _broken(answer))
        elif self._last_is_whole():
            self._plan(now, answer)

    def _last_is_whole(self) -> bool:
        """Whether the scenario under way sends a good answer in the end."""
        scenarios = [each for each in self._settings.scenarios if each not in _TERMINALS_OWN] or [Scenario.APPROVE]
        return scenarios[(self._turn - 1) % len(scenarios)] is not Scenario.BROKEN

    def _reverse(self, message: Message, now: float) -> None:
        found = self._charged.pop(_key(message), None)
        self._log("not_found" if found is None else "reversed", message)
        self._answer(message, "25" if found is None else "00", now + self._settings.think_s)

    def _answer(self, message: Message, code: str, due: float) -> None:
        self._plan(due, self._answer_bytes(message, code))

    def _plan(self, due: float, data: bytes) -> None:
        self._due.append((due, data))
        self._due.sort(key=lambda each: each[0])

    def _answer_bytes(self, message: Message, code: str) -> bytes:
        self._count += 1
        moment = self._moment()
        values: dict[int, str | bytes] = {
            number: message.values[number] for number in _ECHOED if number in message.values
        }
        values |= {12: f"{moment:%H%M%S}", 13: f"{moment:%m%d}", 32: "48021000", 39: code}
        values[37] = f"{moment:%y%m%d}{self._count:06d}"
        if message.mti in _MONEY:
            values |= {2: self._settings.card, 15: f"{moment:%m%d}", 44: "01050000   48021000   ", 64: b"4F1D2E3C"}
            if code == "00":
                values[38] = f"{self._random.randrange(10**6):06d}"
        elif message.mti == "0500":
            totals = message.values.get(48, "0" * 62)
            values |= {48: totals[:30] + self._verdict(totals) + totals[31:61] + "1", 15: f"{moment:%m%d}"}
        elif message.mti == "0800":
            values[62] = bytes(self._random.choices(range(256), k=40))
        data = packed(f"{message.mti[:2]}{int(message.mti[2]) + 1}0", values)
        return serial_frame(data) if self._settings.framing is Framing.SERIAL else tcp_frame(data)

    def _verdict(self, totals: str) -> str:
        """1 when the terminal's sum is what the card holders have paid, else 2."""
        stated = int(totals[:12]) - int(totals[15:27])
        return "1" if stated == self.charged else "2"

    def _moment(self) -> datetime:
        if self._settings.clock is not None:
            return self._settings.clock()
        return datetime(2026, 6, 7, 9, 30) + timedelta(seconds=40 * self._count)

    def _log(self, event: str, message: Message) -> None:
        facts = (("trace", message.values.get(11)), ("amount", int(message.values.get(4, "0"))))
        self._actions.append(Log(event, facts))

    def _taken(self) -> Sequence[Action]:
        actions, self._actions = self._actions, []
        return actions


def _key(message: Message) -> tuple[str, str, str]:
    values = message.values
    return values.get(41, ""), values.get(60, "")[2:8], values.get(11, "")


def _broken(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 0x55])
