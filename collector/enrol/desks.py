"""What pages and API need of enrolment."""

from __future__ import annotations

from dataclasses import dataclass

from collector.enrol.desk import EnrolDesk
from collector.enrol.fleet import FleetDesk


@dataclass(frozen=True, slots=True)
class Desks:
    """Who gets a certificate, and which configuration the fleet has."""

    enrol: EnrolDesk
    fleet: FleetDesk
