"""The identity of an enrolled PC, and the fleet's configuration there: do they fit what the configuration says?

A name that differs from the certificate's is refused by the broker without a word: here it is said.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.checks.check import Check
from agent.config import Config
from agent.enroll.errors import EnrolError
from agent.enroll.identity import Identity
from agent.fleet_store import FleetStore


def checks(config: Config) -> Iterator[Check]:
    """Nothing for a PC that was never enrolled."""
    identity = Identity.below(config.agent.state_dir)
    try:
        agreed = identity.enrolment()
    except EnrolError as error:
        yield Check.fail("identity", "check.identity_damaged", path=error.values["path"], reason=error.values["reason"])
        return
    if agreed is None:
        return
    agent = config.agent
    facts = {"agent": agreed.agent, "site": agreed.site, "configured": f"{agent.id}, {agent.site}"}
    if (agreed.agent, agreed.site) != (agent.id, agent.site):
        yield Check.fail("identity", "check.identity_other", **facts)
    elif config.mqtt is None or config.mqtt.cert_file != identity.certificate:
        yield Check.warn("identity", "check.identity_unused", path=identity.certificate, **facts)
    else:
        yield Check.ok("identity", "check.identity_ok", **facts)
    refused = FleetStore(agent.state_dir).refused()
    if refused is not None:
        yield Check.warn("fleet", "check.fleet_refused", version=refused.version, reason=refused.reason)
    elif config.fleet_version is not None:
        yield Check.ok("fleet", "check.fleet_ok", version=config.fleet_version)
