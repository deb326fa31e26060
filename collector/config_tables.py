"""Tables of the configuration: [[alert]] and [[webhook]], which may stand several times, [oidc] and [enrol]."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config_schema import Key, Section
from agent.config_values import WORD, Choice, Duration, FilePath, RefusedError, Text, Url, nearest, shown
from agent.phrase import Phrase, phrase
from collector.access.roles import Role
from collector.alerts.rules import Rule, Webhook, When
from collector.config_values import Listen, PostUrl, Words

#: where, dotted key, what is wrong
Report = Callable[[tuple[str | int, ...], str, Phrase], None]

ALERT = Section(
    "alert",
    (
        Key(name="name", kind=WORD, required=True, meaning="Name of the rule, in messages and in the log."),
        Key(name="when", kind=Choice(tuple(When)), required=True, meaning="What is looked for (docs/alerts.md)."),
        Key(name="after", kind=Duration(), default="15m", field="after_s", meaning="How long it must have lasted."),
        Key(name="site", kind=WORD, meaning="Only at this site."),
        Key(name="webhooks", kind=Words(WORD), meaning="Names of the webhooks that are told; all when not given."),
    ),
    "Something that people are called for. May stand several times.",
)
WEBHOOK = Section(
    "webhook",
    (
        Key(name="name", kind=WORD, required=True, meaning="Name, for `webhooks` of an alert and the log."),
        Key(name="url", kind=PostUrl(), required=True, meaning="Where messages are posted to, as JSON."),
        Key(
            name="secret_file",
            kind=FilePath(readable=True, secret=True),
            meaning="File that holds the secret by which messages are signed (header `Tillwatch-Signature`).",
        ),
        Key(name="timeout", kind=Duration(), default="10s", field="timeout_s", meaning="How long an answer may take."),
    ),
    "Who is told of alerts. May stand several times.",
)  # fmt: skip
OIDC = Section(
    "oidc",
    (
        Key(name="issuer", kind=PostUrl(), required=True, meaning="The provider's issuer, as its discovery names it."),
        Key(name="client_id", kind=Text(), required=True, meaning="Our name at the provider."),
        Key(
            name="client_secret_file",
            kind=FilePath(readable=True, secret=True),
            required=True,
            meaning="File that holds our secret at the provider.",
        ),
        Key(name="label", kind=Text(), default="OpenID", meaning="What the button on the log-in page calls it."),
        Key(name="role_claim", kind=Text(), default="groups", meaning="The claim that says who may do what."),
        Key(
            name="roles",
            kind=Words(Text(re.compile(r".+=(?:" + "|".join(Role) + ")"), "config.accepts_group_role")),
            meaning='Its value and the role: ["till-admins=admin", "cash-office=cashier-lead"]; the first that fits.',
        ),
        Key(name="default_role", kind=Choice(tuple(Role)), meaning="Role of the others; without it they stay out."),
    ),
    "Log-in at an OpenID provider, beside name and password.",
)  # fmt: skip
ENROL = Section(
    "enrol",
    (
        Key(
            name="folder",
            kind=FilePath(),
            default="/var/lib/tillwatch/ca",
            meaning="Folder of the authority; `tillwatch collector ca init` makes it.",
        ),
        Key(
            name="listen",
            kind=Listen(),
            default="0.0.0.0:8443",
            meaning="HOST:PORT of the door that agents come to: never behind a proxy that ends TLS.",
        ),
        Key(
            name="names",
            kind=Words(Text()),
            meaning="Names and addresses by which agents call this collector; they stand in its certificate.",
            derived="the machine's names",
        ),
        Key(
            name="broker",
            kind=Url(),
            meaning="The broker as agents reach it.",
            derived="`url` of [mqtt]",
        ),
        Key(
            name="crl_file",
            kind=FilePath(),
            meaning="File that is kept equal to the revocation list, for the broker (`crlfile` of mosquitto).",
        ),
    ),
    "Enrolment of agents (docs/enrol.md). Without this table agents get their certificates by hand.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arrays:
    """What the tables say that may stand several times."""

    alerts: tuple[Rule, ...]
    webhooks: tuple[Webhook, ...]


def read_arrays(data: Mapping[str, Any], report: Report) -> Arrays:
    """Read them; everything that is wrong is reported."""
    webhooks = [Webhook(**values) for values in _items(WEBHOOK, data, report)]
    alerts = [
        Rule(**{**values, "when": When(values["when"]), "webhooks": values["webhooks"] or ()})
        for values in _items(ALERT, data, report)
    ]
    names = tuple(webhook.name for webhook in webhooks)
    for index, alert in enumerate(alerts):
        for name in alert.webhooks:
            if name not in names:
                what = phrase("config.no_such_webhook", found=shown(name), known=", ".join(names) or "-")
                report(("alert", index, "webhooks"), f"alert.{alert.name}.webhooks", what)
    return Arrays(tuple(alerts), tuple(webhooks))


def _items(section: Section, data: Mapping[str, Any], report: Report) -> list[dict[str, Any]]:
    found = data.get(section.name, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        report((section.name,), section.name, phrase("config.not_several", table=section.name))
        return []
    items: list[dict[str, Any]] = []
    names: set[str] = set()
    for index, item in enumerate(found):
        values = _item(section, index, item, report)
        if values is None:
            continue
        if values["name"] in names:
            what = phrase("config.name_twice", name=values["name"])
            report((section.name, index, "name"), f"{section.name}.{values['name']}", what)
        names.add(values["name"])
        items.append(values)
    return items


def _item(section: Section, index: int, item: Mapping[str, Any], report: Report) -> dict[str, Any] | None:
    """The values of one table; None when something was reported."""
    good = True
    values: dict[str, Any] = {}

    def refuse(key: str, what: Phrase) -> None:
        nonlocal good
        good = False
        label = item.get("name")
        label = label if isinstance(label, str) and label.isprintable() else str(index + 1)
        report((section.name, index, key), f"{section.name}.{label}.{key}", what)

    for name in item:
        if section.key(name) is None:
            refuse(name, phrase("config.unknown_key", nearest=nearest(name, section.names)))
    for key in section.keys:
        value = item.get(key.name, key.default)
        if value is None:
            values[key.target] = None
            if key.required:
                refuse(key.name, phrase("config.required", accepted=key.kind.accepts))
            continue
        try:
            values[key.target] = read = key.kind.read(value)
        except RefusedError as error:
            refuse(key.name, error.why)
            continue
        if isinstance(key.kind, FilePath) and isinstance(read, Path) and (why := key.kind.usable(read)):
            refuse(key.name, why)
    return values if good else None
