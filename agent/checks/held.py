"""Who holds a terminal's port: the program by its name, how it was started, and what ends its claim for good.

Looked up in /proc; nothing is opened. Root sees all processes, others their own.
"""

from __future__ import annotations

from pathlib import Path

from agent.checks.check import Check
from drivers.links.holders import Holder

#: programs that take ports which are not theirs → the text that says what to do about it
KNOWN = {
    "ModemManager": "check.held_modem_manager",
    "brltty": "check.held_brltty",
    "gpsd": "check.held_gpsd",
    "agetty": "check.held_getty",
    "getty": "check.held_getty",
}
PROC = Path("/proc")


def held(name: str, terminal: str, path: Path | str, holder: Holder, proc: Path = PROC) -> Check:
    """The check of a port that somebody else has open, with what to do about that one."""
    folder = proc / str(holder.pid)
    values = {"path": path, "holder": str(holder), "pid": holder.pid, "unit": unit_of(folder), "port": Path(path).name}
    return Check.fail(name, _key(holder, folder, values["unit"] is not None), terminal, **values)


def _key(holder: Holder, folder: Path, has_unit: bool) -> str:
    if holder.name in KNOWN:
        return KNOWN[holder.name]
    command = _read(folder / "cmdline").split("\0")
    if "agent.bridge" in command or any(Path(word).name == "tillwatch" for word in command[:2]):
        return "check.held_tillwatch"
    return "check.held_unit" if has_unit else "check.device_held"


def unit_of(folder: Path) -> str | None:
    """The service that started a process, as `0::/system.slice/brltty.service` of its cgroup names it."""
    for line in _read(folder / "cgroup").splitlines():
        for part in reversed(line.rpartition(":")[2].split("/")):
            if part.endswith(".service") and not part.startswith("user@"):
                return part
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # it has ended meanwhile, or is not ours to see
