"""What is watched, and who is told: rules and webhooks, as [[alert]] and [[webhook]] say (config_alerts.py)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class When(StrEnum):
    """What a rule looks for. `after` of the rule is how long it must have lasted."""

    PENDING = "pending"  # a payment is in doubt
    UNDELIVERED = "undelivered"  # a payment was charged in vain, and its case is open
    CASE_OVERDUE = "case_overdue"  # a case's due time is over
    AGENT_STALE = "agent_stale"  # an agent says it is online, and is silent
    AGENT_OFFLINE = "agent_offline"  # an agent is not connected
    TERMINAL_DOWN = "terminal_down"  # a terminal's link is down, as its agent tells
    REFUSALS = "refusals"  # somebody claims to be another agent; over when it stopped for `after`
    GAPS = "gaps"  # events are missing
    FILE_MISSING = "file_missing"  # a day's file for the reconciliation did not come in time, or can't be used


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One [[alert]]. `webhooks` empty: all of them. `site` None: everywhere."""

    name: str
    when: When
    after_s: float
    site: str | None = None
    webhooks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One [[webhook]]: where alerts are posted to, and the secret that signs them."""

    name: str
    url: str
    secret_file: Path | None = None
    timeout_s: float = 10.0

    def secret(self) -> str | None:
        """The secret, read anew each time, so that it can be changed without a restart."""
        if self.secret_file is None:
            return None
        return self.secret_file.read_text(encoding="utf-8").strip()
