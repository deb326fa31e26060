"""Looks at the collector for a newer configuration of the fleet, and decides whether this PC takes it.

It is taken when it is signed with the key pinned at enrolment, newer than all that was seen, not expired, and the real
loader accepts it together with this PC's own file. Otherwise nothing changes, and one line says why.
"""

from __future__ import annotations

import os
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
from agent.fleet_store import FleetStore, Refused, verified
from agent.log import Logger
from agent.phrase import Phrase, phrase
from agent.texts import Texts

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

    def report(self) -> dict[str, Any]:
        """For the agent's `state`: the version it runs with, and the newest it did not take."""
        refused = self._refused
        return {
            "version": self._config.fleet_version,
            "refused": {"version": refused.version, "reason": refused.reason} if refused else None,
        }

    def look(self, identity: Identity, agreed: Enrolment) -> None:
        """Ask the collector. Raises TillwatchError when it can't be asked, OSError when the disk refuses."""
        door = Door(agreed.collector, identity.authority, (identity.certificate, identity.key))
        answer = door.ask("GET", f"/agents/1/configuration?have={self._store.seen()}")
        if answer.status == 204:
            return
        version, document, signature = (answer.body.get(name) for name in ("version", "document", "signature"))
        if not (isinstance(version, int) and isinstance(document, str) and isinstance(signature, str)):
            raise DoorError("enroll.no_collector", url=agreed.collector)
        self.consider(agreed.fleet_key, document, signature, version)

    def consider(self, key: str, document: str, signature: str, claimed: int) -> None:
        """Take it, or refuse it. `claimed`: the version that the collector says it is. Raises OSError."""
        current = self._store.current()
        try:
            found = verified(key, document, signature, current.version if current else 0, datetime.now(UTC))
        except FleetError as error:
            self._refuse(Refused(claimed, error.what.say(_ENGLISH), signed=error.what.key != "fleet.bad_signature"))
            return
        config, why = self._read_with(found)
        if config is None:
            self._refuse(Refused(found.version, phrase("fleet.does_not_fit", what=why).say(_ENGLISH), signed=True))
            return
        self._store.take(document)
        self._refused = None
        self._log.info("fleet.taken", version=found.version)
        if replace(config, fleet_version=None) == replace(self._config, fleet_version=None):
            self._config = config  # nothing in it is for us: the version is in force as we are
        else:
            self._changed()

    def _read_with(self, document: Document) -> tuple[Config | None, Phrase]:
        """This PC's configuration with the document on top, or why there can't be one."""
        agent = self._config.agent
        overlay = overlay_of(document, agent.id, agent.site)
        config, found = read(self._config.path, self._environ, secrets=True, fleet=overlay)
        if config is not None and not found:
            return config, phrase("fleet.does_not_fit", what="")
        first = found[0]
        return None, phrase("fleet.bad_value", name=first.key or first.where, what=first.what)

    def _refuse(self, refused: Refused) -> None:
        if refused == self._refused:
            return
        self._store.refuse(refused)
        self._refused = refused
        self._log.error("fleet.refused", version=refused.version, reason=refused.reason)
