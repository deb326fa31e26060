"""The API as other programs see it (CONTRACT §6): through a real server, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from collector.access.access import Access
from collector.access.people import CONSOLE
from collector.access.roles import Role
from collector.cases import Kind, open_for
from collector.ledger import Ledger
from tests.collector import planted
from tests.collector.conftest import FixedClock
from tests.collector.planted import NOW_US, data_of, identity, plant

UNKNOWN = {"outcome": "unknown", "charged": "unknown", "delivered": "unknown", "final": False, "reason": "link_lost"}


@pytest.fixture
def viewer(program: Callable[[Role], httpx.Client]) -> Iterator[httpx.Client]:
    return program(Role.VIEWER)


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["transaction"] for item in answer.json()["items"]]


def test_without_a_token_only_health_answers(client: httpx.Client) -> None:
    for path in (
        "/api/transactions",
        "/api/transactions/X",
        "/api/agents",
        "/api/terminals",
        "/api/cases",
        "/api/events",
    ):
        refused = client.get(path)
        assert refused.status_code == 401, path
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert "\n" not in refused.json()["detail"]
    bad = client.get("/api/agents", headers={"Authorization": "Bearer tw_nonsense"})
    assert bad.status_code == 401
    assert "invalid_token" in bad.headers["www-authenticate"]


def test_a_revoked_or_expired_token_opens_nothing(client: httpx.Client, access: Access, clock: FixedClock) -> None:
    def status(secret: str) -> int:
        return client.get("/api/agents", headers={"Authorization": f"Bearer {secret}"}).status_code

    token, secret = access.new_token(CONSOLE, "erp", Role.VIEWER)
    _, short = access.new_token(CONSOLE, "short", Role.VIEWER, valid_s=60)
    assert (status(secret), status(short)) == (200, 200)
    clock.advance(seconds=60)
    assert (status(secret), status(short)) == (200, 401)
    access.revoke_token(CONSOLE, token.id)
    assert status(secret) == 401


def test_a_transaction_carries_its_data_and_where_it_was(ledger: Ledger, viewer: httpx.Client) -> None:
    plant(ledger)
    (item,) = viewer.get("/api/transactions").json()["items"]
    published = data_of()
    assert {name: item[name] for name in published} == published
    assert (item["site"], item["agent"], item["events"]) == ("east", "cashier-01", 2)


def test_every_filter_finds_exactly_what_it_names(ledger: Ledger, viewer: httpx.Client) -> None:
    plant(ledger, 1)
    plant(ledger, 2, amount=990, order="HIS-X")
    plant(ledger, 3, site="west", agent="cashier-09")
    plant(ledger, 4, terminal="pos2", outcome="declined", charged="no")
    plant(ledger, 5, **UNKNOWN)
    plant(ledger, 6, card={"masked": "622202******9876", "scheme": "UnionPay"}, channel_order="WX42")
    plant(ledger, 7, card=None, trace=None)
    for query, numbers in {
        "": [7, 6, 5, 4, 3, 2, 1],
        "amount=990": [2],
        "order=HIS-X": [2],
        "order=WX42": [6],
        "site=west": [3],
        "agent=cashier-09": [3],
        "terminal=pos2": [4],
        "outcome=declined": [4],
        "outcome=unknown": [5],
        "pending=true": [5],
        "pending=false&last4=1234": [4, 3, 2, 1],
        "last4=9876": [6],
        "trace=000003": [3],
        "trace=3": [3],
        "amount=3550&site=east&last4=1234&trace=1": [1],
        "amount=1": [],
    }.items():
        assert ids(viewer.get(f"/api/transactions?{query}")) == [identity(number) for number in numbers], query


def test_since_is_included_and_until_is_not_in_any_zone(ledger: Ledger, viewer: httpx.Client) -> None:
    for number in (0, 60, 120):  # 08:30:00, 08:31:00, 08:32:00 UTC
        plant(ledger, number)
    for since, until in (
        ("2026-03-05T08:31:00Z", "2026-03-05T08:32:00Z"),
        ("2026-03-05T16:31:00+08:00", "2026-03-05T16:32:00+08:00"),
        ("2026-03-05T00:31:00-08:00", "2026-03-05T00:32:00-08:00"),
        ("1772699460", "1772699520"),
    ):
        found = viewer.get("/api/transactions", params={"since": since, "until": until})
        assert ids(found) == [identity(60)], since
    unescaped = viewer.get("/api/transactions?since=2026-03-05T16:32:00+08:00")
    assert ids(unescaped) == [identity(120)], "a plus that nobody escaped"


BAD = [
    "since=yesterday", "until=2026-03-05T08:00:00", "since=2026-13-45T00:00:00Z", "site=a/b", "agent=%00",
    "terminal=" + "x" * 65, "outcome=fine", "pending=perhaps", "last4=12", "last4=12345", "last4=１２３４",
    "amount=35.50", "amount=99999999999999999999", "trace=abc", "order=", "limit=0", "limit=1001", "limit=ten",
    "cursor=%21%21", "cursor=" + "A" * 9000, "outcom=approved", "limit=-1", "amount=", "cursor=MTI",
]  # fmt: skip


def test_a_bad_value_is_one_clear_line(viewer: httpx.Client) -> None:
    for query in BAD:
        refused = viewer.get(f"/api/transactions?{query}")
        assert refused.status_code in (400, 422), refused.text
        detail = refused.json()["detail"]
        assert "\n" not in detail
        assert query.split("=", maxsplit=1)[0] in detail
        assert "Traceback" not in refused.text


def test_refusals_speak_the_language_of_who_asks(viewer: httpx.Client) -> None:
    refused = viewer.get("/api/transactions?last4=1", headers={"Accept-Language": "zh-CN"})
    assert "必须是" in refused.json()["detail"]


def test_pages_give_each_transaction_once_while_new_ones_come(ledger: Ledger, viewer: httpx.Client) -> None:
    same_moment = planted.NOW_US - 30 * planted.MINUTE_US
    for number in range(25):
        plant(ledger, number, started_us=same_moment + number // 5)
    seen: list[str] = []
    cursor: str | None = None
    for page in range(20):
        params: dict[str, Any] = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        body = viewer.get("/api/transactions", params=params).json()
        seen += [item["transaction"] for item in body["items"]]
        plant(ledger, 100 + page, started_us=NOW_US + page)  # newer than all of these
        cursor = body["next"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(identity(number) for number in range(25))
    assert len(seen) == 25


def test_one_transaction_comes_with_its_events_receipts_and_cases(ledger: Ledger, viewer: httpx.Client) -> None:
    payment = plant(ledger, 1)
    planted.store(
        ledger,
        planted.told("transaction.started", data_of(), sequence=1),
        planted.told("transaction.completed", data_of(), sequence=2),
    )
    planted.receipt(ledger, payment, 3, "merchant", "POS 签购单\n622202******1234")
    with ledger.write() as connection:
        number, _ = open_for(connection, Kind.OTHER, payment, now_us=NOW_US, transaction=payment)
    body = viewer.get(f"/api/transactions/{payment}").json()
    assert [event["type"] for event in body["events"]] == ["transaction.started", "transaction.completed"]
    assert body["events"][0]["id"] == "cashier-01:e1:1"
    assert body["receipts"][0]["text"] == ["POS 签购单", "622202******1234"]
    assert body["amount"] == 3550
    assert body["cases"] == [number]
    missing = viewer.get("/api/transactions/01NOSUCHTHING")
    assert missing.status_code == 404
    assert "01NOSUCHTHING" in missing.json()["detail"]


def test_agents_tell_what_is_stored_and_what_is_missing(
    ledger: Ledger, viewer: httpx.Client, clock: FixedClock
) -> None:
    planted.agent(ledger, "cashier-01", gaps=[[11, 12], [15, 15]])
    planted.agent(ledger, "cashier-02", online=False)
    planted.agent(ledger, "cashier-03", last_seen_us=NOW_US - 3600_000_000, site="west")
    first, second, third = viewer.get("/api/agents").json()["items"]
    assert (first["agent"], first["sequence"], first["gaps"], first["missing"]) == (
        "cashier-01", 10, [[11, 12], [15, 15]], 3,
    )  # fmt: skip
    assert (first["online"], first["stale"]) == (True, False)
    assert (second["online"], second["stale"]) == (False, False)
    assert (third["online"], third["stale"]) == (True, True)
    one = viewer.get("/api/agents?limit=2").json()
    two = viewer.get("/api/agents", params={"limit": 2, "cursor": one["next"]}).json()
    assert [item["agent"] for item in one["items"] + two["items"]] == ["cashier-01", "cashier-02", "cashier-03"]
    assert two["next"] is None
    assert [item["agent"] for item in viewer.get("/api/agents?site=west").json()["items"]] == ["cashier-03"]
    links = viewer.get("/api/terminals").json()["items"]
    assert [(link["agent"], link["link"], link["stale"]) for link in links] == [
        ("cashier-01", "up", False), ("cashier-02", "up", False), ("cashier-03", "up", True),
    ]  # fmt: skip
    clock.advance(minutes=10)
    assert all(item["stale"] for item in viewer.get("/api/agents").json()["items"])


def test_a_case_is_worked_through_the_api(
    ledger: Ledger, program: Callable[[Role], httpx.Client], access: Access
) -> None:
    access.invite(CONSOLE, "wang", Role.OPERATIONS)
    payment = plant(ledger, **UNKNOWN)
    operations, viewer = program(Role.OPERATIONS), program(Role.VIEWER)
    made = operations.post("/api/cases", json={"transaction": payment, "note": "bank statement shown"})
    assert made.status_code == 201, made.text
    path = f"/api/cases/{made.json()['number']}"
    assert operations.put(f"{path}/owner", json={"owner": "wang"}).json()["owner"] == "wang"
    due = operations.put(f"{path}/due", json={"due": "2026-03-06T08:00:00+08:00"}).json()
    assert due["due"] == "2026-03-06T00:00:00.000Z"
    assert operations.post(f"{path}/notes", json={"text": "called the acquirer"}).status_code == 201
    waiting = operations.put(f"{path}/status", json={"status": "waiting_for_acquirer", "seen": 5}).json()
    assert (waiting["status"], waiting["entries"], waiting["broken_at"]) == ("waiting_for_acquirer", 6, None)
    late = operations.put(f"{path}/status", json={"status": "closed", "reason": "booked", "seen": 5})
    assert late.status_code == 409
    assert operations.put(f"{path}/status", json={"status": "refunded"}).status_code == 400
    for bad in ({"status": "nonsense"}, {"status": "closed", "why": "x"}, {}):
        assert operations.put(f"{path}/status", json=bad).status_code == 422
    for method, tail, body in (
        ("PUT", "/status", {"status": "open"}), ("PUT", "/owner", {"owner": None}), ("POST", "/notes", {"text": "x"}),
    ):  # fmt: skip
        assert viewer.request(method, path + tail, json=body).status_code == 403
    closed = operations.put(f"{path}/status", json={"status": "closed", "reason": "not_charged"}).json()
    assert [entry["action"] for entry in closed["history"]][-1] == "status"
    assert viewer.get("/api/cases?open=true").json()["items"] == []
    assert [case["status"] for case in viewer.get("/api/cases?kind=other&owner=wang").json()["items"]] == ["closed"]
    assert viewer.get("/api/cases/999").status_code == 404
    assert viewer.get("/api/cases/abc").status_code == 422


def test_a_browser_needs_the_csrf_token_to_write(ledger: Ledger, browser: Callable[[Role], httpx.Client]) -> None:
    payment = plant(ledger)
    li = browser(Role.OPERATIONS)
    body = {"transaction": payment, "note": "x"}
    assert li.post("/api/cases", json=body).status_code == 201
    del li.headers["X-CSRF-Token"]
    assert li.post("/api/cases", json=body).status_code == 403
    assert li.get("/api/cases").status_code == 200


def test_the_description_of_the_api_is_true_of_what_it_answers(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    for path in (
        "/api/health", "/api/transactions", "/api/transactions/{id}", "/api/agents", "/api/terminals", "/api/cases",
        "/api/cases/{number}", "/api/events", "/metrics",
    ):  # fmt: skip
        assert path in document["paths"], path
    names = {parameter["name"] for parameter in document["paths"]["/api/transactions"]["get"]["parameters"]}
    assert names == {
        "since", "until", "site", "agent", "terminal", "outcome", "pending", "last4", "amount", "trace", "order",
        "limit", "cursor",
    }  # fmt: skip
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "https://" not in client.get("/openapi.json").text.replace("https://json-schema.org", "")


def test_what_fails_inside_tells_nothing_of_it(
    viewer: httpx.Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr("collector.ledger.lookup.find", broken)
    failed = viewer.get("/api/transactions")
    assert failed.status_code == 500
    assert "secret inside" not in failed.text
    assert "number" in failed.json()["detail"]
