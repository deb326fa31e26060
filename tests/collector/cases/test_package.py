"""The escalation package: complete, verifiable, in both languages, and never with a card number."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from datetime import timedelta, timezone

import pytest

from collector.access.people import SYSTEM
from collector.cases import Kind, book, open_for
from collector.cases.chain import first_break
from collector.cases.evidence import Evidence, of_case
from collector.cases.package import CardInPackageError, Package, build
from collector.cases.scan import has_card
from collector.ledger import Ledger, cases
from collector.ledger.cases import Entry
from tests.collector import planted
from tests.collector.conftest import NOW, ONE_DATABASE
from tests.collector.planted import NOW_US, data_of, plant

pytestmark = ONE_DATABASE

LOCAL = NOW.astimezone(timezone(timedelta(hours=8)))
PAN = "6222021234567890128"


@pytest.fixture
def payment(ledger: Ledger) -> str:
    first = plant(ledger, 1, reason="link_lost", how="late_answer")
    planted.store(
        ledger,
        planted.told("transaction.started", data_of(1), sequence=1),
        planted.told("transaction.pending", data_of(1, outcome="unknown", reason="link_lost"), sequence=2),
    )
    planted.receipt(ledger, first, 3, "merchant", "商户存根 POS\n622202******1234 <b>&")
    planted.receipt(ledger, first, 4, "customer", "持卡人存根")
    return first


def evidence_of(ledger: Ledger, payment: str, kind: Kind = Kind.UNDELIVERED, **more: str) -> Evidence:
    with ledger.write() as connection:
        number, _ = open_for(
            connection, kind, payment, now_us=NOW_US, transaction=payment, amount=3550, currency="CNY", **more
        )
    with ledger.read() as connection:
        return of_case(connection, book.known(connection, number, lock=False))


def built(evidence: Evidence, language: str = "zh-CN") -> Package:
    return build(evidence, LOCAL, hospital="第一医院", contact="010-5550", language=language)


def unpacked(package: Package) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(package.content)) as archive:
        assert archive.testzip() is None
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}


def test_the_package_holds_everything_and_can_be_verified(ledger: Ledger, payment: str) -> None:
    second = plant(ledger, 2)
    evidence = evidence_of(ledger, payment, Kind.DOUBLE_CHARGE, related=second)
    files = unpacked(built(evidence))
    assert set(files) == {
        "application.en.html", "application.zh-CN.html", "evidence.json", "items.csv", "proof.html",
        "receipts/3-merchant.txt", "receipts/4-customer.txt", "SHA256SUMS",
    }  # fmt: skip
    for line in files["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(files[name]).hexdigest() == digest
    assert len(files["SHA256SUMS"].splitlines()) == len(files) - 1
    chinese, english = files["application.zh-CN.html"].decode(), files["application.en.html"].decode()
    assert "调账申请" in chinese
    assert "请退回重复扣款的金额" in chinese
    assert "refund the amount" in english
    for page in (chinese, english):
        assert "第一医院" in page
        assert "35.50 CNY" in page
        assert "240607100001" in page
        assert "240607100002" in page, "the other payment of the two"
        assert "622202******1234 &lt;b&gt;&amp;" in page
        assert "history." not in page, "no text is missing"
        assert "package." not in page
    rows = list(csv.DictReader(io.StringIO(files["items.csv"].decode("utf-8-sig"))))
    assert [(row["transaction"], row["trace"], row["amount"]) for row in rows] == [
        (payment, "000001", "3550"), (second, "000002", "3550"),
    ]  # fmt: skip
    told = json.loads(files["evidence.json"])
    assert [json.loads(event["body"])["type"] for event in told["transaction"]["events"]] == [
        "transaction.started", "transaction.pending",
    ]  # fmt: skip
    for event in told["transaction"]["events"]:
        assert hashlib.sha256(event["body"].encode()).hexdigest() == event["sha256"]
    history = [Entry(**entry) for entry in told["history"]]
    assert first_break(evidence.case, history) is None, "the receiver can check the chain"


def test_the_same_evidence_gives_the_same_bytes(ledger: Ledger, payment: str) -> None:
    evidence = evidence_of(ledger, payment)
    assert built(evidence).content == built(evidence).content


def test_a_case_without_a_payment_has_its_package_too(ledger: Ledger) -> None:
    with ledger.write() as connection:
        number, _ = open_for(connection, Kind.SETTLEMENT_MISMATCH, "a:e:9", now_us=NOW_US, site="east", detail={})
    with ledger.read() as connection:
        evidence = of_case(connection, book.known(connection, number, lock=False))
    files = unpacked(built(evidence))
    assert "proof.html" not in files
    assert "settlement" in files["application.en.html"].decode()


@pytest.mark.parametrize("written", [PAN, "6222 0212 3456 7890 128", "6222-0212-3456-7890-128", "4111111111111111"])
def test_nothing_leaves_with_a_card_number_in_it(ledger: Ledger, payment: str, written: str) -> None:
    planted.receipt(ledger, payment, 5, "merchant", f"CARD {written}")
    with pytest.raises(CardInPackageError, match="card number"):
        built(evidence_of(ledger, payment))


def test_a_card_number_in_the_history_is_seen_too(ledger: Ledger, payment: str) -> None:
    evidence = evidence_of(ledger, payment)
    with ledger.write() as connection:
        case = book.known(connection, evidence.case.number)
        book.write_down(connection, case, "note", {"text": PAN}, now_us=NOW_US, by=SYSTEM)
    with ledger.read() as connection:
        evidence = of_case(connection, book.known(connection, case.number, lock=False))
    with pytest.raises(CardInPackageError):
        built(evidence)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (PAN, True), ("4111 1111 1111 1111", True), ("track ;4111111111111111=2512", True),
        ("x4111111111111111x", True),
        ("4111111111111112", False), ("622202******0128", False), ("411111******1111", False),
        ("0000000000000000", False),
        ("1772699400000000", False), ("a" * 24 + "4111111111111111" + "b" * 24, False), ("4111111111111", False),
    ],
)  # fmt: skip
def test_what_counts_as_a_card_number(text: str, found: bool) -> None:
    assert has_card(text) is found


def test_an_order_number_is_no_card_number_although_it_looks_like_one(ledger: Ledger) -> None:
    payment = plant(ledger, 1, order="4111111111111111")
    assert built(evidence_of(ledger, payment)).content
    assert has_card("4111111111111111")


def test_a_card_number_in_the_field_of_the_order_is_found_by_the_mask_of_its_card(ledger: Ledger) -> None:
    card = {"masked": "411111******1111", "scheme": "Visa"}
    payment = plant(ledger, 1, order="4111111111111111", card=card)
    with pytest.raises(CardInPackageError):
        built(evidence_of(ledger, payment))


def test_a_cell_is_no_formula(ledger: Ledger) -> None:
    payment = plant(ledger, 1, order="=HYPERLINK(1)")
    rows = unpacked(built(evidence_of(ledger, payment)))["items.csv"].decode("utf-8-sig")
    assert ",=HYPERLINK" not in rows
    assert "'=HYPERLINK(1)" in rows


def test_cases_keep_no_trace_of_a_package_that_was_refused(ledger: Ledger, payment: str) -> None:
    planted.receipt(ledger, payment, 5, "merchant", PAN)
    evidence = evidence_of(ledger, payment)
    with pytest.raises(CardInPackageError):
        built(evidence)
    with ledger.read() as connection:
        assert [entry.action for entry in cases.history(connection, evidence.case.number)] == ["opened"]
