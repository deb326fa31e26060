"""Who holds a device open, as far as we may see: all processes for root, one's own otherwise."""

from __future__ import annotations

import os


class Holder:
    """A process that has the device open."""

    __slots__ = ("name", "pid")

    def __init__(self, pid: int, name: str) -> None:
        self.pid = pid
        self.name = name

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.name})"


def holders(path: str, own: bool = False) -> list[Holder]:
    """The processes that have the device of that path open; this process only when `own`."""
    real = os.path.realpath(path)
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (own or int(name) != os.getpid()) and _has_open(name, real):
            found.append(Holder(int(name), _command(name)))
    return found


def _has_open(pid: str, real: str) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        return any(_target(f"{folder}/{number}") == real for number in os.listdir(folder))
    except OSError:
        return False  # ended meanwhile, or not ours to see


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"
