"""`tillwatch decode`: what a driver makes of hexadecimal bytes or of a recorded log.

With --json an object a line, as the contract says; without it a line a frame for people.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from agent import tlog
from agent.analyser import arrow, byte_lines, lines_for_people, meaning_lines, printable, summary, text_lines
from agent.cli import add_json
from agent.cli.protocols import driver_named, framing_named
from agent.errors import UsageError
from agent.frames import Frame, Frames, is_wrong
from agent.playback import Seen, observe
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
    texts = Texts(language_of_environment())
    if args.file and not args.json and not args.hex:
        return _analyse(args, texts)
    understood = False
    driver, observed = _seen(args)
    for seen in observed:
        if args.json:
            print(line_for_program(seen.observation))
        else:
            print(lines_for_people(seen, timed=False))
            for line in meaning_lines(driver, seen.observation, texts):
                print(f"{'':>12}= {line}")
        understood = understood or not isinstance(seen.observation, Noise)
    return 0 if understood else 1


def _analyse(args: argparse.Namespace, texts: Texts) -> int:
    """A log for people: its header, then a line a frame with time, time since the one before, and what it says."""
    log = read_log(args.file)
    driver = _driver(args, log.header.protocol)
    framing = framing_named(driver, args.framing or log.header.framing)
    header = log.header
    told = (header.protocol, str(framing), header.device, header.settings, header.date, header.version, *header.notes)
    print("# " + printable(", ".join(part for part in told if part)))
    understood = False
    before = 0.0
    for what in _frames(log, driver, framing):
        if isinstance(what, tlog.Happened):
            print(f"{what.at:>12.6f} {what.at - before:>+10.6f}  ! {what.event}")
        else:
            _print_frame(what, what.at - before, args.bytes)
            if what.observation is not None:
                understood = understood or not isinstance(what.observation, Noise)
                for line in meaning_lines(driver, what.observation, texts):
                    print(f"{'':>12}= {line}")
        before = what.at
    return 0 if understood else 1


def _frames(log: tlog.Tlog, driver: Driver, framing: Framing) -> Iterator[Frame | tlog.Happened]:
    frames = Frames(driver, framing)
    at = 0.0
    for record in log.records:
        at = record.at
        if isinstance(record, tlog.Happened):
            if record.event in (tlog.Event.UNPLUGGED, tlog.Event.MISSED):
                yield from frames.cut(at)
            yield record
        else:
            yield from frames.feed(at, record.direction, record.data)
    yield from frames.finish(at)


def _print_frame(frame: Frame, after: float, with_bytes: bool) -> None:
    if frame.observation is None:
        if with_bytes and frame.pieces:
            print(f"{frame.at:>12.6f} {after:>+10.6f}    {arrow(frame.direction)}")
    else:
        mark = "!!" if is_wrong(frame.observation) else "  "
        print(f"{frame.at:>12.6f} {after:>+10.6f} {mark} {summary(frame.observation)}")
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


def _seen(args: argparse.Namespace) -> tuple[Driver, Iterator[Seen]]:
    if bool(args.hex) == bool(args.file):
        raise UsageError("decode.one_input")
    if args.file:
        log = read_log(args.file)
        driver = _driver(args, log.header.protocol)
        return driver, observe(log.records, driver, framing_named(driver, args.framing or log.header.framing))
    if not args.protocol:
        raise UsageError("decode.no_protocol")
    driver = driver_named(args.protocol)
    direction = Direction(args.direction)
    sent = [tlog.Sent(0.0, direction, _bytes(text)) for text in args.hex]
    return driver, observe(sent, driver, framing_named(driver, args.framing or Framing.AUTO))


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
