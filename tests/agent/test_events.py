"""Events are what the contract and the published schemas say."""

from __future__ import annotations

import json
import re

import pytest

from agent import schemas
from agent.events import DATA_OF, AgentData, Draft, EventType, Source, TransactionData, envelope, timestamp
from agent.frozen import from_plain
from tests.agent.lines import Play, answer, cashier_ack, request

SOURCE = Source("outpatient-1", "cashier-07", "e1")


def test_generated_documents_are_up_to_date() -> None:
    stale = [path.name for path, content in schemas.documents().items() if path.read_text("utf-8") != content]
    assert stale == [], "run `python -m agent.schemas`"


def test_every_type_has_data_and_a_schema() -> None:
    assert set(DATA_OF) == set(EventType)
    assert schemas.event_schema(EventType.TRANSACTION_PENDING)["properties"]["data"]["properties"]["reason"] == {
        "anyOf": [
            {
                "enum": [
                    "link_lost",
                    "answer_timeout",
                    "bad_frame",
                    "host_timeout",
                    "terminal_restarted",
                    "cashier_closed",
                    "agent_restarted",
                    "code_ambiguous",
                    "not_supported",
                ]
            },
            {"type": "null"},
        ]
    }


def test_transaction_data_has_every_key_of_the_contract() -> None:
    play = Play()
    play.see(request(), answer(), cashier_ack())
    data = json.loads(envelope(play.drafts[-1], SOURCE, 1))["data"]
    contract = (
        "transaction terminal kind amount currency outcome charged delivered final response_code response_text "
        "trace batch reference approval_code terminal_id merchant_id card order started_at ended_at terminal_time "
        "reason attempts"
    )
    assert set(contract.split()) <= set(data)
    assert data["card"] == {"masked": "497554******4970", "scheme": "Visa"}
    assert type(data["amount"]) is int
    assert from_plain(TransactionData, data) == play.drafts[-1].data


def test_an_event_of_the_agent_has_no_terminal_and_no_subject() -> None:
    body = json.loads(envelope(Draft(EventType.AGENT_STARTED, AgentData(version="1"), 0), SOURCE, 7))
    assert body["source"] == "/outpatient-1/cashier-07"
    assert body["id"] == "cashier-07:e1:7"
    assert "subject" not in body


@pytest.mark.parametrize("wall_ns", [0, 1_790_000_000_123_456_789, 253_402_000_000_000_000_000])
def test_times_are_rfc_3339_with_milliseconds_and_offset(wall_ns: int) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", timestamp(wall_ns))
