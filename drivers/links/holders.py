"""Who holds a device open, as far as we may see: all processes for root, one's own otherwise."""

from __future__ import annotations

import os

#: majors of pseudo terminals (Linux, admin-guide/devices.txt); their numbers begin anew in each mounted devpts
_UNIX98_SLAVES = range(136, 144)


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
    device = _device(real)
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (own or int(name) != os.getpid()) and _has_open(name, real, device):
            found.append(Holder(int(name), _command(name)))
    return found


def _has_open(pid: str, real: str, device: tuple[int, int] | None) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        links = [f"{folder}/{number}" for number in os.listdir(folder)]
    except OSError:
        return False  # ended meanwhile, or not ours to see
    return any(_target(link) == real and _device(link) == device for link in links)


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _device(path: str) -> tuple[int, int] | None:
    """What a path is, beside its name: a container has pseudo terminals of its own, with the names of ours."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_rdev, found.st_dev if os.major(found.st_rdev) in _UNIX98_SLAVES else 0)


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"
