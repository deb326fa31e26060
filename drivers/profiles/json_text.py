"""The values of a JSON text with their places in it. Never raises, needs no recursion, O(n).

`json.loads` would do for well-formed texts; but a line's bytes may be hurt, a hostile one is nested a million deep, and
a recording has to blank a value where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A string that never ends goes to the end of the text: looking for its end again from each quote in it would be O(n²).
_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)|([-+0-9.eE]+|true|false|null)|([{}\[\]:,])', re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value: its dotted path (array elements share their array's), and where its text lies, quotes apart."""

    path: str
    start: int
    raw: bytes
    quoted: bool


def leaves(data: bytes) -> Iterator[Leaf]:
    """Every string, number, true, false and null that stands as a value. Deeper than _DEEPEST nothing has a path."""
    walk = _Walk()
    for token in _TOKEN.finditer(data):
        text, bare, mark = token.groups()
        if mark != b":" and (waiting := walk.waiting()) is not None:
            yield waiting
        if mark is not None:
            walk.mark(mark)
        elif text is not None:
            walk.string = (text, token.start(1))
        elif bare is not None:
            yield Leaf(walk.path, token.start(2), bare, False)
    if (waiting := walk.waiting()) is not None:
        yield waiting


class _Walk:
    """Where in the tree the reading is."""

    def __init__(self) -> None:
        self.string: tuple[bytes, int] | None = None  # it may turn out to be a key
        self._keys: list[str] = []  # of what is open, outermost first
        self._opened: list[bytes] = []
        self._key = ""

    @property
    def path(self) -> str:
        """The path of a value that stands here."""
        return ".".join(key for key in (*self._keys, self._key) if key)

    def waiting(self) -> Leaf | None:
        """The string before, which no colon has made a key."""
        if self.string is None:
            return None
        (text, start), self.string = self.string, None
        return Leaf(self.path, start, text, True)

    def mark(self, mark: bytes) -> None:
        """A bracket, a comma or a colon."""
        if mark == b":":
            if self.string is not None:
                self._key, self.string = unescaped(self.string[0]), None
        elif mark in (b"{", b"["):
            if len(self._opened) < _DEEPEST:
                self._opened.append(mark)
                self._keys.append(self._key)
            self._key = ""
        elif mark == b",":
            if not self._opened or self._opened[-1] == b"{":
                self._key = ""
        elif self._opened:
            self._opened.pop()
            self._keys.pop()
            self._key = ""


def unescaped(raw: bytes) -> str:
    """A string's text."""
    return _ESCAPE.sub(_unescape, raw.decode("utf-8", "replace"))


def _unescape(found: re.Match[str]) -> str:
    what = found[1]
    if what[0] == "u" and len(what) == 5:
        return chr(int(what[1:], 16))
    return _ESCAPES.get(what, what)
