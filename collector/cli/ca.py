"""`tillwatch collector ca`: makes the authority, and what it signs for servers: broker, collector, operations."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agent.config_values import WORD, Duration, RefusedError
from agent.texts import language_of_environment
from collector.cli import add_authority, add_common, configuration
from collector.enrol.authority import SERVER_DAYS, Authority, Signed, write_file
from collector.enrol.desk import RESERVED, reserved
from collector.enrol.errors import EnrolUsageError
from collector.errors import CollectorUsageError
from collector.ledger import utc_now
from collector.texts import Texts

_DAY_S = 86_400


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    texts = Texts(language_of_environment())
    add_common(parser, texts)
    add_authority(parser, texts)
    parser.add_argument("act", choices=("init", "server", "client", "show"), help=texts.say("enrol.help_act"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=texts.say("enrol.help_names"))
    parser.add_argument("--valid", metavar="TIME", help=texts.say("enrol.help_valid"))
    parser.add_argument("-o", "--output", metavar="DIR", default=".", help=texts.say("enrol.help_output"))


def run(args: argparse.Namespace) -> int:
    """What is said goes to standard error; `show` prints the authority's certificate."""
    texts = Texts(language_of_environment())
    settings = configuration(args).enrol
    folder = settings.folder if settings else Path("/var/lib/tillwatch/ca")
    if args.act == "init":
        made = Authority.init(folder, " ".join(args.names) or "tillwatch", utc_now())
        print(texts.say("enrol.ca_made", folder=folder, fingerprint=made.fingerprint), file=sys.stderr)
        return 0
    authority = Authority.load(folder)
    if args.act == "show":
        print(authority.pem, end="")
        print(texts.say("enrol.ca_shown", fingerprint=authority.fingerprint), file=sys.stderr)
        return 0
    if not args.names:
        raise CollectorUsageError("enrol.needs_names")
    days = _days(args.valid)
    if args.act == "server":
        signed, key = authority.server(args.names, utc_now(), days)
    else:
        signed, key = authority.client(_program(args.names), utc_now(), days)
    _write(Path(args.output), args.names[0], (signed, key), texts)
    return 0


def _program(names: list[str]) -> str:
    """The one name, which is no agent's."""
    try:
        (name,) = names
        if reserved(str(WORD.read(name))):
            return name
    except (ValueError, RefusedError):
        pass
    raise EnrolUsageError("enrol.client_names", names=", ".join(f"{role}, {role}-NAME" for role in RESERVED))


def _write(folder: Path, name: str, made: tuple[Signed, str], texts: Texts) -> None:
    signed, key = made
    stem = name.replace(":", "_")
    write_file(folder / f"{stem}.key", key)
    write_file(folder / f"{stem}.pem", signed.pem, 0o644)
    said = texts.say(
        "enrol.signed",
        certificate=folder / f"{stem}.pem",
        private=folder / f"{stem}.key",
        ends=f"{signed.ends:%Y-%m-%d}",
    )
    print(said, file=sys.stderr)


def _days(text: str | None) -> int:
    if text is None:
        return SERVER_DAYS
    try:
        return max(1, round(Duration().read(text) / _DAY_S))
    except RefusedError as error:
        raise CollectorUsageError("collector.token_bad_valid", found=text) from error
