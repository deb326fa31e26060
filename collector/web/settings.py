"""What the web side is told by configuration and command line, as frozen values."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from collector.access.oidc_settings import Oidc
from collector.access.roles import Role
from collector.errors import CollectorUsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """`public_url`: how browsers reach the collector, without a slash at the end; its https makes cookies secure.

    `guest`: the role of people who did not log in; only for a collector that listens on loopback. `stale_s`: after so
    many seconds without a word an agent is shown as stale, never as online.
    """

    hospital: str | None = None
    contact: str | None = None
    language: str | None = None  # for browsers that ask for neither language
    timezone: str | None = None  # IANA name of the zone that pages show; None: that of the machine
    public_url: str | None = None
    guest: Role | None = None
    stale_s: float = 180.0
    heartbeat_s: float = 15.0
    metrics_open: bool = True
    oidc: Oidc | None = None

    @property
    def https(self) -> bool:
        """Whether browsers come over TLS."""
        return bool(self.public_url and self.public_url.startswith("https://"))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_guest(guest: Role | None, listen_host: str) -> None:
    """Raises UsageError when guests would be let in from other machines."""
    if guest is not None and not is_loopback(listen_host):
        raise CollectorUsageError("access.guest_not_loopback", host=listen_host)
