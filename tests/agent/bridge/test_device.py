"""The device goes and comes back: found again by its name, told once, and nothing is ever delivered late."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from agent.bridge import wire
from tests.agent.bridge.rig import Rig, nothing_comes, read_exactly, write_all
from tests.broker import free_port
from tests.waits import until


def test_unplugged_and_plugged_in_again_under_another_node(rig: Rig) -> None:
    far = rig.far()
    rig.line(far.device)
    rig.start()
    near, listener = rig.open_port(), rig.tap(0)
    far.unplug()
    other = os.openpty()  # takes the number that has become free, so that the node is another one
    until(lambda: rig.state()["link"] == "down")
    far.plug()
    until(lambda: rig.state()["link"] == "up")
    os.write(near, b"pay")
    assert far.read(3) == b"pay"
    assert rig.state()["reopened"] == 1
    listener.settle()
    told = [body["link"] for body in listener.bodies(wire.LINK)]
    assert (told[0], told[1], told[-1]) == ("up", "down", "up")
    for descriptor in other:
        os.close(descriptor)


def test_each_reason_is_told_once_however_often_it_is_tried(rig: Rig) -> None:
    far = rig.far()
    rig.line(far.device)
    rig.start()
    listener = rig.tap(0)
    far.unplug()
    until(lambda: rig.state()["reason"] == "not_found")
    assert not nothing_comes(listener.tap.fileno(), 0.1)
    listener.pump(0.8)  # several tries
    listener.settle()
    told = [(body["link"], body["reason"]) for body in listener.bodies(wire.LINK)]
    assert told in ([("up", None), ("down", "gone"), ("down", "not_found")], [("up", None), ("down", "not_found")])
    assert len(rig.logged("link.down")) == len(told) - 1
    assert all("do" in line for line in rig.logged("link.down"))


def test_what_the_application_says_meanwhile_is_counted_and_never_delivered_late(rig: Rig) -> None:
    far = rig.far()
    rig.line(far.device)
    rig.start()
    near, listener = rig.open_port(), rig.tap()
    far.unplug()
    until(lambda: rig.state()["link"] == "down")
    os.write(near, b"PAY 12.34")
    until(lambda: rig.state()["dropped"] == 9)
    far.plug()
    until(lambda: rig.state()["link"] == "up")
    assert nothing_comes(far.master, 0.3)
    os.write(near, b"next")
    assert far.read(4) == b"next"
    until(lambda: listener.bodies(wire.DROPPED) == [{"bytes": 9}])
    listener.settle()
    assert b"PAY" not in b"".join(r.payload for r in listener.records() if r.kind != wire.CASHIER)
    until(lambda: listener.bytes(wire.CASHIER) == b"next")


def test_bytes_that_waited_for_the_device_when_it_went_are_dropped_and_counted(rig: Rig) -> None:
    far = rig.far()
    rig.line(far.device)
    rig.start()
    near, listener = rig.open_port(), rig.tap()
    data = os.urandom(60_000)
    write_all(near, data)
    until(lambda: rig.state()["bytes_to_terminal"] == len(data))
    far.unplug()
    until(lambda: rig.state()["link"] == "down")
    until(lambda: sum(body["bytes"] for body in listener.bodies(wire.DROPPED)) > 1000)
    far.plug()
    until(lambda: rig.state()["link"] == "up")
    assert nothing_comes(far.master)


def test_the_port_stays_open_while_the_device_is_away(rig: Rig) -> None:
    far = rig.far()
    rig.line(far.device)
    rig.start()
    near = rig.open_port()
    os.write(near, b"x")
    far.read(1)
    far.unplug()
    until(lambda: rig.state()["link"] == "down")
    assert rig.state()["port"] == "open"
    far.plug()
    until(lambda: rig.state()["link"] == "up")
    far.write(b"back")
    assert read_exactly(near, 4) == b"back"


def test_a_device_that_was_never_there_comes_up_when_it_appears(rig: Rig) -> None:
    far = rig.far()
    far.unplug()
    rig.line(far.device)
    rig.start(up=False)
    until(lambda: rig.state()["reason"] == "not_found")
    assert str(far.link) in rig.state()["detail"]
    far.plug()
    until(rig.all_up, 5)


def test_many_replugs(rig: Rig) -> None:
    """Each is noticed and mended; descriptors do not pile up."""
    far = rig.far()
    rig.line(far.device)
    rig.start()
    near = rig.open_port()
    assert rig.process
    folder = f"/proc/{rig.process.pid}/fd"
    before = len(os.listdir(folder))
    for i in range(10):
        far.unplug()
        far.plug()
        until(lambda i=i: rig.state()["reopened"] == i + 1)  # type: ignore[misc]
        os.write(near, b"%02d" % i)
        assert far.read(2) == b"%02d" % i
    assert len(os.listdir(folder)) <= before + 1


def test_socat_ends_and_starts_again(rig: Rig) -> None:
    link, other = rig.folder / "device", rig.folder / "terminal"

    def socat() -> subprocess.Popen[bytes]:
        words = ["socat", f"PTY,link={link},raw,echo=0", f"PTY,link={other},raw,echo=0"]
        process = subprocess.Popen(words)
        rig.on_close(lambda: (process.kill(), process.wait())[0])
        until(lambda: link.exists() and other.exists())
        return process

    process = socat()
    rig.line(f"serial:{link}")
    rig.start()
    near = rig.open_port()
    process.terminate()
    process.wait()
    until(lambda: rig.state()["link"] == "down")
    socat()
    until(lambda: rig.state()["link"] == "up")
    far = os.open(other, os.O_RDWR | os.O_NOCTTY)
    os.write(near, b"again")
    assert read_exactly(far, 5) == b"again"
    os.close(far)


def test_a_tcp_terminal_that_reboots(rig: Rig) -> None:
    port = free_port()
    server = socket.create_server(("127.0.0.1", port))
    rig.line(f"tcp:127.0.0.1:{port}")
    rig.start()
    far, _ = server.accept()
    near = rig.open_port()
    os.write(near, b"one")
    assert far.recv(3) == b"one"
    server.close()
    far.close()
    until(lambda: rig.state()["reason"] == "refused")
    os.write(near, b"lost")
    until(lambda: rig.state()["dropped"] == 4)
    server = socket.create_server(("127.0.0.1", port))
    until(lambda: rig.state()["link"] == "up")
    far, _ = server.accept()
    os.write(near, b"two")
    assert read_exactly(far.fileno(), 3) == b"two"
    far.close()
    server.close()


def test_a_reset_is_noticed(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        rig.line(f"tcp:127.0.0.1:{server.getsockname()[1]}")
        rig.start()
        listener = rig.tap()
        far, _ = server.accept()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()
        until(lambda: [b["link"] for b in listener.bodies(wire.LINK)][:1] == ["down"])
        again, _ = server.accept()
        again.close()


def test_a_terminal_that_takes_and_ends_each_connection_is_not_hammered(rig: Rig) -> None:
    """As one does that serves somebody else: the pauses grow although each try succeeds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        rig.line(f"tcp:127.0.0.1:{server.getsockname()[1]}")
        rig.start(up=False)
        taken = [0]
        stop = threading.Event()

        def turn_away() -> None:
            while not stop.is_set():
                try:
                    server.accept()[0].close()
                    taken[0] += 1
                except TimeoutError:
                    continue

        thread = threading.Thread(target=turn_away)
        thread.start()
        stop.wait(1.6)
        stop.set()
        thread.join()
        assert 2 <= taken[0] <= 6


@pytest.mark.parametrize("way", ["serial", "tcp"])
def test_no_time_is_spent_while_the_device_is_away(rig: Rig, way: str) -> None:
    """A hung-up descriptor must not keep the loop busy."""
    rig.line(f"serial:{rig.folder}/none" if way == "serial" else f"tcp:127.0.0.1:{free_port()}")
    rig.start(up=False)
    until(lambda: rig.state()["link"] == "down")
    near = rig.open_port()
    os.close(near)
    assert rig.process
    before = _cpu(rig.process.pid)
    threading.Event().wait(1.0)
    assert _cpu(rig.process.pid) - before < 0.1


def _cpu(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_usb_device_that_is_not_there_is_waited_for(rig: Rig) -> None:
    rig.line("usb:11ca:0220:NONE")
    rig.start(up=False)
    until(lambda: rig.logged("link.down"), what="its absence is told")
    (told,) = rig.logged("link.down")
    assert told["device"] == "usb:11ca:0220:NONE"
    assert told["reason"] in ("not_found", "failed")  # failed: no libusb on this machine
    assert told["do"]
    assert rig.terminate() == 0


def test_request_and_result_files_are_heard_as_the_two_sides_of_a_line(rig: Rig, tmp_path: Path) -> None:
    folder = tmp_path / "his"
    folder.mkdir()
    rig.line(f"file:{folder}/RESULT.TXT", f"file:{folder}/REQUEST.TXT")
    rig.start()
    listener = rig.tap()
    until(lambda: rig.state()["port"] == "open", what="both are heard")
    (folder / "REQUEST.TXT").write_bytes(b"00 000000003550")
    until(lambda: listener.bytes(wire.CASHIER) == b"00 000000003550", what="request heard")
    (folder / "RESULT.TXT").write_bytes(b"00 approved")
    until(lambda: listener.bytes(wire.TERMINAL) == b"00 approved", what="result heard")
    assert sorted(path.name for path in folder.iterdir()) == ["REQUEST.TXT", "RESULT.TXT"]
    assert (folder / "REQUEST.TXT").read_bytes() == b"00 000000003550"
