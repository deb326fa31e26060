"""What may be asked of a terminal: nothing that moves money, in every protocol; and the conversation really works."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import registry
from drivers.driver import Driver, Framing, Scenario, Send, Simulation
from drivers.framing_lrc import frame
from drivers.observations import Direction, Kind, Observation, Outcome, Request
from drivers.queries import Asking, Finding, Query, QueryLine, Said, Word
from tests.drivers.zvt_peer import ZvtPeer, authorisation

ASKING = [
    pytest.param(driver, driver.asking, QueryLine(framing, currency), id=f"{name}-{framing}-{currency}")
    for name in registry.names()
    for driver in [registry.get(name)]
    if driver.asking is not None
    for framing in driver.framings
    for currency in (None, "EUR", "CNY", "XXX")
]
each = pytest.mark.parametrize(("driver", "asking", "line"), ASKING)


def read(driver: Driver, line: QueryLine, data: bytes) -> list[Observation]:
    decoder = driver.decoder(Framing(line.framing))
    return decoder.feed(Direction.CASHIER, data) + decoder.finish()


@each
def test_no_word_moves_money(driver: Driver, asking: Asking, line: QueryLine) -> None:
    """Each word alone, read as the terminal reads it: a request of no transaction, or no request at all."""
    for word, data in asking.words(line).items():
        assert data, word
        requests = [seen for seen in read(driver, line, data) if isinstance(seen, Request)]
        assert [request.kind for request in requests if request.kind is not None] == [], word
        assert not any(request.facts.amount for request in requests), word  # Concert has the field: zeros


@each
@given(data=st.data())
@settings(deadline=None, max_examples=80)
def test_no_sequence_of_words_moves_money(driver: Driver, asking: Asking, line: QueryLine, data: st.DataObject) -> None:
    table = asking.words(line)
    said = data.draw(st.lists(st.sampled_from(sorted(table)), max_size=12))
    seen = read(driver, line, b"".join(table[word] for word in said))
    assert [each.message for each in seen if isinstance(each, Request) and each.kind is not None] == []


@each
def test_every_query_begins_with_a_word_of_the_table(driver: Driver, asking: Asking, line: QueryLine) -> None:
    assert asking.queries
    assert any(query.proves for query in asking.queries)
    for query in asking.queries:
        assert set(asking.converse(query, line).begin()) <= asking.words(line).keys()
    assert {"en", "zh-CN"} <= asking.because.keys()
    assert 0 < asking.patience_s < asking.longest_s <= 60


_PIECES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [b"\x06", b"\x15", b"\x05", b"\x04", b"\x80\x00\x00", b"\x84\x9c\x00", b"\x06\x0f\x00", b"\x06\x1e\x01\x6c"]
    ),
    st.just(frame(b"010000012340" + b"A" * 60)),
)


@each
@given(pieces=st.lists(st.one_of(_PIECES, st.none()), max_size=20))
@settings(deadline=None, max_examples=80)
def test_whatever_a_terminal_says_only_words_are_answered(
    driver: Driver, asking: Asking, line: QueryLine, pieces: list[bytes | None]
) -> None:
    """None is an interruption. No answer is longer than what it answers, so two sides never talk each other mad."""
    table = asking.words(line)
    for query in asking.queries:
        talk = asking.converse(query, line)
        talk.begin()
        for piece in pieces:
            said = talk.interrupt() if piece is None else talk.hear(piece)
            assert set(said) <= table.keys()
            assert len(said) <= 1 if piece is None else len(said) <= 2 * len(piece)
        decoder = driver.decoder(Framing(line.framing))
        observations = [seen for piece in pieces if piece for seen in decoder.feed(Direction.TERMINAL, piece)]
        finding = asking.finding(observations)
        assert finding.query in Query
        assert finding.said is not Said.TRANSACTION or finding.outcome is not None or finding.facts is not None


# --- against the simulated terminals --------------------------------------------------------------------------------


class Table:
    """A simulated terminal and who asks it, on the test's clock; everything said is listened to."""

    def __init__(self, driver: Driver, framing: Framing, *scenarios: Scenario) -> None:
        assert driver.asking is not None
        self.driver = driver
        self.asking = driver.asking
        self.line = QueryLine(framing, "EUR")
        self.terminal = driver.simulated(Simulation(scenarios=scenarios, framing=framing, think_s=0.5, currency="EUR"))
        self.now = 10.0

    def tell(self, data: bytes) -> bytes:
        """Bytes to the terminal; what it sends until it waits for us."""
        return self._sent(self.terminal.receive(data, self.now)) if data else b""

    def wait(self) -> bytes:
        """Let the terminal's next deadline come."""
        due = self.terminal.deadline()
        if due is None:
            return b""
        self.now = max(self.now, due)
        return self._sent(self.terminal.tick(self.now))

    def ask(self, query: Query, interrupt_after: int | None = None) -> Finding:
        """A whole conversation; `interrupt_after`: the cashier application speaks behind that many replies."""
        talk = self.asking.converse(query, self.line)
        decoder = self.driver.decoder(Framing(self.line.framing))
        seen: list[Observation] = []
        words: Sequence[Word] = talk.begin()
        for turn in range(200):
            if turn == interrupt_after:
                words = [*words, *talk.interrupt()]
            reply = b""
            for word in words:
                data = self.asking.words(self.line)[word]
                seen += decoder.feed(Direction.CASHIER, data)
                reply += self.tell(data)
            if talk.done:
                return self.asking.finding(seen + decoder.finish())
            reply = reply or self.wait()
            seen += decoder.feed(Direction.TERMINAL, reply)
            words = talk.hear(reply)
        raise AssertionError("the conversation has no end")

    @staticmethod
    def _sent(actions: object) -> bytes:
        return b"".join(action.data for action in actions if isinstance(action, Send))  # type: ignore[attr-defined]


def zvt_table(framing: Framing, *scenarios: Scenario) -> Table:
    """A ZVT terminal after one payment of 35.50, whose answer nobody took."""
    table = Table(registry.get("zvt"), framing, *scenarios)
    peer = ZvtPeer(framing)
    pending = [peer.command(authorisation(3550))]
    for _ in range(60):
        reply = b"".join(table.tell(data) for data in pending)
        reply = reply or table.wait()
        if not reply and table.terminal.deadline() is None:
            break
        pending = [peer.receive(reply)]
    return table


zvt_framings = pytest.mark.parametrize("framing", [Framing.SERIAL, Framing.NONE])


@zvt_framings
def test_a_zvt_terminal_repeats_its_last_receipt(framing: Framing) -> None:
    finding = zvt_table(framing, Scenario.APPROVE).ask(Query.LAST_RESULT)
    assert (finding.said, finding.outcome, finding.facts.amount) == (Said.TRANSACTION, Outcome.APPROVED, 3550)
    assert finding.facts.trace
    assert len(finding.receipts) == 2


@zvt_framings
def test_a_zvt_terminal_without_a_transaction_refuses(framing: Framing) -> None:
    finding = Table(registry.get("zvt"), framing, Scenario.APPROVE).ask(Query.LAST_RESULT)
    assert finding.said is Said.REFUSED


@zvt_framings
def test_a_zvt_terminal_tells_its_status(framing: Framing) -> None:
    finding = Table(registry.get("zvt"), framing, Scenario.APPROVE).ask(Query.STATUS)
    assert (finding.query, finding.said) == (Query.STATUS, Said.IDLE)


@zvt_framings
@pytest.mark.parametrize("after", range(1, 12))
def test_a_zvt_query_can_be_interrupted_behind_every_reply(framing: Framing, after: int) -> None:
    table = zvt_table(framing, Scenario.APPROVE)
    finding = table.ask(Query.LAST_RESULT, interrupt_after=after)
    assert finding.said in (Said.TRANSACTION, Said.NOTHING)
    assert table.ask(Query.LAST_RESULT).said is Said.TRANSACTION  # and the terminal is as before


def paid_concert(*scenarios: Scenario) -> Table:
    """A Concert terminal after one payment of 35.50."""
    table = Table(registry.get("concert"), registry.get("concert").framings[0], *scenarios)
    assert table.tell(b"\x05") == b"\x06"
    assert table.tell(frame(b"0100003550110978          A010B010")) == b"\x06"
    table.tell(b"\x04")
    while not (reply := table.wait()):
        assert table.terminal.deadline() is not None
    assert reply == b"\x05"
    table.tell(b"\x06")
    table.tell(b"\x06")
    return table


def test_a_concert_terminal_gives_its_duplicate() -> None:
    finding = paid_concert(Scenario.APPROVE).ask(Query.LAST_RESULT)
    assert (finding.said, finding.outcome, finding.facts.amount) == (Said.TRANSACTION, Outcome.APPROVED, 3550)


@pytest.mark.parametrize("after", range(5))
def test_a_concert_query_that_is_interrupted_comes_to_its_end(after: int) -> None:
    table = paid_concert(Scenario.APPROVE)
    assert table.ask(Query.LAST_RESULT, interrupt_after=after).said in (Said.TRANSACTION, Said.NOTHING)


def test_a_request_that_moves_money_is_seen_as_one() -> None:
    """The check above would notice: the cashier's own requests are requests of a kind."""
    zvt = read(registry.get("zvt"), QueryLine(Framing.NONE), authorisation(3550))
    assert [seen.kind for seen in zvt if isinstance(seen, Request)] == [Kind.PURCHASE]
    concert = read(registry.get("concert"), QueryLine("serial"), frame(b"0100003550110978          A010B010"))
    assert [seen.kind for seen in concert if isinstance(seen, Request)] == [Kind.PURCHASE]
