"""The socket's messages: the same whatever the chunks, and what is none of ours is refused."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bridge import wire

JSON = st.dictionaries(st.text(max_size=10), st.none() | st.booleans() | st.integers() | st.text(), max_size=5)
RECORD = st.tuples(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=200),
)


def _chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


@given(st.lists(JSON, max_size=6), st.lists(st.integers(0, 10_000), max_size=20))
def test_json_messages_survive_any_chunking(bodies: list[dict[str, object]], cuts: list[int]) -> None:
    stream = b"".join(wire.json_message(body) for body in bodies)
    messages = wire.Messages()
    found = [message for chunk in _chunks(stream, cuts) for message in messages.feed(chunk)]
    assert [(kind, json.loads(payload)) for kind, payload in found] == [(wire.JSON_TYPE, body) for body in bodies]


@given(st.lists(RECORD, max_size=10), st.lists(st.integers(0, 10_000), max_size=20))
def test_records_survive_any_chunking(records: list[tuple[int, int, int, int, int, bytes]], cuts: list[int]) -> None:
    body = b"".join(wire.RECORD.pack(*r[:3], len(r[5]), r[3], r[4]) + r[5] for r in records)
    messages = wire.Messages()
    stream = wire.records_head(len(body)) + body
    [(kind, payload)] = [message for chunk in _chunks(stream, cuts) for message in messages.feed(chunk)]
    assert kind == wire.RECORDS_TYPE
    assert list(wire.records(payload)) == records


@given(st.binary(min_size=1, max_size=400))
def test_any_bytes_are_messages_or_malformed_and_nothing_else(data: bytes) -> None:
    messages = wire.Messages()
    try:
        for kind, payload in messages.feed(data):
            if kind == wire.RECORDS_TYPE:
                list(wire.records(payload))
    except wire.Malformed:
        return


@pytest.mark.parametrize(
    "data",
    [
        wire.HEAD.pack(0, wire.JSON_TYPE),
        wire.HEAD.pack(wire.MAX_MESSAGE + 1, wire.JSON_TYPE),
        wire.HEAD.pack(3, ord("X")) + b"ab",
    ],
)
def test_a_bad_head_is_refused_before_its_payload_is_awaited(data: bytes) -> None:
    with pytest.raises(wire.Malformed):
        wire.Messages().feed(data)


def test_half_a_record_is_refused() -> None:
    whole = wire.RECORD.pack(0, 0, 0, 5, 0, wire.CASHIER) + b"12345"
    for size in range(1, len(whole)):
        with pytest.raises(wire.Malformed):
            list(wire.records(whole[:size]))
