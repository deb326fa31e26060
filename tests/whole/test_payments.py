"""The main job: a foreign cashier application pays through the virtual port, a foreign subscriber sees it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent.demo.cashier import Manner, NoAnswer, pay_zvt
from tests.broker import free_port
from tests.subscriber import Subscriber
from tests.waits import until
from tests.whole.cashiers import pay
from tests.whole.stand import CARD, MASKED, Stand


def no_gap(subscriber: Subscriber) -> None:
    numbers = [event["sequence"] for event in subscriber.events]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len({event["epoch"] for event in subscriber.events}) == 1


def no_card_in(folder: Path) -> None:
    """The full number is in no file, as text, hex, BCD or UTF-16 (a simulated terminal's own log included)."""
    forms = [CARD.encode(), CARD.encode("utf-16-le"), bytes.fromhex(CARD), CARD.encode().hex().encode()]
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(form in content for form in forms), file


def test_approved_declined_and_silent_payments_of_a_foreign_application(stand: Stand) -> None:
    device = stand.simulate("concert", "--scenario", "approve,decline,silent", "--think", "0.1")
    stand.terminal("pos1", "concert", device)
    with stand.subscriber() as subscriber:
        stand.start_agent()
        approved = pay(stand.port(), 12.34)
        assert approved is not None
        assert approved.has_succeeded
        assert approved.card_id == CARD  # the application gets the line's bytes as they are
        declined = pay(stand.port(), 5.0)
        assert declined is not None
        assert not declined.has_succeeded
        assert pay(stand.port(), 7.5, patience_s=1) is None
        done = [event["data"] for event in subscriber.await_type("transaction.completed", 2)]
        doubt = subscriber.await_type("transaction.pending")[0]["data"]
        started = subscriber.await_type("transaction.started", 3)
        no_gap(subscriber)
    assert [event["data"]["amount"] for event in started] == [1234, 500, 750]
    first, second = done
    assert (first["outcome"], first["charged"], first["delivered"], first["final"]) == ("approved", "yes", "yes", True)
    assert (first["kind"], first["amount"], first["currency"]) == ("purchase", 1234, "EUR")
    assert first["card"] == {"masked": MASKED, "scheme": "Visa"}
    assert (first["response_code"], first["reason"]) == ("0", None)
    assert first["response_text"]["zh-CN"]
    assert (second["outcome"], second["charged"], second["delivered"]) == ("declined", "no", "yes")
    assert (doubt["outcome"], doubt["charged"], doubt["final"]) == ("unknown", "unknown", False)
    assert doubt["reason"] == "cashier_closed"
    assert subscriber.events[0]["type"] == "agent.started"
    assert stand.stop_agent() == 0
    no_card_in(stand.folder)


def test_a_receipt_and_all_facts_of_a_zvt_payment_on_tcp(stand: Stand) -> None:
    device = stand.simulate("zvt", "--scenario", "approve,cancel", "--think", "0.1", "--framing", "none", tcp=True)
    port = free_port()
    stand.terminal("pos1", "zvt", device, f"tcp:127.0.0.1:{port}")
    with stand.subscriber() as subscriber:
        stand.start_agent()
        assert until(lambda: pay_when_up(port, 11000)) == "00"
        assert until(lambda: pay_when_up(port, 500)) == "6C"
        done = [event["data"] for event in subscriber.await_type("transaction.completed", 2)]
        receipts = [event["data"] for event in subscriber.await_type("receipt.captured", 2)]
    assert (done[0]["outcome"], done[0]["amount"], done[0]["trace"]) == ("approved", 11000, "000001")
    assert done[0]["terminal_id"] == "12345678"
    assert done[0]["card"]["masked"] == MASKED
    assert re.fullmatch(r"\d\d-\d\d \d\d:\d\d:\d\d", done[0]["terminal_time"])
    assert (done[1]["outcome"], done[1]["charged"], done[1]["response_code"]) == ("cancelled", "no", "6C")
    assert {receipt["receipt_kind"] for receipt in receipts} == {"merchant", "customer"}
    assert {receipt["transaction"] for receipt in receipts} == {done[0]["transaction"]}
    assert any("KUNDENBELEG" in receipt["text"] for receipt in receipts)
    shown = stand.tillwatch("show", done[0]["transaction"])
    assert "KUNDENBELEG" in shown.stdout
    assert MASKED in shown.stdout
    no_card_in(stand.folder)


def pay_when_up(port: int, amount: int) -> str | None:
    """Pay over TCP; None while the terminal is not there yet."""
    try:
        return pay_zvt(("127.0.0.1", port), amount, Manner.PROPER, 3)
    except (OSError, NoAnswer):
        return None


def test_an_application_that_insists_on_7e1_pays_all_the_same(stand: Stand) -> None:
    device = stand.simulate("concert", "--think", "0.1")
    stand.terminal("pos1", "concert", device, more='bytesize = 7\nparity = "E"')
    stand.start_agent()
    for times in (1, 2, 3):
        answer = pay(stand.port(), 3.0, native=True)
        assert answer is not None
        assert answer.has_succeeded
        until(lambda times=times: stand.log.count('"port.closed"') == times)


def test_several_terminals_on_one_pc(stand: Stand) -> None:
    for name in ("pos1", "pos2", "pos3"):
        stand.terminal(name, "concert", stand.simulate("concert", "--think", "0.05", name=name))
    with stand.subscriber() as subscriber:
        stand.start_agent()
        for number, name in enumerate(("pos1", "pos2", "pos3"), 1):
            answer = pay(stand.port(name), float(number))
            assert answer is not None
        done = [event["data"] for event in subscriber.await_type("transaction.completed", 3)]
        assert [(data["terminal"], data["amount"]) for data in done] == [("pos1", 100), ("pos2", 200), ("pos3", 300)]
        no_gap(subscriber)
    assert [event["source"] for event in subscriber.of_type("transaction.completed")] == [
        f"/outpatient-1/cashier-07/pos{number}" for number in (1, 2, 3)
    ]


def test_an_answer_that_nobody_acknowledges_is_told_as_undelivered(stand: Stand) -> None:
    device = stand.simulate("concert", "--think", "0.1")
    stand.terminal("pos1", "concert", device)
    from agent.demo.cashier import pay_concert

    with stand.subscriber() as subscriber:
        stand.start_agent()
        pay_concert(stand.port(), 4200, Manner.NO_ACK, 5)
        told = subscriber.await_type("transaction.undelivered")[0]
        done = subscriber.of_type("transaction.completed")[0]
    assert (told["data"]["outcome"], told["data"]["charged"], told["data"]["delivered"]) == ("approved", "yes", "no")
    assert told["data"]["reason"] in ("answer_timeout", "cashier_closed")
    assert done["sequence"] == told["sequence"] - 1


def test_state_is_retained_and_tells_of_each_terminal(stand: Stand) -> None:
    device = stand.simulate("concert", "--think", "0.1")
    stand.terminal("pos1", "concert", device)
    stand.start_agent()
    pay(stand.port(), 1.0)
    with stand.subscriber() as subscriber:
        until(lambda: subscriber.state and subscriber.state["terminals"]["pos1"]["last_frame_at"])
        state = subscriber.state
        assert state is not None
        assert {"online", "agent", "site", "version", "since", "terminals", "pending", "outbox", "sequence"} <= set(
            state
        )
        assert state["online"] is True
        assert state["terminals"]["pos1"]["link"] == "up"
        assert stand.stop_agent() == 0
        until(lambda: subscriber.state and subscriber.state["online"] is False)
        assert subscriber.of_type("agent.stopped")


@pytest.mark.parametrize(
    "words", [("status",), ("transactions",), ("transactions", "--amount", "12.34", "--last4", "4970")]
)
def test_the_verbs_for_people_answer_in_text_and_json(stand: Stand, words: tuple[str, ...]) -> None:
    stand.terminal("pos1", "concert", stand.simulate("concert", "--think", "0.05"))
    stand.start_agent()
    pay(stand.port(), 12.34)
    until(lambda: '"transaction.completed"' in stand.log)
    plain, machine = stand.tillwatch(*words), stand.tillwatch(*words, "--json")
    assert (plain.returncode, machine.returncode) == (0, 0), plain.stderr
    assert "pos1" in plain.stdout
    for line in machine.stdout.splitlines():
        assert isinstance(json.loads(line), dict)
    assert CARD not in plain.stdout + machine.stdout


def test_nothing_found_and_nothing_running_have_their_exit_codes(stand: Stand) -> None:
    stand.terminal("pos1", "concert", "serial:/dev/nothing")
    never = stand.tillwatch("transactions")
    assert (never.returncode, len(never.stderr.splitlines())) == (3, 1)
    assert stand.tillwatch("status").returncode == 3
    stand.start_agent()
    assert stand.tillwatch("transactions").returncode == 1
    assert stand.tillwatch("show", "01NOTHING").returncode == 1
    assert stand.tillwatch("transactions", "--since", "soon").returncode == 2
    assert stand.tillwatch("status").returncode == 1  # the terminal is not there
