"""Who is at the door, as every other part sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from collector.access.roles import Permission, Role, may


class Via(StrEnum):
    """How somebody came in."""

    SESSION = "session"  # a browser that logged in
    TOKEN = "token"  # noqa: S105 (a way in): a program with a bearer token
    GUEST = "guest"  # nobody in particular, on a collector that listens on loopback only
    CONSOLE = "console"  # the command line of the machine itself
    SYSTEM = "system"  # the collector, by rule


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One person or program, with what it may do. `name` is what the audit log and a case's history write down."""

    name: str
    display: str
    role: Role
    via: Via
    account: str | None = None
    language: str | None = None
    address: str = "-"

    def may(self, permission: Permission) -> bool:
        """Whether this user holds the permission."""
        return may(self.role, permission)


SYSTEM = User(name="tillwatch", display="tillwatch", role=Role.OPERATIONS, via=Via.SYSTEM)
CONSOLE = User(name="console", display="console", role=Role.ADMIN, via=Via.CONSOLE)
