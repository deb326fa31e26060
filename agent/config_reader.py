"""From file and environment to values: walks the schema, collects every problem instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent import config_rules as rules
from agent.config import Agent, Config, Confirm, Log, Mqtt, Problem, Proof, Terminal
from agent.config_schema import AGENT, CONFIRM, LOG, MQTT, PROOF, SECTIONS, TABLES, TERMINAL, Key, Section
from agent.config_source import Place, Source, UnreadableError
from agent.config_source import read as read_source
from agent.config_values import BrokerUrl, FilePath, Kind, RefusedError, nearest, shown
from agent.fleet import Overlay
from agent.fleet_store import overlay_for
from agent.phrase import Phrase, phrase

_PREFIX = "TILLWATCH_"
_NEAR = 0.6


@dataclass(slots=True)
class _Table:
    """One table while it is read: what the file says, what the environment puts on top, where it stands."""

    section: Section
    place: Place
    label: str  # the dotted name in messages: "terminal.pos1.confirm"
    found: Mapping[str, object] = field(default_factory=dict)
    overrides: dict[str, tuple[str, str]] = field(default_factory=dict)  # key → (variable, text)
    values: dict[str, Any] = field(default_factory=dict)


def read(
    path: Path, environ: Mapping[str, str], *, secrets: bool, fleet: Overlay | None = None
) -> tuple[Config | None, list[Problem]]:
    """The configuration where one can be built, and all problems, those of the file first.

    `fleet`: tried on top of the file. Without it, what is in force of the fleet's configuration is; where that and the
    file can't stand together (the file has changed since), the file alone holds.
    """
    try:
        source = read_source(path)
    except UnreadableError as error:
        where = ":".join(str(part) for part in (path, error.line, error.column) if part is not None)
        return None, [Problem(where, error.line, None, error.why)]
    overlay = fleet or overlay_for(source.data, environ)
    if overlay is not None:
        over = _Reader(replace(source, data=overlay.over(source.data)), secrets, overlay.version)
        config, found = over.config(environ), over.sorted_problems()
        if fleet is not None or not found:
            return config, found
    reader = _Reader(source, secrets)
    return reader.config(environ), reader.sorted_problems()


class _Reader:
    def __init__(self, source: Source, secrets: bool, fleet_version: int | None = None) -> None:
        self._source = source
        self._fleet_version = fleet_version
        self._secrets = secrets
        self._problems: list[Problem] = []

    def sorted_problems(self) -> list[Problem]:
        return sorted(self._problems, key=lambda problem: (problem.line is None, problem.line or 0))

    def config(self, environ: Mapping[str, str]) -> Config | None:
        data = self._source.data
        for name in data:
            if name not in TABLES:
                self._unknown_table((name,), name, TABLES)
        agent = self._open(AGENT, ("agent",), "agent", data.get("agent", {}))
        log = self._open(LOG, ("log",), "log", data.get("log", {}))
        proof = self._open(PROOF, ("proof",), "proof", data.get("proof", {}))
        mqtt = self._open(MQTT, ("mqtt",), "mqtt", data.get("mqtt", {}))
        terminals = self._open_terminals(data.get("terminal", []))
        self._take_overrides(environ, (agent, log, proof, mqtt), terminals)
        wants_mqtt = "mqtt" in data or bool(mqtt.overrides)
        self._read_table(agent)
        self._read_table(log)
        self._read_table(proof)
        if wants_mqtt:
            self._read_table(mqtt)
            self._rules(mqtt, rules.MQTT)
        built = self._read_terminals(terminals, agent.values)
        if self._problems:
            return None
        return Config(
            agent=Agent(**agent.values),
            terminals=tuple(built),
            mqtt=_mqtt(mqtt.values) if wants_mqtt else None,
            log=Log(**log.values),
            proof=Proof(**proof.values),
            path=self._source.path,
            fleet_version=self._fleet_version,
        )

    # -- tables -------------------------------------------------------------------------------------------

    def _open(self, section: Section, place: Place, label: str, found: object) -> _Table:
        if not isinstance(found, dict):
            self._problem(place, label, phrase("config.not_table", found=shown(found), table=f"[{section.name}]"))
            found = {}
        return _Table(section, place, label, found)

    def _open_terminals(self, found: object) -> list[tuple[_Table, _Table]]:
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            self._problem(("terminal",), "terminal", phrase("config.not_array"))
            return []
        if not found:
            self._problem((), "terminal", phrase("config.no_terminals"))
        return [self._open_terminal(index, dict(item)) for index, item in enumerate(found)]

    def _open_terminal(self, index: int, found: dict[str, object]) -> tuple[_Table, _Table]:
        name = found.get("name")
        label = f"terminal.{name}" if isinstance(name, str) and name.isprintable() else f"terminal[{index + 1}]"
        confirm = found.pop("confirm", {})
        place: Place = ("terminal", index)
        return (
            _Table(TERMINAL, place, label, found),
            self._open(CONFIRM, (*place, "confirm"), f"{label}.confirm", confirm),
        )

    def _read_terminals(self, tables: list[tuple[_Table, _Table]], agent: Mapping[str, Any]) -> list[Terminal]:
        built: list[tuple[_Table, Terminal]] = []
        for table, confirm in tables:
            before = len(self._problems)
            self._read_table(table, agent)
            self._read_table(confirm)
            self._rules(table, rules.TERMINAL)
            self._rules(confirm, rules.CONFIRM)
            complete = all(key.target in table.values for key in TERMINAL.keys)  # not when [agent] was refused
            if complete and len(self._problems) == before:
                built.append((table, Terminal(**table.values, confirm=Confirm(**confirm.values))))
        for index, key, what in rules.between([terminal for _, terminal in built]):
            self._refuse(built[index][0], key, what)
        return [terminal for _, terminal in built]

    def _read_table(self, table: _Table, agent: Mapping[str, Any] | None = None) -> None:
        before = len(self._problems)
        for name in table.found:
            if table.section.key(name) is None:
                self._unknown_key(table, name)
        for key in table.section.keys:
            self._read_key(table, key)
        if len(self._problems) > before:
            return  # a derived default may need what was refused
        for key in table.section.keys:
            if key.derive and key.target not in table.values:
                # An agent table with problems of its own has no run_dir to derive from.
                if key.name == "cashier" and "run_dir" not in (agent or {}):
                    continue
                table.values[key.target] = key.derive({**table.values, "agent": agent or {}})

    def _read_key(self, table: _Table, key: Key) -> None:
        if key.name in table.overrides:
            value: object = key.kind.from_text(table.overrides[key.name][1])
        elif key.name in table.found:
            value = table.found[key.name]
        elif key.default is not None:
            value = key.default
        elif key.required:
            self._refuse(table, key.name, phrase("config.required", accepted=key.kind.accepts))
            return
        else:
            if key.derive is None:
                table.values[key.target] = None
            return
        try:
            read = key.kind.read(value)
        except RefusedError as error:
            self._refuse(table, key.name, error.why)
            return
        table.values[key.target] = read
        if isinstance(read, Path) and (why := self._unusable(key.kind, read)):
            self._refuse(table, key.name, why)

    def _unusable(self, kind: Kind, path: Path) -> Phrase | None:
        if not isinstance(kind, FilePath) or (kind.secret and not self._secrets):
            return None
        return kind.usable(path)

    def _rules(self, table: _Table, checks: Iterable[rules.Rule]) -> None:
        for rule in checks:
            # A rule looks only at keys that were read well; what is missing was reported already.
            if rule.needs <= table.values.keys() and (why := rule.broken(table.values)):
                self._refuse(table, rule.blames, why)

    # -- environment --------------------------------------------------------------------------------------

    def _take_overrides(
        self, environ: Mapping[str, str], single: tuple[_Table, ...], terminals: list[tuple[_Table, _Table]]
    ) -> None:
        tables = {table.section.name.upper(): table for table in single}
        for table, confirm in terminals:
            name = table.found.get("name")
            if isinstance(name, str):
                variable = f"TERMINAL__{name.upper().replace('-', '_')}"
                tables.setdefault(variable, table)
                tables.setdefault(f"{variable}__CONFIRM", confirm)
        for variable in sorted(environ):
            if variable.startswith(_PREFIX) and "__" in variable:
                self._take_override(variable, environ[variable], tables)

    def _take_override(self, variable: str, text: str, tables: Mapping[str, _Table]) -> None:
        rest = variable.removeprefix(_PREFIX)
        prefix, _, name = rest.rpartition("__")
        table = tables.get(prefix)
        if table is not None and table.section.key(name.lower()):
            table.overrides[name.lower()] = (variable, text)
            return
        known = tuple(
            f"{_PREFIX}{prefix}__{key.upper()}" for prefix, table in tables.items() for key in table.section.names
        )
        near = nearest(variable, known)
        self._problems.append(
            Problem(shown_variable(variable), None, None, phrase("config.unknown_variable", nearest=near))
        )

    # -- problems -----------------------------------------------------------------------------------------

    def _unknown_table(self, place: Place, name: str, known: tuple[str, ...]) -> None:
        near = nearest(name, known)
        self._problem(place, bare(name), phrase("config.unknown_table", nearest=f"[{near}]"))

    def _unknown_key(self, table: _Table, name: str) -> None:
        here = table.section.names + table.section.tables
        near = nearest(name, here, _NEAR) or self._elsewhere(name) or nearest(name, here)
        self._problem((*table.place, name), f"{table.label}.{bare(name)}", phrase("config.unknown_key", nearest=near))

    @staticmethod
    def _elsewhere(name: str) -> str | None:
        """The dotted name of a key of another table that is meant, as `mqtt.url` for `url` under [agent]."""
        homes = {key.name: f"{section.name}.{key.name}" for section in SECTIONS for key in section.keys}
        near = nearest(name, tuple(homes), _NEAR)
        return homes[near] if near else None

    def _refuse(self, table: _Table, key: str, what: Phrase) -> None:
        label = f"{table.label}.{key}"
        if key in table.overrides:
            self._problems.append(Problem(table.overrides[key][0], None, label, what))
        else:
            self._problem((*table.place, key), label, what)

    def _problem(self, place: Place, key: str, what: Phrase) -> None:
        line = self._source.line(place)
        where = str(self._source.path) if line is None else f"{self._source.path}:{line}"
        self._problems.append(Problem(where, line, key, what))


def bare(name: str) -> str:
    """A key for a message: as it is where it needs no quotes, else quoted, bounded and on one line."""
    return name if name.isidentifier() and name.isascii() and len(name) <= 64 else shown(name)


def shown_variable(name: str) -> str:
    """The name of an environment variable for a message."""
    return name if name.isprintable() and len(name) <= 120 else shown(name)


def _mqtt(values: Mapping[str, Any]) -> Mqtt:
    url: BrokerUrl = values["url"]
    others = {name: value for name, value in values.items() if name != "url"}
    return Mqtt(url=url.url, host=url.host, port=url.port, tls=url.tls, **others)
