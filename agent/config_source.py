"""Reads a configuration file and remembers on which line each key and table stands.

tomllib says where a syntax error is, and nothing of where a good key came from; people need a line for both.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config_values import RefusedError
from agent.phrase import phrase

#: A place in the file: table names, indexes of array tables, and the key.
Place = tuple[str | int, ...]

_LARGEST = 1 << 20
_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TOKEN = re.compile(
    r'(?P<skip>[ \t\r]+|#[^\n]*)|(?P<long>"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5})'
    r'|(?P<text>"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\')|(?P<end>\n)|(?P<open>[\[{])|(?P<close>[\]}])|(?P<equals>=)'
    r"|(?P<dot>\.)|(?P<comma>,)|(?P<bare>[A-Za-z0-9_-]+)|(?P<other>.)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is TOML. `lines` knows tables and keys that are not inside an inline table."""

    path: Path
    data: dict[str, Any]
    lines: dict[Place, int]

    def line(self, place: Place) -> int | None:
        """The line of that key, or of the nearest table around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place)


class UnreadableError(RefusedError):
    """The file can't be read as TOML; `line` and `column` where they are known."""

    def __init__(self, key: str, line: int | None = None, column: int | None = None, **values: object) -> None:
        super().__init__(phrase(key, **values))
        self.line = line
        self.column = column


def read(path: Path) -> Source:
    """Read and parse. Raises UnreadableError, whatever the file holds."""
    text = _text(path)
    try:
        return Source(path, tomllib.loads(text), _lines(text))
    except RecursionError:
        raise UnreadableError("config.too_deep") from None
    except ValueError as error:
        message = str(error)
        at = _AT.search(message)
        line = int(at[1]) if at and at[1] else text.count("\n") + 1 if at else None
        column = int(at[2]) if at and at[2] else None
        reason = message[: at.start()] if at else message
        raise UnreadableError("config.not_toml", line, column, reason=ascii(reason)[1:-1]) from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise UnreadableError("config.missing") from None
    except IsADirectoryError:
        raise UnreadableError("config.is_directory") from None
    except PermissionError:
        raise UnreadableError("config.no_permission") from None
    except (OSError, ValueError) as error:
        raise UnreadableError("config.unreadable", reason=getattr(error, "strerror", None) or str(error)) from None
    if len(data) > _LARGEST or b"\0" in data:
        raise UnreadableError("config.binary")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UnreadableError("config.not_utf8", data[: error.start].count(b"\n") + 1) from None


def _lines(text: str) -> dict[Place, int]:
    """Where tables and keys stand, in a text that tomllib has already accepted."""
    found: dict[Place, int] = {}
    counts: dict[tuple[str, ...], int] = {}
    table: Place = ()
    for line, brackets, names in _statements(text):
        if brackets == 2:
            counts[names] = counts.get(names, -1) + 1
        # A table below an array table belongs to that array's newest member.
        place = _indexed(names, counts) if brackets else table + names
        if brackets:
            table = place
        for length in range(1, len(place) + 1):
            found.setdefault(place[:length], line)
    return found


def _indexed(names: tuple[str, ...], counts: dict[tuple[str, ...], int]) -> Place:
    place: Place = ()
    for length, name in enumerate(names, 1):
        place += (name,)
        if (index := counts.get(names[:length])) is not None:
            place += (index,)
    return place


def _statements(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Each header and each key: (line, number of brackets, names)."""
    line = 1
    depth = 0
    brackets = 0
    names: list[str] = []
    in_key = True
    for token in _TOKEN.finditer(text):
        kind, value = token.lastgroup, token.group()
        if kind == "end" and depth == 0:
            in_key, names, brackets = True, [], 0
        elif in_key and kind in ("bare", "text"):
            names.append(_name(value, kind))
        elif in_key and kind == "open":
            brackets += 1
        elif in_key and kind in ("close", "equals"):
            yield line, brackets, tuple(names)
            in_key = False
        elif not in_key and brackets == 0 and kind in ("open", "close"):
            depth += 1 if kind == "open" else -1
        line += value.count("\n")


def _name(value: str, kind: str) -> str:
    if kind == "bare":
        return value
    return str(next(iter(tomllib.loads(f"{value} = 0"))))
