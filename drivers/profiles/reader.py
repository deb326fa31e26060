"""Reads one TOML table key by key, and notes every mistake with its line instead of stopping at the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from drivers.profiles.errors import Mistake, nearest
from drivers.profiles.positions import Place

Choice = TypeVar("Choice", bound=StrEnum)

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}\s*)*")


class Notes:
    """Collects the mistakes of one file."""

    def __init__(self, lines: Mapping[Place, int]) -> None:
        self.mistakes: list[Mistake] = []
        self._lines = lines

    def add(self, place: Place, code: str, **values: object) -> None:
        """Note a mistake at a place; a key that is missing counts on the line of its table."""
        known = place
        while known not in self._lines:
            known = known[:-1]
        told = {name: str(value) for name, value in values.items()}
        self.mistakes.append(Mistake(self._lines[known], shown(place), code, told))


def shown(place: Place) -> str:
    """The place as a person writes it: layouts.sale.fields[2].size."""
    text = ""
    for key in place:
        text += f"[{key + 1}]" if isinstance(key, int) else f".{key}" if text else key
    return text or "file"


class Table:
    """One table of the file. Each key is taken once; `end` notes those that nobody took."""

    def __init__(self, values: Mapping[str, Any], place: Place, notes: Notes) -> None:
        self.place = place
        self.notes = notes
        self._values = values
        self._asked: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str | None = None, needed: bool = False) -> str:
        """A text; an empty one where it is missing and has no default."""
        value = self._taken(key, str, default, needed)
        return value if isinstance(value, str) else default or ""

    def whole(self, key: str, default: int = 0, low: int = 0, high: int = 1 << 20, needed: bool = False) -> int:
        """A whole number within bounds."""
        value = self._taken(key, int, default, needed)
        if not isinstance(value, int):
            return default
        if key in self and not low <= value <= high:
            self.wrong(key, "out_of_range", low=low, high=high, found=value)
            return default
        return value

    def seconds(self, key: str, default: float, high: float = 3600.0) -> float:
        """A time in seconds, more than none."""
        value = self._taken(key, (int, float), default, needed=False)
        if not isinstance(value, int | float):
            return default
        if not 0 < value <= high:
            self.wrong(key, "out_of_range", low="0", high=high, found=value)
            return default
        return float(value)

    def flag(self, key: str) -> bool:
        """true or false; false where it is missing."""
        return self._taken(key, bool, False, needed=False) is True

    def bytes_(self, key: str, needed: bool = False) -> bytes:
        """Bytes in hexadecimal."""
        value = self.text(key, needed=needed)
        if not _HEX.fullmatch(value):
            self.wrong(key, "bad_hex", found=value)
            return b""
        return bytes.fromhex(value)

    def choice(self, key: str, kinds: type[Choice], default: Choice | None = None) -> Choice | None:
        """One of an enumeration's values; needed where it has no default."""
        found = self.text(key, needed=default is None)
        if not found:
            return default
        return self.one_of(key, found, kinds) or default

    def one_of(self, key: str, found: str, kinds: type[Choice]) -> Choice | None:
        """The enumeration's value of that name."""
        known = [str(kind) for kind in kinds]
        if found not in known:
            self.wrong(key, "unknown_value", found=found, nearest=nearest(found, known), known=", ".join(known))
            return None
        return kinds(found)

    def name(self, key: str, known: Iterable[str], needed: bool = False) -> str:
        """One of the known names."""
        found = self.text(key, needed=needed)
        names = list(known)
        if found and found not in names:
            values = {"found": found, "nearest": nearest(found, names), "known": ", ".join(names)}
            self.wrong(key, "unknown_value", **values)
            return ""
        return found

    def strings(self, key: str) -> dict[str, str]:
        """A table of texts."""
        return {name: value for name, (value, *_) in self.lists(key).items()}

    def lists(self, key: str) -> dict[str, tuple[str, ...]]:
        """A table whose values are a text or a list of texts."""
        value = self._taken(key, dict, {}, needed=False)
        found: dict[str, tuple[str, ...]] = {}
        for name, item in value.items() if isinstance(value, dict) else ():
            texts = item if isinstance(item, list) else [item]
            if texts and all(isinstance(each, str) for each in texts):
                found[name] = tuple(texts)
            else:
                self.notes.add((*self.place, key, name), "wrong_type", wanted="text", found=_kind_of(item))
        return found

    def words(self, key: str) -> list[str]:
        """A list of texts."""
        value = self._taken(key, list, [], needed=False)
        items = value if isinstance(value, list) else []
        for number, item in enumerate(items):
            if not isinstance(item, str):
                self.notes.add((*self.place, key, number), "wrong_type", wanted="text", found=_kind_of(item))
        return [item for item in items if isinstance(item, str)]

    def table(self, key: str, needed: bool = False) -> Table:
        """A table inside this one; an empty one where it is missing."""
        value = self._taken(key, dict, {}, needed)
        return Table(value if isinstance(value, dict) else {}, (*self.place, key), self.notes)

    def tables(self, key: str, needed: bool = False) -> list[Table]:
        """An array of tables."""
        value = self._taken(key, list, [], needed)
        found = []
        for number, item in enumerate(value if isinstance(value, list) else []):
            place = (*self.place, key, number)
            if isinstance(item, dict):
                found.append(Table(item, place, self.notes))
            else:
                self.notes.add(place, "wrong_type", wanted="table", found=_kind_of(item))
        return found

    def items(self) -> list[tuple[str, Table]]:
        """Every key as a table: for tables whose keys are names of the profile's own."""
        return [(key, self.table(key)) for key in self._values]

    @property
    def keys(self) -> list[str]:
        """The keys that are there."""
        return list(self._values)

    def holds_text(self, key: str) -> bool:
        """Whether a key's value is a text, and not a table."""
        return isinstance(self._values.get(key), str)

    def wrong(self, key: str, code: str, **values: object) -> None:
        """Note a mistake at a key of this table."""
        self.notes.add((*self.place, key), code, **values)

    def end(self) -> None:
        """Whatever was not asked for has no meaning here."""
        for key in self._values:
            if key not in self._asked:
                self.wrong(key, "unknown_key", nearest=nearest(key, self._asked))

    def _taken(self, key: str, kind: type | tuple[type, ...], default: Any, needed: bool) -> Any:
        self._asked.append(key)
        if key not in self._values:
            if needed:
                self.wrong(key, "missing")
            return default
        value = self._values[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.wrong(key, "wrong_type", wanted=_named(kind), found=_kind_of(value))
            return default
        return value


_KINDS: dict[type, str] = {str: "text", int: "number", float: "number", bool: "true/false", list: "list", dict: "table"}


def _kind_of(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _named(kind: type | tuple[type, ...]) -> str:
    return _KINDS[kind[0] if isinstance(kind, tuple) else kind]


def each(items: Iterable[Table], read: Callable[[Table], Any]) -> tuple[Any, ...]:
    """Read every table."""
    return tuple(read(item) for item in items)
