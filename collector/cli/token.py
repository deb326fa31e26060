"""`tillwatch collector token`: makes, lists and revokes the bearer tokens of programs that use the API."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime

from agent.cli.layout import columns
from agent.config_values import Duration, RefusedError
from agent.texts import language_of_environment
from collector.access.access import Access
from collector.access.people import CONSOLE
from collector.access.roles import Role
from collector.cli import add_common, configuration
from collector.database import database_url
from collector.errors import CollectorUsageError
from collector.ledger import Ledger, moment
from collector.ledger.accounts import Token
from collector.texts import Texts


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    texts = Texts(language_of_environment())
    add_common(parser, texts)
    parser.add_argument("--role", metavar="ROLE", help=texts.say("collector.token_role", roles=", ".join(Role)))
    parser.add_argument("--name", metavar="NAME", help=texts.say("collector.token_name"))
    parser.add_argument("--valid", metavar="TIME", help=texts.say("collector.token_valid"))
    act = parser.add_mutually_exclusive_group()
    act.add_argument("--list", action="store_true", help=texts.say("collector.token_list"))
    act.add_argument("--revoke", metavar="ID", help=texts.say("collector.token_revoke"))
    parser.add_argument("--json", action="store_true", help=texts.say("collector.token_json"))


def run(args: argparse.Namespace) -> int:
    """The token alone goes to standard output; what is said about it goes to standard error."""
    texts = Texts(language_of_environment())
    making = not (args.list or args.revoke)
    if making and (args.role is None or args.name is None):
        raise CollectorUsageError("collector.token_needs")
    if making and args.role not in list(Role):
        raise CollectorUsageError("collector.no_role", found=args.role, roles=", ".join(Role))
    valid_s = _seconds(args.valid)
    ledger = Ledger.open(database_url(configuration(args).database))
    try:
        access = Access(ledger, ledger.clock)
        if args.list:
            _list(access.tokens(), texts, as_json=args.json)
        elif args.revoke:
            token = access.revoke_token(CONSOLE, args.revoke)
            print(texts.say("collector.token_revoked", name=token.name, id=token.id), file=sys.stderr)
        else:
            token, secret = access.new_token(CONSOLE, args.name, Role(args.role), valid_s=valid_s)
            if args.json:
                print(json.dumps({**_fields(token), "token": secret}, ensure_ascii=False))
            else:
                said = texts.say("collector.token_made", name=token.name, role=token.role, id=token.id)
                print(said, file=sys.stderr)
                print(secret)
    finally:
        ledger.close()
    return 0


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return round(Duration().read(text))
    except RefusedError as error:
        raise CollectorUsageError("collector.token_bad_valid", found=text) from error


def _list(tokens: list[Token], texts: Texts, *, as_json: bool) -> None:
    if as_json:
        for token in tokens:
            print(json.dumps(_fields(token), ensure_ascii=False))
        return
    heads = ("id", "name", "role", "by", "made", "until", "used", "state")
    rows = [tuple(texts.say(f"collector.token_head_{head}") for head in heads)]
    rows += [
        (
            token.id,
            token.name,
            token.role,
            token.created_by,
            _day(token.created_us),
            _day(token.expires_us),
            _day(token.used_us),
            texts.say("collector.token_is_revoked" if token.revoked_us else "collector.token_is_valid"),
        )
        for token in tokens
    ]
    print("\n".join(columns(rows)))


def _fields(token: Token) -> dict[str, object]:
    times = ("created_us", "expires_us", "revoked_us", "used_us")
    found: dict[str, object] = {name: getattr(token, name) for name in ("id", "name", "role", "created_by")}
    for name in times:
        us = getattr(token, name)
        found[name.replace("_us", "_at")] = None if us is None else moment(us).isoformat(timespec="seconds")
    return found


def _day(us: int | None) -> str:
    return "-" if us is None else f"{_local(us):%Y-%m-%d %H:%M}"


def _local(us: int) -> datetime:
    return moment(us).astimezone()
