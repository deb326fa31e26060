"""The simulated ZVT terminal on a clock of the test: a peer that acknowledges, and the decoder listening between.

Long because every scenario and every command runs on the one `Bench` of this file, in both framings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import pytest

from drivers.driver import Action, Framing, HangUp, Log, Scenario, Send, Simulation
from drivers.observations import (
    Ack,
    Acked,
    Answer,
    Checksum,
    Direction,
    Kind,
    Noise,
    Observation,
    Outcome,
    Progress,
    Receipt,
    ReceiptKind,
    Request,
    Settlement,
)
from drivers.simulated.zvt import RETRIES, RETRY_S, SimulatedZvt
from drivers.zvt import ZvtDecoder
from drivers.zvt_framing import Apdu, apdu, serial_frame
from tests.drivers.zvt_peer import (
    ABORT_COMMAND,
    COMPLETION,
    DIAGNOSIS,
    END_OF_DAY,
    INTERMEDIATE,
    LOG_OFF,
    PRINT_LINE,
    REPEAT_RECEIPT,
    STATUS_ENQUIRY,
    STATUS_INFORMATION,
    TEXT_BLOCK,
    ZvtPeer,
    authorisation,
    refund,
    registration,
    reversal,
)

FRAMINGS = [Framing.SERIAL, Framing.NONE]
OUTCOME_EVENTS = {"charged", "declined", "cancelled", "silent"}
both = pytest.mark.parametrize("framing", FRAMINGS)


class Bench:
    """Terminal, peer and listener on one line, and a clock that jumps to the terminal's next deadline."""

    def __init__(self, framing: Framing, *scenarios: Scenario, think_s: float = 4.0, reboot_s: float = 5.0) -> None:
        self.settings = Simulation(
            scenarios=scenarios or (Scenario.APPROVE,), framing=framing, think_s=think_s, reboot_s=reboot_s
        )
        self.terminal = SimulatedZvt(self.settings)
        self.peer = ZvtPeer(framing)
        self.decoder = ZvtDecoder(framing)
        self.now = 100.0
        self.seen: list[Observation] = []
        self.actions: list[Action] = []
        self._to_terminal: deque[bytes] = deque()

    def do(self, command: bytes) -> None:
        """Send a command and let both sides talk until neither has anything left to do."""
        self.ask(command)
        self.run()

    def ask(self, command: bytes) -> None:
        """Send a command, and talk on until time would have to pass."""
        self._to_terminal.append(self.peer.command(command))
        self.talk()

    def talk(self) -> None:
        while self._to_terminal:
            data = self._to_terminal.popleft()
            self.seen += self.decoder.feed(Direction.CASHIER, data)
            self._done(self.terminal.receive(data, self.now))

    def run(self) -> None:
        while self.wait():
            pass

    def wait(self) -> bool:
        """Let time pass to the next deadline; False when there is none."""
        at = self.terminal.deadline()
        if at is None:
            return False
        assert at >= self.now
        self.now = at
        self._done(self.terminal.tick(at))
        self.talk()
        return True

    def send(self, data: bytes) -> None:
        """Bytes of the cashier's side, past the peer."""
        self._to_terminal.append(data)
        self.talk()

    def _done(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self.actions.append(action)
            if isinstance(action, Send):
                self.seen += self.decoder.feed(Direction.TERMINAL, action.data)
                if reply := self.peer.receive(action.data):
                    self._to_terminal.append(reply)
            elif isinstance(action, HangUp):
                self.seen += self.decoder.reset()

    @property
    def logs(self) -> list[Log]:
        return [action for action in self.actions if isinstance(action, Log)]

    @property
    def events(self) -> list[str]:
        return [entry.event for entry in self.logs]

    def outcomes(self) -> list[Outcome]:
        return [each.outcome for each in self.seen if isinstance(each, Answer) and each.outcome]

    def answers(self) -> list[Answer]:
        return [each for each in self.seen if isinstance(each, Answer)]

    def receipts(self) -> list[Receipt]:
        return [each for each in self.seen if isinstance(each, Receipt)]

    def delivered(self) -> list[Acked]:
        return [
            each.of
            for each in self.seen
            if isinstance(each, Ack) and each.direction is Direction.CASHIER and each.of is not Acked.OTHER
        ]

    def sent(self, control: bytes) -> int:
        return self.peer.controls().count(control)

    def told(self, event: str) -> dict[str, str | int | None]:
        (entry,) = [entry for entry in self.logs if entry.event == event]
        return dict(entry.facts)


# --- scenarios ---


@both
@pytest.mark.parametrize(
    ("scenario", "outcomes", "events", "ends"),
    [
        (Scenario.APPROVE, [Outcome.APPROVED], ["charged", "delivered"], True),
        (Scenario.SLOW, [Outcome.APPROVED], ["charged", "delivered"], True),
        (Scenario.LATE, [Outcome.APPROVED], ["charged", "delivered"], True),
        (Scenario.GARBAGE, [Outcome.APPROVED], ["charged", "delivered"], True),
        (Scenario.DECLINE, [Outcome.DECLINED], ["declined"], True),
        (Scenario.CANCEL, [Outcome.CANCELLED], ["cancelled"], True),
        (Scenario.SILENT, [], ["silent"], False),
        (Scenario.LOST, [], ["charged", "answer_lost"], False),
        (Scenario.REBOOT, [], ["charged", "rebooted"], True),
        (Scenario.UNSURE, [Outcome.UNKNOWN], ["charged", "answer_unclear"], True),
        (Scenario.BROKEN, [], ["charged", "answer_broken", "not_acknowledged"], None),
        (Scenario.BUSY, [], ["refused"], True),
    ],
)
def test_scenarios(
    framing: Framing, scenario: Scenario, outcomes: list[Outcome], events: list[str], ends: bool | None
) -> None:
    bench = Bench(framing, scenario)
    bench.do(authorisation(1234))
    assert bench.outcomes() == outcomes
    assert bench.events == (events[:2] if framing is Framing.NONE else events)  # TCP has no retries
    assert bench.terminal.deadline() is None
    assert ends is None or bench.decoder.idle is ends
    assert [each.kind for each in bench.seen if isinstance(each, Request)] == [Kind.PURCHASE]
    if scenario is Scenario.UNSURE:
        assert bench.delivered() == [Acked.END]
    elif outcomes:
        assert bench.delivered() == [Acked.ANSWER, Acked.END]
        assert bench.answers()[0].facts.amount == 1234


def test_no_scenario_is_left_out() -> None:
    (marks,) = [mark for mark in test_scenarios.pytestmark if mark.args[0] != "framing"]  # type: ignore[attr-defined]
    assert {row[0] for row in marks.args[1]} == set(Scenario)


@both
@pytest.mark.parametrize("scenario", [each for each in Scenario if each is not Scenario.BUSY])
def test_every_payment_has_one_outcome_in_the_log(framing: Framing, scenario: Scenario) -> None:
    bench = Bench(framing, scenario)
    bench.do(authorisation(1234))
    (outcome,) = [entry for entry in bench.logs if entry.event in OUTCOME_EVENTS]
    assert dict(outcome.facts)["amount"] == 1234
    assert bench.settings.card not in repr(bench.logs)


@both
@pytest.mark.parametrize(
    ("scenario", "seconds"), [(Scenario.APPROVE, 4.0), (Scenario.SLOW, 20.0), (Scenario.LATE, 130.0)]
)
def test_how_long_a_payment_takes(framing: Framing, scenario: Scenario, seconds: float) -> None:
    bench = Bench(framing, scenario)
    bench.do(authorisation(1234))
    assert bench.now - 100.0 == pytest.approx(seconds)


@both
def test_what_an_approval_says(framing: Framing) -> None:
    bench = Bench(framing)
    bench.do(authorisation(1234))
    facts = bench.answers()[0].facts
    assert (facts.amount, facts.currency, facts.response_code, facts.trace) == (1234, "EUR", "00", "000001")
    assert (facts.terminal_id, facts.terminal_time) == ("12345678", "11-24 12:01:00")
    assert facts.card is not None
    assert facts.card.masked == "497554******4970"
    assert dict(facts.extra)["receipt_number"] == "0001"
    assert bench.told("charged") == {"kind": "purchase", "amount": 1234, "trace": "000001"}
    assert not [each for each in bench.seen if isinstance(each, Noise)]
    assert {each.checksum for each in bench.answers()} == {Checksum.OK if framing is Framing.SERIAL else Checksum.NONE}


@both
def test_the_terminal_waits_for_each_acknowledgement(framing: Framing) -> None:
    bench = Bench(framing)
    bench.do(authorisation(1234))
    waiting = 0
    for each in bench.seen:
        if isinstance(each, Ack) and each.direction is Direction.CASHIER and each.facts.extra:  # 80 00 00, no link byte
            assert waiting == 1
            waiting = 0
        elif each.direction is Direction.TERMINAL and isinstance(each, Answer | Progress | Receipt):
            waiting += 1
            assert waiting == 1
    assert waiting == 0
    assert bench.sent(INTERMEDIATE) == 2


@both
def test_the_charge_comes_before_the_answer(framing: Framing) -> None:
    bench = Bench(framing)
    bench.ask(authorisation(1234))
    bench.wait()
    assert bench.events == []
    assert bench.sent(STATUS_INFORMATION) == 0
    bench.run()
    assert bench.events == ["charged", "delivered"]


@both
def test_garbage_is_noise_and_a_broken_frame_on_a_serial_line(framing: Framing) -> None:
    bench = Bench(framing, Scenario.GARBAGE)
    bench.do(authorisation(1234))
    noise = [each for each in bench.seen if isinstance(each, Noise)]
    assert [each.length for each in noise][:1] == [5]
    assert [each.checksum for each in noise[1:]] == ([Checksum.BAD] if framing is Framing.SERIAL else [])
    assert [each.positive for each in bench.seen if isinstance(each, Ack)].count(False) == len(noise) - 1
    assert bench.sent(STATUS_INFORMATION) == 1


@both
def test_a_reboot_takes_the_line_away_in_mid_payment(framing: Framing) -> None:
    bench = Bench(framing, Scenario.REBOOT, reboot_s=7.0)
    bench.do(authorisation(1234))
    assert HangUp(7.0) in bench.actions
    after = bench.actions[bench.actions.index(HangUp(7.0)) :]
    assert not [action for action in after if isinstance(action, Send)]


@both
def test_the_scenarios_are_used_in_turn(framing: Framing) -> None:
    bench = Bench(framing, Scenario.BUSY, Scenario.DECLINE, Scenario.APPROVE)
    for _ in range(4):
        bench.do(authorisation(600))
    assert bench.events == ["refused", "declined", "charged", "delivered", "refused"]


# --- asking again ---


@both
@pytest.mark.parametrize("scenario", [Scenario.LOST, Scenario.REBOOT])
def test_a_repeated_receipt_finds_a_lost_charge(framing: Framing, scenario: Scenario) -> None:
    bench = Bench(framing, scenario)
    bench.do(authorisation(7700))
    assert bench.outcomes() == []
    bench.do(REPEAT_RECEIPT)
    assert bench.outcomes() == [Outcome.APPROVED]
    found = bench.answers()[0].facts
    assert (found.amount, found.trace) == (7700, bench.told("charged")["trace"])
    assert [each.kind for each in bench.seen if isinstance(each, Request)] == [Kind.PURCHASE, None]
    assert [each.receipt_kind for each in bench.receipts()] == [ReceiptKind.MERCHANT, ReceiptKind.CUSTOMER]
    assert all("** WIEDERHOLUNG **" in each.text for each in bench.receipts())
    assert bench.events.count("charged") == 1
    assert bench.decoder.idle


@both
def test_a_repeated_receipt_of_a_payment_that_was_not_charged_is_the_one_before(framing: Framing) -> None:
    bench = Bench(framing, Scenario.APPROVE, Scenario.SILENT)
    bench.do(authorisation(100))
    bench.do(authorisation(200))
    bench.do(REPEAT_RECEIPT)
    assert [each.facts.amount for each in bench.answers() if each.outcome] == [100, 100]


@both
def test_there_is_no_receipt_to_repeat(framing: Framing) -> None:
    bench = Bench(framing)
    bench.do(REPEAT_RECEIPT)
    (end,) = bench.answers()
    assert (end.outcome, end.final, end.facts.response_code) == (None, True, "83")
    assert bench.receipts() == []


@both
@pytest.mark.parametrize("command", [STATUS_ENQUIRY, REPEAT_RECEIPT, DIAGNOSIS, registration(), LOG_OFF])
def test_service_commands_charge_nothing_and_use_up_no_scenario(framing: Framing, command: bytes) -> None:
    bench = Bench(framing, Scenario.DECLINE)
    bench.do(command)
    assert bench.events == []
    assert bench.outcomes() == []
    assert bench.decoder.idle
    bench.do(authorisation(100))
    assert bench.events == ["declined"]


@both
def test_an_unknown_command_is_refused(framing: Framing) -> None:
    bench = Bench(framing)
    bench.do(apdu(b"\x06\x7f"))
    assert bench.peer.heard == [Apdu(b"\x84\x83", b"", True if framing is Framing.SERIAL else None)]
    assert bench.decoder.idle


# --- receipts ---


@both
@pytest.mark.parametrize(("config", "control"), [(0x06, PRINT_LINE), (0x00, TEXT_BLOCK)])
def test_receipts_as_registered(framing: Framing, config: int, control: bytes) -> None:
    bench = Bench(framing)
    bench.do(registration(config))
    bench.do(authorisation(1234))
    assert [each.receipt_kind for each in bench.receipts()] == [ReceiptKind.MERCHANT, ReceiptKind.CUSTOMER]
    assert all(each.complete for each in bench.receipts())
    assert {PRINT_LINE, TEXT_BLOCK} & set(bench.peer.controls()) == {control}
    for receipt in bench.receipts():
        assert "Betrag EUR 12.34" in receipt.text
        assert "Karte 497554******4970" in receipt.text
        assert "Zahlung erfolgt" in receipt.text


@both
def test_a_declined_payment_prints_nothing(framing: Framing) -> None:
    bench = Bench(framing, Scenario.DECLINE)
    bench.do(authorisation(1234))
    assert bench.receipts() == []


@both
def test_a_diagnosis_prints_its_lines(framing: Framing) -> None:
    bench = Bench(framing)
    bench.do(DIAGNOSIS)
    (receipt,) = bench.receipts()
    assert receipt.receipt_kind is ReceiptKind.ADMINISTRATION


# --- refunds, reversals, end of day ---


@both
def test_a_refund_and_a_reversal(framing: Framing) -> None:
    bench = Bench(framing)
    bench.do(authorisation(1234))
    bench.do(refund(500))
    bench.do(reversal(1))
    charged = [dict(entry.facts) for entry in bench.logs if entry.event == "charged"]
    assert [(entry["kind"], entry["amount"]) for entry in charged] == [
        ("purchase", 1234), ("refund", 500), ("void", 1234),
    ]  # fmt: skip
    assert bench.outcomes() == [Outcome.APPROVED] * 3


@both
def test_the_totals_of_the_day_are_what_was_charged(framing: Framing) -> None:
    bench = Bench(framing, Scenario.APPROVE, Scenario.DECLINE, Scenario.LOST, Scenario.CANCEL, Scenario.GARBAGE)
    for amount in (1000, 200, 30, 4, 500):
        bench.do(authorisation(amount))
    bench.do(END_OF_DAY)
    charged = [dict(entry.facts)["amount"] for entry in bench.logs if entry.event == "charged"]
    assert charged == [1000, 30, 500]
    (settled,) = [each for each in bench.seen if isinstance(each, Settlement)]
    assert [(total.count, total.amount) for total in settled.totals] == [(3, 1530)]
    assert bench.told("settled") == {"count": 3, "amount": 1530}
    (receipt,) = [each for each in bench.receipts() if each.receipt_kind is ReceiptKind.ADMINISTRATION]
    assert "Summe 15.30" in receipt.text
    assert bench.decoder.idle


@both
def test_a_day_begins_anew_behind_its_end(framing: Framing) -> None:
    bench = Bench(framing)
    bench.do(authorisation(1000))
    bench.do(END_OF_DAY)
    bench.do(authorisation(70))
    bench.do(refund(20))
    bench.do(END_OF_DAY)
    bench.do(END_OF_DAY)
    settled = [dict(entry.facts) for entry in bench.logs if entry.event == "settled"]
    assert settled == [{"count": 1, "amount": 1000}, {"count": 2, "amount": 50}, {"count": 0, "amount": 0}]


# --- acknowledgements that do not come, and interruptions ---


def test_a_refused_frame_is_sent_again_three_times_at_most() -> None:
    bench = Bench(Framing.SERIAL)
    bench.peer.acknowledges = False
    bench.ask(authorisation(1234))
    assert bench.sent(INTERMEDIATE) == 1
    for again in range(1, RETRIES + 1):
        bench.send(b"\x15")
        assert bench.sent(INTERMEDIATE) == 1 + again
    assert RETRIES == 3
    assert bench.events == []
    bench.send(b"\x15")
    assert bench.events == ["not_acknowledged", "cancelled"]  # before the charge: forgotten
    assert bench.sent(INTERMEDIATE) == 4
    assert bench.terminal.deadline() is None


def test_a_refused_frame_that_is_then_taken() -> None:
    bench = Bench(Framing.SERIAL)
    bench.peer.acknowledges = False
    bench.ask(authorisation(1234))
    bench.peer.acknowledges = True
    bench.send(b"\x15")
    bench.run()
    assert bench.outcomes() == [Outcome.APPROVED]
    assert bench.events == ["charged", "delivered"]


@pytest.mark.parametrize(("framing", "tries"), [(Framing.SERIAL, 4), (Framing.NONE, 1)])
def test_without_acknowledgement_the_terminal_tries_again_on_a_serial_line_then_gives_up(
    framing: Framing, tries: int
) -> None:
    bench = Bench(framing)
    bench.peer.acknowledges = False
    bench.do(authorisation(1234))
    assert bench.sent(INTERMEDIATE) == tries
    assert bench.now - 100.0 == pytest.approx(tries * RETRY_S)
    assert bench.events == ["not_acknowledged", "cancelled"]  # before the charge: forgotten
    assert bench.outcomes() == []


@both
def test_an_answer_that_nobody_takes_was_charged_and_is_found_again(framing: Framing) -> None:
    bench = Bench(framing)
    bench.ask(authorisation(1234))
    bench.wait()  # the terminal waits for the host
    bench.peer.acknowledges = False
    bench.run()
    assert bench.events == ["charged", "not_acknowledged"]
    assert bench.delivered() == []
    bench.peer.acknowledges = True
    bench.do(REPEAT_RECEIPT)
    assert bench.outcomes()[-1] is Outcome.APPROVED
    assert bench.events.count("charged") == 1


def test_a_broken_command_is_refused_by_nak() -> None:
    bench = Bench(Framing.SERIAL)
    bench.send(serial_frame(authorisation(1234), wrong=1))
    assert bench.peer.link_acks == [False]
    assert bench.events == []
    bench.do(authorisation(1234))
    assert bench.outcomes() == [Outcome.APPROVED]


@both
def test_a_command_while_it_works_is_told_to_wait(framing: Framing) -> None:
    bench = Bench(framing)
    bench.ask(authorisation(1234))
    bench.ask(authorisation(99))
    assert bench.peer.controls()[-1] == b"\x84\x9c"
    bench.run()
    assert bench.told("charged")["amount"] == 1234


@both
def test_an_abort_command_before_the_charge(framing: Framing) -> None:
    bench = Bench(framing)
    bench.ask(authorisation(1234))
    bench.do(ABORT_COMMAND)
    assert bench.events == ["cancelled"]
    assert bench.outcomes() == [Outcome.UNKNOWN]  # an end without status information is to be asked again
    bench.do(REPEAT_RECEIPT)
    assert bench.answers()[-1].facts.response_code == "83"
    bench.do(END_OF_DAY)
    assert bench.told("settled") == {"count": 0, "amount": 0}


@both
def test_an_abort_command_after_the_charge_comes_too_late(framing: Framing) -> None:
    bench = Bench(framing, Scenario.LOST)
    bench.do(authorisation(1234))
    bench.do(ABORT_COMMAND)
    assert bench.events == ["charged", "answer_lost"]
    bench.do(END_OF_DAY)
    assert bench.told("settled") == {"count": 1, "amount": 1234}


@both
def test_a_stray_acknowledgement_moves_nothing(framing: Framing) -> None:
    bench = Bench(framing)
    bench.ask(authorisation(1234))
    before = len(bench.peer.heard)
    bench.send(bench.peer.command(apdu(b"\x80\x00")))
    assert len(bench.peer.heard) == before
    bench.run()
    assert bench.events == ["charged", "delivered"]
    assert bench.sent(COMPLETION) == 1


@both
def test_a_command_byte_by_byte(framing: Framing) -> None:
    bench = Bench(framing)
    for byte in bench.peer.command(authorisation(1010)):
        bench.send(bytes([byte]))
    bench.run()
    assert bench.told("charged")["amount"] == 1010
    assert not [each for each in bench.seen if isinstance(each, Progress) and each.message.startswith("message")]
