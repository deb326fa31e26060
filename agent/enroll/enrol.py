"""The first time: from a one-time token to key, certificate and authority on the disk.

The collector is known by the fingerprint in the token. Its authority is asked for over a connection that proves
nothing, compared with the fingerprint, and only over a second connection, to a collector whose certificate that
authority has signed for the name that was dialled, is the token told. So nobody between can take it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from agent.config_values import RefusedError, Url
from agent.enroll import keys
from agent.enroll.door import Door
from agent.enroll.errors import DoorError, EnrolError
from agent.enroll.identity import Enrolment, Identity
from agent.enroll.token import EnrolToken, pinned

#: Clocks further apart than this are told: the certificate would be refused, or ends unnoticed.
CLOCK_S = 300


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What this PC has now."""

    identity: Identity
    agreed: Enrolment


def enrol(url: str, token: EnrolToken, state_dir: Path, now_s: float | None = None) -> Enrolled:
    """Get an identity. Raises EnrolError or DoorError; what was there before is then as it was.

    May be called again with the same token when an answer was lost: the same key gets the same certificate.
    """
    authority = _known_authority(url, token, time.time() if now_s is None else now_s)
    identity = Identity.below(state_dir)
    identity.make_folder()
    identity.make_next_key()
    answer = Door(url, authority).ask(
        "POST",
        "/agents/1/certificates",
        {
            "token": token.secret,
            "agent": token.agent,
            "site": token.site,
            "request": keys.request(identity.next_key, token.agent),
        },
    )
    certificate, broker, fleet_key = (answer.body.get(name) for name in ("certificate", "broker", "fleet_key"))
    if not (isinstance(certificate, str) and isinstance(broker, str) and isinstance(fleet_key, str)):
        raise DoorError("enroll.no_collector", url=url)
    _refuse_bad_broker(broker)
    agreed = Enrolment(url, token.agent, token.site, broker, fleet_key)
    identity.begin(authority, certificate, agreed)
    return Enrolled(identity, agreed)


def _refuse_bad_broker(url: str) -> None:
    """Before anything changes here: the token is still good when the collector's configuration was mended."""
    try:
        Url().read(url)
    except RefusedError as error:
        raise EnrolError("enroll.bad_broker", url=url[:200]) from error


def _known_authority(url: str, token: EnrolToken, now_s: float) -> str:
    """The authority of the token's fingerprint. Raises EnrolError when another answers, or a clock is wrong."""
    told = Door(url).ask("GET", "/agents/1/authority").body
    authority, their_now = told.get("authority"), told.get("now")
    if not isinstance(authority, str) or not isinstance(their_now, int):
        raise DoorError("enroll.no_collector", url=url)
    trusted = pinned(authority, token.fingerprint)
    if trusted is None:
        raise EnrolError("enroll.another_collector", url=url)
    if abs(now_s - their_now) > CLOCK_S:
        apart = "enroll.clock_ahead" if now_s > their_now else "enroll.clock_behind"
        raise EnrolError(apart, minutes=round(abs(now_s - their_now) / 60))
    return trusted
