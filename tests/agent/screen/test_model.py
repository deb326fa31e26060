"""What the screen holds: bounded, filtered as asked, and the same however it came there."""

from __future__ import annotations

import io
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent import tlog
from agent.bridge import wire
from agent.screen.entry import KINDS, Entry
from agent.screen.feed import Feed
from agent.screen.follow import Follower
from agent.screen.model import Filter, Model, Rates
from agent.screen.saving import save
from agent.tap import Gap, Record
from agent.texts import Texts
from agent.tlog import Event, Header
from drivers import registry
from drivers.driver import Framing
from drivers.observations import Direction, Outcome
from tests.agent.bench import bench, pay
from tests.agent.screen.lines import ANSWER, BEGAN, BROKEN, ENQ, PAN, REQUEST, Bridge
from tests.waits import until

CONCERT = registry.get("concert")


def follower(language: str = "en") -> Follower:
    return Follower(CONCERT, Framing.SERIAL, Texts(language))


def entry(
    number: int, kind: str = "ack", direction: Direction | None = Direction.CASHIER, wrong: bool = False
) -> Entry:
    return Entry(
        number=number,
        wall_ns=number,
        at=number / 10,
        direction=direction,
        kind=kind,
        summary=f"{kind} {number}",
        wrong=wrong,
    )


ENTRIES = st.builds(
    entry,
    st.integers(0, 10_000),
    st.sampled_from(KINDS),
    st.sampled_from([None, *Direction]),
    st.booleans(),
)


class Screen(RuleBasedStateMachine):
    """Whatever keys are pressed while rows come: what is shown is what the filter lets through of what is held."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(capacity=20)
        self.at_pause: list[Entry] | None = None

    @rule(entries=st.lists(ENTRIES, max_size=15))
    def come(self, entries: list[Entry]) -> None:
        self.model.add(entries)

    @rule()
    def pause(self) -> None:
        self.at_pause = None if self.model.paused else list(self.model.rows)
        self.model.pause()

    @rule(
        wanted=st.builds(
            Filter,
            direction=st.sampled_from([None, *Direction]),
            kind=st.sampled_from([None, *KINDS]),
            wrong_only=st.booleans(),
        )
    )
    def refilter(self, wanted: Filter) -> None:
        self.model.refilter(wanted)
        if self.at_pause is not None:
            self.at_pause = list(self.model.rows)

    @invariant()
    def shows_what_it_should(self) -> None:
        model = self.model
        assert len(model.held) <= 20
        assert model.paused == (self.at_pause is not None)
        if self.at_pause is not None:
            assert list(model.rows) == self.at_pause
        else:
            assert list(model.rows) == [each for each in model.held if model.filter.passes(each)]


TestScreen = Screen.TestCase
TestScreen.settings = settings(max_examples=30, stateful_step_count=20)


def test_rates_forget_what_is_long_ago() -> None:
    rates = Rates()
    for second in range(100):
        rates.count(entry(second * 10))
    assert rates.of(Direction.CASHIER, 99.5)[1] == 1.0
    assert rates.of(Direction.TERMINAL, 99.5) == (0, 0)
    assert rates.of(Direction.CASHIER, 500.0) == (0, 0)


def rows_of(*messages: Record) -> list[Entry]:
    line = follower()
    return [row for message in messages for row in line.record(message)]


def test_a_payment_is_followed_from_request_to_answer() -> None:
    bridge = Bridge()
    bridge.pays()
    model = Model()
    line = follower()
    for message in list(bridge.waiting)[:3]:
        model.add(line.record(message))  # type: ignore[arg-type]
    assert model.payment is not None
    assert (model.payment.shown_amount, model.payment.outcome) == ("12.34 EUR", None)
    for message in list(bridge.waiting)[3:]:
        model.add(line.record(message))  # type: ignore[arg-type]
    assert model.payment.outcome is Outcome.APPROVED
    assert model.wrong == 0


def test_a_payment_that_nobody_waits_for_any_more_is_not_under_way() -> None:
    bridge, model = Bridge(), Model()
    following = follower()

    def takes(*records: Record) -> Outcome | None:
        for record in records:
            model.add(following.record(record))
        assert model.payment is not None
        return model.payment.outcome

    closed = bridge.record(wire.PORT, json.dumps({"port": "closed"}).encode())
    asked = [bridge.record(wire.CASHIER, each) for each in (ENQ, REQUEST)]
    assert takes(*asked) is None
    assert takes(closed) is Outcome.UNKNOWN
    assert model.payment is not None
    assert model.payment.ended_at is not None
    late = [bridge.record(wire.TERMINAL, each) for each in (ENQ, ANSWER)]
    assert takes(*late) is Outcome.APPROVED, "an answer that comes all the same"
    assert takes(closed) is Outcome.APPROVED


def test_the_agent_s_own_question_is_a_conversation_of_its_own() -> None:
    bridge = Bridge()
    half = bridge.record(wire.CASHIER, b"\x02half of a frame")
    asked = bridge.record(wire.QUERY, b"\x05")
    replied = bridge.record(wire.REPLY, b"\x06")
    ended = bridge.record(wire.LEASE, json.dumps({"lease": "ended"}).encode())
    rows = rows_of(half, asked, replied, ended)
    assert [(row.kind, row.asked) for row in rows] == [("progress", True), ("ack", True)]


def test_what_happens_to_the_line_is_told_and_ends_frames() -> None:
    bridge = Bridge()
    rows = rows_of(
        bridge.record(wire.PORT, b'{"port": "opened"}'),
        bridge.record(wire.TERMINAL, ANSWER[:20]),
        bridge.record(wire.LINK, b'{"link": "down"}'),
        bridge.record(wire.DROPPED, b'{"bytes": 7}'),
        bridge.record(wire.PORT, b'{"port": "settings_refused"}'),
    )
    assert [(row.kind, row.wrong) for row in rows] == [
        ("event", False),
        ("noise", True),
        ("event", True),
        ("event", True),
        ("event", True),
    ]
    assert "7 bytes" in rows[3].summary


@given(st.lists(st.sampled_from(["pays", "breaks", "lost", "opened"]), max_size=6))
def test_what_is_saved_reads_back_and_bears_no_card_number(what: list[str]) -> None:
    bridge = Bridge()
    for each in what:
        if each == "pays":
            bridge.pays()
        elif each == "breaks":
            bridge.pays(BROKEN)
        elif each == "lost":
            bridge.happens(wire.LINK, link="down")
        else:
            bridge.happens(wire.PORT, port="opened")
    line = follower()
    rows = [row for message in bridge.waiting for row in line.record(message)]  # type: ignore[arg-type]
    rows += line.quiet(BEGAN.mono_ns + 10**12)
    stream = io.StringIO()
    save(stream, Header(protocol="concert", framing=Framing.SERIAL), rows)
    log = tlog.parse(stream.getvalue(), "saved.tlog")
    assert log.cut is None
    assert sum(isinstance(record, tlog.Happened) for record in log.records) == len(what) - sum(
        each in ("pays", "breaks") for each in what
    )
    for hidden in (PAN, PAN[6:12], PAN.encode().hex(" ").upper()):
        assert hidden not in stream.getvalue()


def test_records_that_were_missed_are_said() -> None:
    line = follower()
    (row,) = line.missed(BEGAN)
    assert (row.event, row.wrong) == (Event.MISSED, True)


def test_the_feed_goes_on_with_the_bridge_that_comes_next(tmp_path: Path) -> None:
    with bench(tmp_path):
        pay(tmp_path)
        feed = Feed(tmp_path / "run")
        try:
            until(lambda: feed.poll() or len(feed.waiting) > 10, what="what has passed is there")
            assert not any(isinstance(each, Gap) for each in feed.waiting)
            until(lambda: feed.poll() or feed.status, what="the state is told")
            assert feed.status["lines"]["pos1"]["link"] == "up"
            first = len(feed.waiting)
            pay(tmp_path)
            until(lambda: feed.poll() or len(feed.waiting) > first, what="what passes now comes too")
        finally:
            feed.close()


def test_a_feed_that_is_not_emptied_leaves_the_rest_with_the_bridge(tmp_path: Path) -> None:
    with bench(tmp_path):
        feed = Feed(tmp_path / "run", waiting=1)
        try:
            until(lambda: feed.poll() or feed.waiting, what="one message")
            held = len(feed.waiting)
            pay(tmp_path)
            feed.poll()
            assert len(feed.waiting) == held
        finally:
            feed.close()


def test_a_bridge_that_ends_is_said_once(tmp_path: Path) -> None:
    with bench(tmp_path):
        feed = Feed(tmp_path / "run")
    until(lambda: feed.poll() or not feed.connected, what="its end is noticed")
    for _ in range(3):
        feed.poll()
    assert list(feed.waiting).count(None) == 1
    feed.close()
