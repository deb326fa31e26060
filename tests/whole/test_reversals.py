"""A UnionPay terminal behind the agent: its answer is lost, it undoes the sale before the next one, and all know."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import serial

from drivers.driver import Scenario, Send, Simulation
from drivers.simulated.cup8583_host import SimulatedHost
from tests.waits import until
from tests.whole.stand import Stand

ENQ = b"\x05"


@contextmanager
def carrier(stand: Stand, host: SimulatedHost) -> Iterator[serial.Serial]:
    """What carries messages between the terminal and its host, at the agent's virtual port."""
    ended = threading.Event()
    with serial.Serial(str(stand.port()), 9600, timeout=0.02) as port:

        def carry() -> None:
            while not ended.is_set():
                data = port.read(4096)
                now = time.monotonic()
                for action in (*host.receive(data, now), *host.tick(now)):
                    if isinstance(action, Send):
                        port.write(action.data)

        thread = threading.Thread(target=carry)
        thread.start()
        try:
            yield port
        finally:
            ended.set()
            thread.join()


def test_a_lost_answer_is_settled_by_the_reversal_before_the_next_sale(stand: Stand) -> None:
    scenarios = (Scenario.LOST, Scenario.APPROVE)
    options = ("--scenario", "lost,approve", "--currency", "CNY", "--think", "0.2", "--late", "2")
    stand.terminal("pos1", "cup8583", stand.simulate("cup8583", *options), more='currency = "CNY"')
    host = SimulatedHost(Simulation(scenarios=scenarios, currency="CNY", think_s=0.1))
    with stand.subscriber() as subscriber:
        stand.start_agent()
        with carrier(stand, host) as port:
            port.write(ENQ)
            until(lambda: any(e["event"] == "silent" for e in stand.simulated()), what="the terminal gave up")
            assert host.charged == 12850
            stand.kill_agent()
            stand.start_agent()  # the doubt outlives the agent
            port.write(ENQ)
            until(lambda: any(e["event"] == "charged" for e in stand.simulated()), what="the next sale")
        second = subscriber.await_type("transaction.completed")[0]
        first = subscriber.await_type("transaction.confirmed")[0]
        assert host.charged == second["data"]["amount"] == 3550
        told = {name: first["data"][name] for name in ("outcome", "charged", "how", "trace", "amount")}
        assert told == {"outcome": "reversed", "charged": "no", "how": "reversal", "trace": "000001", "amount": 12850}
        assert (second["data"]["outcome"], second["data"]["delivered"]) == ("approved", "unknown")
    shown = stand.tillwatch("show", first["data"]["transaction"])
    assert "Not paid in the end: it was reversed" in shown.stdout
