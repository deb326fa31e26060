"""A Caisse Concert terminal, sans-IO: what drivers/concert.py listens to.

    READY ─ENQ, request, EOT→ WORKING ─card, PIN, bank→ CALLING ─ACK→ ANSWERING ─ACK→ READY
                                                          └─ three ENQs, or three NAKs: EOT ─┘

An answer at once (A011) goes CALLING first and WORKING behind it. Asked for a duplicate, the terminal answers with
the last payment it charged. A request while it works is refused by NAK, as is any ENQ in the scenario `busy`.

Events in the log: requested, charged, declined, cancelled, silent, answered, delivered, undelivered, answer_lost,
busy, rebooted; each but `busy` with kind, amount, currency and masked card. A refund is charged too, with its kind.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from drivers.cards import mask
from drivers.concert import KINDS
from drivers.currencies import alpha
from drivers.driver import Action, HangUp, Log, Scenario, Send, Simulation
from drivers.framing_lrc import Byte, Control, Frame, LrcFramer, frame

T_REPLY = 1.0  # s; the terminal waits that long for the ACK of its ENQ and of its answer
T_EOT = 1.0  # s; and that long for the EOT behind a request
ENQ_TRIES = 3
ANSWER_TRIES = 3  # the answer is sent again on NAK
REPORT_LENGTH = 55
REQUEST_LENGTH = 34

_ENQ, _ACK, _NAK, _EOT = (bytes([byte]) for byte in (Byte.ENQ, Byte.ACK, Byte.NAK, Byte.EOT))
_PAYMENTS = "012"
_WAIT_FOR: dict[Scenario, str] = {Scenario.SLOW: "slow_s", Scenario.LATE: "late_s"}


class _State(Enum):
    READY = auto()
    ASKED = auto()  # the request was taken, its EOT is missing
    WORKING = auto()
    CALLING = auto()  # ENQ sent, ACK awaited
    ANSWERING = auto()  # answer sent, ACK awaited


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request's fields that the answer needs."""

    checkout: str
    amount: str
    with_report: bool
    mode: str
    kind: str
    currency: str
    private: str
    at_once: bool

    @classmethod
    def read(cls, body: bytes) -> _Asked | None:
        """The request in a frame, or None where it has another layout."""
        text = body.decode("latin-1")
        if len(text) < REQUEST_LENGTH or not (text[2:10] + text[13:16]).isdecimal():
            return None
        return cls(
            checkout=text[:2],
            amount=text[2:10],
            with_report=text[10] == "1",
            mode=text[11],
            kind=text[12],
            currency=text[13:16],
            private=text[16:26],
            at_once=text[26:30] == "A011",
        )

    @property
    def moves_money(self) -> bool:
        """Whether it is a payment, a refund or a void."""
        return self.kind in _PAYMENTS


class SimulatedConcert:
    """Takes requests one after the other and treats each by the next scenario."""

    def __init__(self, settings: Simulation) -> None:
        self._settings = settings
        self._random = random.Random(settings.seed)  # noqa: S311  reproducible, not secret
        self._framer = LrcFramer()
        self._heard = 0.0  # when bytes last came
        self._state = _State.READY
        self._deadline: float | None = None
        self._turn = 0  # which scenario comes next
        self._scenario = Scenario.APPROVE
        self._asked: _Asked | None = None
        self._last: tuple[str, str, str] | None = None  # amount, currency, approval code of the last one charged
        self._answer = b""
        self._tries = 0
        self._work_after_answer = False
        self._spoil = 0  # so many more answers go out with a wrong LRC
        self._actions: list[Action] = []

    def receive(self, data: bytes, now: float) -> Sequence[Action]:
        """Bytes came from the cashier's side."""
        if now - self._heard > T_REPLY:
            self._framer.give_up()  # a frame that began so long ago goes on no more
        self._heard = now
        for token in self._framer.feed(data):
            if isinstance(token, Control):
                self._control(token.byte, now)
            elif isinstance(token, Frame):
                self._frame(token, now)
        return self._done()

    def tick(self, now: float) -> Sequence[Action]:
        """Time has passed."""
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._time_up(now)
        return self._done()

    def deadline(self) -> float | None:
        """When `tick` wants to be called next."""
        return self._deadline

    # --- the cashier's exchange ---------------------------------------------------------------------------------

    def _control(self, byte: Byte, now: float) -> None:
        if byte is Byte.ENQ:
            self._enquired()
        elif byte is Byte.EOT and self._state is _State.ASKED:
            self._start(now)
        elif self._state is _State.CALLING and byte is Byte.ACK:
            self._send_answer(now)
        elif self._state is _State.ANSWERING:
            self._answer_taken(byte, now)

    def _enquired(self) -> None:
        if self._state is _State.READY and self._next_scenario() is Scenario.BUSY:
            self._turn += 1
            self._log("busy")
            self._send(_NAK)
        elif self._state in (_State.READY, _State.ASKED):
            self._ready()  # whoever asks anew means the last request no more
            self._send(_ACK)
        elif self._state is _State.WORKING:
            self._send(_NAK)
        # While the terminal itself calls, both want to speak: the cashier application has to give way.

    def _frame(self, got: Frame, now: float) -> None:
        if self._state not in (_State.READY, _State.ASKED):
            return
        asked = _Asked.read(got.body) if got.ok else None
        if asked is None:
            self._send(_NAK)
            return
        self._asked = asked
        self._state = _State.ASKED
        self._deadline = now + T_EOT
        self._send(_ACK)

    def _next_scenario(self) -> Scenario:
        return self._settings.scenarios[self._turn % len(self._settings.scenarios)]

    # --- the payment --------------------------------------------------------------------------------------------

    def _start(self, now: float) -> None:
        asked = self._request
        self._log("requested")
        if not asked.moves_money:
            self._repeat_last(now)
            return
        self._scenario = self._next_scenario()
        self._turn += 1
        if asked.at_once:
            self._work_after_answer = True
            self._answer = self._framed_answer("9", asked.amount, asked.currency, "")
            self._call(now)
        else:
            self._work(now)

    def _work(self, now: float) -> None:
        self._state = _State.WORKING
        seconds = getattr(self._settings, _WAIT_FOR.get(self._scenario, "think_s"))
        self._deadline = now + (seconds / 2 if self._scenario is Scenario.REBOOT else seconds)

    def _worked(self, now: float) -> None:
        """Card, PIN and bank are done: the scenario says how it ended."""
        scenario = self._scenario
        if scenario in (Scenario.DECLINE, Scenario.CANCEL):
            self._log("cancelled" if scenario is Scenario.CANCEL else "declined")
            self._say("7", "", now)  # Concert has no result for "cancelled"
        elif scenario is Scenario.SILENT:
            self._log("silent")
            self._ready()
        else:
            self._say("0", self._charge(), now)

    def _charge(self) -> str:
        asked = self._request
        approval = f"{self._random.randrange(10**6):06d}"
        self._last = (asked.amount, asked.currency, approval)
        self._log("charged", approval_code=approval)
        return approval

    def _say(self, result: str, private: str, now: float) -> None:
        """Answer with this result, or do what the scenario does instead."""
        asked = self._request
        if self._scenario is Scenario.REBOOT:
            self._log("rebooted")
            self._actions.append(HangUp(self._settings.reboot_s))
            self._framer = LrcFramer()
            self._ready()
        elif self._work_after_answer:  # it was answered at once
            self._ready()
        elif self._scenario is Scenario.LOST:
            self._log("answer_lost")
            self._ready()
        else:
            if self._scenario is Scenario.UNSURE:
                result, private = "5", ""
            if self._scenario is Scenario.BROKEN:
                self._spoil = ANSWER_TRIES
            if self._scenario is Scenario.GARBAGE:
                self._spoil = 1
                self._send(bytes(self._random.choices(range(0x80, 0x100), k=7)))
            self._answer = self._framed_answer(result, asked.amount, asked.currency, private)
            self._call(now)

    def _repeat_last(self, now: float) -> None:
        """A duplicate: the last answer again. Other questions, or nothing to repeat: refused."""
        self._scenario = Scenario.APPROVE
        asked = self._request
        if asked.kind == "3" and self._last:
            self._answer = self._framed_answer("0", *self._last)
        else:
            self._answer = self._framed_answer("7", asked.amount, asked.currency, "")
        self._call(now)

    def _framed_answer(self, result: str, amount: str, currency: str, private: str) -> bytes:
        asked = self._request
        report = f"{self._settings.card} {'0' * 10}".ljust(REPORT_LENGTH) if asked.with_report else ""
        text = f"{asked.checkout}{result}{amount}{asked.mode}{report}{currency}{private:<10}"
        return frame(text.encode("latin-1"))

    # --- the terminal's exchange ----------------------------------------------------------------------------------

    def _call(self, now: float) -> None:
        self._state = _State.CALLING
        self._tries = 0
        self._enquire(now)

    def _enquire(self, now: float) -> None:
        self._tries += 1
        self._deadline = now + T_REPLY
        self._send(_ENQ)

    def _send_answer(self, now: float) -> None:
        if self._state is _State.CALLING:
            self._state = _State.ANSWERING
            self._tries = 0
            self._log("answered")
        self._tries += 1
        self._deadline = now + T_REPLY
        answer = self._answer
        if self._spoil:
            self._spoil -= 1
            answer = answer[:-1] + bytes([answer[-1] ^ 0x55])
        self._send(answer)

    def _answer_taken(self, byte: Byte, now: float) -> None:
        if byte is Byte.ACK:
            self._end("delivered", now)
        elif byte is Byte.NAK and self._tries < ANSWER_TRIES:
            self._send_answer(now)
        elif byte is Byte.NAK:
            self._end("undelivered", now)

    def _time_up(self, now: float) -> None:
        if self._state is _State.ASKED:
            self._start(now)
        elif self._state is _State.WORKING:
            self._worked(now)
        elif self._state is _State.CALLING and self._tries < ENQ_TRIES:
            self._enquire(now)
        elif self._state in (_State.CALLING, _State.ANSWERING):
            self._end("undelivered", now)

    def _end(self, event: str, now: float) -> None:
        self._send(_EOT)
        self._log(event)
        if self._work_after_answer:
            self._work(now)
        else:
            self._ready()

    # --- small parts ----------------------------------------------------------------------------------------------

    @property
    def _request(self) -> _Asked:
        if self._asked is None:
            raise RuntimeError("no request was taken")  # a state behind ASKED without one: a bug of this file
        return self._asked

    def _ready(self) -> None:
        self._state = _State.READY
        self._deadline = None
        self._work_after_answer = False
        self._spoil = 0

    def _send(self, data: bytes) -> None:
        self._actions.append(Send(data))

    def _log(self, event: str, **more: str | int | None) -> None:
        facts: dict[str, str | int | None] = {}
        if self._asked is not None and event != "busy":
            kind, name = KINDS.get(self._asked.kind, (None, self._asked.kind))
            card = mask(self._settings.card)
            facts = {
                "kind": str(kind or name),
                "amount": int(self._asked.amount),
                "currency": alpha(self._asked.currency),
                "card": card.masked if card else None,
            }
        self._actions.append(Log(event, tuple((facts | more).items())))

    def _done(self) -> Sequence[Action]:
        actions, self._actions = self._actions, []
        return actions
