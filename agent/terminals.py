"""From a terminal's configuration and its driver to what follows it: a watcher, and who asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from agent import config
from agent.confirm import Asker
from agent.detect import Decided, DetectingWatcher
from agent.payments import Book, Terms
from agent.watch import Watcher
from drivers import registry
from drivers.detection import AUTO, FALLBACK, is_candidate
from drivers.driver import Driver, Framing
from drivers.queries import Policy, QueryLine


def _nobody_asks(_terminal: str, _protocol: str) -> None:
    """Nobody wants to know."""


def framing_of(terminal: config.Terminal, driver: Driver) -> Framing:
    """How messages are laid on this line: as configured, else by what kind of line it is."""
    asked = Framing(terminal.framing)
    if asked is not Framing.AUTO:
        return asked
    return (
        Framing.NONE
        if terminal.device.scheme in ("tcp", "file") and Framing.NONE in driver.framings
        else driver.framings[0]
    )


def policy_of(terminal: config.Terminal, driver: Driver) -> Policy:
    """Whether a payment in doubt is asked about, or only watched: the site's choice, else the driver's."""
    if driver.asking is None or terminal.device.scheme == "file":  # files are only heard
        return Policy.WATCH
    return Policy(terminal.confirm.policy) if terminal.confirm.policy else driver.asking.policy


def asker_of(terminal: config.Terminal, heard: str | None = None) -> Asker | None:
    """How this terminal is asked; None when its protocol has no query, or is not known yet (`heard`: for "auto")."""
    protocol = heard if terminal.protocol == AUTO else terminal.protocol
    if protocol is None:
        return None
    driver = registry.get(protocol)
    if driver.asking is None:
        return None
    confirm = terminal.confirm
    return Asker(
        terminal=terminal.name,
        asking=driver.asking,
        line=QueryLine(framing_of(terminal, driver), terminal.currency),
        policy=policy_of(terminal, driver),
        quiet_s=confirm.quiet_s,
        first_delay_s=confirm.first_delay_s,
        max_delay_s=confirm.max_delay_s,
    )


def watcher_of(terminal: config.Terminal, book: Book, decided: Decided = _nobody_asks) -> Watcher:
    """A watcher that goes on from this book. `decided`: told what an "auto" terminal was heard to speak."""
    if terminal.protocol != AUTO:
        return _watcher(terminal, terminal.protocol, book)
    drivers = list(_drivers())
    candidates = {d.name: partial(d.decoder, framing_of(terminal, d)) for d in drivers if is_candidate(d)}
    fallback = next((d for d in drivers if d.name == FALLBACK), None)
    terms = Terms(
        terminal=terminal.name,
        protocol=AUTO,
        device=terminal.device.text,
        currency=terminal.currency,
        answer_timeout_ns=0,  # it opens no payment
        delivery_timeout_ns=0,
    )
    name, ear = (fallback.name, partial(fallback.decoder, fallback.framings[0])) if fallback else (None, None)
    return DetectingWatcher(terms, book, candidates, partial(_watcher, terminal), decided, name, ear)


def _drivers() -> Iterator[Driver]:
    """All that can be used; a profile of the site with mistakes is none, and `tillwatch check-profile` explains it."""
    for name in registry.names():
        with suppress(ValueError):
            yield registry.get(name)


def _watcher(terminal: config.Terminal, protocol: str, book: Book) -> Watcher:
    driver = registry.get(protocol)
    framing = framing_of(terminal, driver)
    terms = Terms(
        terminal=terminal.name,
        protocol=protocol,
        device=terminal.device.text,
        currency=terminal.currency,
        answer_timeout_ns=int(driver.answer_timeout_s * 1e9),
        delivery_timeout_ns=int(driver.delivery_timeout_s * 1e9),
        asks=driver.asking.queries if driver.asking and policy_of(terminal, driver) is Policy.ASK else (),
        first_call_ns=int(terminal.confirm.escalate_after_s * 1e9),
        give_up_ns=int(terminal.confirm.give_up_after_s * 1e9),
        listens_only=driver.listens_only,
        acknowledged=driver.acknowledged,
        reverses=driver.reverses,
        reprints_any=driver.reprints_any,
    )
    read = driver.asking.finding if driver.asking else None
    return Watcher(terms, lambda: driver.decoder(framing), driver.byte_gap_s, book, read, driver.silence_ends)
