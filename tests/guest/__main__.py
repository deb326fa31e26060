"""`python -m tests.guest PACKAGE.deb`: boot the guest, try everything, print it. 0 when all went well."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.broker import free_port
from tests.guest import image
from tests.guest.machine import Machine
from tests.packaging.test_deb import newer

_SILENCE_S = 240.0  # a machine without KVM boots slowly


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.guest")
    parser.add_argument("package", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tillwatch-guest-") as name:
        folder = Path(name)
        say("making the disk")
        made = image.build(folder, args.package, newer(args.package, folder))
        port = free_port()
        words = [sys.executable, "-m", "agent", "simulate", "concert", "--tcp", f"127.0.0.1:{port}"]
        terminal = subprocess.Popen([*words, "--framing", "serial", "--think", "4"], stdout=subprocess.DEVNULL)
        try:
            with Machine(folder, made, port) as machine:
                return _try(machine)
        finally:
            terminal.terminate()
            terminal.wait(20)


def say(line: str) -> None:
    """A line for whoever waits."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _try(machine: Machine) -> int:
    kind = "KVM" if machine.kvm else "without KVM"
    say(
        f"QEMU ({kind}), Debian bookworm, FTDI cable by QEMU's usb-serial, simulated Concert terminal behind it",
        flush=True,
    )
    bad = good = 0
    try:
        for line in machine.lines(_SILENCE_S):
            if line == "end":
                break
            if line in ("unplug", "plug"):
                machine.unplug() if line == "unplug" else machine.plug()
                machine.answer("done")
                continue
            say(line)
            good += line.startswith("ok ")
            bad += line.startswith("bad ")
        else:
            bad += 1
            say("bad: the guest went off before the end")
    except TimeoutError:
        bad += 1
        say("bad: the guest is silent; the end of its console:")
        say("\n".join(machine.console.read_text(errors="replace").splitlines()[-40:]))
    say(f"{good} passed, {bad} failed")
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
