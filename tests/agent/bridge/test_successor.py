"""A successor that does not get to its end, at each of its steps: the bridge goes on, and no byte is lost or twice."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from agent.bridge import wire
from tests.agent.bridge.house import House
from tests.waits import until

#: takes the part of a successor's program, up to a step and no further
_PART = """
import os, socket, sys, time
from agent.bridge.takeover import Takeover, TAKEN
bridge = socket.socket(fileno=int(sys.argv[-1]))
takeover = Takeover(bridge)
{steps}
"""


class Installation:
    """An interpreter that an upgrade exchanges for something else while the bridge runs on it."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "bin" / "python"
        self.python.parent.mkdir(parents=True)
        (folder / "lib").symlink_to(Path(sys.prefix, "lib"))
        shutil.copy(Path(sys.prefix, "pyvenv.cfg"), folder)
        self.another = sys.executable
        self._good = os.path.realpath(sys.executable)
        self.mend()

    def mend(self) -> None:
        self.python.unlink(missing_ok=True)
        self.python.symlink_to(self._good)

    def takes(self, steps: str) -> None:
        """From now on a successor does only that."""
        self.becomes(f"exec {self.another} - \"$@\" <<'END'\n{_PART.format(steps=steps)}\nEND")

    def becomes(self, script: str) -> None:
        self.python.unlink(missing_ok=True)
        self.python.write_text(f"#!/bin/sh\n{script}\n")
        self.python.chmod(0o755)


@pytest.fixture
def installation(house: House, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """The one that the house's bridge runs from."""
    made = Installation(house.folder / "installed")
    house.manager.end(signal.SIGTERM)
    monkeypatch.setattr("agent.bridge.child.sys.executable", str(made.python))
    house.manager.start()
    return made


def hang_up_in_vain(house: House) -> None:
    """SIGHUP; nothing comes of it, and everybody hears each other."""
    assert house.manager.pid is not None
    failed = house.manager.log.count("handover_failed")
    os.kill(house.manager.pid, signal.SIGHUP)
    house.speak()
    until(lambda: house.manager.log.count("handover_failed") > failed, 30, "the end")
    house.speak()


@pytest.mark.parametrize(
    "script",
    ["exit 3", "kill -9 $$", "echo broken >&2; exit 0"],
    ids=["it refuses", "it is killed", "it ends"],
)
def test_a_program_that_can_not_begin_changes_nothing(house: House, installation: Installation, script: str) -> None:
    pid = house.manager.pid
    installation.becomes(script)
    hang_up_in_vain(house)
    installation.python.unlink()
    hang_up_in_vain(house)
    assert house.manager.pid == pid
    installation.mend()
    house.manager.hang_up()
    house.speak()


@pytest.mark.parametrize(
    "steps",
    [
        "bridge.sendall(b'charge 100')",
        "bridge.sendall(b'ready 999999999'); time.sleep(60)",
        "takeover.receive()",
        "takeover.receive(); bridge.sendall(b'what?'); time.sleep(60)",
        "takeover.receive(); os.kill(os.getpid(), 9)",
        "takeover.receive(); time.sleep(60)",
    ],
    ids=["other words", "no process", "ends", "another version's word", "killed", "hangs"],
)
def test_a_successor_that_stops_half_way_changes_nothing(house: House, installation: Installation, steps: str) -> None:
    pid = house.manager.pid
    installation.takes(steps)
    hang_up_in_vain(house)
    assert house.manager.pid == pid
    installation.mend()
    house.manager.hang_up()
    house.speak()
    listener = house.tap()
    until(lambda: listener.bytes(wire.TERMINAL, "pos1") == bytes(house.ends[1].heard), what="the ring has all, once")


def test_a_successor_needs_no_new_file(house: House) -> None:
    """A full /run is no obstacle: nothing is made, removed or renamed there."""
    before = house.run_dir.stat().st_mtime_ns
    house.manager.hang_up()
    house.speak()
    assert house.run_dir.stat().st_mtime_ns == before


def test_a_second_reload_in_the_middle_of_one_is_part_of_it(house: House) -> None:
    ready = house.manager.said.count("READY=1")
    assert house.manager.pid is not None
    first = house.manager.pid
    for _ in range(20):
        os.kill(first, signal.SIGHUP)
    until(lambda: house.manager.said.count("READY=1") > ready, 30, "it said: " + house.manager.log)
    house.speak()
    assert house.manager.log.count("bridge.handed_over") == 1


def test_stopped_in_the_middle_of_a_reload_nobody_is_left(house: House, installation: Installation) -> None:
    installation.becomes(f"echo $$ > {house.folder}/successor; exec sleep 60")
    assert house.manager.pid is not None
    os.kill(house.manager.pid, signal.SIGHUP)
    until((house.folder / "successor").exists)
    until(lambda: (house.folder / "successor").read_text().strip())
    house.manager.end(signal.SIGTERM)
    successor = (house.folder / "successor").read_text().strip()
    until(lambda: not Path("/proc", successor).exists(), what="the successor has ended, too")
    installation.mend()
    house.manager.start()
    house.speak()


def test_killed_in_the_middle_of_a_reload_systemd_starts_the_next(house: House, installation: Installation) -> None:
    """The successor finds nobody to succeed, and ends; the store has the lines."""
    installation.becomes(f'sleep 0.3; exec {installation.another} "$@"')
    assert house.manager.pid is not None
    os.kill(house.manager.pid, signal.SIGHUP)
    until(lambda: "bridge.handover" in house.manager.log)
    house.manager.end(signal.SIGKILL)
    installation.mend()
    house.manager.start()
    house.speak()


def test_a_question_under_way_gets_its_end_before_the_lines_are_handed_over(house: House) -> None:
    """What the application says meanwhile comes after it, whether reloaded or stopped."""
    for number, way in enumerate((house.manager.hang_up, house.restart)):
        listener = house.tap()
        asked = listener.lease("pos1", abort="ab", drain_ms=200, hold_ms=2000, max_ms=60_000)
        listener.tap.request("write", id=asked, hex="aa")
        assert os.read(house.terminal_end("pos1"), 1) == b"\xaa"
        house.ends[0].send()
        until(lambda: listener.lease_news("cashier_waiting"), what="it waits")  # noqa: B023
        way()
        assert os.read(house.terminal_end("pos1"), 1) == b"\xab", way
        until(house.ends[0].whole, what=f"{number}: {house.manager.log}")
