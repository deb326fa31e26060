"""Commands over MQTT: only the list, only in time, only well-formed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands import ALLOWED, parse_command
from agent.stored import Stored, parse_stored


def body(**fields: object) -> bytes:
    return json.dumps({"id": "c1", "expires": 200.0} | fields).encode()


def test_a_resend_names_where_to_begin() -> None:
    command = parse_command("resend", body(**{"from": 5}), 100.0)
    assert command is not None
    assert (command.name, command.id, command.sequence, command.expired) == ("resend", "c1", 5, False)


def test_a_command_may_give_its_expiry_as_a_time() -> None:
    command = parse_command("log-level", body(expires="2026-11-24T10:00:00+08:00", level="debug"), 1.0)
    assert command is not None
    assert (command.level, command.expired) == ("debug", False)


def test_a_late_command_is_marked() -> None:
    command = parse_command("resend", body(), 300.0)
    assert command is not None
    assert command.expired


@pytest.mark.parametrize("name", ["refund", "pay", "shell", "", "RESEND", "resend/x"])
def test_what_is_not_on_the_list_is_no_command(name: str) -> None:
    assert name not in ALLOWED
    assert parse_command(name, body(), 1.0) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 4000,
        body(id=""),
        body(id=7),
        body(id="x" * 200),
        body(expires="soon"),
        body(expires=True),
        body(expires=float("nan")),
        body(expires=float("inf")),
        body(expires=10**400),
        body(id="two\nlines"),
        b'{"id": "\\ud800", "expires": 200}',
        body(pad="x" * 5000),
    ],
)
def test_what_is_malformed_is_no_command(payload: bytes) -> None:
    assert parse_command("resend", payload, 1.0) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_met_with_composure(payload: bytes) -> None:
    parse_command("resend", payload, 1.0)
    parse_stored(payload)


def test_stored_is_read_only_in_its_own_form() -> None:
    assert parse_stored(b'{"epoch": "e", "sequence": 4}') == Stored("e", 4)
    for wrong in (b'{"epoch": "e", "sequence": "4"}', b'{"sequence": 4}', b'{"epoch": "e", "sequence": true}', b"4"):
        assert parse_stored(wrong) is None
