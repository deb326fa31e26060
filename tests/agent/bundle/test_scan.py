"""What must not leave a PC is found however it is written; what only looks like it is let through."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bundle.scan import Finding, findings
from tests.drivers.pans import PANS, with_check_digit

PAN = "4975541234514970"


def found(text: str, *secrets: str) -> set[str]:
    return {each.kind for each in findings("a.txt", text.encode(), secrets)}


@given(
    PANS,
    st.sampled_from(
        [
            "card {pan}",
            '{{"order":"{pan}"}}',
            "{grouped}",
            "{dashed}",
            "{spaced}",
            "+0.1 < 02 {hex} 03",
            "{hexed}",
            "\\x02{escaped}",
            "%B{pan}^NAME^",
            ";{pan}=2512",
            "BCD 02 {length}{pan}0 00",
            "track 37 {track}D2512",
            "track 0A{track}D2512",
        ]
    ),
)
def test_a_card_number_is_found_in_every_dress(pan: str, dress: str) -> None:
    line = dress.format(
        pan=pan,
        grouped=" ".join(pan[at : at + 4] for at in range(0, len(pan), 4)),
        dashed="-".join(pan[at : at + 4] for at in range(0, len(pan), 4)),
        spaced=" ".join(pan),
        hex=pan.encode().hex(" ").upper(),
        hexed=pan.encode().hex(),
        escaped="".join(f"\\x{byte:02x}" for byte in pan.encode()),
        length=len(pan),
        track=pan if len(pan) == 16 else with_check_digit(pan[:15]),
    )
    if "BCD" in line and len(pan) % 2 == 0:
        line = line.replace("0 00", "00 00")
    assert "card" in found(line)


@given(PANS)
def test_a_masked_number_is_none(pan: str) -> None:
    hidden = pan[:6] + "*" * (len(pan) - 10) + pan[-4:]
    packed = pan[:6] + "e" * (len(pan) - 10) + pan[-4:]
    for line in (hidden, hidden.encode().hex(" "), f"16 {packed}", f"{len(pan)}{packed}D2512"):
        assert found(line) == set()


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T09:30:00.123+01:00",
        "0000000000000000",
        "merchant 898440373720001",  # fifteen digits that fail the check digit
        "epoch 4f4975541234514970aabbccddeeff00",  # a digest's digits
        "amount 1234 1234",
        "+0.004312 > 02 30 30 31 32 33 34 35 36 37 38 39 30 31 32 33 34 0D 0A 03 55",
        "-----BEGIN CERTIFICATE-----",
        "mqtts://collector.example:8883",
    ],
)
def test_what_is_harmless_passes(text: str) -> None:
    assert found(text) == set()


def test_masked_recordings_pass() -> None:
    """Frames are dense with digits; none of those that stand for the field may keep a bundle from being written."""
    logs = sorted((Path(__file__).parents[2] / "logs").glob("*.tlog"))
    assert len(logs) > 50
    assert [finding for log in logs for finding in findings(log.name, log.read_bytes())] == []


def test_keys_and_passwords() -> None:
    assert found("-----BEGIN EC PRIVATE KEY-----") == {"key"}
    assert found("mqtt://cashier:hunter2@broker/") == {"password"}
    assert found("level=info said=correct-horse", "correct-horse") == {"password"}
    assert found("short ones stand anywhere", "one") == set()


@pytest.mark.parametrize(
    "text",
    [
        "MQTTS://Till:Sec/ret@broker.example:8883",
        "redis://:geheim@cache",
        "postgresql+psycopg://till:" + "long" * 40 + "@db/till",
        "Authorization: Bearer 3q2-7wAbCdEf",
        '{"authorization": "Basic dXNlcjpwYXNz"}',
        "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln",
        "TILLWATCH_MQTT__PASSWORD=hunter22",
        'password = "hunter22"',
        '"api_key": "0f0f-1234"',
        "login?user=a&token=abcd1234",
        "密码=hunter22",
    ],
)
def test_passwords_and_tokens_in_every_dress(text: str) -> None:
    assert found(text) == {"password"}


@pytest.mark.parametrize(
    "text",
    [
        "GET http://his.example:8080/bill?mail=a@b.example",
        "Password: incorrect",
        "the token: expired yesterday",
        "请输入密码：",
        "password=********",
        '"password": "(set)"',
        '"password_file": "/etc/tillwatch/mqtt.password"',
        "token=null",
    ],
)
def test_what_is_said_about_passwords_passes(text: str) -> None:
    assert found(text) == set()


def test_a_finding_says_where_and_not_what() -> None:
    (finding,) = findings("logs/agent.log", f"one\ntwo\n  {PAN}\n".encode())
    assert finding == Finding("logs/agent.log", 3, 3, "card")
    assert PAN not in repr(finding)


@given(st.binary(max_size=400))
def test_any_bytes_are_looked_through(data: bytes) -> None:
    findings("a", data)


def test_time_grows_with_the_text_only() -> None:
    """A hundred thousand digits in one line, and as many pairs: found to be nothing, without a search of all parts."""
    assert findings("a", b"1" * 100_000 + b" " + b"12 " * 50_000) == []


def test_a_word_of_any_length_is_looked_at_once() -> None:
    """Numbers that fit, in one word of 170,000 characters: each is judged by what stands beside it."""
    numbers = 10_000
    assert len(findings("a", f"{PAN}x".encode() * numbers)) == numbers
