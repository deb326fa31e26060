"""The bridge as a process: one a folder, clean when it ends, careful with strangers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from agent.bridge import wire
from agent.bridge.child import stop_bridge
from agent.bridge.server import MOST_CLIENTS
from tests.agent.bridge.rig import Rig
from tests.waits import until


def test_a_clean_end_leaves_neither_link_nor_socket(rig: Rig) -> None:
    rig.line(rig.far().device)
    rig.start()
    assert os.path.lexists(rig.port())
    assert rig.terminate() == 0
    assert not os.path.lexists(rig.port())
    assert not (rig.run_dir / wire.SOCKET_NAME).exists()


def test_only_a_child_may_be_stopped_by_its_agent(rig: Rig) -> None:
    rig.line(rig.far().device)
    rig.start()
    assert stop_bridge(rig.run_dir) is False
    assert rig.answers()


def test_a_child_ends_when_asked(rig: Rig) -> None:
    rig.line(rig.far().device)
    rig.start(child=True)
    assert stop_bridge(rig.run_dir) is True
    assert rig.process is not None
    assert rig.process.wait(10) == 0


def test_what_a_killed_bridge_left_is_replaced(rig: Rig) -> None:
    rig.line(rig.far().device)
    rig.start()
    assert rig.process is not None
    rig.process.send_signal(signal.SIGKILL)
    rig.process.wait()
    assert (rig.run_dir / wire.SOCKET_NAME).exists()
    rig.start()
    assert rig.answers()


def test_a_link_that_is_somebody_elses_stays(rig: Rig) -> None:
    """A simulated terminal may have its port in the same folder; one that leads nowhere is of use to nobody."""
    master, slave = os.openpty()
    rig.run_dir.mkdir(exist_ok=True)
    (rig.run_dir / "terminal").symlink_to(os.ttyname(slave))
    (rig.run_dir / "nowhere").symlink_to("/dev/pts/999999")
    rig.line(rig.far().device)
    rig.start()
    assert rig.answers()
    assert (rig.run_dir / "terminal").is_symlink()
    assert not (rig.run_dir / "nowhere").is_symlink()
    os.close(master)
    os.close(slave)


def test_an_unknown_request_is_answered_and_a_malformed_one_ends_only_its_client(rig: Rig) -> None:
    rig.line(rig.far().device)
    rig.start()
    listener = rig.tap()
    listener.tap.request("charge")
    until(lambda: "known: lease, release, status" in str(listener.answers("error")))
    with socket.socket(socket.AF_UNIX) as rude:
        rude.connect(str(rig.run_dir / wire.SOCKET_NAME))
        rude.sendall(b"\xff" * 100)
        rude.settimeout(5)
        while rude.recv(4096):
            pass
    assert rig.answers()


@pytest.mark.parametrize(("language", "words"), [("en", "another bridge runs"), ("zh-CN", "已有一个桥接在运行")])
def test_a_second_bridge_is_told_of_the_first_in_the_language_of_its_people(
    rig: Rig, language: str, words: str
) -> None:
    rig.line(rig.far().device)
    rig.start()
    assert rig.spawn(language=language).wait(20) == 3
    assert words in rig.log
    assert rig.answers()


def test_a_client_that_asks_and_never_listens_is_dropped(rig: Rig) -> None:
    rig.line(rig.far().device)
    rig.start()
    ask = wire.json_message({"op": "status"}) * 100
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(rig.run_dir / wire.SOCKET_NAME))
        deaf.settimeout(20)
        assert _dropped(lambda: deaf.sendall(ask))
    assert rig.answers()


def _dropped(say: Callable[[], object]) -> bool:
    """Speak until nobody is there any more."""
    try:
        while True:
            say()
    except (BrokenPipeError, ConnectionResetError):
        return True


def test_more_clients_than_anybody_needs_are_turned_away(rig: Rig) -> None:
    rig.line(rig.far().device)
    rig.start()
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_CLIENTS):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(rig.run_dir / wire.SOCKET_NAME))
            client.settimeout(20)
            assert client.recv(1)
        one_more = stack.enter_context(socket.socket(socket.AF_UNIX))
        one_more.connect(str(rig.run_dir / wire.SOCKET_NAME))
        one_more.settimeout(20)
        assert one_more.recv(1) == b""
    until(rig.answers)


_STRANGER = """
import os, socket, sys
connection = socket.socket(socket.AF_UNIX)
os.setgid(65534), os.setuid(65534)
try:
    connection.connect(sys.argv[1])
    connection.settimeout(5)
    print(len(connection.recv(10)))
except PermissionError:
    print("denied")
"""


def test_another_user_hears_nothing(rig: Rig) -> None:
    """Neither the socket's mode nor, where that is open, its peer credentials let a stranger in."""
    rig.line(rig.far().device)
    rig.start()
    path = rig.run_dir / wire.SOCKET_NAME
    ask = [sys.executable, "-c", _STRANGER, str(path)]
    if os.geteuid() != 0:
        return  # only root can be two users
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "denied\n"
    for folder in (path, *path.parents[:-2]):
        folder.chmod(0o777)
    assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "0\n"
