"""From a terminal's configuration and its driver to a watcher."""

from __future__ import annotations

from agent import config
from agent.payments import Book, Terms
from agent.watch import Watcher
from drivers import registry
from drivers.driver import Driver, Framing


def framing_of(terminal: config.Terminal, driver: Driver) -> Framing:
    """How messages are laid on this line: as configured, else by what kind of line it is."""
    asked = Framing(terminal.framing)
    if asked is not Framing.AUTO:
        return asked
    return Framing.NONE if terminal.device.scheme == "tcp" and Framing.NONE in driver.framings else driver.framings[0]


def watcher_of(terminal: config.Terminal, book: Book) -> Watcher:
    """A watcher that goes on from this book."""
    driver = registry.get(terminal.protocol)
    framing = framing_of(terminal, driver)
    terms = Terms(
        terminal=terminal.name,
        protocol=terminal.protocol,
        device=terminal.device.text,
        currency=terminal.currency,
        answer_timeout_ns=int(driver.answer_timeout_s * 1e9),
        delivery_timeout_ns=int(driver.delivery_timeout_s * 1e9),
    )
    return Watcher(terms, lambda: driver.decoder(framing), driver.byte_gap_s, book)
