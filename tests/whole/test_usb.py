"""Payments over a USB device without a tty: real agent, real bridge, real pyusb; only pyusb's backend is not real."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker import free_port
from tests.waits import until
from tests.whole.cashiers import pay_zvt_serial
from tests.whole.stand import MASKED, Stand

ROOT = Path(__file__).parents[2]


@pytest.fixture
def terminal(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """A ZVT terminal at the USB port: its first payment goes well, in its second one it starts anew."""
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("TILLWATCH_TEST_USB", address)
    log = stand.folder / "pos1-terminal.log"
    options = ("--scenario", "approve,reboot", "--think", "0.1", "--reboot", "1", "--framing", "serial")
    stand.spawn("simulate", "zvt", "--tcp", address, "--card", "4975541234514970", "--json", *options, log=log)
    until(lambda: log.exists() and "ready" in log.read_text(), what="simulated terminal")
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent / 'usb_bus'}:{ROOT}")
    stand.terminal("pos1", "zvt", "usb:11ca:0220", more='[terminal.confirm]\nfirst_delay = "0.2s"\nquiet = "0.2s"\n')
    return stand


def test_a_payment_over_usb_and_one_in_which_the_device_is_unplugged(terminal: Stand) -> None:
    with terminal.subscriber() as subscriber:
        terminal.start_agent()
        until(lambda: '"link.up"' in terminal.log, what="USB link up")
        assert pay_zvt_serial(terminal.port(), 3550)
        done = subscriber.await_type("transaction.completed")[0]["data"]
        assert not pay_zvt_serial(terminal.port(), 800, patience_s=3)
        gone = subscriber.await_type("terminal.disconnected")[0]["data"]
        pending = subscriber.await_type("transaction.pending")[0]["data"]
        subscriber.await_type("terminal.connected", 2)
        known = subscriber.await_type("transaction.confirmed")[0]["data"]
    assert (done["outcome"], done["delivered"], done["amount"]) == ("approved", "yes", 3550)
    assert done["card"]["masked"] == MASKED
    assert (gone["reason"], gone["device"]) == ("gone", "usb:11ca:0220")
    assert "the device is gone" in gone["detail"]
    assert (pending["reason"], pending["amount"]) == ("link_lost", 800)
    assert known["transaction"] == pending["transaction"]
    assert known["outcome"] in ("approved", "not_executed")
    assert terminal.stop_agent() == 0
