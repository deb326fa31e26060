"""The duty that compares the ledger with the rules: what begins and what is over becomes a message in the outbox.

Incident and message are written in one transaction, and of several collectors one writes them: so each is told of once.
A rule that was taken out of the configuration ends its incidents without a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from collector.alerts.rules import Rule, Webhook, When
from collector.alerts.words import page_of, sentence
from collector.duty import Duty
from collector.hub import Change, Hub
from collector.ledger import Clock, Ledger, alerts, microseconds, moment
from collector.ledger.alerts import Incident, Trouble
from collector.texts import LANGUAGES, Texts

EVERY_S = 10.0
_KEEP_US = 30 * 86_400_000_000
_FILES_US = 7 * 86_400_000_000  # so long a file that comes late still counts (docs/reconcile.md)
_S = 1_000_000

Look = Callable[[Connection, Rule, int, float], list[Trouble]]


def _before(now_us: int, rule: Rule) -> int:
    return now_us - round(rule.after_s * _S)


_LOOKS: dict[When, Look] = {
    When.PENDING: lambda c, rule, now, _: alerts.pending(c, _before(now, rule), rule.site),
    When.UNDELIVERED: lambda c, rule, now, _: alerts.open_cases(c, "undelivered", _before(now, rule), rule.site),
    When.CASE_OVERDUE: lambda c, rule, now, _: alerts.overdue_cases(c, _before(now, rule), rule.site),
    When.AGENT_STALE: lambda c, rule, now, _: alerts.silent_agents(c, _before(now, rule), rule.site, online=True),
    When.AGENT_OFFLINE: lambda c, rule, now, _: alerts.silent_agents(c, _before(now, rule), rule.site, online=False),
    When.TERMINAL_DOWN: lambda c, rule, now, stale_s: alerts.down_terminals(
        c, _before(now, rule), now - round(stale_s * _S), rule.site
    ),
    When.REFUSALS: lambda c, rule, now, _: alerts.refused_lately(c, _before(now, rule)),
    When.GAPS: lambda c, rule, now, _: alerts.gaps(c, _before(now, rule), rule.site),
    When.FILE_MISSING: lambda c, rule, now, _: alerts.files_missing(c, _before(now, rule)),
}


class Watch(Duty):
    """Looks each ten seconds. `public_url`: for the link to the page in messages."""

    name = "alerts"

    def __init__(
        self,
        ledger: Ledger,
        rules: Sequence[Rule],
        webhooks: Sequence[Webhook],
        *,
        clock: Clock,
        hub: Hub | None = None,
        stale_s: float = 180.0,
        public_url: str | None = None,
        every_s: float = EVERY_S,
    ) -> None:
        super().__init__(every_s)
        self._ledger = ledger
        self._rules = tuple(rules)
        self._webhooks = tuple(webhooks)
        self._clock = clock
        self._hub = hub
        self._stale_s = stale_s
        self._public_url = public_url

    def turn(self) -> None:
        """Compare once."""
        now_us = microseconds(self._clock())
        changes: list[Change] = []
        with self._ledger.read() as connection:
            found = {rule.name: _LOOKS[rule.when](connection, rule, now_us, self._stale_s) for rule in self._rules}
            known = {rule.name: alerts.open_incidents(connection, rule.name) for rule in self._rules}
            orphans = set(alerts.rules_with_incidents(connection)) - set(known) - {alerts.FILE_MISSING}
        for rule in self._rules:
            now = {trouble.key: trouble for trouble in found[rule.name]}
            for key in now.keys() - known[rule.name].keys():
                changes += self._begin(rule, now[key], now_us)
            for key in known[rule.name].keys() - now.keys():
                changes += self._end(rule, known[rule.name][key], now_us)
        with self._ledger.write() as connection:
            for name in orphans:
                for incident in alerts.open_incidents(connection, name).values():
                    alerts.end(connection, incident, now_us)
            for incident in alerts.open_incidents(connection, alerts.FILE_MISSING).values():
                if incident.since_us < now_us - _FILES_US:
                    alerts.end(connection, incident, now_us)
            alerts.forget(connection, now_us - _KEEP_US)
        if self._hub is not None:
            self._hub.publish(changes)

    def _begin(self, rule: Rule, trouble: Trouble, now_us: int) -> list[Change]:
        with self._ledger.write() as connection:
            incident = alerts.begin(connection, rule.name, _of(trouble, rule.when), now_us)
            if incident is None:
                return []
            self._tell(connection, rule, incident, "firing", now_us)
        self.log.warning("alert.firing", incident=incident.id, rule=rule.name, when=rule.when.value)
        return [Change("alert", incident.id, time_us=now_us)]

    def _end(self, rule: Rule, incident: Incident, now_us: int) -> list[Change]:
        with self._ledger.write() as connection:
            if not alerts.end(connection, incident, now_us):
                return []
            self._tell(connection, rule, incident, "resolved", now_us)
        self.log.info("alert.resolved", incident=incident.id, rule=rule.name)
        return [Change("alert", incident.id, time_us=now_us)]

    def _tell(self, connection: Connection, rule: Rule, incident: Incident, state: str, now_us: int) -> None:
        body = json.dumps(message(rule, incident, state, now_us, self._public_url), ensure_ascii=False)
        for webhook in self._webhooks:
            if not rule.webhooks or webhook.name in rule.webhooks:
                alerts.put(connection, webhook.name, incident.id, state, body, now_us)


def message(rule: Rule, incident: Incident, state: str, now_us: int, public_url: str | None) -> dict[str, Any]:
    """The message as it is sent; documented in docs/alerts.md."""
    return {
        "version": 1,
        "incident": incident.id,
        "state": state,
        "rule": rule.name,
        "when": rule.when.value,
        "subject": incident.key,
        "since": _time(incident.since_us),
        "at": _time(now_us),
        "summary": {language: _summary(rule, incident, state, Texts(language)) for language in LANGUAGES},
        "detail": {name: value for name, value in incident.detail.items() if name != "when"},
        "url": f"{public_url}{page_of(incident, rule.when)}" if public_url else None,
    }


def _summary(rule: Rule, incident: Incident, state: str, texts: Texts) -> str:
    text = sentence(incident, rule.when, incident.opened_us, texts)
    return texts.say("alerts.resolved", text=text) if state == "resolved" else text


def _of(trouble: Trouble, when: When) -> Trouble:
    """With what was looked for: pages say what an incident is without the configuration."""
    return replace(trouble, detail={**trouble.detail, "when": when.value})


def _time(us: int) -> str:
    return moment(us).isoformat(timespec="milliseconds")
