"""A terminal of which only the printer is heard: what it prints is what the broker gets."""

from __future__ import annotations

import os
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from tests.subscriber import Subscriber
from tests.whole.stand import Stand

SLIPS = Path(__file__).parent.parent / "data" / "receipts"
FULL_NUMBER = b"6200000000000005"  # the slip of a preauthorisation shows it, as terminals do


class Tap:
    """The printer's line: a pty that the agent reads and the terminal writes."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.device = f"serial:{os.ttyname(self._slave)}"

    def prints(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._master, data[:256]) :]

    def got(self, count: int) -> bytes:
        """What came at the device's other end, so many bytes of it."""
        data = b""
        while len(data) < count:
            data += os.read(self._master, count - len(data))
        return data

    def close(self) -> None:
        os.close(self._master)
        os.close(self._slave)


@pytest.fixture
def tap() -> Iterator[Tap]:
    tap = Tap()
    yield tap
    tap.close()


def slip(name: str) -> bytes:
    return next(SLIPS.glob(f"{name}_*.escpos"), *SLIPS.glob(f"{name}_*.gbk")).read_bytes()


def customer_copy(printed: bytes) -> bytes:
    merchant, customer = "商户存根".encode("gbk"), "持卡人存根".encode("gbk")
    assert merchant in printed
    return printed.replace(merchant, customer)


def no_full_number(folder: Path, subscriber: Subscriber) -> None:
    assert FULL_NUMBER.decode() not in repr(subscriber.messages)
    for file in folder.rglob("*"):
        if file.is_file():
            assert FULL_NUMBER not in file.read_bytes(), file


def test_a_printed_wechat_receipt_becomes_a_transaction_with_its_order_number(stand: Stand, tap: Tap) -> None:
    stand.terminal("pos1", "receipt", tap.device, "none", 'currency = "CNY"')
    with stand.subscriber() as subscriber:
        stand.start_agent()
        subscriber.await_type("terminal.connected")
        tap.prints(slip("06"))
        paid = subscriber.await_type("transaction.completed")[0]["data"]
        tap.prints(customer_copy(slip("06")))  # the same payment's second copy
        tap.prints(slip("08"))  # a reprint of something that we never saw; it ends by silence
        receipts = [event["data"] for event in subscriber.await_type("receipt.captured", 3)]
        assert stand.stop_agent() == 0
        subscriber.await_type("agent.stopped")
        assert len(subscriber.of_type("transaction.started")) == 1
        assert len(subscriber.of_type("transaction.completed")) == 1
    assert (paid["kind"], paid["amount"], paid["currency"]) == ("purchase", 3200, "CNY")
    assert (paid["outcome"], paid["charged"], paid["delivered"], paid["final"]) == ("approved", "yes", "unknown", True)
    assert paid["channel_order"] == "4200002188202406071234567890"
    assert paid["order"] == "1017202406070930150022"
    assert (paid["trace"], paid["batch"], paid["terminal_time"]) == ("000022", "000123", "2024-06-07 09:40:02")
    copies = [(receipt["receipt_kind"], receipt["transaction"]) for receipt in receipts]
    assert copies == [("merchant", paid["transaction"]), ("customer", paid["transaction"]), ("merchant", None)]
    assert "微信订单号:" in receipts[0]["text"]
    shown = stand.tillwatch("show", paid["transaction"]).stdout
    assert "持卡人存根" in shown
    assert "4200002188202406071234567890" in shown


def test_a_declined_one_an_alarm_and_the_end_of_the_day(stand: Stand, tap: Tap) -> None:
    stand.terminal("pos1", "receipt", tap.device, "none")
    with stand.subscriber() as subscriber:
        stand.start_agent()
        subscriber.await_type("terminal.connected")
        for name in ("05", "10", "09", "11"):
            tap.prints(slip(name) + b"\x1b@\x1dV\x00")
        settled = subscriber.await_type("settlement.completed")[0]["data"]
        preauthorised, refused = [event["data"] for event in subscriber.await_type("transaction.completed", 2)]
        alarm = subscriber.await_type("transaction.escalated")[0]["data"]
        warned = subscriber.await_type("transaction.warning")[0]["data"]
        subscriber.await_type("receipt.captured", 4)
    assert preauthorised["card"]["masked"] == "620000******0005"
    assert (preauthorised["kind"], preauthorised["amount"]) == ("preauthorisation", 500000)
    assert (refused["outcome"], refused["charged"], refused["response_code"]) == ("declined", "no", "51")
    assert (alarm["outcome"], alarm["amount"], alarm["final"]) == ("unknown", 45600, False)
    assert (warned["warning"], warned["transaction"]) == ("reversal_failed", alarm["transaction"])
    assert settled["balanced"] is True
    assert {"name": "domestic sale", "count": 12, "amount": 1234500, "kind": "purchase"} in settled["totals"]
    assert stand.stop_agent() == 0
    no_full_number(stand.folder, subscriber)


def test_what_the_cashier_application_prints_through_us_counts_as_well(stand: Stand, tap: Tap) -> None:
    stand.terminal("printer", "receipt", tap.device)
    with stand.subscriber() as subscriber:
        stand.start_agent()
        subscriber.await_type("terminal.connected")
        with serial.Serial(str(stand.port("printer"))) as application:
            application.write(slip("06"))
            assert tap.got(len(slip("06"))) == slip("06")  # the paper is the application's; a copy of it is ours
            paid = subscriber.await_type("transaction.completed")[0]["data"]
    assert paid["channel_order"] == "4200002188202406071234567890"
    assert stand.stop_agent() == 0


def test_a_line_that_nobody_understands_still_tells_its_receipts(stand: Stand, tap: Tap) -> None:
    stand.terminal("pos1", "sniffer", tap.device, "none")
    with stand.subscriber() as subscriber:
        stand.start_agent()
        subscriber.await_type("terminal.connected")
        tap.prints(b"\x05\x02unknown\x03\x00\x06" + slip("06"))
        paid = subscriber.await_type("transaction.completed")[0]["data"]
        receipt = subscriber.await_type("receipt.captured")[0]["data"]
    assert (paid["amount"], paid["channel_order"]) == (3200, "4200002188202406071234567890")
    assert receipt["transaction"] == paid["transaction"]
    assert "unknown" not in "".join(receipt["text"])
    assert stand.stop_agent() == 0
