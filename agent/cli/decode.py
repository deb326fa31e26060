"""`tillwatch decode`: what a driver makes of hexadecimal bytes or of a recorded log.

With --json an object a line, as the contract says; without it a line a frame for people.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent import tlog
from agent.analyser import arrow, byte_lines, meaning_lines, printable, summary, text_lines
from agent.cli import add_json
from agent.cli.protocols import driver_named, framing_named
from agent.errors import UsageError
from agent.frames import Frame, Frames, is_wrong
from agent.playback import observe
from agent.profiles import profile_named
from agent.texts import Texts, language_of_environment
from drivers.driver import Driver, Framing
from drivers.observations import Direction, Noise, Observation, as_dict

_BETWEEN = re.compile(r"[\s:,-]|0[xX]")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    say = Texts(language_of_environment()).say
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE.tlog", help=say("decode.help_file"))
    parser.add_argument("--protocol", metavar="NAME", help=say("decode.help_protocol"))
    parser.add_argument("--profile", metavar="FILE|NAME", help=say("profile.help_profile"))
    parser.add_argument(
        "--direction",
        choices=[str(d) for d in Direction],
        default=str(Direction.TERMINAL),
        help=say("decode.help_direction"),
    )
    parser.add_argument("--framing", choices=[str(framing) for framing in Framing], help=say("decode.help_framing"))
    parser.add_argument("--hex", nargs="+", action="extend", metavar="HEX", help=say("decode.help_hex"))
    parser.add_argument("--bytes", action="store_true", help=say("decode.help_bytes"))
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print what the bytes mean; 1 when they mean nothing at all."""
    if args.profile and args.hex and not args.file:
        from agent.cli.decode_profile import decode_by  # only where it is asked for

        data = b"".join(_bytes(text) for text in args.hex)
        return decode_by(profile_named(args.profile), Direction(args.direction), data, as_json=args.json)
    given = _given(args)
    texts = Texts(language_of_environment())
    understood = _for_programs(given) if args.json else _for_people(given, args.bytes, texts)
    return 0 if understood else 1


@dataclass(frozen=True, slots=True)
class _Given:
    """What is to be decoded; `header` None: bare bytes, which have no time."""

    driver: Driver
    framing: Framing
    records: Sequence[tlog.Record]
    header: tlog.Header | None


def _for_programs(given: _Given) -> bool:
    understood = False
    for seen in observe(given.records, given.driver, given.framing):
        print(line_for_program(seen.observation))
        understood = understood or not isinstance(seen.observation, Noise)
    return understood


def _for_people(given: _Given, with_bytes: bool, texts: Texts) -> bool:
    """A line a frame; those of a log with its time, the time since the one before, and a mark where it is wrong."""
    if (header := given.header) is not None:
        told = (header.protocol, str(given.framing), header.device, header.settings, header.date, header.version)
        print("# " + printable(", ".join(part for part in (*told, *header.notes) if part)))
    understood = False
    before = 0.0
    for what in _frames(given):
        times = f"{what.at:>12.6f} {what.at - before:>+10.6f} " if given.header else ""
        before = what.at
        if isinstance(what, tlog.Happened):
            print(f"{times} ! {what.event}")
            continue
        _print_frame(what, times, with_bytes)
        if what.observation is not None:
            understood = understood or not isinstance(what.observation, Noise)
            for line in meaning_lines(given.driver, what.observation, texts):
                print(f"{'':>12}= {line}")
    return understood


def _frames(given: _Given) -> Iterator[Frame | tlog.Happened]:
    frames = Frames(given.driver, given.framing)
    at = 0.0
    for record in given.records:
        at = record.at
        if isinstance(record, tlog.Happened):
            if record.event in (tlog.Event.UNPLUGGED, tlog.Event.MISSED):
                yield from frames.cut(at)
            yield record
        else:
            yield from frames.feed(at, record.direction, record.data)
    yield from frames.finish(at)


def _print_frame(frame: Frame, times: str, with_bytes: bool) -> None:
    if frame.observation is None:
        if with_bytes and frame.pieces:
            print(f"{times}{'   ' if times else ''}{arrow(frame.direction)}")
    else:
        mark = ("!! " if is_wrong(frame.observation) else "   ") if times else ""
        print(f"{times}{mark}{summary(frame.observation)}")
        print("".join(f"{line}\n" for line in text_lines(frame.observation)), end="")
    if with_bytes:
        print("".join(f"{'':>12}  {line}\n" for line in byte_lines(frame.pieces)), end="")


def read_log(path: Path) -> tlog.Tlog:
    """The log in a file; on stderr where it breaks off."""
    log = tlog.read(path)
    if log.cut:
        print(Texts(language_of_environment()).say("tlog.cut", where=log.cut), file=sys.stderr)
    return log


def line_for_program(observation: Observation) -> str:
    """The observation as one line of JSON."""
    return json.dumps(as_dict(observation), ensure_ascii=False)


def _given(args: argparse.Namespace) -> _Given:
    """The log or the bytes that the options name. Raises UsageError, UnreachableError."""
    if bool(args.hex) == bool(args.file):
        raise UsageError("decode.one_input")
    if args.file:
        log = read_log(args.file)
        driver = _driver(args, log.header.protocol)
        framing = framing_named(driver, args.framing or log.header.framing)
        return _Given(driver, framing, log.records, log.header)
    if not args.protocol:
        raise UsageError("decode.no_protocol")
    driver = driver_named(args.protocol)
    sent = [tlog.Sent(0.0, Direction(args.direction), _bytes(text)) for text in args.hex]
    return _Given(driver, framing_named(driver, args.framing or Framing.AUTO), sent, None)


def _driver(args: argparse.Namespace, named: str) -> Driver:
    if not args.profile:
        return driver_named(args.protocol or named)
    from drivers.profiles.driver import driver_of

    return driver_of(profile_named(args.profile))


def _bytes(text: str) -> bytes:
    """The bytes of a hexadecimal text; blanks, colons, commas, dashes and 0x may stand between them."""
    digits = _BETWEEN.sub("", text)
    if not _HEX.fullmatch(digits):
        shown = text if len(text) <= 40 else text[:39] + "…"
        raise UsageError("decode.bad_hex", found=shown)
    return bytes.fromhex(digits)
