"""Looks at the collector for a newer configuration of the fleet, and decides whether this PC takes it.

It is taken when it is signed with the key pinned at enrolment, newer than all that was seen, not expired, and the real
loader accepts it together with this PC's own file. Otherwise nothing changes, and one line says why. One that was taken
is on trial until an agent has run with it for a while (fleet_store.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agent.config import Config
from agent.config_reader import read
from agent.enroll.door import Door
from agent.enroll.errors import DoorError
from agent.enroll.identity import Enrolment, Identity
from agent.fleet import Document, FleetError, overlay_of
from agent.fleet_store import FleetStore, Refused, refuse_old, verified
from agent.log import Logger
from agent.phrase import phrase
from agent.texts import Texts

#: an agent that has lived so long with a version can live with it
TRIAL_S = 60.0
_ENGLISH = Texts("en")


class FleetWatch:
    """For one agent. `changed` is called (in the keeper's thread) when another configuration is in force."""

    def __init__(
        self, config: Config, changed: Callable[[], None], log: Logger, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._config = config
        self._changed = changed
        self._log = log
        self._environ = environ
        self._store = FleetStore(config.agent.state_dir)
        self._refused = self._store.refused()
        self._proved_at = time.monotonic() + TRIAL_S

    def report(self) -> dict[str, Any]:
        """For the agent's `state`: the version it runs with, and the newest it did not take."""
        refused = self._refused
        return {
            "version": self._config.fleet_version,
            "refused": {"version": refused.version, "reason": refused.reason} if refused else None,
        }

    def look(self, identity: Identity, agreed: Enrolment) -> None:
        """Ask the collector. Raises TillwatchError when it can't be asked, OSError when the disk refuses."""
        if time.monotonic() >= self._proved_at:
            self._store.prove(self._config.fleet_version)
        door = Door(agreed.collector, identity.authority, (identity.certificate, identity.key))
        answer = door.ask("GET", f"/agents/1/configuration?have={self._store.seen()}")
        if answer.status == 204:
            return
        version, document, signature = (answer.body.get(name) for name in ("version", "document", "signature"))
        if not (isinstance(version, int) and isinstance(document, str) and isinstance(signature, str)):
            raise DoorError("enroll.no_collector", url=agreed.collector)
        self.consider(agreed.fleet_key, document, signature, version)

    def consider(self, key: str, text: str, signature: str, claimed: int) -> None:
        """Take it, or refuse it. `claimed`: the version that the collector says it is. Raises OSError."""
        document = None
        try:
            document = verified(key, text, signature)
            refuse_old(document, self._store.seen(), datetime.now(UTC))
            config = self._read_with(document)
        except FleetError as error:
            # A number that nobody signed must not keep out what comes later.
            version = document.version if document else claimed
            self._refuse(Refused(version, error.what.say(_ENGLISH), signed=document is not None))
            return
        for_us = replace(config, fleet_version=None) != replace(self._config, fleet_version=None)
        self._store.take(document, text, on_trial=for_us)
        self._refused = None
        self._log.info("fleet.taken", version=document.version)
        if for_us:
            self._changed()
        else:
            self._config = config  # nothing in it is for us: the version is in force as we are

    def _read_with(self, document: Document) -> Config:
        """This PC's configuration with the document on top. Raises FleetError when there can't be one."""
        agent = self._config.agent
        overlay = overlay_of(document, agent.id, agent.site)
        config, found = read(self._config.path, self._environ, secrets=True, fleet=overlay)
        if config is not None and not found:
            return config
        why = phrase("fleet.bad_value", name=found[0].key or found[0].where, what=found[0].what)
        raise FleetError(phrase("fleet.does_not_fit", what=why))

    def _refuse(self, refused: Refused) -> None:
        if refused == self._refused:
            return
        self._store.refuse(refused)
        self._refused = refused
        self._log.error("fleet.refused", version=refused.version, reason=refused.reason)
