"""The collector's configuration: one TOML file, environment variables and options of the command line on top.

The same rules as the agent's (agent/config*.py): every problem is found, with file, line and key, before anything is
touched; an unknown key names its nearest neighbour. The file may be missing when the command line says it all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import config_rules as rules
from agent.config import InvalidConfigError, Log, Mqtt, Problem
from agent.config_reader import bare, shown_variable
from agent.config_schema import LOG, MQTT, Key, Section
from agent.config_source import Source, UnreadableError
from agent.config_source import read as read_source
from agent.config_values import BrokerUrl, Choice, Duration, FilePath, RefusedError, Text, nearest, shown
from agent.phrase import Phrase, phrase
from agent.texts import LANGUAGES
from collector.access.oidc_settings import Oidc
from collector.access.roles import Role
from collector.alerts.rules import Rule, Webhook
from collector.config_tables import ENROL, OIDC, Arrays, read_arrays
from collector.config_values import Listen, Switch, WebUrl, Zone

DEFAULT_CONFIG = "/etc/tillwatch/collector.toml"
#: dotted key → the option of the command line that sets it
OPTIONS = {"database.url": "database", "mqtt.url": "mqtt", "web.listen": "listen", "enrol.folder": "ca"}
_PREFIX = "TILLWATCH_"
_NEAR = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where the ledger is: sqlite:///FILE or postgresql://USER@HOST/NAME; the password may be in a file."""

    url: str
    password_file: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The dashboard and the API."""

    listen: tuple[str, int]
    public_url: str | None
    hospital: str | None
    contact: str | None
    language: str | None
    timezone: str | None
    stale_s: float
    metrics_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long is kept what: seconds. Payments that are in doubt or not reconciled stay whatever their age."""

    events_s: float
    transactions_s: float
    metrics_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """Reconciliation each morning, of files laid into a folder. `folder` None: only by hand."""

    folder: Path | None
    at: str
    until: str
    weekends: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol:
    """The door at which agents get their certificates. `broker` None: that of [mqtt]; `names` empty: the machine's."""

    folder: Path
    listen: tuple[str, int]
    names: tuple[str, ...]
    broker: str | None
    crl_file: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration that may be used. `mqtt` None: pages only, nothing is taken in."""

    database: Database
    mqtt: Mqtt | None
    client_id: str | None
    web: Web
    retention: Retention
    reconcile: Reconcile
    log: Log
    path: Path | None
    oidc: Oidc | None = None
    enrol: Enrol | None = None
    alerts: tuple[Rule, ...] = ()
    webhooks: tuple[Webhook, ...] = ()


DATABASE = Section(
    "database",
    (
        Key(
            name="url",
            kind=Text(),
            default="sqlite:////var/lib/tillwatch/ledger.sqlite",
            meaning="sqlite:///FILE (four slashes before an absolute path) or postgresql://USER@HOST/NAME.",
        ),
        Key(
            name="password_file",
            kind=FilePath(readable=True, secret=True),
            meaning="File that holds the password for PostgreSQL. Refused when everybody may read it.",
        ),
    ),
    "The ledger.",
)
COLLECTOR_MQTT = Section(
    "mqtt",
    (
        *MQTT.keys,
        Key(
            name="client_id",
            kind=Text(),
            meaning="A name of this collector's own at the broker, which then keeps for an hour what comes while the "
            "collector is away. Never the same for two. Without it what is missing is asked for again.",
        ),
    ),
    "The broker that the agents publish to. Without this table nothing is taken in: pages only.",
)
WEB = Section(
    "web",
    (
        Key(name="listen", kind=Listen(), default="127.0.0.1:8080", meaning="HOST:PORT of dashboard and API."),
        Key(
            name="public_url",
            kind=WebUrl(),
            meaning="How browsers reach it; with https:// cookies are sent over TLS only.",
        ),
        Key(name="hospital", kind=Text(), meaning="The name on pages and proofs."),
        Key(name="contact", kind=Text(), meaning="Whom a patient may ask; stands on proofs."),
        Key(name="language", kind=Choice(LANGUAGES), meaning="For browsers that ask for neither language."),
        Key(
            name="timezone",
            kind=Zone(),
            meaning="Zone of the times on pages, such as Asia/Shanghai.",
            derived="that of the machine",
        ),
        Key(
            name="stale",
            kind=Duration(),
            default="3m",
            field="stale_s",
            meaning="An agent not heard of for so long is shown as stale.",
        ),
        Key(
            name="metrics_open",
            kind=Switch(),
            default="true",
            meaning="Whether /metrics may be read without a token.",
        ),
    ),
    "Dashboard and API.",
)
RETENTION = Section(
    "retention",
    (
        Key(name="events", kind=Duration(), default="400d", field="events_s", meaning="Events, as they came."),
        Key(
            name="transactions",
            kind=Duration(),
            default="1825d",
            field="transactions_s",
            meaning="Payments with their receipts. Never those in doubt, with an open case, or (where reconciliation "
            "is used) not reconciled.",
        ),
        Key(name="metrics", kind=Duration(), default="35d", field="metrics_s", meaning="Figures for charts."),
    ),
    "How long is kept what. Looked at each hour.",
)
_CLOCK = Text(re.compile(r"([01]\d|2[0-3]):[0-5]\d"), "config.accepts_clock")
RECONCILE = Section(
    "reconcile",
    (
        Key(
            name="folder",
            kind=FilePath(),
            meaning="Folder with a sub-folder for each format (his-generic/, allinpay/ …); a file's name holds its "
            "business day. Without it nothing is reconciled by itself.",
        ),
        Key(name="at", kind=_CLOCK, default="10:30", meaning="When a day's files are expected, the next working day."),
        Key(name="until", kind=_CLOCK, default="12:00", meaning="How long a missing file is waited for."),
        Key(
            name="weekends",
            kind=Switch(),
            default="false",
            meaning="Whether the acquirer's files also come on Saturdays and Sundays.",
        ),
    ),
    "Reconciliation each morning, in the zone of [web] timezone; without that, in Asia/Shanghai.",
)
SECTIONS = (DATABASE, COLLECTOR_MQTT, WEB, RETENTION, RECONCILE, LOG, OIDC, ENROL)
_OPTIONAL = (COLLECTOR_MQTT, OIDC, ENROL)  # nothing is read where the file has no such table


class InvalidCollectorConfigError(InvalidConfigError):
    """The collector's. No verb lists all that is wrong with it, so the line itself names every key."""

    others = "config.also"


def load(path: Path | None, options: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> Config:
    """Read it. `options`: dotted key → text, from the command line; they win over environment and file.

    `path` None: no file. Raises InvalidConfigError (exit code 2) with everything that is wrong.
    """
    source = Source(Path("-"), {}, {})
    if path is not None:
        try:
            source = read_source(path)
        except UnreadableError as error:
            where = ":".join(str(part) for part in (path, error.line, error.column) if part is not None)
            why = phrase("config.missing_collector") if error.why.key == "config.missing" else error.why
            raise InvalidCollectorConfigError((Problem(where, error.line, None, why),)) from None
    reader = _Reader(source, options, environ)
    values = reader.values()
    arrays = read_arrays(source.data, reader.report)
    if reader.problems:
        raise InvalidCollectorConfigError(tuple(sorted(reader.problems, key=lambda p: (p.line is None, p.line or 0))))
    return _built(values, arrays, path)


def _built(values: dict[str, dict[str, Any]], arrays: Arrays, path: Path | None) -> Config:
    mqtt = dict(values["mqtt"])
    client_id = mqtt.pop("client_id", None)
    url: BrokerUrl | None = mqtt.pop("url", None)
    broker = Mqtt(url=url.url, host=url.host, port=url.port, tls=url.tls, **mqtt) if url else None
    return Config(
        database=Database(**values["database"]),
        mqtt=broker,
        client_id=client_id,
        web=Web(**values["web"]),
        retention=Retention(**values["retention"]),
        reconcile=Reconcile(**values["reconcile"]),
        log=Log(**values["log"]),
        path=path,
        oidc=_oidc(values["oidc"]),
        enrol=_enrol(values["enrol"]),
        alerts=arrays.alerts,
        webhooks=arrays.webhooks,
    )


def _enrol(values: dict[str, Any]) -> Enrol | None:
    if not values:
        return None
    broker: BrokerUrl | None = values.pop("broker")
    names = values.pop("names") or ()
    return Enrol(**values, names=names, broker=broker.url if broker else None)


def _oidc(values: dict[str, Any]) -> Oidc | None:
    if not values:
        return None
    pairs = (pair.rpartition("=") for pair in values.pop("roles") or ())
    secret: Path = values.pop("client_secret_file")
    default = values.pop("default_role")
    return Oidc(
        **values,
        client_secret=secret.read_text(encoding="utf-8").strip(),
        roles=tuple((group, Role(role)) for group, _, role in pairs),
        default_role=Role(default) if default else None,
    )


class _Reader:
    """Walks the schema; collects problems instead of stopping at the first."""

    def __init__(self, source: Source, options: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._source = source
        self._overrides: dict[tuple[str, str], tuple[str, str]] = {}  # (table, key) → (where it was said, text)
        self.problems: list[Problem] = []
        self._take_environment(environ)
        for dotted, text in options.items():
            table, _, key = dotted.partition(".")
            self._overrides[table, key] = (f"--{OPTIONS[dotted]}", text)

    def values(self) -> dict[str, dict[str, Any]]:
        names = (*(section.name for section in SECTIONS), "alert", "webhook")
        for name in self._source.data:
            if name not in names:
                self._problem((name,), bare(name), phrase("config.unknown_table", nearest=f"[{nearest(name, names)}]"))
        return {section.name: self._table(section) for section in SECTIONS}

    def _table(self, section: Section) -> dict[str, Any]:
        found = self._source.data.get(section.name, {})
        if not isinstance(found, dict):
            self._problem(
                (section.name,), section.name, phrase("config.not_table", found=shown(found), table=f"[{section.name}]")
            )
            return {}
        if section in _OPTIONAL and not found and not any(table == section.name for table, _ in self._overrides):
            return {}
        for name in found:
            if section.key(name) is None:
                near = nearest(name, section.names, _NEAR) or nearest(name, section.names)
                self._problem(
                    (section.name, name), f"{section.name}.{bare(name)}", phrase("config.unknown_key", nearest=near)
                )
        values: dict[str, Any] = {}
        for key in section.keys:
            self._key(section, key, found, values)
        if section is COLLECTOR_MQTT:
            for rule in rules.MQTT:
                if rule.needs <= values.keys() and (why := rule.broken(values)):
                    self._refuse(section, rule.blames, why)
        return values

    def _key(self, section: Section, key: Key, found: Mapping[str, object], values: dict[str, Any]) -> None:
        override = self._overrides.get((section.name, key.name))
        value = key.kind.from_text(override[1]) if override else found.get(key.name, key.default)
        if value is None:
            if key.required:
                self._refuse(section, key.name, phrase("config.required", accepted=key.kind.accepts))
            else:
                values[key.target] = None
            return
        try:
            read = key.kind.read(value)
        except RefusedError as error:
            self._refuse(section, key.name, error.why)
            return
        values[key.target] = read
        if isinstance(key.kind, FilePath) and isinstance(read, Path) and (why := key.kind.usable(read)):
            self._refuse(section, key.name, why)

    def _take_environment(self, environ: Mapping[str, str]) -> None:
        known = {f"{_PREFIX}{s.name.upper()}__{k.name.upper()}": (s.name, k.name) for s in SECTIONS for k in s.keys}
        for variable in sorted(environ):
            if not variable.startswith(_PREFIX) or "__" not in variable or variable.startswith(f"{_PREFIX}AGENT__"):
                continue
            if variable in known:
                self._overrides[known[variable]] = (variable, environ[variable])
            else:
                what = phrase("config.unknown_variable", nearest=nearest(variable, tuple(known)))
                self.problems.append(Problem(shown_variable(variable), None, None, what))

    def _refuse(self, section: Section, key: str, what: Phrase) -> None:
        label = f"{section.name}.{key}"
        if override := self._overrides.get((section.name, key)):
            self.problems.append(Problem(override[0], None, label, what))
        else:
            self._problem((section.name, key), label, what)

    def report(self, place: tuple[str | int, ...], key: str, what: Phrase) -> None:
        """Something in the file is wrong."""
        self._problem(place, key, what)

    def _problem(self, place: tuple[str | int, ...], key: str, what: Phrase) -> None:
        line = self._source.line(place)
        where = str(self._source.path) if line is None else f"{self._source.path}:{line}"
        self.problems.append(Problem(where, line, key, what))
