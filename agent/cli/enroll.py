"""`tillwatch enroll`: gets this PC its identity from the collector, with a one-time token."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from agent.checks import Check, State, broker
from agent.checks.login import log_in, running
from agent.cli import add_config, add_json
from agent.cli.check import as_data, as_line
from agent.config import Mqtt
from agent.config_values import Url
from agent.enroll.enrol import Enrolled, enrol
from agent.enroll.errors import EnrolError
from agent.enroll.settings import Place, lines, place_of, write
from agent.enroll.token import EnrolToken, parse
from agent.errors import UnreachableError, UsageError
from agent.texts import Texts, language_of_environment


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    texts = Texts(language_of_environment())
    parser.add_argument("collector", metavar="URL", help=texts.say("enroll.help_collector"))
    token = parser.add_mutually_exclusive_group(required=True)
    token.add_argument("--token", metavar="TOKEN", help=texts.say("enroll.help_token"))
    token.add_argument("--token-file", metavar="FILE", help=texts.say("enroll.help_token_file"))
    parser.add_argument("--write", action="store_true", help=texts.say("enroll.help_write"))
    add_config(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """0 enrolled and let in by the broker, 1 refused, 3 collector or broker not reached."""
    texts = Texts(language_of_environment())
    token = _token(args)
    place = place_of(Path(args.config))
    _refuse_another(place, token)
    done = enrol(args.collector, token, place.state_dir)
    written = args.write
    if written:
        try:
            write(place, done)
        except EnrolError:
            # The token is used: what it brought must not be lost because the file can't be changed.
            print(json.dumps(_data(done, False, [], texts), ensure_ascii=False, indent=2) if args.json else lines(done))
            raise
    found = list(_log_in(done, place.run_dir))
    if args.json:
        print(json.dumps(_data(done, written, found, texts), ensure_ascii=False, indent=2))
    else:
        _tell(done, place, written, found, texts)
    failed = [check for check in found if check.state is State.FAIL]
    if not failed:
        return 0
    return UnreachableError.exit_code if failed[0].name == "broker" else 1


def _token(args: argparse.Namespace) -> EnrolToken:
    if args.token is not None:
        return parse(args.token)
    try:
        text = sys.stdin.read(4096) if args.token_file == "-" else Path(args.token_file).read_text(encoding="ascii")  # noqa: S105
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError("enroll.token_unreadable", path=args.token_file, reason=reason) from error
    return parse(text)


def _refuse_another(place: Place, token: EnrolToken) -> None:
    """A PC that has a name already does not take another's token."""
    for name, configured, meant in (("id", place.agent, token.agent), ("site", place.site, token.site)):
        if configured is not None and configured != meant:
            raise EnrolError("enroll.token_for_other", name=name, token=meant, configured=configured, path=place.path)


def _log_in(done: Enrolled, run_dir: Path) -> Iterator[Check]:
    """Whether the broker lets us in as who we are now; an agent that is connected already is not thrown out for it."""
    settings = _mqtt(done)
    reached = broker.connection(settings)
    yield reached
    if reached.state is not State.FAIL:
        yield log_in(settings, done.agreed.agent, running(run_dir))


def _mqtt(done: Enrolled) -> Mqtt:
    url = Url().read(done.agreed.broker)
    tls = url.tls
    return Mqtt(
        url=url.url,
        host=url.host,
        port=url.port,
        tls=tls,
        username=None,
        password_file=None,
        ca_file=done.identity.authority if tls else None,
        cert_file=done.identity.certificate if tls else None,
        key_file=done.identity.key if tls else None,
        keepalive_s=30.0,
    )


def _tell(done: Enrolled, place: Place, written: bool, found: list[Check], texts: Texts) -> None:
    validity = done.identity.validity()
    ends = f"{validity.ends:%Y-%m-%d}" if validity else "-"
    agreed = done.agreed
    print(texts.say("enroll.done", agent=agreed.agent, site=agreed.site, folder=done.identity.folder, ends=ends))
    for check in found:
        print(as_line(check, texts, sys.stdout.isatty()))
    if written:
        print(texts.say("enroll.written", path=place.path))
    else:
        print(texts.say("enroll.to_paste", path=place.path))
        print()
        print(lines(done))
    print(texts.say("enroll.next"))


def _data(done: Enrolled, written: bool, found: list[Check], texts: Texts) -> dict[str, object]:
    identity, validity = done.identity, done.identity.validity()
    return {
        "agent": done.agreed.agent,
        "site": done.agreed.site,
        "broker": done.agreed.broker,
        "certificate": str(identity.certificate),
        "key": str(identity.key),
        "authority": str(identity.authority),
        "ends": validity.ends.isoformat() if validity else None,
        "written": written,
        "checks": [as_data(check, texts) for check in found],
    }
