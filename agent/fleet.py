"""The fleet's configuration: one document for all agents, signed at the collector, laid over each PC's own file.

    version = 12
    expires = 2026-12-31T00:00:00Z

    [[group]]
    sites = ["outpatient-*"]            # patterns; all when not given
    agents = ["cashier-*"]
    [group.log]
    level = "debug"
    [group.terminal.pos1]               # by the terminal's name, or a pattern such as "*"
    baudrate = 115200
    [group.terminal.pos1.confirm]
    quiet = "3s"

Later groups win over earlier ones, both over the PC's file, environment variables over all. What a PC is (its id, its
folders, its key) is never the fleet's to say, nor which terminals it has: a name that a PC lacks is passed over there.
This module is about the document alone; fleet_store.py about keeping it.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent.config_schema import AGENT, CONFIRM, LOG, MQTT, PROOF, TERMINAL, Section
from agent.config_values import RefusedError, nearest, shown
from agent.phrase import Phrase, phrase

LARGEST = 256 << 10
_ROOT = ("version", "expires", "note", "group")
_GROUP = ("sites", "agents", "agent", "log", "proof", "mqtt", "terminal")
#: table → the keys that a fleet may set
_ALLOWED: dict[str, tuple[Section, frozenset[str]]] = {
    "agent": (AGENT, frozenset({"language"})),
    "log": (LOG, frozenset(LOG.names)),
    "proof": (PROOF, frozenset(PROOF.names)),
    "mqtt": (MQTT, frozenset({"url", "keepalive"})),
    "terminal": (TERMINAL, frozenset(TERMINAL.names) - {"name"}),
    "confirm": (CONFIRM, frozenset(CONFIRM.names)),
}

Values = Mapping[str, object]


class FleetError(Exception):
    """A document that can't be used; `what` says why."""

    def __init__(self, what: Phrase) -> None:
        super().__init__(what.key)
        self.what = what


@dataclass(frozen=True, slots=True)
class Group:
    """Which agents, and what they get: table → keys; terminal's name or pattern → keys, with those of `confirm`."""

    sites: tuple[str, ...]
    agents: tuple[str, ...]
    tables: Mapping[str, Values]
    terminals: Mapping[str, tuple[Values, Values]]

    def takes(self, agent: str, site: str) -> bool:
        """Whether the agent belongs to it."""
        return _fits(agent, self.agents) and _fits(site, self.sites)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole document. `expires`: after that it is not taken any more; one that was taken stays."""

    version: int
    expires: datetime
    groups: tuple[Group, ...]


@dataclass(slots=True)
class Overlay:
    """What one agent gets."""

    version: int
    tables: dict[str, dict[str, object]] = field(default_factory=dict)
    terminals: list[tuple[str, Values, Values]] = field(default_factory=list)

    def over(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A PC's own configuration, as TOML gave it, with this on top. What has not the form it should stays."""
        merged = dict(data)
        for table, values in self.tables.items():
            mine = merged.get(table, {})
            if isinstance(mine, dict) and (table != "mqtt" or mine):  # the fleet switches no publishing on
                merged[table] = {**mine, **values}
        terminals = merged.get("terminal")
        if isinstance(terminals, list):
            merged["terminal"] = [self._over_terminal(one) if isinstance(one, dict) else one for one in terminals]
        return merged

    def _over_terminal(self, terminal: dict[str, Any]) -> dict[str, Any]:
        merged = dict(terminal)
        for pattern, values, confirm in self.terminals:
            if not fnmatch.fnmatchcase(str(terminal.get("name")), pattern):
                continue
            merged |= values
            mine = merged.get("confirm", {})
            if confirm and isinstance(mine, dict):
                merged["confirm"] = {**mine, **confirm}
        return merged


def overlay_of(document: Document, agent: str, site: str) -> Overlay:
    """What this agent gets of it."""
    overlay = Overlay(document.version)
    for group in document.groups:
        if group.takes(agent, site):
            for table, values in group.tables.items():
                overlay.tables.setdefault(table, {}).update(values)
            overlay.terminals += [(name, *values) for name, values in group.terminals.items()]
    return overlay


def parse(text: str) -> Document:
    """Read a document, every key of it checked. Raises FleetError with the first thing that is wrong."""
    data = _toml(text)
    for name in data:
        if name not in _ROOT:
            raise FleetError(phrase("fleet.unknown", name=name, nearest=nearest(name, _ROOT)))
    version, expires = data.get("version"), data.get("expires")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version < 2**31:
        raise FleetError(phrase("fleet.version", found=shown(version)))
    if not isinstance(expires, datetime) or expires.tzinfo is None or not 1 < expires.year < 9999:
        raise FleetError(phrase("fleet.expires", found=shown(expires)))
    return Document(version, expires.astimezone(UTC), groups(data))


def check(text: str) -> None:
    """Check the groups of a text that has no version yet. Raises FleetError."""
    data = _toml(text)
    for name in data:
        if name not in ("note", "group"):
            raise FleetError(phrase("fleet.unknown", name=name, nearest=nearest(name, ("note", "group"))))
    groups(data)


def groups(data: Mapping[str, Any]) -> tuple[Group, ...]:
    """The groups of a document. Raises FleetError."""
    found = data.get("group", [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise FleetError(phrase("fleet.no_array"))
    return tuple(_group(f"group {number}", one) for number, one in enumerate(found, 1))


def _toml(text: str) -> dict[str, Any]:
    if len(text) > LARGEST:
        raise FleetError(phrase("fleet.large", most=LARGEST >> 10))
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise FleetError(phrase("fleet.not_toml", reason=ascii(str(error))[1:-1])) from error


def _group(label: str, data: Mapping[str, Any]) -> Group:
    tables: dict[str, Values] = {}
    for name, value in data.items():
        if name not in _GROUP:
            raise FleetError(phrase("fleet.unknown", name=f"{label}: {name}", nearest=nearest(name, _GROUP)))
        if name not in ("sites", "agents", "terminal"):
            tables[name] = _values(f"{label}: {name}", name, value)
    terminals = dict(_terminals(label, data.get("terminal", {})))
    return Group(_patterns(label, data, "sites"), _patterns(label, data, "agents"), tables, terminals)


def _terminals(label: str, found: object) -> Iterator[tuple[str, tuple[Values, Values]]]:
    if not isinstance(found, dict):
        raise FleetError(phrase("fleet.no_table", name=f"{label}: terminal"))
    for name, value in found.items():
        where = f"{label}: terminal.{name}"
        if not isinstance(value, dict):
            raise FleetError(phrase("fleet.no_table", name=where))
        own = {key: one for key, one in value.items() if key != "confirm"}
        confirm = _values(f"{where}.confirm", "confirm", value.get("confirm", {}))
        yield name, (_values(where, "terminal", own), confirm)


def _values(label: str, table: str, found: object) -> Values:
    """The keys of a table, each allowed and each of a value that it takes."""
    section, allowed = _ALLOWED[table]
    if not isinstance(found, dict):
        raise FleetError(phrase("fleet.no_table", name=label))
    for name, value in found.items():
        key = section.key(name)
        if key is None:
            raise FleetError(phrase("fleet.unknown", name=f"{label}.{name}", nearest=nearest(name, tuple(allowed))))
        if name not in allowed:
            raise FleetError(phrase("fleet.not_the_fleets", name=f"{label}.{name}"))
        if name == "protocol":
            continue  # a site may have profiles of its own: each PC knows what it can speak
        try:
            key.kind.read(value)
        except RefusedError as error:
            raise FleetError(phrase("fleet.bad_value", name=f"{label}.{name}", what=error.why)) from error
    return dict(found)


def _patterns(label: str, data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = data.get(name, ["*"])
    if not isinstance(found, list) or not all(isinstance(one, str) and 0 < len(one) <= 64 for one in found):
        raise FleetError(phrase("fleet.patterns", name=f"{label}: {name}"))
    return tuple(found)


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
