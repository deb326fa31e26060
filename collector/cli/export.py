"""`tillwatch collector export`: payments or events as CSV, JSON lines or Parquet."""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from agent.errors import UsageError
from agent.history import parse_moment
from agent.texts import language_of_environment
from collector.cli import add_common, configuration
from collector.errors import CollectorUsageError, ServiceError
from collector.texts import Texts

_FORMATS = ("csv", "jsonl", "parquet")
_LATEST_US = (1 << 62) - 1
_GROUP = 50_000  # rows of a Parquet row group

Row = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    texts = Texts(language_of_environment())
    add_common(parser, texts)
    parser.add_argument("--since", metavar="TIME", help=texts.say("collector.export_since"))
    parser.add_argument("--until", metavar="TIME", help=texts.say("collector.export_until"))
    parser.add_argument(
        "--what", choices=("transactions", "events"), default="transactions", help=texts.say("collector.export_what")
    )
    parser.add_argument("--format", choices=_FORMATS, default="csv", help=texts.say("collector.export_format"))
    parser.add_argument("-o", "--output", metavar="FILE", help=texts.say("collector.export_output"))


def run(args: argparse.Namespace) -> int:
    """Write the rows; 1 when there are none."""
    from collector.database import database_url
    from collector.ledger import Ledger, export

    config = configuration(args)
    since_us, until_us = _us(args.since, 0), _us(args.until, _LATEST_US)
    if args.format == "parquet" and not args.output:
        raise CollectorUsageError("collector.export_needs_file")
    ledger = Ledger.open(database_url(config.database))
    try:
        with ledger.read() as connection:
            rows = export.rows(connection, args.what, since_us, until_us)
            write = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[args.format]
            if args.output:
                count = _into_file(Path(args.output), lambda path: write(path, export.columns(args.what), rows))
                print(Texts(language_of_environment()).say("collector.export_done", count=count), file=sys.stderr)
            else:
                count = write(None, export.columns(args.what), rows)
    finally:
        ledger.close()
    return 0 if count else 1


def _us(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    try:
        return parse_moment(text) // 1000
    except UsageError:
        raise CollectorUsageError("collector.bad_moment", found=text) from None


def _into_file(path: Path, write: Callable[[Path], int]) -> int:
    """Write beside the file and put it in its place when it is whole: nobody reads half an export."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
        try:
            count = write(Path(name))
            os.chmod(name, 0o640)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ServiceError("collector.export_not_written", path=path, reason=error.strerror or error) from error
    return count


@contextmanager
def _text(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        yield file


def _csv(path: Path | None, names: list[str], rows: Iterable[Row]) -> int:
    count = 0
    with _text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for count, row in enumerate(rows, 1):  # noqa: B007 (it is the number of rows afterwards)
            writer.writerow([_cell(row[name]) for name in names])
    return count


def _cell(value: object) -> object:
    """Spreadsheets take a text that begins so for a formula; what a terminal sends must never be one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _jsonl(path: Path | None, _names: list[str], rows: Iterable[Row]) -> int:
    count = 0
    with _text(path) as file:
        for count, row in enumerate(rows, 1):  # noqa: B007
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


def _parquet(path: Path | None, names: list[str], rows: Iterable[Row]) -> int:
    try:
        pyarrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise ServiceError("collector.export_needs_pyarrow") from None
    kinds = {"amount": pyarrow.int64(), "sequence": pyarrow.int64(), "attempts": pyarrow.int64()}
    kinds |= dict.fromkeys(("final", "pending", "escalated"), pyarrow.bool_())
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in names])
    count = 0
    source = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(source, _GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count
