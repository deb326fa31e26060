"""Whose rights count: root may do everything, the service that will run as another user may not."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

SERVICE_USER = "tillwatch"


@dataclass(frozen=True, slots=True)
class Who:
    """A user with all groups. Access control lists are not looked at."""

    name: str
    uid: int
    groups: frozenset[int]

    @classmethod
    def service(cls) -> Who:
        """The user the agent will run as: `tillwatch` when root asks and it exists, else whoever asks."""
        if os.geteuid() == 0:
            try:
                entry = pwd.getpwnam(SERVICE_USER)
            except KeyError:
                pass
            else:
                return cls(SERVICE_USER, entry.pw_uid, frozenset(os.getgrouplist(SERVICE_USER, entry.pw_gid)))
        return cls(_name(os.geteuid()), os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))

    def may(self, path: Path, read: bool = False, write: bool = False, enter: bool = False) -> bool:
        """Whether the permission bits allow it."""
        if self.uid == 0:
            return True
        found = path.stat()
        wanted = 4 * read + 2 * write + enter
        if found.st_uid == self.uid:
            bits = found.st_mode >> 6
        elif found.st_gid in self.groups:
            bits = found.st_mode >> 3
        else:
            bits = found.st_mode
        return bits & wanted == wanted


def group_of(path: Path) -> str:
    """The group that owns the file."""
    gid = path.stat().st_gid
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
