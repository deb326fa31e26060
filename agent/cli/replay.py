"""`tillwatch replay`: plays a recorded log at the decoder, or one side of it at a port and compares what returns."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.analyser import lines_for_people
from agent.cli import add_json
from agent.cli.decode import line_for_program, read_log
from agent.cli.protocols import driver_named, framing_named
from agent.errors import UnreachableError, UsageError
from agent.playback import Seen, observe
from agent.replay import Difference, Link, Replay
from agent.texts import Texts, language_of_environment
from drivers.driver import LineDefaults
from drivers.links.base import LinkError
from drivers.links.serial import SerialLink, open_serial
from drivers.links.tcp import TcpLink, open_tcp
from drivers.observations import Direction, Observation, as_dict

_DECODER = "decoder"
_SETTINGS = re.compile(r"(?P<speed>\d{2,7}) (?P<bits>[78])(?P<parity>[NEO])(?P<stops>[12])", re.ASCII)


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    say = Texts(language_of_environment()).say
    parser.add_argument("file", type=Path, metavar="FILE.tlog", help=say("tlog.help_file"))
    parser.add_argument("--to", required=True, metavar="decoder|HOST:PORT|PATH", help=say("tlog.help_to"))
    parser.add_argument(
        "--side", choices=[str(side) for side in Direction], default=str(Direction.CASHIER), help=say("tlog.help_side")
    )
    parser.add_argument("--speed", type=speed, default=1.0, metavar="FACTOR", help=say("tlog.help_speed"))
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Play the log; 1 when the other side says something else than recorded, 3 when the port can't be had."""
    log = read_log(args.file)
    driver = driver_named(log.header.protocol)
    framing = framing_named(driver, log.header.framing)
    if args.to == _DECODER:
        for seen in observe(log.records, driver, framing):
            _print(seen, args.json)
        return 0
    with _opened(args.to, _line(log.header.settings, driver.line)) as link:
        play = Replay(log, driver, framing, Direction(args.side), link, args.speed)
        try:
            for seen in play.run():
                _print(seen, args.json)
        except LinkError as error:
            raise UnreachableError("tlog.target_gone", target=args.to, detail=error.detail) from error
    return _report(play, args.json)


def _report(play: Replay, as_json: bool) -> int:
    differences = play.differences()
    if as_json:
        found = [{"at": each.at, "recorded": _data(each.recorded), "came": _data(each.came)} for each in differences]
        print(json.dumps({"expected": play.expected, "differences": found}, ensure_ascii=False))
        return 1 if differences else 0
    texts = Texts(language_of_environment())
    for each in differences:
        print(_told(each, texts))
    key = "tlog.summary" if differences else "tlog.same"
    print(texts.say(key, count=play.expected, wrong=len(differences)))
    return 1 if differences else 0


def _told(difference: Difference, texts: Texts) -> str:
    def shown(observation: Observation | None) -> str:
        if observation is None:
            return texts.say("tlog.nothing")
        return " ".join(lines_for_people(Seen(difference.at, observation), timed=False).split())

    recorded, came = shown(difference.recorded), shown(difference.came)
    return texts.say("tlog.differs", at=difference.at, recorded=recorded, came=came)


def _data(observation: Observation | None) -> dict[str, object] | None:
    return None if observation is None else as_dict(observation)


def _print(seen: Seen, as_json: bool) -> None:
    print(line_for_program(seen.observation) if as_json else lines_for_people(seen, timed=True), flush=True)


@contextmanager
def _opened(target: str, line: LineDefaults) -> Iterator[Link]:
    host, _, port = target.rpartition(":")
    if not target.startswith("/") and not (host and port.isdecimal()):
        raise UsageError("tlog.bad_target", found=target)
    try:
        link: SerialLink | TcpLink = (
            open_serial(target, line.baudrate, line.bytesize, line.parity, line.stopbits)
            if target.startswith("/")
            else open_tcp(target)
        )
    except LinkError as error:
        raise UnreachableError("tlog.no_target", target=target, detail=error.detail) from error
    try:
        yield link
    finally:
        link.close()


def _line(recorded: str | None, usual: LineDefaults) -> LineDefaults:
    """The settings that the line had when it was recorded ("9600 8N1"); the protocol's own where the log has none."""
    found = _SETTINGS.fullmatch(recorded or "")
    if found is None:
        return usual
    return LineDefaults(int(found["speed"]), int(found["bits"]), found["parity"], int(found["stops"]))


def speed(text: str) -> float:
    """A factor. argparse shows the function's name when it refuses."""
    value = float(text)
    if not 0 <= value <= 1000:
        raise ValueError(text)
    return value
