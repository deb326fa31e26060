"""A file's rows as entries, one at a time, as its mapping describes them. A bad row is yielded too, never dropped."""

from __future__ import annotations

import codecs
import csv
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

from agent.phrase import Phrase, phrase
from collector.ledger.entries import Entry, EntryKind, State
from collector.ledger.reconcile import FileRead
from collector.reconcile import fields
from collector.reconcile.errors import FileError
from collector.reconcile.fields import BadCellError
from collector.reconcile.mapping import Column, Mapping

_CHUNK = 1 << 20
_PROGRESS_ROWS = 5000
_LONGEST_LINE = 64 * 1024
_NUMBERS = ("terminal_id", "merchant_id", "reference", "trace", "batch", "channel_order", "order", "original")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be used, and why."""

    file: str
    line: int
    why: Phrase


class StatementFile:
    """One file, read row by row. Iterate once; `read` tells afterwards what was in it.

    Raises FileError, at once or at the header, when the file as a whole can't be read by the mapping.
    """

    def __init__(self, path: Path, mapping: Mapping, day: str, progress: Callable[[int], None] | None = None) -> None:
        self._path = path
        self._mapping = mapping
        self._day = day
        self._progress = progress
        self._encoding = _encoding(path, mapping.encodings)
        self._moment = fields.time_reader(mapping.time_formats, mapping.zone)
        self._digest = sha256()
        self._plans: dict[EntryKind, dict[str, tuple[int, ...]]] = {}
        self._slices: list[tuple[int, int]] = []
        self._kind_at: tuple[int, ...] = ()
        self._state_at: int | None = None
        self._rows = self._bad = self._skipped = self._paid = self._returned = 0
        self._stated: dict[str, str] | None = None
        self.other_days = 0  # counted by the reader of this file, who knows which days it wants
        self._ready = mapping.layout == "fixed" or not mapping.header
        if self._ready:
            self._plan(None, 1)

    def __iter__(self) -> Iterator[Entry | BadRow]:
        over = False
        for line, raw in enumerate(self._lines(), 1):
            text = raw.decode(self._encoding, errors="replace").rstrip("\r\n")
            if line == 1:
                text = text.removeprefix("\ufeff")
            if over or not self._is_row(text, line):
                self._totals(text)
            elif self._mapping.ends is not None and text.startswith(self._mapping.ends):
                over = True
            elif not self._ready:
                self._plan(self._split(text, raw), line)
            else:
                entry = self._entry(text, raw, line)
                if entry is not None:
                    yield entry
        if not self._ready:
            raise FileError("reconcile.file_no_header", where=self._path)

    def read(self) -> FileRead:
        """What was in the file, once it has been read to its end."""
        return FileRead(
            side=self._mapping.side,
            name=self._path.name,
            path=str(self._path.absolute()),
            format=self._mapping.name,
            sha256=self._digest.hexdigest(),
            rows=self._rows,
            amount=self._paid - self._returned,
            bad=self._bad,
            skipped=self._skipped,
            other_days=self.other_days,
            total_ok=self._total_ok(),
        )

    def _lines(self) -> Iterator[bytes]:
        done = 0
        try:
            with self._path.open("rb") as file:
                for count, raw in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b"")):
                    self._digest.update(raw)
                    done += len(raw)
                    if self._progress is not None and count % _PROGRESS_ROWS == 0:
                        self._progress(done)
                    yield raw
        except OSError as error:
            raise FileError("reconcile.file_unreadable", where=self._path, why=error.strerror or error) from None
        if self._progress is not None:
            self._progress(done)

    def _is_row(self, text: str, line: int) -> bool:
        mapping = self._mapping
        if line <= mapping.skip or not text.strip():
            return False
        if mapping.comment is not None and text.startswith(mapping.comment):
            return False
        return mapping.begins is None or text.startswith(mapping.begins)

    def _split(self, text: str, raw: bytes) -> list[str]:
        if self._mapping.layout == "fixed":
            # Places count bytes, as the programs that write such files do.
            return [raw[start:end].decode(self._encoding, errors="replace") for start, end in self._slices]
        if '"' not in text:
            return text.split(self._mapping.delimiter)
        try:
            return next(csv.reader([text], delimiter=self._mapping.delimiter, strict=True), [])
        except csv.Error:
            raise BadCellError(phrase("reconcile.bad_quotes")) from None

    def _plan(self, header: list[str] | None, line: int) -> None:
        """Find where each column is, for each kind of row."""
        mapping = self._mapping
        names = None if header is None else {_folded(name, mapping.value_prefix): at for at, name in enumerate(header)}

        def place(column: Column) -> int:
            if mapping.layout == "fixed":
                first, last = (int(part) for part in str(column).split("-"))
                self._slices.append((first - 1, last))
                return len(self._slices) - 1
            if isinstance(column, int):
                return column - 1
            found = (names or {}).get(_folded(column, ""))
            if found is None:
                shown = [name.strip() for name in header or ()]
                nearest = next(iter(get_close_matches(column, shown, n=1, cutoff=0.0)), "-")
                raise FileError(
                    "reconcile.file_no_column",
                    where=f"{self._path}:{line}",
                    column=column,
                    format=mapping.name,
                    nearest=nearest,
                )
            return found

        def places(columns: tuple[Column, ...]) -> tuple[int, ...]:
            return tuple(map(place, columns))

        usual = {name: places(columns) for name, columns in mapping.columns.items()}
        for kind in EntryKind:
            instead = {name: places(columns) for name, columns in mapping.instead.get(kind, {}).items()}
            self._plans[kind] = usual | instead
        self._kind_at = places(mapping.kind_columns)
        self._state_at = None if mapping.state_column is None else place(mapping.state_column)
        self._ready = True

    def _entry(self, text: str, raw: bytes, line: int) -> Entry | BadRow | None:
        try:
            if "\ufffd" in text:
                raise BadCellError(phrase("reconcile.bad_bytes", encoding=self._encoding))
            entry = self._read_row(self._split(text, raw), line)
        except BadCellError as error:
            if self._totals(text):
                return None
            self._bad += 1
            return BadRow(self._path.name, line, error.why)
        if entry is None:
            self._skipped += 1
            return None
        self._rows += 1
        if entry.state is State.CHARGED:
            if entry.kind.takes_back:
                self._returned += entry.amount
            else:
                self._paid += entry.amount
        return entry

    def _read_row(self, cells: list[str], line: int) -> Entry | None:
        mapping = self._mapping
        kind = self._kind(cells)
        if kind is None:
            return None
        plan = self._plans[kind]
        written = self._cell(cells, plan["amount"])
        amount = fields.money(written or "", in_fen=mapping.in_fen)
        if amount < 0 and not kind.takes_back:
            if mapping.negative_is == "bad":
                raise BadCellError(phrase("reconcile.bad_amount", text=fields.shown(written or "")))
            kind = EntryKind.REFUND
            plan = self._plans[kind]
        numbers = {name: self._number(cells, plan[name]) for name in _NUMBERS if name in plan}
        if own := numbers.get("terminal_id"):
            numbers["terminal_id"] = mapping.terminals.get(own, own)
        shown_card = self._cell(cells, plan["card"]) if "card" in plan else None
        moment = self._cell(cells, plan["time"]) if "time" in plan else None
        fee = self._cell(cells, plan["fee"]) if "fee" in plan else None
        return Entry(
            side=mapping.side,
            key="",
            day=self._day,
            kind=kind,
            state=self._state(cells),
            amount=abs(amount),
            time_us=self._moment(moment) if moment else None,
            currency=mapping.currency,
            card=fields.card(shown_card) if shown_card else None,
            fee=fields.money(fee, in_fen=mapping.in_fen) if fee else None,
            file=self._path.name,
            line=line,
            **numbers,
        )

    def _cell(self, cells: list[str], at: tuple[int, ...]) -> str | None:
        mapping = self._mapping
        try:
            if len(at) == 1:
                text = fields.clean(cells[at[0]], mapping.value_prefix)
                return None if text in mapping.empty else text
            parts = [fields.clean(cells[place], mapping.value_prefix) for place in at]
        except IndexError:
            raise BadCellError(phrase("reconcile.bad_columns", found=len(cells), wanted=max(at) + 1)) from None
        return " ".join(parts) if any(parts) else None

    def _number(self, cells: list[str], at: tuple[int, ...]) -> str | None:
        text = self._cell(cells, at)
        return fields.number(text) if text else None

    def _kind(self, cells: list[str]) -> EntryKind | None:
        mapping = self._mapping
        if not self._kind_at:
            return mapping.default_kind
        text = self._cell(cells, self._kind_at) or ""
        if text in mapping.kinds:
            return mapping.kinds[text]
        if mapping.default_refused:
            raise BadCellError(phrase("reconcile.bad_kind", text=fields.shown(text), format=mapping.name))
        return mapping.default_kind

    def _state(self, cells: list[str]) -> State:
        if self._state_at is None:
            return State.CHARGED
        text = self._cell(cells, (self._state_at,)) or ""
        if text in self._mapping.charged:
            return State.CHARGED
        if text in self._mapping.not_charged:
            return State.NOT_CHARGED
        raise BadCellError(phrase("reconcile.bad_state", text=fields.shown(text), format=self._mapping.name))

    def _totals(self, text: str) -> bool:
        """Keep the totals that the line states; False when it states none."""
        found = self._mapping.totals.search(text) if self._mapping.totals else None
        if found is None:
            return False
        self._stated = {name: value for name, value in found.groupdict().items() if value is not None}
        return True

    def _total_ok(self) -> bool | None:
        if self._stated is None:
            return None
        ours = {"count": self._rows, "amount": self._paid, "refund_amount": self._returned}
        try:
            stated = {
                name: int(value) if name == "count" else fields.money(value, in_fen=self._mapping.in_fen)
                for name, value in self._stated.items()
            }
        except (ValueError, BadCellError):
            return False
        return all(ours[name] == value for name, value in stated.items())


def _folded(name: str, prefix: str) -> str:
    """A column's name as compared: full-width and half-width forms, case and blanks do not matter."""
    return unicodedata.normalize("NFKC", fields.clean(name.removeprefix("\ufeff"), prefix)).casefold().replace(" ", "")


def _encoding(path: Path, encodings: tuple[str, ...]) -> str:
    """The first encoding that reads the whole file; else the one that reads most of it, and its bad rows are told."""
    best, farthest = encodings[0], -1
    try:
        with path.open("rb") as file:
            begin = file.read(4)
        if not begin:
            raise FileError("reconcile.file_empty", where=path)
        if begin in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
            raise FileError("reconcile.file_workbook", where=path)
        for encoding in encodings:
            reached = _readable(path, encoding)
            if reached is None:
                return encoding
            if reached > farthest:
                best, farthest = encoding, reached
    except OSError as error:
        raise FileError("reconcile.file_unreadable", where=path, why=error.strerror or error) from None
    return best


def _readable(path: Path, encoding: str) -> int | None:
    """How many bytes can be read before the first that is none of this encoding; None: all."""
    decoder = codecs.getincrementaldecoder(encoding)()
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return done + error.start
            done += len(chunk)
    return None
