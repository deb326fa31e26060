"""On which line of a TOML file each key stands: tomllib does not tell, and a mistake is told by its line.

The text has been accepted by tomllib, so this walks tokens only, without checking anything. A place is a tuple of
keys and, within arrays, of positions: `("layouts", "sale", "fields", 2, "size")`. O(n).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

Place = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""(?P<skip>[ \t\r]+|\#[^\n]*)
    |(?P<newline>\n)
    |(?P<string>\"\"\"(?:[^\\]|\\.)*?\"{3,5}|'''.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')
    |(?P<mark>[\[\]{}=,.])
    |(?P<bare>[^\s\[\]{}=,."'#]+)""",
    re.VERBOSE | re.DOTALL,
)


def places(text: str) -> Mapping[Place, int]:
    """The line of every key and array element, counted from 1."""
    return _Walk(text).found


class _Walk:
    def __init__(self, text: str) -> None:
        self.found: dict[Place, int] = {(): 1}
        self._tokens: list[tuple[str, str, int]] = []
        line = 1
        for token in _TOKEN.finditer(text):
            kind = token.lastgroup or ""
            if kind != "skip":
                self._tokens.append((kind, token.group(), line))
            line += token.group().count("\n")
        self._at = 0
        self._arrays: dict[Place, int] = {}  # [[array]] → the position of its last element
        self._document()

    def _document(self) -> None:
        table: Place = ()
        while self._at < len(self._tokens):
            kind, text, _ = self._tokens[self._at]
            if kind == "newline":
                self._at += 1
            elif text == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Place:
        line = self._tokens[self._at][2]
        array = self._peek(1) == "["
        self._at += 2 if array else 1
        keys = self._keys()
        self._at += 2 if array else 1
        place: Place = ()
        for number, key in enumerate(keys):
            place = (*place, key)
            self.found.setdefault(place, line)
            last = number == len(keys) - 1
            if last and array:
                self._arrays[place] = self._arrays.get(place, -1) + 1
            if place in self._arrays:
                place = (*place, self._arrays[place])
                self.found.setdefault(place, line)
        return place

    def _pair(self, table: Place) -> None:
        line = self._tokens[self._at][2]
        place = table
        for key in self._keys():
            place = (*place, key)
            self.found.setdefault(place, line)
        self._at += 1  # =
        self._value(place)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            kind, text, _ = self._tokens[self._at]
            self._at += 1
            keys.append(_unquoted(text) if kind == "string" else text)
            if self._peek() != ".":
                return keys
            self._at += 1

    def _value(self, place: Place) -> None:
        opened = self._peek()
        if opened == "[":
            self._array(place)
        elif opened == "{":
            self._inline(place)
        else:
            while self._peek() not in ("", "\n", ",", "]", "}"):
                self._at += 1

    def _array(self, place: Place) -> None:
        self._at += 1
        number = 0
        while (text := self._peek()) != "]":
            if text in ("\n", ","):
                self._at += 1
                continue
            self.found[(*place, number)] = self._tokens[self._at][2]
            self._value((*place, number))
            number += 1
        self._at += 1

    def _inline(self, place: Place) -> None:
        self._at += 1
        while (text := self._peek()) != "}":
            if text == ",":
                self._at += 1
            else:
                self._pair(place)
        self._at += 1

    def _peek(self, ahead: int = 0) -> str:
        place = self._at + ahead
        return self._tokens[place][1] if place < len(self._tokens) else ""


def _unquoted(text: str) -> str:
    return str(tomllib.loads(f"key = {text}")["key"])
