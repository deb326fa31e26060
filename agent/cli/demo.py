"""`tillwatch demo`: everything at once on one machine, with nothing but this program."""

from __future__ import annotations

import argparse
import signal
import tempfile
import threading
from pathlib import Path

from agent.demo import dashboard
from agent.demo.broker import DemoBroker
from agent.demo.dashboard import Dashboard
from agent.demo.stage import PCS, Stage
from agent.errors import UnreachableError
from agent.texts import Texts, language_of_environment

_LOOK_EVERY_S = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--port", type=int, default=8080, metavar="N")
    parser.add_argument("--quiet", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C or SIGTERM."""
    texts = Texts(language_of_environment())
    dashboard.check(args.port)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with tempfile.TemporaryDirectory(prefix="tillwatch-demo-") as name:
        folder = Path(name)
        broker = DemoBroker(folder)
        stage = Stage(folder, broker.port, (lambda _: None) if args.quiet else _say, texts)
        collector: Dashboard | None = None
        try:
            collector = Dashboard(folder, broker.port, args.port)
            collector.await_ready()
            stage.start()
            collector.keep_books()
            print(
                texts.say("demo.ready", url=collector.url, pcs=len(PCS), broker=broker.name, folder=folder), flush=True
            )
            _await(done, collector)
            print(texts.say("demo.stopping"), flush=True)
        finally:
            stage.stop()
            if collector is not None:
                collector.stop()
            broker.stop()
    print(texts.say("demo.stopped"), flush=True)
    return 0


def _await(done: threading.Event, collector: Dashboard) -> None:
    """Until somebody stops the demo. Raises UnreachableError when the collector ends by itself."""
    while not done.wait(_LOOK_EVERY_S):
        if not collector.alive:
            raise UnreachableError("demo.collector_ended")


def _say(line: str) -> None:
    print(line, flush=True)
