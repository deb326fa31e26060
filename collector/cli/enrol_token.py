"""`tillwatch collector enrol-token`: one-time tokens for `tillwatch enroll`, one or a list of thousands."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from datetime import timedelta
from pathlib import Path

from agent.config_values import Duration, RefusedError
from agent.enroll.token import EnrolToken
from agent.texts import language_of_environment
from collector.access.people import CONSOLE
from collector.cli import add_authority, add_common, configuration
from collector.database import database_url
from collector.enrol.authority import Authority
from collector.enrol.desk import DEFAULT_VALID_S, EnrolDesk
from collector.enrol.errors import EnrolUsageError
from collector.enrol.lists import read_list
from collector.errors import CollectorUsageError
from collector.ledger import Ledger, utc_now
from collector.texts import Texts


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    texts = Texts(language_of_environment())
    add_common(parser, texts)
    add_authority(parser, texts)
    parser.add_argument("--agent", metavar="ID", help=texts.say("enrol.help_agent"))
    parser.add_argument("--site", metavar="SITE", help=texts.say("enrol.help_site"))
    parser.add_argument("--from", dest="source", metavar="FILE.csv", help=texts.say("enrol.help_from"))
    parser.add_argument("--valid", metavar="TIME", help=texts.say("enrol.help_token_valid"))
    parser.add_argument("--json", action="store_true", help=texts.say("collector.token_json"))


def run(args: argparse.Namespace) -> int:
    """The tokens alone go to standard output: one bare, a list as CSV (agent,site,token)."""
    texts = Texts(language_of_environment())
    if (args.source is None) == (args.agent is None and args.site is None):
        raise CollectorUsageError("enrol.token_needs")
    if args.source is None and (args.agent is None or args.site is None):
        raise CollectorUsageError("enrol.token_needs")
    wanted = _listed(args.source) if args.source else [(args.agent, args.site)]
    valid_s = DEFAULT_VALID_S if args.valid is None else _seconds(args.valid)
    config = configuration(args)
    if config.enrol is None:
        raise CollectorUsageError("enrol.no_folder")
    authority = Authority.load(config.enrol.folder)
    ledger = Ledger.open(database_url(config.database))
    try:
        made = EnrolDesk(ledger, authority, "").new_tokens(CONSOLE, wanted, valid_s)
    finally:
        ledger.close()
    _print(made, many=args.source is not None, as_json=args.json)
    until = f"{utc_now().astimezone() + timedelta(seconds=valid_s):%Y-%m-%d %H:%M}"
    print(texts.say("enrol.tokens_made", count=len(made), until=until), file=sys.stderr)
    return 0


def _listed(name: str) -> list[tuple[str, str]]:
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EnrolUsageError("enrol.list_unreadable", path=name, reason=reason) from error
    return read_list(text, name)


def _print(made: list[EnrolToken], *, many: bool, as_json: bool) -> None:
    if as_json:
        for token in made:
            print(json.dumps({"agent": token.agent, "site": token.site, "token": str(token)}))
    elif many:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("agent", "site", "token"))
        writer.writerows((token.agent, token.site, str(token)) for token in made)
    else:
        print(made[0])


def _seconds(text: str) -> int:
    try:
        return round(Duration().read(text))
    except RefusedError as error:
        raise CollectorUsageError("collector.token_bad_valid", found=text) from error
