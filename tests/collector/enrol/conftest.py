"""An authority and a desk on the test's ledger; a door that really listens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.enrol.authority import Authority
from collector.enrol.certificate import DoorCertificate
from collector.enrol.desk import EnrolDesk
from collector.enrol.door import Door
from collector.enrol.fleet import FleetDesk
from collector.ledger import Ledger
from tests.collector.conftest import FixedClock

BROKER = "mqtts://broker.example:8883"


@pytest.fixture
def authority(tmp_path: Path, clock: FixedClock) -> Authority:
    return Authority.init(tmp_path / "ca", "First Hospital", clock())


@pytest.fixture
def desk(ledger: Ledger, authority: Authority) -> EnrolDesk:
    return EnrolDesk(ledger, authority, BROKER)


@pytest.fixture
def fleet_desk(ledger: Ledger, authority: Authority) -> FleetDesk:
    return FleetDesk(ledger, authority.folder)


@pytest.fixture
def door(authority: Authority, desk: EnrolDesk, fleet_desk: FleetDesk, clock: FixedClock) -> Iterator[Door]:
    certificate = DoorCertificate(authority, ("127.0.0.1",), clock)
    door = Door(("127.0.0.1", 0), desk, fleet_desk, certificate)
    door.start()
    yield door
    door.stop()
