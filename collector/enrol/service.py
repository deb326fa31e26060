"""Enrolment as a part of the collector: the door, and the duty that keeps its certificate and the revocation list."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

from collector.config import Config, Enrol
from collector.duty import Duty
from collector.enrol.authority import Authority, write_file
from collector.enrol.certificate import DoorCertificate
from collector.enrol.desk import EnrolDesk
from collector.enrol.desks import Desks
from collector.enrol.door import Door
from collector.enrol.errors import EnrolUsageError
from collector.enrol.fleet import FleetDesk
from collector.ledger import Ledger

EVERY_S = 60.0


class EnrolService(Duty):
    """Door and duty, started and stopped together."""

    name = "enrol"

    def __init__(self, ledger: Ledger, settings: Enrol, broker: str) -> None:
        """Raises AuthorityError, EnrolUsageError, ServiceError."""
        super().__init__(EVERY_S)
        authority = Authority.load(settings.folder)
        self.desk = EnrolDesk(ledger, authority, broker)
        self.desks = Desks(self.desk, FleetDesk(ledger, settings.folder))
        self._certificate = DoorCertificate(authority, settings.names or _names(settings.listen[0]), ledger.clock)
        self._door = Door(settings.listen, self.desk, self.desks.fleet, self._certificate)
        self._crl_file = settings.crl_file
        self._told = ""  # what the file holds

    @property
    def port(self) -> int:
        """Where the door listens."""
        return self._door.port

    def start(self) -> None:
        """Open the door."""
        self._door.start()
        super().start()

    def stop(self, within_s: float = 10.0) -> None:
        """Close it."""
        self._door.stop()
        super().stop(within_s)

    def turn(self) -> None:
        """What is about to end is made anew; who was revoked stands in the broker's list."""
        if self._certificate.refresh():
            self.log.info("enrol.door_certificate_renewed")
        if self._crl_file is not None:
            self._write_revocations(self._crl_file)

    def _write_revocations(self, path: Path) -> None:
        listed = self.desk.revocations()
        if listed == self._told and path.exists():
            return
        write_file(path, listed, 0o644)
        self._told = listed
        self.log.info("enrol.revocations_written", path=str(path))


def service_of(config: Config, ledger: Ledger) -> EnrolService | None:
    """Enrolment as configured; None where it is not. Raises TillwatchError when it can't work."""
    settings = config.enrol
    if settings is None:
        return None
    broker = settings.broker or (config.mqtt.url if config.mqtt else None)
    if broker is None:
        raise EnrolUsageError("enrol.no_broker")
    return EnrolService(ledger, settings, broker)


def _names(host: str) -> tuple[str, ...]:
    """How this machine is called, where nobody said it."""
    names = {socket.gethostname(), socket.getfqdn(), "localhost", "127.0.0.1"}
    try:
        wildcard = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        wildcard = False
    if not wildcard:
        names.add(host)
    return tuple(sorted(name for name in names if name.isascii()))
