"""`tillwatch collector fleet`: signs, publishes and shows the configuration of all agents (docs/fleet.md)."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import timedelta
from pathlib import Path

from agent.cli.layout import columns
from agent.config_values import Duration, RefusedError
from agent.texts import language_of_environment
from collector.access.people import CONSOLE
from collector.cli import add_authority, add_common, configuration
from collector.database import database_url
from collector.enrol.authority import write_file
from collector.enrol.fleet import DEFAULT_VALID, FleetDesk, SignedDocument, sign
from collector.errors import CollectorNothingFoundError, CollectorUsageError
from collector.ledger import Ledger, fleet, moment, utc_now
from collector.texts import Texts


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    texts = Texts(language_of_environment())
    add_common(parser, texts)
    add_authority(parser, texts)
    parser.add_argument("act", choices=("publish", "sign", "list", "show"), help=texts.say("enrol.help_fleet_act"))
    parser.add_argument("what", nargs="?", metavar="FILE|VERSION", help=texts.say("enrol.help_fleet_what"))
    parser.add_argument("--valid", metavar="TIME", help=texts.say("enrol.help_fleet_valid"))
    parser.add_argument("--version-number", type=int, metavar="N", help=texts.say("enrol.help_fleet_version"))
    parser.add_argument("--key", metavar="FILE", help=texts.say("enrol.help_fleet_key"))
    parser.add_argument("-o", "--output", metavar="FILE", help=texts.say("enrol.help_fleet_output"))
    parser.add_argument("--json", action="store_true", help=texts.say("collector.token_json"))


def run(args: argparse.Namespace) -> int:
    """`sign` needs no database: it may be done on a machine that has the key and nothing else."""
    texts = Texts(language_of_environment())
    valid = DEFAULT_VALID if args.valid is None else _span(args.valid)
    if args.act == "sign":
        return _sign(args, valid, texts)
    config = configuration(args)
    ledger = Ledger.open(database_url(config.database))
    try:
        if args.act == "publish":
            if config.enrol is None:
                raise CollectorUsageError("enrol.no_folder")
            text = _read(args.what)
            desk = FleetDesk(ledger, config.enrol.folder)
            signed = SignedDocument.from_json(text)
            made = desk.publish(CONSOLE, signed) if signed else desk.publish_text(CONSOLE, text, valid)
            print(texts.say("enrol.fleet_published", version=made.version), file=sys.stderr)
        elif args.act == "list":
            _list(ledger, texts, args.json)
        else:
            _show(ledger, args.what, args.json)
    finally:
        ledger.close()
    return 0


def _sign(args: argparse.Namespace, valid: timedelta, texts: Texts) -> int:
    if args.key is None or args.version_number is None or args.output is None:
        raise CollectorUsageError("enrol.fleet_sign_needs")
    signed = sign(_read(args.what), args.version_number, utc_now() + valid, Path(args.key))
    write_file(Path(args.output), signed.to_json(), 0o644)
    print(texts.say("enrol.fleet_signed", version=args.version_number, path=args.output), file=sys.stderr)
    return 0


def _list(ledger: Ledger, texts: Texts, as_json: bool) -> None:
    with ledger.read() as connection:
        found = fleet.versions(connection)
    if as_json:
        for it in found:
            at = moment(it.published_us).isoformat(timespec="seconds")
            print(json.dumps({"version": it.version, "published_at": at, "by": it.published_by}, ensure_ascii=False))
        return
    rows = [tuple(texts.say(f"enrol.head_{head}") for head in ("version", "published", "by"))]
    rows += [
        (str(it.version), f"{moment(it.published_us).astimezone():%Y-%m-%d %H:%M}", it.published_by) for it in found
    ]
    print("\n".join(columns(rows)))


def _show(ledger: Ledger, what: str | None, as_json: bool) -> None:
    with ledger.read() as connection:
        if what is None:
            found = fleet.newest(connection)
        else:
            found = fleet.version(connection, int(what)) if what.isdecimal() and len(what) < 10 else None
    if found is None:
        raise CollectorNothingFoundError("enrol.fleet_none", version=what or "-")
    if as_json:
        print(json.dumps({"version": found.version, "document": found.document}, ensure_ascii=False))
    else:
        print(found.document, end="")


def _read(name: str | None) -> str:
    if name is None:
        raise CollectorUsageError("enrol.fleet_needs_file")
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CollectorUsageError("enrol.list_unreadable", path=name, reason=reason) from error


def _span(text: str) -> timedelta:
    try:
        return timedelta(seconds=Duration().read(text))
    except RefusedError as error:
        raise CollectorUsageError("collector.token_bad_valid", found=text) from error
