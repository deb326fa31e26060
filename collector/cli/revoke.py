"""`tillwatch collector revoke`: takes an agent's identity back; `--list` shows who has one."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from agent.cli.layout import columns
from agent.texts import language_of_environment
from collector.access.people import CONSOLE
from collector.cli import add_authority, add_common, configuration
from collector.database import database_url
from collector.enrol.authority import Authority, write_file
from collector.enrol.desk import EnrolDesk
from collector.errors import CollectorUsageError
from collector.ledger import Ledger, enrol, moment
from collector.ledger.enrol import Certificate
from collector.texts import Texts


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    texts = Texts(language_of_environment())
    add_common(parser, texts)
    add_authority(parser, texts)
    parser.add_argument("agent", nargs="?", metavar="AGENT", help=texts.say("enrol.help_revoke"))
    parser.add_argument("--list", action="store_true", help=texts.say("enrol.help_list"))
    parser.add_argument("--crl", metavar="FILE", help=texts.say("enrol.help_crl"))
    parser.add_argument("--json", action="store_true", help=texts.say("collector.token_json"))


def run(args: argparse.Namespace) -> int:
    """Revoke, write the list of what was revoked, show who has what."""
    texts = Texts(language_of_environment())
    if not (args.agent or args.list or args.crl):
        raise CollectorUsageError("enrol.revoke_needs")
    config = configuration(args)
    ledger = Ledger.open(database_url(config.database))
    try:
        if args.agent or args.crl:
            if config.enrol is None:
                raise CollectorUsageError("enrol.no_folder")
            desk = EnrolDesk(ledger, Authority.load(config.enrol.folder), "")
            if args.agent:
                count = desk.revoke(CONSOLE, args.agent)
                print(texts.say("enrol.revoked_now", agent=args.agent, count=count), file=sys.stderr)
            written = [path for path in (args.crl, config.enrol.crl_file) if path]
            for path in written:
                write_file(Path(path), desk.revocations(), 0o644)
                print(texts.say("enrol.crl_written", path=path), file=sys.stderr)
        if args.list:
            with ledger.read() as connection:
                _list(enrol.newest_of_agents(connection), texts, args.json)
    finally:
        ledger.close()
    return 0


def _list(found: list[Certificate], texts: Texts, as_json: bool) -> None:
    if as_json:
        for it in found:
            times = {f"{name}_at": _iso(getattr(it, f"{name}_us")) for name in ("begins", "ends", "issued", "revoked")}
            facts = {name: getattr(it, name) for name in ("agent", "site", "serial", "how", "revoked_by", "reason")}
            print(json.dumps(facts | times, ensure_ascii=False))
        return
    heads = ("agent", "site", "serial", "until", "state")
    rows = [tuple(texts.say(f"enrol.head_{head}") for head in heads)]
    rows += [
        (
            it.agent,
            it.site,
            it.serial,
            f"{moment(it.ends_us).astimezone():%Y-%m-%d}",
            texts.say("enrol.state_revoked" if it.revoked_us else "enrol.state_given"),
        )
        for it in found
    ]
    print("\n".join(columns(rows)))


def _iso(us: int | None) -> str | None:
    return None if us is None else moment(us).isoformat(timespec="seconds")
