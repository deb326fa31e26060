"""A terminal of any profile, sans-IO: what drivers/profiles/decoder.py listens to.

    READY ─request→ WORKING ─card, PIN, bank→ ANSWERING ─acknowledged→ READY
                                                 └─ three tries without: undelivered ─┘

Where a profile has no acknowledgement, an answer sent is an answer done. Asked for its last transaction, the terminal
answers with the last one it charged. Scenarios and log events are those of the simulated Concert terminal.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum, auto

from drivers.cards import mask
from drivers.codes import CodeBook
from drivers.driver import Action, HangUp, Log, Scenario, Send, Simulation
from drivers.observations import Direction, Facts, Outcome
from drivers.profiles.compose import compose
from drivers.profiles.framing import Control, Frame, Framer, Shape
from drivers.profiles.messages import Reading, facts_of, recognise, transaction_of
from drivers.profiles.schema import Fact, Message, Profile, Proves, Role, Style, Transaction

T_REPLY = 1.0  # s; so long the terminal waits for the acknowledgement of its answer
T_QUIET = 0.1  # s; without a framing a message is whole when nothing came for so long
ANSWER_TRIES = 3
_WAIT_FOR: dict[Scenario, str] = {Scenario.SLOW: "slow_s", Scenario.LATE: "late_s"}
_ENDS = {Scenario.DECLINE: Outcome.DECLINED, Scenario.CANCEL: Outcome.CANCELLED}
_USUAL_CODES = {Outcome.APPROVED: "00", Outcome.DECLINED: "51"}
_ECHOED = (Fact.NONCE, Fact.KIND, Fact.ORDER)
_FIRST_MOMENT = datetime(2026, 1, 5, 9, 30, 15)


class _State(Enum):
    READY = auto()
    WORKING = auto()
    ANSWERING = auto()


class SimulatedProfile:
    """Takes requests one after the other and treats each by the next scenario."""

    def __init__(self, profile: Profile, codes: CodeBook, settings: Simulation) -> None:
        self._profile = profile
        self._codes = codes
        self._settings = settings
        self._shape = Shape(profile.framing)
        self._random = random.Random(settings.seed)  # noqa: S311  reproducible, not secret
        self._framer = Framer(self._shape)
        self._call = profile.framing.style is Style.CALL
        self._state = _State.READY
        self._deadline: float | None = None
        self._heard: float | None = None  # when bytes came that may be a part of a message
        self._turn = 0
        self._trace = 0
        self._sequence = 0
        self._their_sequence = "0"
        self._request: Reading | None = None
        self._asked: Transaction | None = None
        self._scenario = Scenario.APPROVE
        self._last: dict[Fact, str] | None = None
        self._answer = b""
        self._tries = 0
        self._spoil = 0
        self._actions: list[Action] = []

    def receive(self, data: bytes, now: float) -> Sequence[Action]:
        """Bytes came from the cashier's side."""
        if self._heard is not None and now - self._heard > self._profile.byte_gap_s:
            self._take(self._framer.give_up(), now)
        self._take(self._framer.feed(data), now)
        self._heard = now if not self._framer.idle else None
        return self._done()

    def tick(self, now: float) -> Sequence[Action]:
        """Time has passed."""
        if self._call and self._heard is not None and now >= self._heard + T_QUIET:
            self._heard = None
            self._take(self._framer.give_up(), now)
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            if self._state is _State.WORKING:
                self._worked(now)
            elif self._state is _State.ANSWERING:
                self._again(now)
        return self._done()

    def deadline(self) -> float | None:
        """When `tick` wants to be called next."""
        quiet = self._heard + T_QUIET if self._call and self._heard is not None else None
        return min((due for due in (self._deadline, quiet) if due is not None), default=None)

    # --- what comes in --------------------------------------------------------------------------------------------

    def _take(self, tokens: Sequence[object], now: float) -> None:
        for token in tokens:
            if isinstance(token, Control):
                self._acknowledged(token.name, now)
            elif isinstance(token, Frame):
                self._frame(token, now)

    def _frame(self, frame: Frame, now: float) -> None:
        reading = recognise(self._profile, self._shape, Direction.CASHIER, frame)
        if reading is None:
            self._say_control("nak")
            return
        self._their_sequence = reading.text(Fact.SEQUENCE) or self._their_sequence
        role = reading.message.role
        if role in (Role.ACK, Role.NAK):
            self._acknowledged(str(role), now)
        elif role in (Role.REQUEST, Role.QUERY):
            self._requested(reading, now)
        elif reading.message.reply is not None:
            self._send(self._composed(self._named(reading.message.reply), {}))

    def _requested(self, reading: Reading, now: float) -> None:
        asked = transaction_of(self._profile, reading)
        if self._state is _State.WORKING or (asked.kind is not None and self._next_scenario() is Scenario.BUSY):
            if self._state is not _State.WORKING:
                self._turn += 1
                self._log("busy")
            self._say_control("nak")
            return
        self._request, self._asked = reading, asked
        self._say_control("ack")
        self._log("requested")
        if asked.kind is None or not asked.kind.moves_money:
            self._scenario = Scenario.APPROVE
            self._answer_query(asked, now)
            return
        self._scenario = self._next_scenario()
        self._turn += 1
        seconds = float(getattr(self._settings, _WAIT_FOR.get(self._scenario, "think_s")))
        self._state = _State.WORKING
        self._deadline = now + (seconds / 2 if self._scenario is Scenario.REBOOT else seconds)

    def _next_scenario(self) -> Scenario:
        return self._settings.scenarios[self._turn % len(self._settings.scenarios)]

    # --- the payment ----------------------------------------------------------------------------------------------

    def _worked(self, now: float) -> None:
        """Card, PIN and bank are done: the scenario says how it ended."""
        scenario = self._scenario
        if scenario in _ENDS:
            self._log(str(_ENDS[scenario]))
            self._say(self._ended(_ENDS[scenario]), now)
        elif scenario is Scenario.SILENT:
            self._log("silent")
            self._ready()
        else:
            self._charged(now)

    def _charged(self, now: float) -> None:
        facts = self._charge()
        if self._scenario is Scenario.REBOOT:
            self._log("rebooted")
            self._actions.append(HangUp(self._settings.reboot_s))
            self._framer = Framer(self._shape)
            self._ready()
        elif self._scenario is Scenario.LOST:
            self._log("answer_lost")
            self._ready()
        elif self._scenario is Scenario.UNSURE:
            self._say({Fact.RESPONSE_CODE: self._code(Outcome.UNKNOWN), Fact.RESULT: ""}, now)
        else:
            if self._scenario is Scenario.BROKEN:
                self._spoil = ANSWER_TRIES
            if self._scenario is Scenario.GARBAGE:
                self._spoil = 1
                self._send(bytes(self._random.choices([b for b in range(0x80, 0x100) if b != 0xAA], k=7)))
            self._say(facts, now)

    def _charge(self) -> dict[Fact, str]:
        self._trace += 1
        approval = f"{self._random.randrange(10**6):06d}"
        moment = self._moment()
        amount = self._facts().amount
        self._last = {
            Fact.RESPONSE_CODE: self._code(Outcome.APPROVED),
            Fact.RESULT: self._result(Outcome.APPROVED),
            Fact.TRACE: f"{self._trace:06d}",
            Fact.BATCH: "000001",
            Fact.REFERENCE: f"{moment:%y%m%d}{self._trace:06d}",
            Fact.APPROVAL_CODE: approval,
            Fact.TERMINAL_ID: self._settings.terminal_id,
            Fact.MERCHANT_ID: "898111180620001",
            Fact.CARD: self._settings.card,
            Fact.DATE: f"{moment:%Y%m%d}",
            Fact.TIME: f"{moment:%H%M%S}",
            Fact.DATETIME: f"{moment:%Y%m%d%H%M%S}",
        }
        if amount is not None:
            self._last[Fact.AMOUNT] = str(amount)
        self._log("charged", approval_code=approval)
        return self._last

    def _moment(self) -> datetime:
        if self._settings.clock is not None:
            return self._settings.clock()
        return _FIRST_MOMENT + timedelta(minutes=self._trace)

    def _answer_query(self, asked: Transaction, now: float) -> None:
        """The last transaction, where the query is for one; otherwise only that the query worked."""
        if asked.kind is not None or asked.proves is Proves.NOTHING:
            self._say(self._ended(Outcome.APPROVED), now)
        elif self._last is None:
            self._say(self._ended(Outcome.DECLINED), now)
        else:
            status = next((code for code, o in self._profile.statuses.items() if o is Outcome.APPROVED), "")
            self._say({**self._last, Fact.STATUS: status} if status else self._last, now)

    def _ended(self, outcome: Outcome) -> dict[Fact, str]:
        return {Fact.RESPONSE_CODE: self._code(outcome), Fact.RESULT: self._result(outcome)}

    def _code(self, outcome: Outcome) -> str:
        """A response code of that meaning."""
        usual = _USUAL_CODES.get(outcome, "")
        meaning = self._codes.meaning(usual)
        if meaning is not None and meaning.outcome is outcome:
            return usual
        listed = next((code for code, m in self._codes.codes.items() if m.outcome is outcome), "")
        if listed or outcome is not Outcome.CANCELLED:
            return listed or usual
        return self._code(Outcome.DECLINED)

    def _result(self, outcome: Outcome) -> str:
        wanted = Outcome.DECLINED if outcome is Outcome.CANCELLED else outcome
        return next((text for text, each in self._profile.results.items() if each is wanted), "")

    # --- the answer -----------------------------------------------------------------------------------------------

    def _say(self, facts: dict[Fact, str], now: float) -> None:
        request = self._request
        wanted = request.message.reply if request is not None else None
        message = self._named(wanted) if wanted else self._first_answer()
        self._answer = self._composed(message, facts)
        self._tries = 0
        self._log("answered")
        self._send_answer(now)

    def _send_answer(self, now: float) -> None:
        self._tries += 1
        answer = self._answer
        if self._spoil:
            self._spoil -= 1
            answer = self._spoiled(answer)
        self._send(answer)
        if self._profile.framing.acknowledged:
            self._state, self._deadline = _State.ANSWERING, now + T_REPLY
        else:
            self._ready()

    def _spoiled(self, answer: bytes) -> bytes:
        if not self._shape.checks:
            return answer[: len(answer) // 2]
        size = len(answer) - self._shape.head - self._shape.tail
        at = self._shape.at(self._shape.checks[-1], size)
        return answer[:at] + bytes([answer[at] ^ 0x55]) + answer[at + 1 :]

    def _acknowledged(self, name: str, now: float) -> None:
        if self._state is not _State.ANSWERING:
            return
        if name == "ack":
            self._log("delivered")
            self._ready()
        elif name == "nak":
            self._again(now)

    def _again(self, now: float) -> None:
        if self._tries < ANSWER_TRIES:
            self._send_answer(now)
        else:
            self._log("undelivered")
            self._ready()

    def _composed(self, message: Message, facts: dict[Fact, str]) -> bytes:
        request = self._request
        echoed = {fact: request.text(fact) for fact in _ECHOED if request is not None and request.text(fact)}
        self._sequence = self._sequence % 255 + 1
        said = {Fact.SEQUENCE: str(self._sequence), Fact.ACKNOWLEDGES: self._their_sequence, **echoed, **facts}
        if (meaning := self._codes.meaning(said.get(Fact.RESPONSE_CODE))) is not None:
            said.setdefault(Fact.TEXT, meaning.text["zh-CN"])
        known = {fact: text for fact, text in said.items() if text}
        return compose(self._profile, self._shape, Direction.TERMINAL, message, known, self._profile.simulated)

    # --- small parts ----------------------------------------------------------------------------------------------

    def _first_answer(self) -> Message:
        return next(m for m in self._profile.messages if m.role is Role.ANSWER and Direction.TERMINAL in m.senders)

    def _named(self, name: str) -> Message:
        message = self._profile.message(name)
        if message is None:
            raise RuntimeError(f"no message {name}")  # the loader has checked it: a bug of this file
        return message

    def _say_control(self, name: str) -> None:
        byte = next((byte for byte, meaning in self._profile.framing.control.items() if meaning == name), None)
        if byte is not None:
            self._send(bytes([byte]))
            return
        for message in self._profile.messages:
            if str(message.role) == name and Direction.TERMINAL in message.senders:
                self._send(self._composed(message, {}))
                return

    def _facts(self) -> Facts:
        return facts_of(self._profile, self._request) if self._request is not None else Facts()

    def _ready(self) -> None:
        self._state, self._deadline, self._spoil = _State.READY, None, 0

    def _send(self, data: bytes) -> None:
        self._actions.append(Send(data))

    def _log(self, event: str, **more: str | int | None) -> None:
        facts: dict[str, str | int | None] = {}
        if self._request is not None and self._asked is not None and event != "busy":
            seen, card = self._facts(), mask(self._settings.card)
            facts = {
                "kind": str(self._asked.kind or self._asked.name),
                "amount": seen.amount,
                "currency": seen.currency or self._settings.currency,
                "card": card.masked if card else None,
            }
        self._actions.append(Log(event, tuple((facts | more).items())))

    def _done(self) -> Sequence[Action]:
        actions, self._actions = self._actions, []
        return actions
