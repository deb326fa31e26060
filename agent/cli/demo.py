"""`tillwatch demo`: everything at once on one machine, with nothing but this program."""

from __future__ import annotations

import argparse
import signal
import tempfile
import threading
from pathlib import Path

from agent.demo.broker import DemoBroker
from agent.demo.page import Board, serve
from agent.demo.stage import PCS, Stage
from agent.errors import UnreachableError
from agent.texts import Texts, language_of_environment


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--port", type=int, default=8080, metavar="N")
    parser.add_argument("--quiet", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C."""
    texts = Texts(language_of_environment())
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with tempfile.TemporaryDirectory(prefix="tillwatch-demo-") as name:
        folder = Path(name)
        broker = DemoBroker(folder)
        board = Board(broker.port)
        try:
            server = serve(board, args.port)
        except OSError as error:
            board.close()
            broker.stop()
            raise UnreachableError("demo.port_taken", port=args.port, detail=error.strerror) from error
        stage = Stage(folder, broker.port, (lambda _: None) if args.quiet else _say)
        try:
            stage.start()
            url = f"http://127.0.0.1:{args.port}/"
            print(texts.say("demo.ready", url=url, pcs=len(PCS), broker=broker.name, folder=folder), flush=True)
            done.wait()
            print(texts.say("demo.stopping"), flush=True)
        finally:
            stage.stop()
            server.shutdown()
            server.server_close()
            board.close()
            broker.stop()
    print(texts.say("demo.stopped"), flush=True)
    return 0


def _say(line: str) -> None:
    print(line, flush=True)
