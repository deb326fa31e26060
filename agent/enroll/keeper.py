"""The agent's duty towards its collector: a thread that renews the certificate in time, and looks for a newer
configuration of the fleet.

Both are tried for ever with growing, jittered pauses: a collector that is away for weeks costs nothing but log lines,
and the last third of a certificate's life is there for it. Nothing here may disturb a payment or the publishing.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import tenacity

from agent.enroll import keys, renewal
from agent.enroll.identity import Enrolment, Identity
from agent.errors import TillwatchError
from agent.log import Logger
from agent.schedule import wait_of

RENEWAL_RETRY = tenacity.wait_random_exponential(multiplier=60, max=6 * 3600)
FLEET_EVERY_S = 300.0
FLEET_RETRY = tenacity.wait_random_exponential(multiplier=30, max=1800)
_LONGEST_SLEEP_S = 600.0  # the wall clock may be set meanwhile: what is due is looked at again


class Keeper:
    """The thread. `look` asks for the fleet's configuration, and may raise TillwatchError."""

    def __init__(self, identity: Identity, agreed: Enrolment, look: Callable[[], None], log: Logger) -> None:
        self._identity = identity
        self._agreed = agreed
        self._look = look
        self._log = log
        self._rng = random.Random()  # noqa: S311 (spreads agents over time, guards nothing)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._renewals_failed = self._looks_failed = 0
        self._renew_not_before = 0.0  # monotonic
        self._look_due = 0.0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End. A question that is under way is not waited for: it changes files in one step or not at all."""
        self._stopping.set()

    def _run(self) -> None:
        renew_at = renewal.due(self._identity, self._rng)
        while not self._stopping.is_set():
            now = time.monotonic()
            if datetime.now(UTC) >= renew_at and now >= self._renew_not_before:
                self._renew()
                renew_at = renewal.due(self._identity, self._rng)
            if now >= self._look_due:
                self._look_for_configuration()
            self._stopping.wait(self._patience(renew_at))

    def _patience(self, renew_at: datetime) -> float:
        now = time.monotonic()
        renewal_in = max((renew_at - datetime.now(UTC)).total_seconds(), self._renew_not_before - now)
        return max(0.1, min(_LONGEST_SLEEP_S, self._look_due - now, renewal_in))

    def _renew(self) -> None:
        try:
            renewed = renewal.renew(self._identity, self._agreed)
        except Exception as error:  # noqa: BLE001 (_strange)
            self._renewals_failed += 1
            pause = wait_of(RENEWAL_RETRY, self._renewals_failed)
            self._log.warning(
                "certificate.not_renewed", detail=str(error), retry_in_s=round(pause), exc_info=_strange(error)
            )
        else:
            self._renewals_failed = 0
            pause = 0.0 if renewed else wait_of(RENEWAL_RETRY, 20)  # the collector's clock lies behind ours
            if renewed and (found := self._identity.validity()):
                self._log.info("certificate.renewed", until=f"{found.ends:%Y-%m-%d}")
        self._renew_not_before = time.monotonic() + pause

    def _look_for_configuration(self) -> None:
        try:
            self._look()
        except Exception as error:  # noqa: BLE001 (_strange)
            self._looks_failed += 1
            pause = wait_of(FLEET_RETRY, self._looks_failed)
            tell = self._log.warning if self._looks_failed in (1, 10, 100) else self._log.debug
            tell("fleet.unreachable", detail=str(error), retry_in_s=round(pause), exc_info=_strange(error))
        else:
            self._looks_failed = 0
            pause = FLEET_EVERY_S * self._rng.uniform(0.8, 1.2)
        self._look_due = time.monotonic() + pause


def _strange(error: Exception) -> bool:
    """Whether it is a defect. It must not end the thread: in ninety days the certificate would have ended, too."""
    return not isinstance(error, (TillwatchError, OSError))


def keeper_of(state_dir: Path, look: Callable[[Identity, Enrolment], None], log: Logger) -> Keeper | None:
    """The keeper of this PC's identity; None where it was never enrolled, or its files are damaged (which is told)."""
    identity = Identity.below(state_dir)
    try:
        agreed = identity.enrolment()
    except TillwatchError as error:
        log.error("identity.damaged", detail=str(error))
        return None
    if agreed is None:
        return None
    _finish(identity, log)
    return Keeper(identity, agreed, lambda: look(identity, agreed), log)


def _finish(identity: Identity, log: Logger) -> None:
    """An enrolment that a power cut interrupted between certificate and key."""
    try:
        if identity.next_key.exists() and keys.fits(identity.certificate, identity.next_key):
            identity.take_next_key()
            log.warning("identity.finished", detail="an enrolment was interrupted; its key is in place now")
    except (TillwatchError, OSError) as error:
        log.error("identity.damaged", detail=str(error))
