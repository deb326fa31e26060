"""`tillwatch diag --bundle`: the support bundle, or where a number was found that must not leave this PC."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent.bundle.build import Bundle, Leave, Settings, Wanted, gather
from agent.bundle.scan import Finding
from agent.config import Config, InvalidConfigError, load
from agent.errors import UnreachableError, UsageError
from agent.phrase import Phrase
from agent.texts import Texts, language_of_environment

_MOST_SHOWN = 20
#: a bundle of so many bytes goes with the answer itself: in base64 it stays below what a job may answer (agent/jobs.py)
_MOST_SENT = 180 * 1024
_FOLDER = "bundles"
_MOST_KEPT = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of a bundle."""
    say = Texts(language_of_environment()).say
    parser.add_argument("--bundle", type=Path, metavar="FILE.zip", help=say("bundle.help_bundle"))
    parser.add_argument("--send", action="store_true", help=say("bundle.help_send"))
    parser.add_argument("--days", type=number, default=7.0, metavar="N", help=say("bundle.help_days"))
    parser.add_argument("--minutes", type=number, default=60.0, metavar="N", help=say("bundle.help_minutes"))
    parser.add_argument(
        "--log", type=Path, action="append", default=[], metavar="FILE", help=say("bundle.help_log"), dest="logs"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=[str(part) for part in Leave],
        help=say("bundle.help_without"),
    )


def run(args: argparse.Namespace) -> int:
    """Write the bundle: 0 written, 1 a number or a key was found, 2 the file is there, 3 it can't be written."""
    config = _settings(args.config)
    texts = Texts(config.agent.language if isinstance(config, Config) else language_of_environment())
    if args.bundle is not None and os.path.lexists(args.bundle):
        raise UsageError("bundle.exists", path=args.bundle)

    def tell(what: Phrase) -> None:
        if not args.json:
            print(what.say(texts), file=sys.stderr, flush=True)

    wanted = Wanted(
        days=args.days,
        minutes=args.minutes,
        logs=tuple(args.logs),
        without=frozenset(Leave(part) for part in args.without),
    )
    bundle = gather(config, wanted, tell)
    if bundle.found:
        print(json.dumps(_refusal(bundle)) if args.json else "\n".join(_refused(bundle.found, texts)))
        return 1
    path = args.bundle or _kept(config)
    size = bundle.save(path)
    if args.json:
        print(json.dumps(_told(bundle, path, size, args.send), ensure_ascii=False))
        return 0
    print(texts.say("bundle.written", path=path, files=len(bundle.parts) + 1, size=-(-size // 1024)))
    for each in bundle.missing:
        print(texts.say("bundle.missing", name=each.name, reason=each.reason))
    return 0


def _settings(path: str) -> Settings:
    """The configuration, or what is wrong with it: a bundle is wanted all the same."""
    try:
        return load(path, secrets=False)
    except InvalidConfigError as error:
        return error


def _kept(config: Settings) -> Path:
    """A new file's name in the agent's own folder, which keeps only the newest. Raises UnreachableError."""
    if not isinstance(config, Config):
        raise config  # nobody knows where the folder is
    folder = config.agent.state_dir / _FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for old in sorted(folder.glob("*.zip"))[: -(_MOST_KEPT - 1)]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise UnreachableError("bundle.unwritable", path=folder, detail=error.strerror or error) from error
    return folder / f"{config.agent.id}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.zip"


def _told(bundle: Bundle, path: Path, size: int, send: bool) -> dict[str, object]:
    data = path.read_bytes()
    zipped = {"zip": base64.b64encode(data).decode() if size <= _MOST_SENT else None} if send else {}
    return zipped | {
        "bundle": str(path),
        "bytes": size,
        "sha256": hashlib.sha256(data).hexdigest(),
        "files": [part.name for part in bundle.parts],
        "missing": [{"name": each.name, "reason": each.reason} for each in bundle.missing],
        "found": [],
    }


def _refusal(bundle: Bundle) -> dict[str, object]:
    found = [{"file": each.name, "line": each.line, "column": each.column, "kind": each.kind} for each in bundle.found]
    return {"bundle": None, "found": found}


def _refused(found: Sequence[Finding], texts: Texts) -> list[str]:
    lines = [texts.say("bundle.refused")]
    for each in found[:_MOST_SHOWN]:
        lines.append(texts.say(f"bundle.found_{each.kind}", name=each.name, line=each.line, column=each.column))
    if len(found) > _MOST_SHOWN:
        lines.append(texts.say("bundle.more", count=len(found) - _MOST_SHOWN))
    parts = sorted({part for each in found if (part := each.name.partition("/")[0]) in list(Leave)})
    lines += [texts.say("bundle.what_to_do", part=part) for part in parts] or [texts.say("bundle.tell_only")]
    return lines


def number(text: str) -> float:
    """A count of days or minutes. argparse shows the function's name when it refuses."""
    value = float(text)
    if not 0 < value <= 10_000:
        raise ValueError(text)
    return value
