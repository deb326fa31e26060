"""No payment stays unknown: real terminals' line, real agent, real broker; the cashier does nothing about it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.broker import free_port
from tests.waits import until
from tests.whole.cashiers import pay, pay_zvt_serial, pay_zvt_tcp
from tests.whole.stand import MASKED, Stand

SOON = '[terminal.confirm]\nfirst_delay = "0.2s"\nquiet = "0.2s"\n'
LATER = '[terminal.confirm]\nfirst_delay = "60s"\nquiet = "0.2s"\n'
ASK = 'policy = "ask"\n'


def zvt_over_tcp(stand: Stand, *options: str, confirm: str = SOON) -> str:
    """A ZVT terminal behind the agent, both ways TCP; returns the cashier's address."""
    cashier = f"127.0.0.1:{free_port()}"
    device = stand.simulate("zvt", "--think", "0.1", *options, tcp=True)
    stand.terminal("pos1", "zvt", device, cashier=f"tcp:{cashier}", more=f'currency = "EUR"\n{confirm}')
    return cashier


def test_a_zvt_terminal_that_lost_its_answer_is_asked_and_tells(stand: Stand) -> None:
    cashier = zvt_over_tcp(stand, "--scenario", "lost,approve")
    with stand.subscriber() as subscriber:
        stand.start_agent()
        assert pay_zvt_tcp(cashier, 3550, patience_s=1.5) is None
        doubt = subscriber.await_type("transaction.pending")[0]["data"]
        known = subscriber.await_type("transaction.confirmed")[0]["data"]
        undelivered = subscriber.await_type("transaction.undelivered")[0]["data"]
        receipts = subscriber.await_type("receipt.captured", 2)
        assert pay_zvt_tcp(cashier, 100) == "00"
        subscriber.await_type("transaction.completed")
    assert (doubt["outcome"], doubt["reason"], doubt["amount"]) == ("unknown", "cashier_closed", 3550)
    assert known["transaction"] == doubt["transaction"] == undelivered["transaction"]
    assert (known["outcome"], known["charged"], known["delivered"]) == ("approved", "yes", "no")
    assert (known["how"], known["attempts"], known["final"]) == ("repeat_receipt", 1, True)
    assert known["card"]["masked"] == MASKED
    assert {receipt["data"]["transaction"] for receipt in receipts} == {known["transaction"]}


def test_a_zvt_terminal_on_a_serial_line_too(stand: Stand) -> None:
    device = stand.simulate("zvt", "--think", "0.1", "--scenario", "lost,approve")
    stand.terminal("pos1", "zvt", device, more=SOON)
    with stand.subscriber() as subscriber:
        stand.start_agent()
        assert not pay_zvt_serial(stand.port(), 3550, patience_s=1)
        known = subscriber.await_type("transaction.confirmed")[0]["data"]
        assert (known["outcome"], known["charged"], known["how"]) == ("approved", "yes", "repeat_receipt")
        assert pay_zvt_serial(stand.port(), 100)
        done = subscriber.await_type("transaction.completed")[0]["data"]
        assert (done["outcome"], done["delivered"], done["amount"]) == ("approved", "yes", 100)


def test_a_payment_that_never_took_place_is_said_to_be_not_executed(stand: Stand) -> None:
    cashier = zvt_over_tcp(stand, "--scenario", "approve,silent")
    with stand.subscriber() as subscriber:
        stand.start_agent()
        assert pay_zvt_tcp(cashier, 800) == "00"
        subscriber.await_type("transaction.completed")
        assert pay_zvt_tcp(cashier, 3550, patience_s=1.5) is None
        known = subscriber.await_type("transaction.confirmed")[0]["data"]
        assert (known["outcome"], known["charged"], known["amount"]) == ("not_executed", "no", 3550)


def test_a_concert_terminal_of_a_site_that_allows_it_is_asked_for_its_duplicate(stand: Stand) -> None:
    device = stand.simulate("concert", "--scenario", "approve,lost", "--think", "0.1")
    stand.terminal("pos1", "concert", device, more=SOON + ASK)
    with stand.subscriber() as subscriber:
        stand.start_agent()
        assert pay(stand.port(), 8.0) is not None
        assert pay(stand.port(), 35.5, patience_s=1.5) is None
        known = subscriber.await_type("transaction.confirmed")[0]["data"]
        assert (known["outcome"], known["charged"], known["amount"]) == ("approved", "yes", 3550)
        assert subscriber.of_type("transaction.escalated") == []


def test_a_concert_terminal_is_only_watched_until_a_person_insists(stand: Stand) -> None:
    device = stand.simulate("concert", "--scenario", "approve,lost", "--think", "0.1")
    stand.terminal("pos1", "concert", device, more=SOON)
    with stand.subscriber() as subscriber:
        stand.start_agent()
        assert pay(stand.port(), 8.0) is not None
        assert pay(stand.port(), 35.5, patience_s=1.5) is None
        called = subscriber.await_type("transaction.escalated")[0]["data"]
        assert (called["reason"], called["call"], called["outcome"]) == ("not_supported", "final", "unknown")
        shown = stand.tillwatch("show", called["transaction"]).stdout
        assert "reason: the cashier application closed the port before the answer" in shown
        assert "handed to people, nothing is left to ask: the terminal can't be asked" in shown
        refused = stand.tillwatch("confirm", called["transaction"])
        assert refused.returncode == 1
        assert "--anyway" in refused.stderr
        asked = stand.tillwatch("confirm", called["transaction"], "--anyway")
        assert (asked.returncode, asked.stderr.count("\n")) == (0, 2)
        assert "approved" in asked.stdout
        subscriber.await_type("transaction.confirmed")


@pytest.mark.parametrize("moment", ["transaction.started", "transaction.pending", "confirm.asking", "confirm.lease"])
def test_an_agent_killed_at_any_step_finds_the_truth_all_the_same(stand: Stand, moment: str) -> None:
    cashier = zvt_over_tcp(stand, "--scenario", "lost,approve")
    with stand.subscriber() as subscriber:
        stand.start_agent()
        payer = threading.Thread(target=pay_zvt_tcp, args=(cashier, 3550, 1.5))
        payer.start()
        until(lambda: f'"{moment}"' in stand.log, what=moment)
        stand.kill_agent()
        payer.join()
        stand.start_agent()
        known = subscriber.await_type("transaction.confirmed")[0]["data"]
        assert (known["outcome"], known["charged"], known["how"]) == ("approved", "yes", "repeat_receipt")
        assert pay_zvt_tcp(cashier, 100) == "00"
        subscriber.await_type("transaction.completed")
        confirmed = {event["id"] for event in subscriber.of_type("transaction.confirmed")}
        pending = {event["id"] for event in subscriber.of_type("transaction.pending")}
        assert (len(confirmed), len(pending)) == (1, 1)


def test_the_same_amount_again_is_warned_of_before_the_terminal_answers(stand: Stand) -> None:
    cashier = zvt_over_tcp(stand, "--scenario", "lost,approve", confirm=LATER)
    with stand.subscriber() as subscriber:
        stand.start_agent()
        assert pay_zvt_tcp(cashier, 3550, patience_s=1.5) is None
        first = subscriber.await_type("transaction.pending")[0]["data"]["transaction"]
        assert pay_zvt_tcp(cashier, 3550) == "00"  # never blocked
        subscriber.await_type("transaction.completed")
        order = [event["type"] for event in subscriber.events if event["type"].startswith("transaction.")]
        assert order.index("transaction.warning") < order.index("transaction.completed")
        warning = subscriber.of_type("transaction.warning")[0]["data"]
        assert (warning["warning"], warning["related"]) == ("possible_double_charge", first)


def test_the_verbs_of_the_window(stand: Stand, tmp_path: Path) -> None:
    cashier = zvt_over_tcp(stand, "--scenario", "lost", confirm=LATER)
    stand.start_agent()
    assert pay_zvt_tcp(cashier, 3550, patience_s=1.5) is None
    until(lambda: '"transaction.pending"' in stand.log)
    (row,) = stand.tillwatch("transactions", "--pending", "--json").stdout.splitlines()
    which = json.loads(row)["transaction"]
    assert "asked again at" in stand.tillwatch("show", which).stdout
    page = tmp_path / "proof.html"
    assert stand.tillwatch("proof", which, "-o", str(page)).returncode == 0
    assert "Not known yet" in page.read_text(encoding="utf-8")
    again = stand.tillwatch("proof", which, "-o", str(page))
    assert (again.returncode, "--force" in again.stderr) == (1, True)
    assert stand.tillwatch("proof", which, "-o", str(tmp_path / "no/where.html")).returncode == 3
    asked = stand.tillwatch("confirm", which, "--json")
    assert asked.returncode == 0
    told = json.loads(asked.stdout)
    assert (told["confirm"], told["outcome"], told["charged"], told["how"]) == (
        "asking",
        "approved",
        "yes",
        "repeat_receipt",
    )
    assert stand.tillwatch("transactions", "--pending").returncode == 1
    shown = stand.tillwatch("show", which).stdout
    assert "the terminal showed its last transaction" in shown
    assert "book this payment by hand" in shown
    known = stand.tillwatch("confirm", which)  # asks nothing any more
    assert (known.returncode, known.stderr) == (0, "")
    assert stand.tillwatch("proof", which, "-o", str(page), "--force", "--language", "zh-CN").returncode == 0
    assert "已扣款，尚未入账" in page.read_text(encoding="utf-8")
    assert "497554******4970" in stand.tillwatch("proof", which, "-o", "-").stdout
    assert stand.stop_agent() == 0
    assert stand.tillwatch("confirm", "01NOTHING").returncode == 1


def test_without_an_agent_confirm_says_so(stand: Stand) -> None:
    cashier = zvt_over_tcp(stand, "--scenario", "lost", confirm=LATER)
    stand.start_agent()
    assert pay_zvt_tcp(cashier, 3550, patience_s=1.5) is None
    until(lambda: '"transaction.pending"' in stand.log)
    which = json.loads(stand.tillwatch("transactions", "--pending", "--json").stdout)["transaction"]
    assert stand.stop_agent() == 0
    nobody = stand.tillwatch("confirm", which)
    assert nobody.returncode == 3
    assert nobody.stderr.count("\n") == 1
