"""Papers through the server: who may have them, in which language, and that it is written down."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import httpx

from collector.access.roles import Role
from collector.cases import Kind, open_for
from collector.ledger import Ledger, audit, cases
from tests.collector import planted
from tests.collector.conftest import ONE_DATABASE
from tests.collector.planted import NOW_US, data_of, plant

pytestmark = ONE_DATABASE


def test_the_patients_proof_is_printed_by_who_may(ledger: Ledger, program: Callable[[Role], httpx.Client]) -> None:
    payment = plant(ledger, delivered="no", reason="cashier_closed")
    planted.store(ledger, planted.told("transaction.completed", data_of(1)))
    lead = program(Role.CASHIER_LEAD)
    page = lead.get(f"/api/transactions/{payment}/proof?language=zh-CN")
    assert page.status_code == 200, page.text
    assert 'lang="zh-CN"' in page.text
    assert "First Hospital" in page.text
    assert "35.50 CNY" in page.text
    assert "010-5550" in page.text
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "'sha256-" in page.headers["content-security-policy"]
    assert "Paid, not yet booked" in lead.get(f"/api/transactions/{payment}/proof?language=en").text
    assert lead.get(f"/api/transactions/{payment}/proof?language=fr").status_code == 400
    assert lead.get("/api/transactions/nothing/proof").status_code == 404
    assert program(Role.VIEWER).get(f"/api/transactions/{payment}/proof").status_code == 403
    with ledger.read() as connection:
        printed = audit.entries(connection, action="proof.printed")
    assert [entry.object for entry in printed] == [payment, payment]


def test_a_package_is_handed_out_and_stands_in_the_history(
    ledger: Ledger, program: Callable[[Role], httpx.Client]
) -> None:
    payment = plant(ledger)
    with ledger.write() as connection:
        number, _ = open_for(connection, Kind.UNDELIVERED, payment, now_us=NOW_US, transaction=payment)
    operations = program(Role.OPERATIONS)
    got = operations.get(f"/api/cases/{number}/package")
    assert got.status_code == 200
    assert got.headers["content-type"] == "application/zip"
    assert f"tillwatch-case-{number}-" in got.headers["content-disposition"]
    assert zipfile.ZipFile(io.BytesIO(got.content)).testzip() is None
    with ledger.read() as connection:
        assert [entry.action for entry in cases.history(connection, number)] == ["opened", "exported"]
    assert program(Role.CASHIER_LEAD).get(f"/api/cases/{number}/package").status_code == 403
    assert operations.get("/api/cases/999/package").status_code == 404
    planted.receipt(ledger, payment, 9, "merchant", "6222021234567890128")
    refused = operations.get(f"/api/cases/{number}/package")
    assert refused.status_code == 409
    assert "6222021234567890128" not in refused.text
