"""`tillwatch reconcile`: one day's books against each other. Exit code 0: all agrees; 1: differences or bad rows."""

from __future__ import annotations

import argparse
import getpass
import json
import re
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.cli import add_json
from agent.money import show_amount
from agent.texts import LANGUAGES, language_of_environment
from collector.cli import add_common, configuration
from collector.errors import CollectorUsageError, ServiceError
from collector.texts import Texts

if TYPE_CHECKING:
    from collector.ledger.reconcile import Difference
    from collector.reconcile.run import Report, Source

_SHOWN_BAD = 20
_SIDES = ("his", "acquirer")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    texts = Texts(language_of_environment())
    add_common(parser, texts)
    add_json(parser)
    parser.add_argument("--day", required=True, metavar="2026-11-24", help=texts.say("reconcile.option_day"))
    for side in _SIDES:
        several = "append" if side == "acquirer" else "store"
        parser.add_argument(f"--{side}", metavar="FILE", action=several, help=texts.say(f"reconcile.option_{side}"))
        parser.add_argument(
            f"--{side}-format", metavar="NAME", action=several, help=texts.say("reconcile.option_format")
        )
    parser.add_argument("--as-of", metavar="TIME", help=texts.say("reconcile.option_as_of"))
    parser.add_argument("--zone", metavar="Asia/Shanghai", help=texts.say("reconcile.option_zone"))
    parser.add_argument("--weekends", action="store_true", help=texts.say("reconcile.option_weekends"))
    parser.add_argument("--close", action="store_true", help=texts.say("reconcile.option_close"))


def run(args: argparse.Namespace) -> int:
    """Reconcile and print."""
    texts = Texts(language_of_environment())
    try:
        from collector.database import database_url
        from collector.ledger import Ledger, microseconds
        from collector.reconcile.run import Request, run_day
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("agent", "collector", "drivers"):
            raise
        raise ServiceError("collector.not_installed", package=error.name) from error
    day, zone = _day(args.day), _zone(args.zone)
    files = tuple(_sources(args))
    as_of = _as_of(args.as_of, zone or (files[0].format.zone if files else ZoneInfo("UTC")))
    ledger = Ledger.open(database_url(configuration(args).database))
    try:
        request = Request(
            day=day,
            files=files,
            as_of_us=microseconds(as_of or ledger.clock()),
            by=getpass.getuser(),
            close=args.close,
            zone=zone,
            weekends=args.weekends,
        )
        progress = _Bar(texts) if sys.stderr.isatty() else None
        try:
            report = run_day(ledger, request, progress)
        finally:
            if progress is not None:
                progress.close()
    finally:
        ledger.close()
    if args.json:
        _say(json.dumps(_plain(report), ensure_ascii=False))
    else:
        _print(report, texts)
    _print_bad(report, texts)
    return 0 if report.agrees else 1


def _sources(args: argparse.Namespace) -> list[Source]:
    from collector.ledger.entries import Side
    from collector.reconcile import mapping
    from collector.reconcile.errors import FileError
    from collector.reconcile.run import Source

    sources = []
    for side in _SIDES:
        paths, names = _several(getattr(args, side)), _several(getattr(args, f"{side}_format"))
        if len(names) == 1:
            names *= len(paths)
        if len(names) != len(paths):
            raise FileError("reconcile.format_missing", side=side, known=", ".join(mapping.known()))
        for path, name in zip(paths, names, strict=True):
            format_ = mapping.load(name)
            if format_.side is not Side(side):
                raise FileError(
                    "reconcile.side_wrong",
                    format=name,
                    found=format_.side,
                    wanted=side,
                    known=", ".join(mapping.known()),
                )
            sources.append(Source(Path(path), format_))
    return sources


def _several(value: str | list[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else value


def _day(text: str) -> str:
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise CollectorUsageError("reconcile.bad_day", text=text) from None


def _zone(text: str | None) -> ZoneInfo | None:
    if text is None:
        return None
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CollectorUsageError("reconcile.bad_zone", text=text) from None


def _as_of(text: str | None, zone: ZoneInfo) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CollectorUsageError("reconcile.bad_as_of", text=text) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


class _Bar:
    """Progress on a terminal: a bar while a file is read, a count otherwise."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._bar: Any = None

    def stage(self, name: str, total: int | None = None) -> None:
        from tqdm import tqdm

        self.close()
        label = self._texts.say(f"reconcile.progress_{'key' if name.startswith('key_') else name}")
        if name.startswith("key_"):
            label = f"{label} {name.removeprefix('key_')}"
        unit = "B" if total is not None else ""
        self._bar = tqdm(total=total, desc=label, unit=unit, unit_scale=True, file=sys.stderr, leave=False)

    def at(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _print(report: Report, texts: Texts) -> None:
    from collector.reconcile.explain import category, evidence_line, explain, moment

    run, zone = report.run, ZoneInfo(report.run.zone)
    say = texts.say
    _say(say("reconcile.title", day=run.day, zone=run.zone, as_of=moment(run.as_of_us, zone), run=run.number))
    for file in run.files:
        amount = show_amount(file.amount, None)
        side = say(f"reconcile.side_{file.side}")
        _say(
            "  "
            + say("reconcile.file_line", side=side, name=file.name, format=file.format, rows=file.rows, amount=amount)
        )
        for key, count in (("other_days", file.other_days), ("skipped_rows", file.skipped)):
            if count:
                _say("  " + say(f"reconcile.{key}", name=file.name, count=count))
        if file.total_ok is False:
            _say("  " + say("reconcile.total_bad", name=file.name))
    for name, count in run.counts.items():
        label = say(f"reconcile.category_{name}")
        _say(
            "  " + say("reconcile.count_line", category=label, count=count, amount=show_amount(run.amounts[name], None))
        )
    for key, count in (("settled_line", run.settled), ("proved_line", run.proved)):
        if count:
            _say("  " + say(f"reconcile.{key}", count=count))
    for difference in report.differences:
        case = f" · {say('reconcile.case_line', case=difference.case)}" if difference.case else ""
        amount = show_amount(difference.amount, difference.currency)
        _say(f"\n{difference.id} · {category(difference, texts)} · {amount}{case}")
        _say("  " + explain(difference, texts, zone))
        for entry in difference.evidence:
            _say("    " + evidence_line(entry, texts, zone))
        label = say("reconcile.other_one" if difference.category == "duplicate" else "reconcile.candidate")
        for entry in difference.candidates:
            _say(f"    {label} {evidence_line(entry, texts, zone)}")
    if not report.differences:
        _say(say("reconcile.all_agree"))
    elif not run.closed:
        _say("\n" + say("reconcile.not_closed"))


def _print_bad(report: Report, texts: Texts) -> None:
    total = sum(file.bad for file in report.run.files)
    if not total:
        return
    lines = [texts.say("reconcile.bad_rows", count=total)]
    for row in report.bad[:_SHOWN_BAD]:
        where = f"{row.file}:{row.line}"
        lines.append("  " + texts.say("reconcile.bad_row", where=where, why=row.why.say(texts)))
    if total > _SHOWN_BAD:
        lines.append("  " + texts.say("reconcile.bad_more", count=total - _SHOWN_BAD))
    sys.stderr.write("\n".join(lines) + "\n")


def _plain(report: Report) -> dict[str, Any]:
    run = report.run
    return {
        **{name: getattr(run, name) for name in run.__slots__ if name != "files"},
        "files": [{name: getattr(file, name) for name in file.__slots__} for file in run.files],
        "agrees": report.agrees,
        "differences": [_plain_difference(difference, run.zone) for difference in report.differences],
        "bad_rows": [
            {"file": row.file, "line": row.line, "why": {name: row.why.say(Texts(name)) for name in LANGUAGES}}
            for row in report.bad
        ],
    }


def _plain_difference(difference: Difference, zone: str) -> dict[str, Any]:
    from collector.reconcile.explain import explain

    values = {name: getattr(difference, name) for name in difference.__slots__}
    for name in ("evidence", "candidates"):
        values[name] = [entry.plain() for entry in values[name]]
    explained = {language: explain(difference, Texts(language), ZoneInfo(zone)) for language in LANGUAGES}
    return values | {"explanation": explained}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
