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
from agent.cli import add_json
from agent.cli.protocols import driver_named, framing_named
from agent.errors import UsageError
from agent.money import show_amount
from agent.playback import Seen, observe
from agent.profiles import profile_named
from agent.texts import Texts, language_of_environment
from drivers import codes
from drivers.driver import Driver, Framing
from drivers.observations import Answer, Checksum, Direction, Noise, Observation, as_dict

_BETWEEN = re.compile(r"[\s:,-]|0[xX]")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_ARROWS = {Direction.CASHIER: "cashier  >", Direction.TERMINAL: "terminal <"}
_USUAL = (("final", True), ("at_once", False), ("complete", True))  # worth saying only when it is otherwise
_CHECKS = {Checksum.OK: "ok", Checksum.BAD: "BAD", Checksum.NONE: "-"}


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
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print what the bytes mean; 1 when they mean nothing at all."""
    if args.profile and args.hex and not args.file:
        from agent.cli.decode_profile import decode_by  # only where it is asked for

        data = b"".join(_bytes(text) for text in args.hex)
        return decode_by(profile_named(args.profile), Direction(args.direction), data, as_json=args.json)
    understood = False
    texts = Texts(language_of_environment())
    driver, observed = _seen(args)
    for seen in observed:
        if args.json:
            print(line_for_program(seen.observation))
        else:
            print(lines_for_people(seen, timed=bool(args.file)))
            for line in meaning_lines(driver, seen.observation, texts):
                print(f"{'':>12}= {line}")
        understood = understood or not isinstance(seen.observation, Noise)
    return 0 if understood else 1


def read_log(path: Path) -> tlog.Tlog:
    """The log in a file; on stderr where it breaks off."""
    log = tlog.read(path)
    if log.cut:
        print(Texts(language_of_environment()).say("tlog.cut", where=log.cut), file=sys.stderr)
    return log


def line_for_program(observation: Observation) -> str:
    """The observation as one line of JSON."""
    return json.dumps(as_dict(observation), ensure_ascii=False)


def lines_for_people(seen: Seen, timed: bool) -> str:
    """The observation as a protocol analyser shows it; receipt text below it."""
    observation = seen.observation
    shown = as_dict(observation)
    fields = dict(shown["fields"]) if isinstance(shown["fields"], dict) else {}
    time = f"{seen.at:>12.6f}  " if timed else ""
    told = " ".join(_told(fields))
    check = _CHECKS[observation.checksum]
    head = f"{time}{_ARROWS[observation.direction]}  {shown['kind']!s:<10}  {check:<4}  {told}".rstrip()
    return "\n".join([_printable(head), *(f"{'':>12}| {_printable(text)}" for text in observation.text)])


def meaning_lines(driver: Driver, observation: Observation, texts: Texts) -> Iterator[str]:
    """What an answer's code means, and what cashier and technician should do."""
    if not isinstance(observation, Answer):
        return
    code, language = observation.facts.response_code, texts.language
    own = codes.book(driver.codes or driver.name, driver.own_codes, driver.name)
    book = codes.book(f"{driver.codes}_reversal") if observation.reverses else own
    if meaning := book.meaning(code):
        yield f"{code}: {meaning.text[language]}"
        if advice := meaning.advice.get(language):
            yield f"{texts.say('history.advice')}: {advice}"
        if technician := meaning.technician.get(language):
            yield f"{texts.say('history.technician')}: {technician}"


def _told(fields: dict[str, object]) -> Iterator[str]:
    """The fields as words: what is said first, then name=value; the amount as people write it."""
    if message := fields.pop("message", None):
        yield f'"{message}"'
    currency = fields.pop("currency", None)
    for name, usual in _USUAL:
        if fields.get(name) is usual:
            del fields[name]
    for name, value in fields.items():
        if name == "amount" and isinstance(value, int):
            yield f"amount={show_amount(value, str(currency) if currency else None)}"
        elif name == "card" and isinstance(value, dict):
            yield f"card={value['masked']}" + (f" ({value['scheme']})" if value["scheme"] else "")
        elif isinstance(value, bool):
            yield f"{name}={'yes' if value else 'no'}"
        else:
            text = str(value)
            yield f"{name}={text}" if " " not in text else f'{name}="{text}"'


def _printable(text: str) -> str:
    """What a terminal sends must not steer the screen of who reads it."""
    return "".join(char if char.isprintable() else "·" for char in text)


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
