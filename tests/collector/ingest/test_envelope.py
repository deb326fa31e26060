"""Reading messages: whatever comes, it is something, and nobody speaks for another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events import AgentData, EventType
from collector.ingest.envelope import LARGEST, parse
from collector.ledger.incoming import AgentState, Event, Metrics, Raw, Refused
from collector.ledger.project import project
from tests.collector.ledger.events import Till, approved

TOPIC = "tillwatch/1/outpatient-1/cashier-07/events/transaction.completed"
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def event(**changed: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(Till().payload(EventType.TRANSACTION_COMPLETED, approved("01AAA")))
    return body | changed


def read(body: Any, topic: str = TOPIC) -> Any:
    return parse(topic, json.dumps(body).encode(), 5)


def test_an_event_is_taken_apart_and_kept_as_it_came() -> None:
    payload = Till().payload(EventType.TRANSACTION_COMPLETED, approved("01AAA"))
    found = parse(TOPIC, payload, 5)
    assert isinstance(found, Event)
    assert (found.agent, found.epoch, found.sequence, found.terminal) == ("cashier-07", "e1", 1, "pos1")
    assert (found.subject, found.body, found.received_us) == ("01AAA", payload.decode(), 5)
    assert found.time_us == 1_772_703_000_000_000


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"source": "/outpatient-1/cashier-08/pos1"}, "source"),
        ({"source": "/outpatient-2/cashier-07/pos1"}, "source"),
        ({"source": "/outpatient-1/cashier-070"}, "source"),
        ({"id": "cashier-08:e1:1"}, "id"),
        ({"id": "cashier-07:e1:2"}, "id"),
        ({"id": None}, "id"),
        ({"type": "transaction.started"}, "type"),
    ],
)
def test_who_claims_to_be_another_is_refused(changed: dict[str, Any], why: str) -> None:
    found = read(event(**changed))
    assert isinstance(found, Refused)
    assert found.why == why


@pytest.mark.parametrize(
    "changed",
    [{"sequence": 0}, {"sequence": True}, {"sequence": 1 << 63}, {"sequence": "1"}, {"epoch": ""}, {"type": 7}],
)
def test_what_bears_no_identity_is_kept_raw(changed: dict[str, Any]) -> None:
    assert isinstance(read(event(**changed)), Raw)


def test_a_newer_version_is_kept_and_not_read() -> None:
    assert read(event(specversion="2.0")).data is None
    assert read(event(), TOPIC.replace("/1/", "/2/")).data is None
    assert read(event(), TOPIC).data is not None


@pytest.mark.parametrize("time", ["yesterday", "2026-03-05T09:30:00", None, 7, "0001-01-01T00:00:00+23:59"])
def test_a_time_that_is_none_does_not_cost_the_event(time: Any) -> None:
    assert isinstance(read(event(time=time)), Event)


def test_texts_that_no_database_holds_are_made_fit() -> None:
    found = read(event(subject="a\0b\ud800"))
    assert found.subject == "a�b?"


def test_too_large_is_refused() -> None:
    found = parse(TOPIC, b'"' + b"x" * LARGEST + b'"', 5)
    assert isinstance(found, Refused)
    assert found.why == "size"
    assert len(found.payload) < LARGEST


def test_state_and_metrics() -> None:
    prefix = "tillwatch/1/s/a"
    state = parse(f"{prefix}/state", b'{"agent": "a", "site": "s", "online": true}', 5, retained=True)
    assert state == AgentState(5, "s", "a", {"agent": "a", "site": "s", "online": True}, False)
    metrics = parse(f"{prefix}/metrics", b'{"time": "t", "n": 2, "yes": true, "terminals": {"pos1": {"nak": 0.5}}}', 5)
    assert metrics == Metrics(5, "s", "a", {"": {"n": 2.0}, "pos1": {"nak": 0.5}})


@given(st.binary(max_size=60), st.text(max_size=30))
def test_any_bytes_on_any_topic_are_something(payload: bytes, topic: str) -> None:
    for where in (topic, TOPIC, "tillwatch/1/s/a/state", "tillwatch/1/s/a/metrics"):
        assert isinstance(parse(where, payload, 5), Event | Raw | Refused | AgentState | Metrics)


@given(st.dictionaries(st.sampled_from(sorted(event()["data"])), _json), st.sampled_from(list(EventType)))
def test_data_of_any_form_is_read_or_left(data: dict[str, Any], kind: EventType) -> None:
    till = Till()
    body = json.loads(till.payload(kind, AgentData(version="1")))
    body["data"] = event()["data"] | data
    found = parse(till.topic(kind), json.dumps(body).encode("utf-8", "replace"), 5)
    if isinstance(found, Event):
        rows = project([found], {(found.agent, found.epoch): 1})
        assert rows.unreadable <= {0}
