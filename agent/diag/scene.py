"""What one run of a diagnosis may look at. Each thing is found out once, and when it is first wanted.

So a step may come alone (`--only`) or behind a run that was broken off, and still has what it needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from agent import __version__
from agent.bridge.settings import bridge_settings, digest
from agent.checks import Who
from agent.checks.host import bridge_pid
from agent.config import Config, Terminal
from agent.control import ask as ask_agent
from agent.diag import asking
from agent.diag.asking import Asked, Reply
from agent.diag.mouth import Gone, Interrupted, LeaseMouth, Mouth, PortMouth, ring_tap, settings_of
from agent.diag.past import Past, past_of
from agent.diag.traffic import WINDOW_S, Listener, Traffic
from agent.errors import UnreachableError
from agent.payments import At, Book
from agent.phrase import Phrase, phrase
from agent.tap import Tap, bridge_status, held_records
from agent.terminals import framing_of, watcher_of
from agent.watch import Seen, Watcher
from drivers import registry
from drivers.detection import AUTO, is_candidate
from drivers.driver import Driver, Framing, LineDefaults
from drivers.links.base import BUSY, LinkError

#: so long a payment that is under way is waited for
PATIENCE_S = 10.0
_TURN_S = 0.5
#: what began before that is no payment any more
_LONGEST_PAYMENT_NS = 900 * 1_000_000_000


def _say_nothing(_: Phrase) -> None:
    """Nobody watches."""


@dataclass
class Scene:
    """One terminal, and everything around it. `tell` says what is being done, for people who wait."""

    config: Config
    terminal: Terminal
    who: Who = field(default_factory=Who.service)
    loopback: bool = False
    tell: Callable[[Phrase], None] = _say_nothing
    patience_s: float = PATIENCE_S
    agent_denied: bool = field(default=False, init=False)  # it runs, perhaps, and whoever asks may not ask it
    wall_ns: Callable[[], int] = time.time_ns

    @cached_property
    def bridge(self) -> int | None:
        """The process of the running bridge."""
        return bridge_pid(self.config.agent.run_dir)

    @cached_property
    def line(self) -> dict[str, Any] | None:
        """What the running bridge knows of this terminal's line; None without a bridge, or when it knows no such."""
        return self._line_now()

    def _line_now(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] | None = bridge_status(self.config.agent.run_dir)["lines"].get(self.terminal.name)
        except UnreachableError:
            return None
        return found

    @cached_property
    def bridge_is_current(self) -> bool:
        """Whether the running bridge was started with the lines of this configuration; True where nobody can tell."""
        tap = ring_tap(self.config.agent.run_dir)
        if tap is None:
            return True
        tap.close()
        wanted = digest(bridge_settings(self.config, child=True)["lines"])
        return tap.hello.version != __version__ or tap.hello.digest == wanted

    @cached_property
    def agent(self) -> dict[str, Any] | None:
        """What the running agent says of itself."""
        try:
            return ask_agent(self.config.agent.run_dir, "status")
        except UnreachableError as error:
            self.agent_denied = error.key == "control.denied"
            return None

    @cached_property
    def past(self) -> Past | None:
        """What the journal remembers of this terminal; None when it can't be read."""
        return past_of(self.config.agent.state_dir, self.terminal.name, self.wall_ns())

    @cached_property
    def driver(self) -> Driver | None:
        """The driver of the protocol: as configured, or as heard where that is "auto"."""
        name = self.terminal.protocol
        if name == AUTO:
            heard = self.past.heard if self.past else None
            if heard is None:
                return None
            name = heard
        try:
            return registry.get(name)
        except (KeyError, ValueError):
            return None

    @cached_property
    def traffic(self) -> Traffic | None:
        """What passed of late, from the bridge's memory; None without a bridge."""
        tap = ring_tap(self.config.agent.run_dir)
        if tap is None:
            return None
        listener = self._listener()
        try:
            for record in held_records(tap):
                listener.record(record)
        except UnreachableError:
            return None
        finally:
            tap.close()
        return listener.traffic()

    @cached_property
    def asked(self) -> Asked:
        """The terminal's answer to the harmless question of its protocol."""
        driver = self.driver
        unnamed = driver is None and self.bridge is None and self.terminal.protocol == AUTO
        if self.terminal.device.scheme == "file" or (not unnamed and (driver is None or driver.probe is None)):
            return self._looked_at()
        self.tell(phrase("diag.asking"))
        if driver is None:
            return self._anyhow()
        return self._through_bridge(driver) if self.bridge is not None else self._directly(driver)

    @property
    def configured_line(self) -> LineDefaults:
        """The serial settings of the configuration."""
        own = settings_of(self.terminal)
        return LineDefaults(own["baudrate"], own["bytesize"], own["parity"], own["stopbits"])

    # --- asking ---

    def _looked_at(self) -> Asked:
        """There is no question: the port is opened all the same, where it is free, for its modem lines."""
        if self.terminal.device.scheme != "serial" or self.bridge is not None:
            return Asked(reply=Reply.UNASKABLE)
        try:
            mouth = PortMouth(self.terminal)
        except LinkError as error:
            return _closed(error)
        try:
            return Asked(reply=Reply.UNASKABLE, modem=mouth.modem_lines())
        finally:
            mouth.close()

    def _anyhow(self) -> Asked:
        """Nobody has named the protocol, and nothing passes: ask in all that have a question."""
        try:
            with self.mouth() as mouth:
                found = asking.protocol_of(mouth, self._others(None))
        except LinkError as error:
            return _closed(error)
        return Asked(reply=Reply.ANSWERED if found else Reply.SILENT, protocol=found)

    def _through_bridge(self, driver: Driver) -> Asked:
        end = time.monotonic() + self.patience_s
        while True:
            asked = self._leased(driver)
            if asked.reply is not Reply.INTERRUPTED or time.monotonic() >= end:
                return asked
            self.tell(phrase("diag.payment_waits"))
            time.sleep(_TURN_S)

    def _leased(self, driver: Driver) -> Asked:
        if self.line is not None and self.line["link"] != "up":
            return Asked(reply=Reply.CLOSED, detail=str(self.line["detail"] or self.line["reason"]))
        try:
            with self.mouth() as mouth:
                return asking.ask(mouth, driver, framing_of(self.terminal, driver))
        except Interrupted:
            return Asked(reply=Reply.INTERRUPTED)
        except (Gone, UnreachableError) as error:
            return Asked(reply=Reply.GONE, detail=str(error))

    @contextmanager
    def mouth(self) -> Iterator[Mouth]:
        """The line, for a moment. Raises LinkError, Gone, UnreachableError, or Interrupted while a payment is open."""
        tap = ring_tap(self.config.agent.run_dir) if self.bridge is not None else None
        mouth: Mouth | None = None
        try:
            if tap is None:
                mouth = PortMouth(self.terminal)
            else:
                watcher = self._watched(tap)
                watcher.tick(At(self.wall_ns(), time.monotonic_ns(), "diag"))
                if watcher.book.busy:
                    raise Interrupted
                quiet_s = self.terminal.confirm.quiet_s
                mouth = LeaseMouth(tap, self.terminal.name, self.driver, quiet_s, lambda: self._line_now() or {})
            yield mouth
        finally:
            if mouth is not None:
                mouth.close()
            if tap is not None:
                tap.close()

    def _watched(self, tap: Tap) -> Watcher:
        """The terminal's book, as the ring alone tells it: whether a payment is under way."""
        watcher = watcher_of(self.terminal, Book())
        since = time.monotonic_ns() - _LONGEST_PAYMENT_NS
        for record in held_records(tap):
            if record.line == self.terminal.name and record.mono_ns >= since:
                token = f"{tap.hello.ring}:{record.offset}"
                place = (record.offset, record.wall_ns, record.mono_ns, record.kind, record.payload)
                watcher.record(Seen(*place, token))
        return watcher

    def _directly(self, driver: Driver) -> Asked:
        framing = framing_of(self.terminal, driver)
        try:
            mouth = PortMouth(self.terminal)
            try:
                asked = asking.ask(mouth, driver, framing)
                unanswered = asked.reply in (Reply.SILENT, Reply.OTHER) and asked.parity is None
                others = unanswered and not self.loopback  # a plug has neither speed nor protocol
                if others:
                    self.tell(phrase("diag.asking_otherwise"))
                    found = asking.protocol_of(mouth, self._others(driver))
                    if found:
                        return replace(asked, protocol=found)
            finally:
                mouth.close()
            if others and self.terminal.device.scheme == "serial":
                new = partial(PortMouth, self.terminal)
                line = asking.search(new, driver, framing, self.configured_line)
                return replace(asked, line=line)
        except LinkError as error:
            return _closed(error)
        return asked

    def _others(self, driver: Driver | None) -> list[tuple[Driver, Framing]]:
        return [(one, framing_of(self.terminal, one)) for one in _usable() if one.probe and one is not driver]

    # --- listening ---

    def _listener(self) -> Listener:
        driver = self.driver
        candidates = {
            one.name: partial(one.decoder, framing_of(self.terminal, one)) for one in _usable() if is_candidate(one)
        }
        new = partial(driver.decoder, framing_of(self.terminal, driver)) if driver else None
        gap = driver.byte_gap_s if driver else 2.0
        return Listener(self.terminal.name, new, gap, candidates, self.wall_ns() - int(WINDOW_S * 1e9))


def _closed(error: LinkError) -> Asked:
    """It can't be opened; where somebody has it, who."""
    holders = ", ".join(error.holders)
    detail = f"{error.detail} ({holders})" if error.reason == BUSY and holders else error.detail
    return Asked(reply=Reply.CLOSED, detail=detail)


def _usable() -> Iterator[Driver]:
    """All drivers; a profile of the site with mistakes is none, and `tillwatch check-profile` explains it."""
    for name in registry.names():
        with suppress(ValueError):
            yield registry.get(name)
