"""The paper of a terminal tapped beside its protocol, as a [[terminal]] of its own: each payment would count twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.checks.check import Check
from agent.config import Config, Terminal
from agent.errors import JournalError
from agent.history import History
from agent.journal import FILE_NAME
from drivers import registry
from drivers.detection import AUTO


def checks(config: Config) -> Iterator[Check]:
    """A warning for each printer that seems to be that of another terminal here; nothing where none does."""
    printers = [terminal for terminal in config.terminals if _listens_only(terminal)]
    others = [terminal for terminal in config.terminals if not _listens_only(terminal)]
    if not others:
        return
    for printer in printers:
        if (twice := _recorded_twice(config.agent.state_dir, printer)) is not None:
            other, trace = twice
            yield Check.warn("paper", "check.paper_twice", printer.name, other=other, trace=trace)
        elif (alike := _named_alike(printer, others)) is not None:
            yield Check.warn("paper", "check.paper_alike", printer.name, other=alike)


def _listens_only(terminal: Terminal) -> bool:
    return terminal.protocol != AUTO and registry.get(terminal.protocol).listens_only


def _recorded_twice(state_dir: Path, printer: Terminal) -> tuple[str, str] | None:
    try:
        with History(state_dir / FILE_NAME) as history:
            return history.recorded_twice(printer.name)
    except JournalError:  # there is none yet, or another check says why it can't be read
        return None


def _named_alike(printer: Terminal, others: Iterable[Terminal]) -> str | None:
    """pos1 and pos1-printer; names that are numbered, as pos1 and pos10, are two terminals."""
    for other in others:
        short, long = sorted((printer.name, other.name), key=len)
        if long.startswith(short) and not long[len(short) :][:1].isdigit():
            return other.name
    return None
