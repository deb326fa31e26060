"""The screen itself: keys, layout, and a turn twenty times a second in which the model takes what has come.

A turn takes no longer than a part of its time, whatever comes: a flood is shown later, never all at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Footer, Input, Static

from agent.analyser import byte_lines
from agent.config import Terminal
from agent.recording import header_of
from agent.screen.entry import Entry
from agent.screen.feed import Feed
from agent.screen.follow import Clock, Follower
from agent.screen.model import Filter, Model
from agent.screen.rows import Rows
from agent.screen.saving import save
from agent.tap import Gap, Record
from agent.terminals import framing_of
from agent.texts import Texts
from agent.tlog import Event
from drivers.driver import Driver, Framing
from drivers.observations import Direction

_TURN_S = 0.05
_WORK_S = 0.03  # of a turn
_STATUS_S = 1.0
_RECONNECT_S = 1.0

#: key, action, text of the catalogue
_KEYS = (
    ("d", "direction", "key_direction"),
    ("k", "kind", "key_kind"),
    ("e", "errors", "key_errors"),
    ("space", "pause", "key_pause"),
    ("slash", "search", "key_search"),
    ("n", "next(1)", "key_next"),
    ("b", "bytes", "key_bytes"),
    ("m", "mark", "key_mark"),
    ("s", "save", "key_save"),
    ("t", "terminal", "key_terminal"),
    ("q", "quit", "key_quit"),
)
_HIDDEN_KEYS = (
    ("N", "next(-1)"),
    ("up", "move(-1)"),
    ("down", "move(1)"),
    ("pageup", "page(-1)"),
    ("pagedown", "page(1)"),
    ("home", "end(0)"),
    ("end", "end(1)"),
    ("escape", "leave_search"),
)


@dataclass(frozen=True, slots=True)
class Watched:
    """A terminal of the screen. `driver` None: nobody knows yet what is spoken there."""

    terminal: Terminal
    driver: Driver | None

    @property
    def framing(self) -> Framing:
        """How messages are laid on its line."""
        return framing_of(self.terminal, self.driver) if self.driver else Framing.AUTO


class Line:
    """What the screen holds of one terminal."""

    def __init__(self, watched: Watched, texts: Texts) -> None:
        self.watched = watched
        self.follower = Follower(watched.driver, watched.framing, texts)
        self.model = Model()
        self.marks = 0


class LiveScreen(App[None]):
    """The live screen. `clock` gives wall and monotonic time; `folder` is where recordings are saved."""

    CSS = """
    #state { height: 3; text-wrap: nowrap; text-overflow: ellipsis; background: $panel; padding: 0 1; }
    #rows { height: 1fr; overflow-x: hidden; }
    #below { height: 33%; max-height: 10; border-top: solid $accent; padding: 0 1; }
    #search { display: none; height: 3; }
    #search.open { display: block; }
    """
    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        watched: Sequence[Watched],
        feed: Feed,
        texts: Texts,
        folder: Path,
        clock: Callable[[], Clock] | None = None,
    ) -> None:
        super().__init__()
        self._texts = texts
        self._feed = feed
        self._folder = folder
        self._clock = clock or (lambda: Clock(time.time_ns(), time.monotonic_ns()))
        self._lines = [Line(each, texts) for each in watched]
        self._by_name = {line.watched.terminal.name: line for line in self._lines}
        self._current = 0
        self.rows = Rows(lambda: self.model, self._name_of)
        self._state = Static(id="state", markup=False)
        self._detail = Static(id="detail", markup=False)
        self._search = Input(id="search", placeholder=texts.say("screen.search"))
        self._status_due = self._connect_due = 0.0
        self._said = ""
        for key, action, text in _KEYS:
            if action != "terminal" or len(self._lines) > 1:
                self.bind(key, action, description=texts.say(f"screen.{text}"))
        for key, action in _HIDDEN_KEYS:
            self.bind(key, action, show=False)

    @property
    def line(self) -> Line:
        """The terminal that is shown."""
        return self._lines[self._current]

    @property
    def model(self) -> Model:
        """Its rows."""
        return self.line.model

    def compose(self) -> ComposeResult:
        """State above, rows, the row under the cursor below, search, keys."""
        yield self._state
        yield self.rows
        with VerticalScroll(id="below", can_focus=False):
            yield self._detail
        yield self._search
        yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        self.rows.focus()
        self.set_interval(_TURN_S, self.turn)

    # --- what comes ---

    def turn(self) -> None:
        """Take what has come, as much as fits into a turn, and show it."""
        now = time.monotonic()
        if self._feed.connected or now >= self._connect_due:
            self._connect_due = now + _RECONNECT_S
            self._feed.poll()
        if now >= self._status_due:
            self._status_due = now + _STATUS_S
            self._feed.ask()
        waiting = self._feed.waiting
        while waiting and time.monotonic() - now < _WORK_S:
            self._take(waiting.popleft())
        if not waiting:
            for line in self._lines:
                line.model.add(line.follower.quiet(self._clock().mono_ns))
        self.rows.refresh_rows()
        self._show_state()
        self._show_detail()

    def _take(self, message: Record | Gap | None) -> None:
        if isinstance(message, Record):
            line = self._by_name.get(message.line)
            if line is not None:
                line.model.add(line.follower.record(message))
            return
        for line in self._lines:
            if message is None:
                line.model.add([line.follower.note(self._clock(), "bridge_ended", wrong=True)])
            else:
                line.model.add(line.follower.missed(self._clock()))

    # --- what is shown ---

    def _name_of(self, entry: Entry) -> str:
        who = (
            "line"
            if entry.direction is None
            else "agent"
            if entry.asked and entry.direction is Direction.CASHIER
            else str(entry.direction)
        )
        return self._texts.say(f"screen.who_{who}")

    def _show_state(self) -> None:
        _show(self._state, "\n".join(self.state_lines()))

    def state_lines(self) -> Iterator[str]:
        """The three lines above the rows."""
        say, model, terminal = self._texts.say, self.model, self.line.watched.terminal
        told: dict[str, Any] = self._feed.status.get("lines", {}).get(terminal.name, {})
        link = say(f"status.link_{told['link']}") if told else "?"
        port = say(f"status.port_{told['port']}") if told else "?"
        port = say("status.port", cashier=told.get("cashier", terminal.cashier.text), port=port)
        protocol = self.line.watched.driver.name if self.line.watched.driver else say("screen.unknown_protocol")
        parts = [terminal.name, protocol, terminal.device.text, link, port]
        if not self._feed.connected:
            parts.append(say("screen.no_bridge"))
        yield " · ".join(parts)
        now = self._clock().at
        rates = [
            say("screen.rate", who=say(f"screen.who_{side}").strip(), bytes=size, frames=rows)
            for side in Direction
            for size, rows in [model.rates.of(side, now)]
        ]
        yield "  ".join([*rates, say("screen.errors", count=model.wrong, total=model.total), self._payment(now)])
        yield "  ".join([*self._shown_only(), self._said])

    def _payment(self, now: float) -> str:
        payment, say = self.model.payment, self._texts.say
        if payment is None:
            return say("screen.no_payment")
        kind, amount = say(f"history.kind_{payment.kind}"), payment.shown_amount
        if payment.outcome is None or payment.ended_at is None:
            return say("screen.paying", kind=kind, amount=amount, seconds=max(0.0, now - payment.began_at))
        outcome = say(f"history.outcome_{payment.outcome}")
        return say(
            "screen.paid", kind=kind, amount=amount, outcome=outcome, seconds=payment.ended_at - payment.began_at
        )

    def _shown_only(self) -> Iterator[str]:
        say, wanted = self._texts.say, self.model.filter
        if self.model.paused:
            yield say("screen.paused", count=self.model.waiting)
        if wanted.direction:
            yield say("screen.only", what=say(f"screen.who_{wanted.direction}").strip())
        if wanted.kind:
            yield say("screen.only", what=say(f"screen.kind_{wanted.kind}"))
        if wanted.wrong_only:
            yield say("screen.only", what=say("screen.wrong"))
        if self.model.search:
            yield say("screen.searched", text=self.model.search)

    def _show_detail(self) -> None:
        _show(self._detail, "\n".join(self.detail_lines()))

    def detail_lines(self) -> Iterator[str]:
        """The row under the cursor: what it says, its text, its bytes."""
        entry = self.rows.selected
        if entry is None:
            yield self._texts.say("screen.nothing_yet")
            return
        yield f"{self._name_of(entry).strip()}  {entry.summary}"
        yield from (f"| {line}" for line in entry.text)
        yield from byte_lines(entry.pieces)

    def _say(self, key: str, **values: object) -> None:
        self._said = self._texts.say(f"screen.{key}", **values)

    # --- keys ---

    def _refilter(self, wanted: Filter) -> None:
        self.model.refilter(wanted)
        self.rows.following = True
        self.rows.again()

    def action_direction(self) -> None:
        """Both sides, the cashier application's, the terminal's."""
        self._refilter(self.model.filter.next_direction())

    def action_kind(self) -> None:
        """All kinds, or one."""
        self._refilter(self.model.filter.next_kind())

    def action_errors(self) -> None:
        """Errors only, or all."""
        self._refilter(replace(self.model.filter, wrong_only=not self.model.filter.wrong_only))

    def action_pause(self) -> None:
        """Stand still, or go on."""
        self.model.pause()
        self.rows.following = not self.model.paused
        self.rows.again()

    def action_bytes(self) -> None:
        """Bytes beside the rows, or not."""
        self.rows.with_bytes = not self.rows.with_bytes
        self.rows.again()

    def action_mark(self) -> None:
        """A row that says: here."""
        self.line.marks += 1
        self.model.add([self.line.follower.note(self._clock(), "mark", Event.MARK, count=self.line.marks)])
        self._say("marked", count=self.line.marks)

    def action_terminal(self) -> None:
        """The next terminal."""
        self._current = (self._current + 1) % len(self._lines)
        self.rows.following = True
        self.rows.again()

    def action_search(self) -> None:
        """Ask what to look for."""
        self._search.add_class("open")
        self._search.value = self.model.search
        self._search.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Look for it."""
        self.model.search = event.value.strip()
        self._close_search()
        if self.model.search:
            self.action_next(-1)

    def action_leave_search(self) -> None:
        """Look for nothing any more."""
        self.model.search = ""
        self._close_search()

    def _close_search(self) -> None:
        self._search.remove_class("open")
        self.rows.focus()
        self.rows.again()

    def action_next(self, step: int) -> None:
        """To the next row that fits, or the one before."""
        rows = self.rows
        start = rows.cursor + 1 if step < 0 and rows.following else rows.cursor
        place = self.model.find(start, step)
        if place is None:
            self._say("not_found", text=self.model.search)
        else:
            rows.move(place)

    def action_move(self, step: int) -> None:
        """A row up or down."""
        self.rows.move(self.rows.cursor + step)

    def action_page(self, step: int) -> None:
        """A page up or down."""
        self.rows.move(self.rows.cursor + step * max(1, self.rows.size.height - 1))

    def action_end(self, last: int) -> None:
        """To the first or the last row."""
        self.rows.move(len(self.model.rows) if last else 0)

    def action_help_quit(self) -> None:
        """Ctrl-C, which Textual would only explain, leaves."""
        self.exit()

    def action_save(self) -> None:
        """Write what is held into a new .tlog."""
        watched = self.line.watched
        held = list(self.model.held)
        if watched.driver is None or not held:
            self._say("nothing_to_save")
            return
        began = datetime.fromtimestamp(held[0].wall_ns / 1e9).astimezone()
        path = self._folder / f"{watched.terminal.name}-{datetime.now():%Y%m%d-%H%M%S}.tlog"
        header = header_of(watched.terminal, watched.driver.name, watched.framing, began)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as stream:
                frames = save(stream, header, held)
        except OSError as error:
            with suppress(OSError):
                if not isinstance(error, FileExistsError):
                    path.unlink()
            self._say("not_saved", path=path, detail=error.strerror or error)
            return
        self._say("saved", path=path, frames=frames)


def _show(widget: Static, text: str) -> None:
    """Only what has changed: an idle line costs nothing."""
    if widget.content != text:
        widget.update(text)


def watch(watched: Sequence[Watched], run_dir: Path, texts: Texts) -> None:
    """Show the screen until its user leaves it. Raises UnreachableError when no bridge answers."""
    feed = Feed(run_dir)
    try:
        LiveScreen(watched, feed, texts, Path.cwd()).run()
    finally:
        feed.close()
