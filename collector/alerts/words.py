"""What an incident is, in a sentence for people: the same in messages and on the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.money import show_amount
from collector.alerts.rules import When
from collector.ledger.alerts import Incident
from collector.texts import Texts

_MINUTE_US = 60_000_000
_REASON = "page.link_reason_"  # of a terminal whose link is down


def sentence(incident: Incident, when: When, at_us: int, texts: Texts) -> str:
    """The sentence, in the language of `texts`. `at_us`: how long it lasts is counted until then."""
    detail: Mapping[str, Any] = incident.detail
    shown = {name: "-" if value is None else value for name, value in detail.items()}
    values = {"site": "-", "agent": "-", "terminal": "-", "missing": 0, "number": "-", "topic": "-", **shown}
    values["subject"] = incident.key
    if reason := detail.get("reason"):
        values["reason"] = texts.say(_REASON + reason) if texts.has(_REASON + reason) else reason
    values["amount"] = show_amount(detail.get("amount"), detail.get("currency"))
    values["minutes"] = max(0, at_us - incident.since_us) // _MINUTE_US
    if when is When.FILE_MISSING:
        values["formats"] = ", ".join(detail.get("formats", ()))
        if why := detail.get("why"):
            return texts.say("alerts.file_unusable", **(values | {"why": why[texts.language]}))
    return texts.say(f"alerts.{when}", **values)


def kind_of(incident: Incident) -> When | None:
    """What its rule looked for; None for one of an older version, which did not keep it."""
    kept = str(incident.detail.get("when"))
    return When(kept) if kept in set(When) else None


def page_of(incident: Incident, when: When) -> str:
    """Where on the dashboard one sees more of it."""
    if "number" in incident.detail:
        return f"/cases/{incident.detail['number']}"
    if when is When.PENDING:
        return f"/transactions/{incident.key}"
    return "/days" if when is When.FILE_MISSING else "/fleet"
