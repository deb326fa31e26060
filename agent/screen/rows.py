"""The list of rows: only what is on the screen is rendered, so that thousands of rows cost as much as forty."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from agent.screen.entry import Entry
from agent.screen.model import Model
from agent.tlog import Event
from drivers.masking import LeftOut
from drivers.observations import Answer, Direction, Outcome

_ARROWS = {Direction.CASHIER: "→", Direction.TERMINAL: "←", None: "·"}
_COLOURS = {
    "request": "bright_cyan",
    "answer": "bright_green",
    "receipt": "white",
    "settlement": "bright_green",
    "progress": "grey70",
    "ack": "grey58",
    "event": "yellow",
    "bytes": "grey70",
}
_WRONG = Style.parse("bold white on dark_red")
_FOUND = Style.parse("black on yellow")
_MARK = Style.parse("bold black on bright_magenta")
_REFUSED = Style.parse("bright_yellow")
_CURSOR = Style.parse("reverse")
_TIME = Style.parse("grey58")
_MOST_BYTES = 48


class Rows(ScrollView, can_focus=True):
    """Shows a model's rows. It follows the newest one while the cursor is on it."""

    def __init__(self, model: Callable[[], Model], names: Callable[[Entry], str]) -> None:
        super().__init__(id="rows")
        self._model = model
        self._names = names
        self._version = -1
        self._removed = 0  # what the model says of it, when it was last shown
        self.cursor = 0
        self.following = True
        self.with_bytes = False

    def refresh_rows(self) -> None:
        """Show what the model has now."""
        model = self._model()
        if model.version == self._version:
            return
        self._version = model.version
        count = len(model.rows)
        gone = 0 if model.paused or self.following else model.removed - self._removed
        self._removed = model.removed
        self.virtual_size = Size(self.size.width, count)
        if gone:  # whoever reads an old row goes on reading that one
            self.cursor = max(0, self.cursor - gone)
            self.scroll_to(y=max(0, self.scroll_offset.y - gone), animate=False, force=True, immediate=True)
        if self.following or self.cursor >= count:
            self.cursor = max(0, count - 1)
        if self.following:
            self.scroll_to(y=max(0, count - self.size.height), animate=False, force=True, immediate=True)
        self.refresh()

    def again(self) -> None:
        """Show all of it anew: another model, or another way."""
        self._version = -1
        self._removed = self._model().removed
        self.refresh_rows()

    @property
    def selected(self) -> Entry | None:
        """The row under the cursor."""
        rows = self._model().rows
        return rows[self.cursor] if 0 <= self.cursor < len(rows) else None

    def move(self, place: int) -> None:
        """Put the cursor there; on the last row it follows again."""
        count = len(self._model().rows)
        self.cursor = min(max(0, place), max(0, count - 1))
        self.following = self.cursor >= count - 1
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True, immediate=True)
        elif self.cursor >= top + self.size.height:
            self.scroll_to(y=self.cursor - self.size.height + 1, animate=False, force=True, immediate=True)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        model = self._model()
        place = self.scroll_offset.y + y
        if place >= len(model.rows):
            return Strip.blank(self.size.width)
        entry = model.rows[place]
        strip = Strip([Segment(text, style) for text, style in self._cells(entry, model.found(entry))])
        strip = strip.adjust_cell_length(self.size.width)
        return strip.apply_style(_CURSOR) if place == self.cursor else strip

    def _cells(self, entry: Entry, found: bool) -> list[tuple[str, Style]]:
        moment = datetime.fromtimestamp(entry.wall_ns / 1e9)
        style = Style.parse(_COLOURS.get(entry.kind, "white"))
        if entry.event is Event.MARK:
            style = _MARK
        elif found:
            style = _FOUND
        elif entry.wrong:
            style = _WRONG
        elif isinstance(entry.observation, Answer) and entry.observation.outcome is not Outcome.APPROVED:
            style = _REFUSED
        sign = "?" if entry.asked else "!" if entry.wrong else " "
        cells = [
            (f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03} ", _TIME),
            (f"{sign} {_ARROWS[entry.direction]} {self._names(entry)} ", style),
            (entry.summary, style),
        ]
        if self.with_bytes and entry.pieces:
            cells.append((f"  {bytes_of(entry)}", _TIME))
        return cells


def bytes_of(entry: Entry) -> str:
    """The first bytes of a row in one line."""
    shown = []
    room = _MOST_BYTES
    for piece in entry.pieces:
        if isinstance(piece, LeftOut):
            shown.append(f"~{piece.length}")
        else:
            shown.append(piece[:room].hex(" ").upper() + (" …" if len(piece) > room else ""))
            room -= min(room, len(piece))
    return " ".join(shown)
