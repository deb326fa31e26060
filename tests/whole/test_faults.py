"""What breaks: agent, bridge, broker, device, disk. The bytes pass, and nothing is lost or told twice."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import serial

from agent.bridge.wire import SOCKET_NAME
from tests.waits import until
from tests.whole.cashiers import pay
from tests.whole.stand import Stand, alive


def test_kill_9_of_the_agent_in_mid_payment(stand: Stand) -> None:
    """The cashier gets the approval while no agent lives; the next agent journals and publishes it, once."""
    stand.terminal("pos1", "concert", stand.simulate("concert", "--think", "1.5"))
    with stand.subscriber() as subscriber:
        stand.start_agent()
        bridge = stand.bridge_pid()
        result: list[object] = []
        payer = threading.Thread(target=lambda: result.append(pay(stand.port(), 12.34)))
        payer.start()
        subscriber.await_type("transaction.started")
        stand.kill_agent()
        payer.join(20)
        assert result[0] is not None
        assert result[0].has_succeeded  # type: ignore[attr-defined]
        assert not subscriber.of_type("transaction.completed")
        stand.start_agent()
        done = subscriber.await_type("transaction.completed")[0]
        assert (done["data"]["outcome"], done["data"]["delivered"]) == ("approved", "yes")
        assert stand.bridge_pid() == bridge
        pay(stand.port(), 1.0)
        subscriber.await_type("transaction.completed", 2)
        outcomes = [event["id"] for event in subscriber.of_type("transaction.completed")]
        assert len(outcomes) == len(set(outcomes)) == 2  # what was sent at the kill itself may come twice, by one id
        numbers = sorted({event["sequence"] for event in subscriber.events})
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_clean_stop_ends_the_bridge_and_a_crash_leaves_it(stand: Stand) -> None:
    stand.terminal("pos1", "concert", stand.simulate("concert"))
    stand.start_agent()
    bridge = stand.bridge_pid()
    stand.kill_agent()
    assert alive(bridge)
    stand.start_agent()
    assert stand.bridge_pid() == bridge
    assert stand.stop_agent() == 0
    assert not alive(bridge)
    assert not os.path.lexists(stand.port())
    assert not (stand.run_dir / SOCKET_NAME).exists()


def test_random_bytes_cross_unmodified_with_the_agent_killed_and_the_broker_down(stand: Stand) -> None:
    far = _Pty(stand.folder / "far")
    stand.terminal("pos1", "concert", f"serial:{far.link}")
    stand.start_agent()
    until(lambda: '"link.up"' in stand.log)
    assert stand.broker is not None
    stand.broker.kill()
    stand.kill_agent()
    with serial.Serial(str(stand.port()), 9600, timeout=20) as near:
        for size in (1, 1000, 50_000):
            data = os.urandom(size)
            writer = threading.Thread(target=near.write, args=(data,))
            writer.start()
            assert far.read(size) == data
            writer.join()
            writer = threading.Thread(target=far.write, args=(data,))
            writer.start()
            assert near.read(size) == data
            writer.join()
    far.close()
    stand.start_agent()  # so that the bridge has an owner who ends it


def test_the_agent_starts_a_new_bridge_when_its_own_was_killed(stand: Stand) -> None:
    stand.terminal("pos1", "concert", stand.simulate("concert", "--think", "0.1"))
    with stand.subscriber() as subscriber:
        stand.start_agent()
        subscriber.await_type("terminal.connected")  # else nobody knew that it was connected
        os.kill(stand.bridge_pid(), signal.SIGKILL)
        subscriber.await_type("terminal.disconnected")
        subscriber.await_type("terminal.connected", 2)
        answer = until(lambda: _try_to_pay(stand), 60, "payment through the new bridge")
        assert answer.has_succeeded  # type: ignore[attr-defined]
        subscriber.await_type("transaction.completed")


def _try_to_pay(stand: Stand) -> object:
    try:
        return pay(stand.port(), 2.0, patience_s=5)
    except (OSError, AssertionError):
        return None


def test_a_broker_that_was_down_gets_everything_afterwards(stand: Stand) -> None:
    stand.terminal("pos1", "concert", stand.simulate("concert", "--think", "0.05"))
    assert stand.broker is not None
    stand.start_agent()
    until(lambda: '"mqtt.connected"' in stand.log)
    stand.broker.kill()
    for amount in (1.0, 2.0, 3.0):
        assert pay(stand.port(), amount) is not None
    until(lambda: stand.log.count('"transaction.completed"') == 3)
    stand.broker.start()
    with stand.subscriber() as subscriber:
        pay(stand.port(), 4.0)
        until(lambda: any(e["data"].get("amount") == 400 for e in subscriber.of_type("transaction.completed")), 70)
    rows = sqlite3.connect(stand.folder / "state/journal.sqlite")
    until(lambda: rows.execute("SELECT acknowledged FROM outbox").fetchone()[0] >= 9)
    rows.close()


def test_a_terminal_that_reboots_in_mid_payment_leaves_a_doubt_and_comes_back(stand: Stand) -> None:
    device = stand.simulate("concert", "--scenario", "reboot,approve", "--think", "0.2", "--reboot", "1")
    stand.terminal("pos1", "concert", device)
    with stand.subscriber() as subscriber:
        stand.start_agent()
        assert pay(stand.port(), 9.99, patience_s=2) is None
        doubt = subscriber.await_type("transaction.pending")[0]["data"]
        assert doubt["reason"] == "link_lost"
        subscriber.await_type("terminal.connected", 2)
        answer = until(lambda: _try_to_pay(stand), 60, "payment after the reboot")
        assert answer.has_succeeded  # type: ignore[attr-defined]
        state = until(lambda: subscriber.state if subscriber.state and subscriber.state["pending"] == 1 else None)
        assert state["terminals"]["pos1"]["link"] == "up"


def test_a_missing_device_is_one_line_and_comes_up_when_plugged_in(stand: Stand) -> None:
    stand.terminal("pos1", "concert", f"serial:{stand.folder}/pos1-terminal")
    with stand.subscriber() as subscriber:
        stand.start_agent()
        fault = subscriber.await_type("terminal.fault")[0]["data"]
        assert (fault["link"], fault["reason"]) == ("down", "not_found")
        until(lambda: subscriber.state and subscriber.state["terminals"]["pos1"]["link"] == "down")
        lines = [line for line in stand.log.splitlines() if '"link.down"' in line]
        assert len(lines) == 1
        assert "keeps trying" in lines[0]
        stand.simulate("concert", "--think", "0.05")
        subscriber.await_type("terminal.connected")
        assert pay(stand.port(), 1.0) is not None


_HOLDER = (
    "import serial, sys; s = serial.Serial(sys.argv[1], exclusive=True); print('held', flush=True); sys.stdin.read()"
)


def test_a_busy_device_names_who_holds_it(stand: Stand) -> None:
    device = stand.simulate("concert")
    path = device.removeprefix("serial:")
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    stand.terminal("pos1", "concert", device)
    with stand.subscriber() as subscriber:
        stand.start_agent(ready=False)
        fault = subscriber.await_type("terminal.fault")[0]["data"]
        assert fault["reason"] == "busy"
        assert f"pid {holder.pid} (python" in fault["detail"]
        holder.stdin.close()
        holder.stdout.close()
        holder.wait()
        subscriber.await_type("terminal.connected")


def test_a_disk_that_refuses_loses_nothing(stand: Stand) -> None:
    stand.terminal("pos1", "concert", stand.simulate("concert", "--think", "0.05"))
    with stand.subscriber() as subscriber:
        stand.start_agent()
        until(lambda: '"terminal.connected"' in stand.log)
        disk = sqlite3.connect(stand.folder / "state/journal.sqlite", isolation_level=None, timeout=10)
        disk.execute("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
        answer = pay(stand.port(), 6.0)
        assert answer is not None
        assert answer.has_succeeded
        until(lambda: '"journal.failed"' in stand.log)
        disk.execute("DROP TRIGGER full")
        disk.close()
        done = subscriber.await_type("transaction.completed", seconds=40)[0]["data"]
        assert (done["outcome"], done["amount"]) == ("approved", 600)
        assert subscriber.await_type("agent.fault")[0]["data"]["reason"] == "journal_failed"
        assert len(subscriber.of_type("transaction.started")) == 1


def test_two_agents_do_not_share_a_journal(stand: Stand) -> None:
    stand.terminal("pos1", "concert", "serial:/dev/nothing")
    stand.start_agent()
    second = stand.tillwatch("run")
    assert second.returncode == 3
    assert len(second.stderr.splitlines()) == 1
    assert "another agent holds" in second.stderr


def test_a_bad_configuration_stops_before_any_device_with_one_line(stand: Stand) -> None:
    stand.terminal("pos1", "concert", "serial:/dev/nothing", more="baudrat = 9600")
    for verb in ("run", "bridge", "status"):
        refused = stand.tillwatch(verb)
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
        assert str(stand.config) in refused.stderr
        assert "baudrat" in refused.stderr
        assert "baudrate" in refused.stderr
    assert not stand.run_dir.exists()


class _Pty:
    """The other end of a line, played by the test."""

    def __init__(self, link: Path) -> None:
        import pty
        import tty

        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.link = link
        link.symlink_to(os.ttyname(self.slave))

    def read(self, size: int) -> bytes:
        data = b""
        deadline = time.monotonic() + 20
        while len(data) < size and time.monotonic() < deadline:
            if select.select([self.master], [], [], 1)[0]:
                data += os.read(self.master, size - len(data))
        return data

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.master, data) :]

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)
