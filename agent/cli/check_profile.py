"""`tillwatch check-profile`: whether a protocol described in TOML can be used; every mistake with its line."""

from __future__ import annotations

import argparse
import json
import sys

from agent.cli import add_json
from agent.profiles import located, mistake_text, profile_file
from agent.texts import Texts, language_of_environment
from drivers.driver import Driver
from drivers.profiles.driver import code_book, driver_of
from drivers.profiles.errors import ProfileError
from drivers.profiles.load import load
from drivers.profiles.schema import Profile
from drivers.queries import Policy


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    say = Texts(language_of_environment()).say
    parser.add_argument("file", metavar="FILE.toml", help=say("profile.help_file"))
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print what is wrong, 2; or what the profile can do, 0."""
    texts = Texts(language_of_environment())
    path = profile_file(args.file)
    try:
        profile = load(path)
        driver = driver_of(profile)
    except ProfileError as error:
        _print_mistakes(error, texts, as_json=args.json)
        return 2
    if args.json:
        print(json.dumps({"file": str(path), "mistakes": [], **_facts(profile, driver)}, ensure_ascii=False))
    else:
        print("\n".join(_lines(profile, driver, texts)))
    return 0


def _print_mistakes(error: ProfileError, texts: Texts, as_json: bool) -> None:
    if as_json:
        shown = [
            {"line": mistake.line, "key": mistake.where, "mistake": mistake.code, "text": mistake_text(mistake, texts)}
            for mistake in error.mistakes
        ]
        print(json.dumps({"file": str(error.path), "mistakes": shown}, ensure_ascii=False))
        return
    for mistake in error.mistakes:
        print(located(error.path, mistake, texts), file=sys.stderr)


def _facts(profile: Profile, driver: Driver) -> dict[str, object]:
    return {
        "name": profile.name,
        "title": profile.title,
        "confidence": str(profile.confidence),
        "messages": len(profile.messages),
        "fields": sum(len(layout.fields) for layout in profile.layouts.values()),
        "codes": len(code_book(profile).codes),
        "acknowledged": profile.framing.acknowledged,
        "opaque": profile.opaque,
        "asking": str(driver.asking.policy) if driver.asking else None,
    }


def _lines(profile: Profile, driver: Driver, texts: Texts) -> list[str]:
    say = texts.say
    facts = _facts(profile, driver)
    lines = [
        say("profile.ok", path=profile.path, title=profile.title),
        say("profile.summary", **{name: facts[name] for name in ("messages", "fields", "codes", "confidence")}),
    ]
    if driver.asking is None:
        lines.append(say("profile.asks_not"))
    else:
        policy = "profile.policy_ask" if driver.asking.policy is Policy.ASK else "profile.policy_watch"
        lines.append(say("profile.asks", policy=say(policy)))
    if not profile.framing.acknowledged:
        lines.append(say("profile.no_ack"))
    if profile.opaque:
        lines.append(say("profile.opaque"))
    if profile.unproven:
        lines.append(say("profile.unproven", what=profile.unproven))
    return lines
