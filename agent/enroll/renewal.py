"""Renewal: when two thirds of a certificate's life are over, a new one is asked for, with the same key.

The request is signed with the key that the collector has signed before; nothing else has to prove who asks. The new
certificate takes the old one's place in one step, and only when it is good: whatever happens, this PC has a
certificate that fits its key. A connection to the broker that is open goes on; the next one shows the new certificate.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

from agent.checks.certificate import validity_of_file
from agent.enroll import keys
from agent.enroll.door import Door
from agent.enroll.errors import DoorError, EnrolError
from agent.enroll.identity import Enrolment, Identity

_DUE = 2 / 3
#: Agents that were enrolled in the same hour do not come back in the same hour: up to this part of a life later.
_SPREAD = 1 / 30


def due(identity: Identity, rng: random.Random) -> datetime:
    """When to ask for a new certificate. One that is missing or damaged is due: the collector gives it again."""
    found = identity.validity()
    if found is None:
        return datetime.min.replace(tzinfo=UTC)
    return found.begins + (found.ends - found.begins) * (_DUE + _SPREAD * rng.random())


def renew(identity: Identity, agreed: Enrolment) -> bool:
    """Ask for a new certificate; False when the collector finds the present one new enough.

    Raises DoorError when the collector can't be reached, EnrolError when it refuses or answers with something else.
    """
    request = keys.request(identity.key, agreed.agent)
    told = Door(agreed.collector, identity.authority).ask("POST", "/agents/1/renewals", {"request": request}).body
    certificate = told.get("certificate")
    if not isinstance(certificate, str):
        raise DoorError("enroll.no_collector", url=agreed.collector)
    if identity.holds(certificate):
        return False
    beside = identity.folder / "next.pem"
    identity.write(beside, certificate)
    if not _better(beside, identity):
        beside.unlink()
        raise EnrolError("enroll.bad_renewal", url=agreed.collector)
    beside.replace(identity.certificate)
    return True


def _better(new: Path, identity: Identity) -> bool:
    """Whether it is ours and lasts longer than what we have."""
    theirs, ours = validity_of_file(new), identity.validity()
    if theirs is None or (ours is not None and theirs.ends <= ours.ends):
        return False
    return keys.fits(new, identity.key)
