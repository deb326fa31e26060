"""The PC itself: its clock, programs that disturb serial ports, and our own processes."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from agent.checks.check import Check
from agent.config import Config

_RULES = tuple(Path(folder, "udev/rules.d/60-tillwatch.rules") for folder in ("/etc", "/usr/lib", "/lib"))
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


def checks(config: Config, bridge: int | None) -> Iterator[Check]:
    """All checks of this module."""
    yield clock(datetime.now(UTC), synchronised())
    yield from disturbers(process_names(), any(rule.exists() for rule in _RULES))
    agent = config.agent
    yield _process("bridge", lambda: bridge or _peer(agent.run_dir), "check.bridge_ok", "check.bridge_none")
    lock = agent.state_dir / "journal.lock"
    yield _process("agent", lambda: lock_holder(lock), "check.agent_ok", "check.agent_none")


def _process(name: str, find: Callable[[], int | None], runs: str, none: str) -> Check:
    """One of our own processes runs, does not, or can't be seen by whoever asks."""
    try:
        pid = find()
    except PermissionError as error:
        return Check.warn(name, "check.process_unseen", path=error.filename)
    except OSError:
        pid = None
    return Check.ok(name, none) if pid is None else Check.ok(name, runs, pid=pid)


def clock(now: datetime, synchronised: bool | None) -> Check:
    """The time can be right. `synchronised` None: it can't be found out."""
    shown = f"{now:%Y-%m-%d %H:%M} UTC"
    if not 2024 <= now.year < 2100:
        return Check.fail("clock", "check.clock_wrong", now=shown)
    if synchronised is None:
        return Check.warn("clock", "check.clock_unknown", now=shown)
    return (
        Check.ok("clock", "check.clock_ok", now=shown)
        if synchronised
        else Check.warn("clock", "check.clock_free", now=shown)
    )


def synchronised() -> bool | None:
    """Whether something keeps the clock right: systemd-timesyncd says so, or the kernel (ntpd, chrony)."""
    if _TIMESYNCD.exists():
        return True
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))  # all zero: only reads
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def disturbers(names: set[str], rule: bool) -> Iterator[Check]:
    """Programs that open serial ports which are not theirs. `rule`: our udev rule is installed."""
    if "ModemManager" in names and not rule:
        yield Check.warn("programs", "check.modem_manager")
    elif "ModemManager" in names:
        yield Check.ok("programs", "check.modem_manager_told")
    if "brltty" in names:
        yield Check.warn("programs", "check.brltty")
    if not names & {"ModemManager", "brltty"}:
        yield Check.ok("programs", "check.programs_ok")


def process_names(proc: Path = Path("/proc")) -> set[str]:
    """The names of all processes."""
    names = set()
    for folder in proc.iterdir():
        if folder.name.isdigit():
            try:
                names.add((folder / "comm").read_text(encoding="utf-8", errors="replace").strip())
            except OSError:
                continue  # it ended meanwhile
    return names


def bridge_pid(run_dir: Path) -> int | None:
    """The process that listens on the bridge's socket; None when nobody does, or it is not for us to see."""
    try:
        return _peer(run_dir)
    except OSError:
        return None


def _peer(run_dir: Path) -> int:
    path = str(run_dir / "bridge.sock")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except PermissionError as error:
            raise PermissionError(error.errno, error.strerror, path) from error
        peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", peer)[0])


def lock_holder(path: Path, locks: Path = Path("/proc/locks")) -> int | None:
    """The process that holds a lock on the file; None when nobody does. Raises OSError where it can't be seen.

    Found without taking the lock: a starting agent wants it.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    rows = locks.read_text(encoding="ascii").splitlines()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    # 1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF
    holders = [int(row.split()[4]) for row in rows if len(row.split()) > 5 and row.split()[5] == device]
    return next((pid for pid in holders if pid > 0), None)
