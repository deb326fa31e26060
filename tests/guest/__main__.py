"""`python -m tests.guest [--container] PACKAGE.deb [TRIAL…]`: boot the guest, try everything, print it.

0 when all went well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.broker import free_port
from tests.guest import image
from tests.guest.container import Container
from tests.guest.machine import Machine, kvm_works
from tests.packaging.test_deb import newer, repacked

_SILENCE_S = 1200.0  # without KVM everything is slow


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.guest")
    parser.add_argument("package", type=Path)
    parser.add_argument("only", nargs="*", help="names of trials in inside.py (the first two always run)")
    parser.add_argument("--container", action="store_true", help="systemd-nspawn: quick, but without udev and USB")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tillwatch-guest-") as name:
        folder = Path(name)
        say("making its files")
        packages = repacked(args.package, folder), newer(args.package, folder)
        root = image.tree(folder, *packages, args.only)
        terminal = Terminal()
        try:
            with (_container if args.container else _machine)(folder, root, terminal) as guest:
                return _try(guest, terminal)
        finally:
            terminal.stop()


def _container(folder: Path, root: Path, terminal: Terminal) -> Container:
    say("systemd-nspawn, Debian bookworm, a pty for the cable, simulated Concert terminal behind it")
    return Container(folder, root, terminal.port)


def _machine(folder: Path, root: Path, terminal: Terminal) -> Machine:
    made = image.disk(folder, root)
    kvm = kvm_works(folder, made)
    how = "KVM" if kvm else "emulated, as KVM does not work here"
    say(f"QEMU ({how}), Debian bookworm, FTDI cable (usb-serial), simulated Concert terminal behind it")
    return Machine(folder, made, terminal.port, kvm)


class Terminal:
    """The simulated terminal at the other end of the cable."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = self._start("10")

    def think(self, seconds: str) -> None:
        """From now on take so long for a payment."""
        self.stop()
        self._process = self._start(seconds)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)
        if self._process.stdout:
            self._process.stdout.close()

    def _start(self, think: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "agent", "simulate", "concert", "--tcp", f"127.0.0.1:{self.port}"]
        words += ["--framing", "serial", "--think", think]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the simulated terminal has not started")
        return process


def say(line: str) -> None:
    """A line for whoever waits."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _try(machine: Machine | Container, terminal: Terminal) -> int:
    bad = good = 0
    try:
        for line in machine.lines(_SILENCE_S):
            if line == "end":
                break
            word, _, value = line.partition(" ")
            if word in ("unplug", "plug", "think"):
                if word == "think":
                    terminal.think(value)
                elif isinstance(machine, Machine):
                    (machine.unplug if word == "unplug" else machine.plug)()
                machine.answer("done")
                continue
            say(line)
            good += line.startswith("ok ")
            bad += line.startswith("bad ")
        else:
            bad += 1
            say("bad: the guest went off before the end; its console:")
            say(machine.tail)
    except TimeoutError:
        bad += 1
        say("bad: the guest is silent; its console:")
        say(machine.tail)
    say(f"{good} passed, {bad} failed")
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
