"""What `tillwatch check` looks at. Each check is a small function that returns a `Check`; nothing here prints.

places.py folders and disk · lines.py devices and cashier ports · paper.py printers beside protocols · identity.py
enrolment · broker.py network, TLS, log-in · host.py clock, other programs, our own processes · tables.py the site's
response codes. Nothing is changed, and nothing that our bridge uses is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.checks.check import Check, State
from agent.checks.who import Who

if TYPE_CHECKING:
    from agent.config import Config

__all__ = ["Check", "State", "Who", "all_checks"]


def all_checks(config: Config, who: Who) -> Iterator[Check]:
    """Every check of a configuration that could be loaded, one after the other as they are done."""
    from agent.checks import broker, host, identity, lines, paper, places, tables

    yield Check.ok("configuration", "check.configuration_ok", path=config.path, terminals=len(config.terminals))
    yield from tables.checks()
    yield from places.checks(config, who)
    bridge = host.bridge_pid(config.agent.run_dir)
    for terminal in config.terminals:
        yield from lines.checks(terminal, config.agent.run_dir, who, bridge, config.agent.port_group)
    yield from paper.checks(config)
    yield from identity.checks(config)
    yield from broker.checks(config)
    yield from host.checks(config, bridge)
