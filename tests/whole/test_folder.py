"""A folder of request and result files instead of a line: what stands in them is what the broker gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.subscriber import Subscriber
from tests.whole.stand import Stand

FRAMES = Path(__file__).parent.parent / "data" / "cn_frames.json"
PAN = b"6200000000000005"
REQUEST = (
    b"05,000000012850,        ,        ,               ,POS00019            ,811615              ,%s,,  \r\n" % PAN
)


def result() -> bytes:
    """ICBC's approval of 128.50, as the DLL's service writes it."""
    cases = json.loads(FRAMES.read_text(encoding="utf-8"))["cases"]
    return next(bytes.fromhex(case["hex"]) for case in cases if case["id"] == "icbc-keeper-ok") + b"\r\n"


@pytest.fixture
def mis(tmp_path: Path) -> Path:
    """The folder that the cashier application and the DLL share."""
    folder = tmp_path / "bankmis"
    folder.mkdir()
    return folder


def nothing_secret(stand: Stand, mis: Path, subscriber: Subscriber) -> None:
    assert PAN.decode() not in repr(subscriber.messages)
    for file in stand.folder.rglob("*"):
        if file.is_file() and mis not in file.parents:
            assert PAN not in file.read_bytes(), file


def test_a_result_file_alone_becomes_a_transaction(stand: Stand, mis: Path) -> None:
    stand.terminal("pos1", "keeper-csv", f"file:{mis}/result.txt", "none")
    (mis / "result.txt").write_bytes(b"05,yesterday's")
    with stand.subscriber() as subscriber:
        stand.start_agent()
        subscriber.await_type("terminal.connected")
        (mis / "request.txt").write_bytes(REQUEST)  # nobody listens to it
        (mis / "result.txt").write_bytes(result())
        paid = subscriber.await_type("transaction.completed")[0]["data"]
        declined = result().replace(b",00,", b",51,").replace(b"000010\r", b"000011\r").replace(b"A12345", b"      ")
        (mis / "result.txt").unlink()
        (mis / "result.txt").write_bytes(declined.replace(b"10000001", b"10000002"))
        refused = subscriber.await_type("transaction.completed", 2)[1]["data"]
        assert stand.stop_agent() == 0
        subscriber.await_type("agent.stopped")
        assert len(subscriber.of_type("transaction.started")) == 2
    assert (paid["kind"], paid["amount"], paid["currency"]) == ("purchase", 12850, "CNY")
    assert (paid["outcome"], paid["charged"], paid["delivered"], paid["final"]) == ("approved", "yes", "unknown", True)
    assert (paid["trace"], paid["reference"], paid["approval_code"]) == ("000010", "10000001", "A12345")
    assert (paid["terminal_id"], paid["card"]["masked"]) == ("020000001234567", "622000*********0012")
    assert paid["response_text"]["zh-CN"] == "承兑，交易成功"
    assert (refused["outcome"], refused["charged"], refused["response_code"]) == ("declined", "no", "51")
    assert (mis / "request.txt").read_bytes() == REQUEST


def test_both_files_show_the_payment_from_its_request_on(stand: Stand, mis: Path) -> None:
    stand.terminal("pos1", "keeper-csv", f"file:{mis}/result.txt", f"file:{mis}/request.txt")
    with stand.subscriber() as subscriber:
        stand.start_agent()
        subscriber.await_type("terminal.connected")
        (mis / "request.txt").write_bytes(REQUEST)
        begun = subscriber.await_type("transaction.started")[0]["data"]
        (mis / "result.txt").write_bytes(result())
        paid = subscriber.await_type("transaction.completed")[0]["data"]
        assert stand.stop_agent() == 0
        nothing_secret(stand, mis, subscriber)
    assert (begun["kind"], begun["amount"], begun["outcome"]) == ("purchase", 12850, "unknown")
    assert (paid["transaction"], paid["outcome"], paid["charged"]) == (begun["transaction"], "approved", "yes")
    assert sorted(file.name for file in mis.iterdir()) == ["request.txt", "result.txt"]
