"""`tillwatch record`: writes what passes on a line into a .tlog file, card numbers masked, until Ctrl-C.

It reads along at the running bridge; neither the payment nor the agent notices.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from agent.cli import add_config
from agent.cli.arguments import some_seconds
from agent.cli.protocols import nearest
from agent.config import Config, Terminal, load
from agent.errors import UnreachableError, UsageError
from agent.recording import driver_on, header_of, write
from agent.tap import Gap, Record, Tap
from agent.terminals import framing_of
from agent.texts import Texts, language_of_environment
from agent.tlog import Event, Writer

_LAST_LOOK_S = 0.05


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    say = Texts(language_of_environment()).say
    parser.add_argument("name", metavar="TERMINAL", help=say("tlog.help_name"))
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.tlog", help=say("tlog.help_output"))
    parser.add_argument("--seconds", type=some_seconds, metavar="N", help=say("tlog.help_seconds"))
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Record; 1 when nothing passed."""
    config = load(args.config, secrets=False)
    texts = Texts(config.agent.language)
    terminal = _terminal(config, args.name)
    driver = driver_on(config, terminal)
    if driver is None:
        raise UsageError("tlog.protocol_auto", name=terminal.name)
    tap = Tap.connect(config.agent.run_dir)
    try:
        with _created(args.output) as stream, _stop_requested() as stop:
            began = datetime.now().astimezone()
            header = header_of(terminal, driver.name, framing_of(terminal, driver), began)
            writer = Writer(stream, header, driver)
            print(texts.say("tlog.recording", name=terminal.name, path=args.output), flush=True)
            try:
                _record(tap, terminal.name, writer, stop, args.seconds)
            finally:
                writer.close()
    except OSError as error:
        raise UnreachableError("tlog.unwritable", path=args.output, detail=error.strerror or error) from error
    finally:
        tap.close()
    print(texts.say("tlog.recorded", frames=writer.frames, path=args.output))
    return 0 if writer.frames else 1


def _record(tap: Tap, name: str, writer: Writer, stop: int, longest_s: float | None) -> None:
    began = time.monotonic_ns()
    end = None if longest_s is None else time.monotonic() + longest_s
    tap.request("tap", **{"from": tap.hello.next})  # whatever passed since we connected, and all that follows
    watched = [tap.fileno(), stop]
    while True:
        left = None if end is None else max(0.0, end - time.monotonic())
        if stop not in watched:
            left = _LAST_LOOK_S  # what passed before the key was pressed may still be on its way
        ready, _, _ = select.select(watched, [], [], left)
        if stop in ready:
            watched.remove(stop)
        elif not ready:
            return
        if tap.fileno() in ready:
            for message in tap.receive():
                if isinstance(message, Gap):
                    writer.happened((time.monotonic_ns() - began) / 1e9, Event.MISSED)
                elif isinstance(message, Record) and message.line == name:
                    write(writer, message, began)
            writer.flush()


def _terminal(config: Config, name: str) -> Terminal:
    known = {terminal.name: terminal for terminal in config.terminals}
    if name not in known:
        raise UsageError("tlog.no_terminal", name=name, nearest=nearest(name, known), known=", ".join(known))
    return known[name]


@contextmanager
def _created(path: Path) -> Iterator[TextIO]:
    """A new file that only its owner may read: masked or not, it tells who paid what."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError("tlog.exists", path=path) from error
    with open(descriptor, "w", encoding="utf-8") as stream:
        yield stream


@contextmanager
def _stop_requested() -> Iterator[int]:
    """A descriptor that becomes readable on SIGINT or SIGTERM."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)

    def note(*_: object) -> None:
        with suppress(OSError):
            os.write(writable, b"\0")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield readable
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(readable)
        os.close(writable)
