"""What the running agent knows of its broker: `tillwatch check` and `diag` ask for it instead of logging in themselves.

Where the broker takes the client id from the certificate or the user, a second log-in would throw the agent out.
"""

from __future__ import annotations

from dataclasses import dataclass

from paho.mqtt.reasoncodes import ReasonCode

from agent.log import Logger


@dataclass(slots=True)
class Contact:
    """Written by the publisher's thread alone.

    `since`: Unix seconds, of the present connection; `version`: of MQTT (5 or 3); `failure`: why the last attempt
    or connection ended, in English; `denied`: what the broker's access rules do not let us do, as "state".
    """

    since: float | None = None
    version: int | None = None
    failure: str | None = None
    denied: frozenset[str] = frozenset()

    def judge(self, what: str, refusal: ReasonCode, log: Logger) -> None:
        """Note how the broker answered a publish or a subscription; a refusal is told once."""
        if not refusal.is_failure:
            self.denied -= {what}
        elif what not in self.denied:
            self.denied |= {what}
            log.warning("mqtt.denied", what=what, detail=str(refusal))
