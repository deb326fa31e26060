"""The description of a file format: a small TOML file that says which column is what (keys: docs/reconcile.md).

The shipped ones are in config/reconcile/; a file of the same name in /etc/tillwatch/reconcile, or where
TILLWATCH_RECONCILE points, takes the place of a shipped one. A mistake names file, line and key.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from collector.ledger.entries import EntryKind, Side
from collector.reconcile.errors import MappingError

DEFAULT_ZONE = "Asia/Shanghai"
SITE_FOLDER = "/etc/tillwatch/reconcile"
#: names of an entry that a column can fill
FIELDS = (
    *("time", "amount", "fee", "terminal_id", "merchant_id", "reference", "trace", "batch"),
    *("channel_order", "order", "card", "original"),
)
_LAYOUTS = ("delimited", "fixed")
_SKIPPED = "skip"

#: section → key → type
_KEYS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "": {"title": dict, "side": str, "basis": str, "source": str, "currency": str},
    "file": {
        "encodings": list,
        "layout": str,
        "delimiter": str,
        "header": bool,
        "skip": int,
        "comment": str,
        "value_prefix": str,
        "empty": list,
        "begins": str,
        "ends": str,
    },
    "amount": {"unit": str, "negative": str},
    "time": {"formats": list, "zone": str, "cutover": str, "tolerance": str},
    "columns": dict.fromkeys(FIELDS, (str, int, list)),
    "kind": {"columns": (str, int, list), "values": dict, "default": str},
    "state": {"column": (str, int), "charged": list, "not_charged": list},
    "terminals": {},
    "totals": {"pattern": str},
    "instead": {},
}
_OPEN_SECTIONS = ("terminals", "instead")

Column = str | int
Columns = MappingOf[str, tuple[Column, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A format. Columns by name of the header, by number from 1, or by places ("11-20", bytes) in a fixed layout."""

    name: str
    title: MappingOf[str, str]
    side: Side
    basis: str  # published, or assumed: nobody has shown us a real file yet
    source: str
    currency: str = "CNY"
    encodings: tuple[str, ...] = ("utf-8", "gb18030")
    layout: str = "delimited"
    delimiter: str = ","
    header: bool = True
    skip: int = 0
    comment: str | None = None
    value_prefix: str = ""
    empty: frozenset[str] = frozenset()
    begins: str | None = None
    ends: str | None = None
    in_fen: bool = False
    negative_is: str = "refund"
    time_formats: tuple[str, ...] = ("%Y-%m-%d %H:%M:%S",)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo(DEFAULT_ZONE))
    cutover: timedelta = timedelta(0)  # of the file's day from midnight; negative: it begins the evening before
    tolerance: timedelta = timedelta(minutes=30)
    columns: Columns = field(default_factory=dict)
    instead: MappingOf[EntryKind, Columns] = field(default_factory=dict)
    kind_columns: tuple[Column, ...] = ()
    kinds: MappingOf[str, EntryKind | None] = field(default_factory=dict)  # None: rows of this kind are left out
    default_kind: EntryKind | None = EntryKind.PURCHASE
    default_refused: bool = False
    state_column: Column | None = None
    charged: frozenset[str] = frozenset()
    not_charged: frozenset[str] = frozenset()
    terminals: MappingOf[str, str] = field(default_factory=dict)
    totals: re.Pattern[str] | None = None


def folders() -> list[Path]:
    """Where descriptions are looked for, the site's own first."""
    shipped = Path(__file__).parents[2] / "config" / "reconcile"
    installed = Path(sys.prefix) / "share" / "tillwatch" / "reconcile"
    site = Path(os.environ.get("TILLWATCH_RECONCILE", SITE_FOLDER))
    return [site, shipped if shipped.is_dir() else installed]


def known() -> list[str]:
    """Names of all formats."""
    return sorted({path.stem for folder in folders() if folder.is_dir() for path in folder.glob("*.toml")})


def load(name: str) -> Mapping:
    """The format of that name, or of that file (`./ours.toml`). Raises MappingError."""
    if name.endswith(".toml"):
        return load_file(Path(name))
    for folder in folders():
        path = folder / f"{name}.toml"
        if re.fullmatch(r"[\w.-]+", name) and path.is_file():
            return load_file(path)
    nearest = next(iter(get_close_matches(name, known(), n=1, cutoff=0.0)), "-")
    raise MappingError("reconcile.no_format", name=name, known=", ".join(known()), nearest=nearest)


def load_file(path: Path) -> Mapping:
    """The format that this file describes. Raises MappingError with file, line, key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError("reconcile.mapping_unreadable", where=path, why=str(error)) from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        where = f"{path}:{line[1]}" if line else str(path)
        raise MappingError("reconcile.mapping_syntax", where=where, why=str(error)) from None
    return _Reader(path, text, table).read()


class _Reader:
    """Turns the tables of one file into a Mapping; knows where a key stands."""

    def __init__(self, path: Path, text: str, table: dict[str, Any]) -> None:
        self._path = path
        self._lines = text.splitlines()
        self._top = table

    def read(self) -> Mapping:
        self._check_keys()
        values: dict[str, Any] = {"name": self._path.stem}
        values["side"] = self._choice("", "side", [side for side in Side if side is not Side.JOURNAL], None)
        values["basis"] = self._choice("", "basis", ["published", "assumed"], "assumed")
        values["source"] = self._top.get("source", "")
        values["title"] = self._top.get("title") or {"en": self._path.stem, "zh-CN": self._path.stem}
        values["currency"] = self._top.get("currency", "CNY")
        values |= self._file() | self._money() | self._time() | self._columns() | self._kind() | self._state()
        values["terminals"] = {str(own): str(number) for own, number in self._top.get("terminals", {}).items()}
        values["totals"] = self._pattern()
        return Mapping(**values)

    def _refuse(self, section: str, key: str, why: str, **values: object) -> MappingError:
        name = f"{section}.{key}" if section and key else section or key
        return MappingError(f"reconcile.mapping_{why}", where=self._where(section, key), name=name, **values)

    def _where(self, section: str, key: str) -> str:
        within = ""
        for number, line in enumerate(self._lines, 1):
            if header := re.match(r"\s*\[+\s*([\w.\"-]+)\s*\]+", line):
                within = header[1].replace('"', "")
                if within == section and not key:
                    return f"{self._path}:{number}"
            elif within == section and re.match(rf"\s*\"?{re.escape(key)}\"?\s*[=.]", line):
                return f"{self._path}:{number}"
        return str(self._path)

    def _check_keys(self) -> None:
        sections = {name for name in _KEYS if name}
        for name, value in self._top.items():
            if name in sections:
                if not isinstance(value, dict):
                    raise self._refuse("", name, "type", expected="a table")
                if name not in _OPEN_SECTIONS:
                    for key, item in value.items():
                        self._check(name, key, item, _KEYS[name])
            else:
                self._check("", name, value, _KEYS[""] | dict.fromkeys(sections, dict))

    def _check(self, section: str, key: str, value: object, allowed: dict[str, Any]) -> None:
        if key not in allowed:
            nearest = next(iter(get_close_matches(key, list(allowed), n=1, cutoff=0.0)), "-")
            raise self._refuse(section, key, "unknown", nearest=nearest)
        kinds = allowed[key]
        if (isinstance(value, bool) and kinds is not bool) or not isinstance(value, kinds):
            kinds = kinds if isinstance(kinds, tuple) else (kinds,)
            raise self._refuse(section, key, "type", expected=" | ".join(kind.__name__ for kind in kinds))

    def _choice(self, section: str, key: str, accepted: list[Any], default: Any) -> Any:
        table = self._top.get(section, {}) if section else self._top
        value = table.get(key, default)
        if value not in accepted:
            raise self._refuse(section, key, "choice", found=value, accepted=", ".join(map(str, accepted)))
        return accepted[accepted.index(value)]

    def _file(self) -> dict[str, Any]:
        table = self._top.get("file", {})
        values = {name: table[name] for name in ("header", "skip", "comment", "value_prefix", "begins", "ends")
                  if name in table}  # fmt: skip
        encodings = tuple(table.get("encodings", ("utf-8", "gb18030")))
        for encoding in encodings:
            try:
                "".encode(encoding)
            except (LookupError, TypeError):
                raise self._refuse("file", "encodings", "choice", found=encoding, accepted="utf-8, gb18030") from None
        delimiter = table.get("delimiter", ",")
        if len(delimiter) != 1:
            raise self._refuse("file", "delimiter", "choice", found=delimiter, accepted="one character")
        layout = self._choice("file", "layout", list(_LAYOUTS), "delimited")
        empty = frozenset(str(item) for item in table.get("empty", ())) | {""}
        return values | {"encodings": encodings, "delimiter": delimiter, "layout": layout, "empty": empty}

    def _money(self) -> dict[str, Any]:
        unit = self._choice("amount", "unit", ["yuan", "fen"], "yuan")
        return {"in_fen": unit == "fen", "negative_is": self._choice("amount", "negative", ["refund", "bad"], "refund")}

    def _time(self) -> dict[str, Any]:
        table = self._top.get("time", {})
        zone = table.get("zone", DEFAULT_ZONE)
        try:
            values: dict[str, Any] = {"zone": ZoneInfo(zone)}
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise self._refuse("time", "zone", "choice", found=zone, accepted="Asia/Shanghai, Europe/Paris …") from None
        if "formats" in table:
            values["time_formats"] = tuple(map(str, table["formats"]))
        if "cutover" in table:
            clock = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", table["cutover"])
            if clock is None:
                raise self._refuse("time", "cutover", "choice", found=table["cutover"], accepted="23:00, 00:00 …")
            minutes = int(clock[1]) * 60 + int(clock[2])
            values["cutover"] = timedelta(minutes=minutes if minutes < 720 else minutes - 1440)
        if "tolerance" in table:
            length = re.fullmatch(r"(\d{1,4})(m|h)", table["tolerance"])
            if length is None:
                raise self._refuse("time", "tolerance", "choice", found=table["tolerance"], accepted="30m, 2h …")
            values["tolerance"] = timedelta(minutes=int(length[1]) * (60 if length[2] == "h" else 1))
        return values

    def _columns(self) -> dict[str, Any]:
        columns = {name: self._column("columns", name, value) for name, value in self._top.get("columns", {}).items()}
        if "amount" not in columns:
            raise self._refuse("columns", "amount", "missing")
        instead: dict[EntryKind, Columns] = {}
        for kind, table in self._top.get("instead", {}).items():
            if kind not in list(EntryKind) or not isinstance(table, dict):
                raise self._refuse("instead", kind, "choice", found=kind, accepted=", ".join(EntryKind))
            for name, value in table.items():
                self._check(f"instead.{kind}", name, value, _KEYS["columns"])
            instead[EntryKind(kind)] = {
                name: self._column(f"instead.{kind}", name, value) for name, value in table.items()
            }
        return {"columns": columns, "instead": instead}

    def _column(self, section: str, key: str, value: Any) -> tuple[Column, ...]:
        columns = tuple(value) if isinstance(value, list) else (value,)
        file = self._top.get("file", {})
        named = file.get("header", True) and file.get("layout") != "fixed"
        for column in columns:
            if file.get("layout") == "fixed":
                fits = isinstance(column, str) and bool(re.fullmatch(r"\d{1,4}-\d{1,4}", column))
                accepted = '"11-20" (bytes, from 1)'
            else:
                fits = isinstance(column, str) if named else type(column) is int and column > 0
                accepted = "a column's name" if named else "a column's number, from 1"
            if not fits:
                raise self._refuse(section, key, "choice", found=column, accepted=accepted)
        return columns

    def _kind(self) -> dict[str, Any]:
        table = self._top.get("kind", {})
        kinds: dict[str, EntryKind | None] = {}
        for value, kind in table.get("values", {}).items():
            if kind not in (*EntryKind, _SKIPPED):
                accepted = ", ".join((*EntryKind, _SKIPPED))
                raise self._refuse("kind.values", value, "choice", found=kind, accepted=accepted)
            kinds[value] = None if kind == _SKIPPED else EntryKind(kind)
        default = self._choice("kind", "default", [*EntryKind, _SKIPPED, "bad"], "bad" if kinds else "purchase")
        return {
            "kind_columns": self._column("kind", "columns", table["columns"]) if "columns" in table else (),
            "kinds": kinds,
            "default_kind": None if default in (_SKIPPED, "bad") else EntryKind(default),
            "default_refused": default == "bad",
        }

    def _state(self) -> dict[str, Any]:
        table = self._top.get("state", {})
        if not table:
            return {}
        if "column" not in table:
            raise self._refuse("state", "column", "missing")
        return {
            "state_column": self._column("state", "column", table["column"])[0],
            "charged": frozenset(map(str, table.get("charged", ()))),
            "not_charged": frozenset(map(str, table.get("not_charged", ()))),
        }

    def _pattern(self) -> re.Pattern[str] | None:
        written = self._top.get("totals", {}).get("pattern")
        if written is None:
            return None
        try:
            pattern = re.compile(written)
        except re.error as error:
            raise self._refuse("totals", "pattern", "choice", found=error, accepted="a regular expression") from None
        unknown = set(pattern.groupindex) - {"count", "amount", "refund_amount"}
        if unknown or not pattern.groupindex:
            accepted = "(?P<count>…), (?P<amount>…), (?P<refund_amount>…)"
            raise self._refuse("totals", "pattern", "choice", found=", ".join(sorted(unknown)), accepted=accepted)
        return pattern
