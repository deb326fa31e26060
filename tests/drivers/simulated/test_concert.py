"""The simulated Concert terminal: sans-IO on a clock of the test, then against pyTeliumManager on a real pty."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from telium import Telium, TeliumAsk, TeliumResponse, TerminalInitializationFailedException
from telium.payment import LrcChecksumException

from drivers.concert import DRIVER
from drivers.driver import Action, HangUp, Log, Scenario, Send, Simulation
from drivers.framing_lrc import frame, lrc
from drivers.observations import Answer, Direction, Outcome
from drivers.simulated.concert import ENQ_TRIES, SimulatedConcert
from drivers.simulated.shell import PtyPort, Shell

ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"


class Bench:
    """A simulated terminal and a clock that jumps to its next deadline."""

    def __init__(self, *scenarios: Scenario, **settings: float) -> None:
        self.terminal = SimulatedConcert(Simulation(scenarios=scenarios or (Scenario.APPROVE,), **settings))  # type: ignore[arg-type]
        self.now = 100.0
        self.actions: list[Action] = []

    def send(self, data: bytes) -> bytes:
        return self._sent(self.terminal.receive(data, self.now))

    def wait(self) -> bytes:
        at = self.terminal.deadline()
        assert at is not None, "the terminal waits for nothing"
        self.now = at
        return self._sent(self.terminal.tick(at))

    def ask(self, kind: str = "0", amount: int = 1234, report: str = "1", answer: str = "A010") -> None:
        assert self.send(ENQ) == ACK
        assert self.send(frame(f"07{amount:08d}{report}1{kind}978{'':10}{answer}B010".encode())) == ACK
        self._sent(self.terminal.receive(EOT, self.now))

    def answered(self) -> Answer:
        assert self.wait() == ENQ
        return self.taken()

    def taken(self) -> Answer:
        answer = self.send(ACK)
        assert self.send(ACK) == EOT
        (seen,) = DRIVER.decoder(DRIVER.framings[0]).feed(Direction.TERMINAL, answer)
        assert isinstance(seen, Answer)
        return seen

    def log(self) -> list[str]:
        return [action.event for action in self.actions if isinstance(action, Log)]

    def _sent(self, actions: object) -> bytes:
        new = list(actions)  # type: ignore[call-overload]
        self.actions += new
        return b"".join(action.data for action in new if isinstance(action, Send))


@pytest.mark.parametrize(
    ("scenario", "outcome", "events"),
    [
        (Scenario.APPROVE, Outcome.APPROVED, ["requested", "charged", "answered", "delivered"]),
        (Scenario.SLOW, Outcome.APPROVED, ["requested", "charged", "answered", "delivered"]),
        (Scenario.LATE, Outcome.APPROVED, ["requested", "charged", "answered", "delivered"]),
        (Scenario.DECLINE, Outcome.DECLINED, ["requested", "declined", "answered", "delivered"]),
        (Scenario.UNSURE, Outcome.UNKNOWN, ["requested", "charged", "answered", "delivered"]),
        (Scenario.CANCEL, Outcome.DECLINED, ["requested", "cancelled", "answered", "delivered"]),
    ],
)
def test_scenarios_that_answer(scenario: Scenario, outcome: Outcome, events: list[str]) -> None:
    bench = Bench(scenario)
    bench.ask()
    answer = bench.answered()
    assert (answer.outcome, answer.facts.amount, answer.facts.currency) == (outcome, 1234, "EUR")
    assert bench.log() == events
    assert bench.terminal.deadline() is None


@pytest.mark.parametrize(
    ("scenario", "seconds"),
    [(Scenario.APPROVE, 0.3), (Scenario.SLOW, 20.0), (Scenario.LATE, 130.0)],
)
def test_how_long_it_takes(scenario: Scenario, seconds: float) -> None:
    bench = Bench(scenario)
    bench.ask()
    began = bench.now
    assert bench.wait() == ENQ
    assert bench.now - began == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("scenario", "events"),
    [
        (Scenario.SILENT, ["requested", "silent"]),
        (Scenario.LOST, ["requested", "charged", "answer_lost"]),
        (Scenario.REBOOT, ["requested", "charged", "rebooted"]),
    ],
)
def test_scenarios_that_never_answer(scenario: Scenario, events: list[str]) -> None:
    bench = Bench(scenario)
    bench.ask()
    assert bench.wait() == b""
    assert bench.log() == events
    assert bench.terminal.deadline() is None


def test_a_reboot_takes_the_line_away_in_mid_payment() -> None:
    bench = Bench(Scenario.REBOOT, think_s=4.0, reboot_s=7.0)
    bench.ask()
    began = bench.now
    bench.wait()
    assert bench.now - began == 2.0
    assert HangUp(7.0) in bench.actions


def test_an_answer_that_arrives_broken_every_time_is_given_up() -> None:
    bench = Bench(Scenario.BROKEN)
    bench.ask()
    assert bench.wait() == ENQ
    tries = [bench.send(ACK), bench.send(NAK), bench.send(NAK)]
    assert all(lrc(answer[1:-1]) != answer[-1] for answer in tries)
    assert bench.send(NAK) == EOT
    assert bench.log() == ["requested", "charged", "answered", "undelivered"]


def test_garbage_then_a_broken_frame_then_the_good_one() -> None:
    bench = Bench(Scenario.GARBAGE)
    bench.ask()
    garbage = bench.wait()
    assert garbage.endswith(ENQ)
    assert len(garbage) > 1
    broken = bench.send(ACK)
    good = bench.send(NAK)
    assert broken[:-1] == good[:-1]
    assert broken != good
    assert bench.send(ACK) == EOT
    assert bench.log()[-1] == "delivered"


def test_busy_refuses_one_enquiry() -> None:
    bench = Bench(Scenario.BUSY, Scenario.APPROVE)
    assert bench.send(ENQ) == NAK
    bench.ask()
    assert bench.answered().outcome is Outcome.APPROVED


def test_an_enquiry_while_it_works_is_refused() -> None:
    bench = Bench()
    bench.ask()
    assert bench.send(ENQ) == NAK
    assert bench.answered().outcome is Outcome.APPROVED


def test_three_enquiries_a_second_apart_then_it_gives_up() -> None:
    bench = Bench()
    bench.ask()
    times = []
    for _ in range(ENQ_TRIES):
        assert bench.wait() == ENQ
        times.append(bench.now)
    assert bench.wait() == EOT
    assert [b - a for a, b in pairwise(times)] == pytest.approx([1.0, 1.0])
    assert bench.log() == ["requested", "charged", "undelivered"]


def test_three_refusals_of_the_answer_and_it_gives_up() -> None:
    bench = Bench()
    bench.ask()
    bench.wait()
    answers = [bench.send(ACK), bench.send(NAK), bench.send(NAK)]
    assert len(set(answers)) == 1
    assert bench.send(NAK) == EOT
    assert bench.log()[-1] == "undelivered"


def test_an_answer_never_acknowledged_is_undelivered() -> None:
    bench = Bench()
    bench.ask()
    bench.wait()
    bench.send(ACK)
    assert bench.wait() == EOT
    assert bench.log()[-1] == "undelivered"


def test_a_request_with_a_wrong_lrc_is_refused_and_may_come_again() -> None:
    bench = Bench()
    good = frame(b"0700001234110978          A010B010")
    bench.send(ENQ)
    assert bench.send(good[:-1] + b"\x7f") == NAK
    assert bench.send(good) == ACK


def test_a_request_cut_short_is_forgotten_after_a_second() -> None:
    bench = Bench()
    bench.send(ENQ)
    bench.send(frame(b"0700001234110978          A010B010")[:20])
    bench.now += 5
    bench.ask()
    assert bench.answered().outcome is Outcome.APPROVED


def test_it_works_without_the_eot_after_a_second() -> None:
    bench = Bench()
    bench.send(ENQ)
    bench.send(frame(b"0700001234110978          A010B010"))
    assert bench.wait() == b""
    assert bench.answered().outcome is Outcome.APPROVED


def test_at_once_answers_before_it_knows() -> None:
    bench = Bench(Scenario.DECLINE)
    bench.ask(answer="A011")
    answer = bench.taken()
    assert (answer.outcome, answer.at_once) == (Outcome.UNKNOWN, True)
    bench.wait()
    assert bench.log() == ["requested", "answered", "delivered", "declined"]


def test_a_duplicate_finds_the_lost_answer() -> None:
    bench = Bench(Scenario.LOST, Scenario.DECLINE)
    bench.ask(amount=777)
    bench.wait()
    bench.ask(kind="3", amount=0)
    answer = bench.taken()
    assert (answer.outcome, answer.facts.amount) == (Outcome.APPROVED, 777)


def test_a_duplicate_of_nothing_is_refused() -> None:
    bench = Bench()
    bench.ask(kind="3", amount=0)
    assert bench.taken().outcome is Outcome.DECLINED


@pytest.mark.parametrize(("kind", "name"), [("0", "purchase"), ("1", "refund"), ("2", "void")])
def test_the_log_names_what_was_done_and_shows_no_card(kind: str, name: str) -> None:
    bench = Bench()
    bench.ask(kind)
    bench.answered()
    done = next(action for action in bench.actions if isinstance(action, Log) and action.event == "charged")
    assert dict(done.facts)["kind"] == name
    assert dict(done.facts)["amount"] == 1234
    assert dict(done.facts)["card"] == "497554******4970"


def test_the_same_seed_gives_the_same_answers() -> None:
    def approval(seed: int) -> str | None:
        bench = Bench(seed=seed)
        bench.ask()
        return bench.answered().facts.approval_code

    assert approval(1) == approval(1) != approval(2)


# --- against pyTeliumManager, which talks to real terminals -----------------------------------------------------------


class Line:
    """A simulator on a pty in a thread, and what it logs."""

    def __init__(self, link: Path, settings: Simulation) -> None:
        self.link = link
        self.events: queue.Queue[Log] = queue.Queue()
        self._shell = Shell(SimulatedConcert(settings), PtyPort(link), self.events.put)
        self._thread = threading.Thread(target=self._shell.run)
        self._thread.start()
        assert self.event().event == "ready"
        self.peer = Telium(str(link))

    def event(self) -> Log:
        return self.events.get(timeout=5)

    def until(self, name: str) -> list[str]:
        seen = [self.event().event]
        while seen[-1] != name:
            seen.append(self.event().event)
        return seen

    def pay(self, patience_s: float = 5, **wishes: object) -> TeliumResponse | None:
        ask = TeliumAsk.new_payment(12.5, target_currency="EUR", checkout_unique_id="07", **wishes)
        assert self.peer.ask(ask)
        return self.peer.verify(ask, waiting_timeout=patience_s)

    def close(self) -> None:
        self.peer.close()
        self._shell.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()
        assert not self.link.is_symlink()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def begin(*scenarios: Scenario, **settings: float) -> Line:
        chosen = {"think_s": 0.05} | settings
        lines.append(Line(tmp_path / "pos", Simulation(scenarios=scenarios, **chosen)))  # type: ignore[arg-type]
        return lines[-1]

    yield begin
    for each in lines:
        each.close()


def test_a_peer_pays(line: Callable[..., Line]) -> None:
    answer = line(Scenario.APPROVE).pay()
    assert answer is not None
    assert answer.has_succeeded
    assert (answer.amount, answer.card_id, answer.pos_number) == (12.5, "4975541234514970", "07")


def test_a_peer_is_declined(line: Callable[..., Line]) -> None:
    answer = line(Scenario.DECLINE).pay()
    assert answer is not None
    assert answer.transaction_result == 7


def test_a_peer_takes_a_short_answer(line: Callable[..., Line]) -> None:
    answer = line(Scenario.APPROVE).pay(collect_payment_source_info=False)
    assert answer is not None
    assert (answer.has_succeeded, answer.repport) == (True, "")


def test_a_peer_gets_an_answer_at_once(line: Callable[..., Line]) -> None:
    pos = line(Scenario.APPROVE)
    answer = pos.pay(wait_for_transaction_to_end=False)
    assert answer is not None
    assert answer.transaction_result == 9
    assert pos.until("charged") == ["requested", "answered", "delivered", "charged"]


def test_a_peer_waits_for_a_silent_terminal_in_vain_and_then_pays(line: Callable[..., Line]) -> None:
    pos = line(Scenario.SILENT, Scenario.APPROVE)
    assert pos.pay(patience_s=0.4) is None
    assert pos.pay() is not None


def test_a_peer_waits_for_a_slow_terminal(line: Callable[..., Line]) -> None:
    answer = line(Scenario.SLOW, slow_s=0.8).pay()
    assert answer is not None
    assert answer.has_succeeded


def test_a_peer_gets_its_money_back(line: Callable[..., Line]) -> None:
    pos = line(Scenario.APPROVE)
    assert pos.pay(payment_mode="credit") is not None
    assert "charged" in pos.until("delivered")


def test_a_peer_is_refused_by_a_busy_terminal(line: Callable[..., Line]) -> None:
    pos = line(Scenario.BUSY, Scenario.APPROVE)
    with pytest.raises(TerminalInitializationFailedException):
        pos.pay()
    assert pos.pay() is not None


def test_a_peer_that_left_does_not_get_the_late_answer(line: Callable[..., Line]) -> None:
    pos = line(Scenario.LATE, late_s=0.6)
    assert pos.pay(patience_s=0.2) is None
    assert pos.until("undelivered") == ["requested", "charged", "undelivered"]


def test_a_peer_refuses_a_broken_answer(line: Callable[..., Line]) -> None:
    pos = line(Scenario.GARBAGE)
    assert pos.pay() is None  # it takes the first byte of the garbage for the terminal's refusal
    with pytest.raises((LrcChecksumException, OSError)):
        pos.pay()


def test_a_reboot_hangs_the_port_up_and_brings_it_back(line: Callable[..., Line]) -> None:
    pos = line(Scenario.REBOOT, Scenario.APPROVE, reboot_s=0.2)
    with pytest.raises(OSError, match=r".*"):
        pos.pay()
    assert pos.until("ready")[-2:] == ["rebooted", "ready"]
    pos.peer = Telium(str(pos.link))
    answer = pos.pay()
    assert answer is not None
    assert answer.has_succeeded
