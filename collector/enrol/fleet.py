"""The fleet's configuration at the collector: which version agents are given."""

from __future__ import annotations

from collector.ledger import Ledger, fleet
from collector.ledger.fleet import FleetConfiguration


class FleetDesk:
    """Publishes versions, and gives the newest."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def newer_than(self, version: int) -> FleetConfiguration | None:
        """The newest, where it is newer than what an agent has."""
        with self._ledger.read() as connection:
            found = fleet.newest(connection)
        return found if found and found.version > version else None
