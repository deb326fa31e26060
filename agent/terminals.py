"""From a terminal's configuration and its driver to what follows it: a watcher, and who asks it."""

from __future__ import annotations

from agent import config
from agent.confirm import Asker
from agent.payments import Book, Terms
from agent.watch import Watcher
from drivers import registry
from drivers.driver import Driver, Framing
from drivers.queries import Policy, QueryLine


def framing_of(terminal: config.Terminal, driver: Driver) -> Framing:
    """How messages are laid on this line: as configured, else by what kind of line it is."""
    asked = Framing(terminal.framing)
    if asked is not Framing.AUTO:
        return asked
    return Framing.NONE if terminal.device.scheme == "tcp" and Framing.NONE in driver.framings else driver.framings[0]


def policy_of(terminal: config.Terminal, driver: Driver) -> Policy:
    """Whether a payment in doubt is asked about, or only watched: the site's choice, else the driver's."""
    if driver.asking is None:
        return Policy.WATCH
    return Policy(terminal.confirm.policy) if terminal.confirm.policy else driver.asking.policy


def asker_of(terminal: config.Terminal) -> Asker | None:
    """How this terminal is asked; None when its protocol has no query."""
    driver = registry.get(terminal.protocol)
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
        asks=driver.asking.queries if driver.asking and policy_of(terminal, driver) is Policy.ASK else (),
        first_call_ns=int(terminal.confirm.escalate_after_s * 1e9),
        give_up_ns=int(terminal.confirm.give_up_after_s * 1e9),
    )
    read = driver.asking.finding if driver.asking else None
    return Watcher(terms, lambda: driver.decoder(framing), driver.byte_gap_s, book, read)
