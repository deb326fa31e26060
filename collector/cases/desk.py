"""How people work on cases: every act checked against the table of transitions, written down, and audited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from collector.access.people import User
from collector.cases import book, chain
from collector.cases.life import NEEDS_NOTE, TRANSITIONS, Kind, Reason, Status
from collector.errors import CollectorError, CollectorUsageError
from collector.ledger import Clock, Ledger, accounts, audit, cases, microseconds, standing
from collector.ledger.cases import Case, Entry
from drivers.cards import scrub

_LONGEST_NOTE = 4000
_FURTHEST_YEARS = 10
_FURTHEST_US = _FURTHEST_YEARS * 366 * 86_400_000_000


class ChangedMeanwhileError(CollectorError):
    """Somebody else changed the case after it was looked at."""


@dataclass(frozen=True, slots=True)
class View:
    """A case with its history. `broken_at`: the first entry that is not as it was written, None when all are."""

    case: Case
    history: tuple[Entry, ...]
    broken_at: int | None
    next: tuple[Status, ...]


class Desk:
    """The desk where cases are worked. `seen`: the history's length that the person saw; None does not mind."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def view(self, number: int) -> View:
        """Raises CollectorNothingFoundError."""
        with self._ledger.read() as connection:
            case = book.known(connection, number, lock=False)
            history = cases.history(connection, number)
        following = TRANSITIONS[Status(case.status)]
        return View(
            case, tuple(history), chain.first_break(case, history), tuple(one for one in Status if one in following)
        )

    def create(self, by: User, transaction: str, note: str, kind: Kind = Kind.OTHER) -> Case:
        """Open a case about a payment. Gives the one there is already, with the note added."""
        note, now = _text(note), self._now()
        with self._ledger.write() as connection:
            row = standing.of(connection, [transaction]).get(transaction)
            if row is None:
                raise CollectorUsageError("cases.no_transaction", transaction=transaction[:64])
            number, _ = book.open_for(
                connection,
                kind,
                row.id,
                now_us=now,
                transaction=row.id,
                site=row.site,
                agent=row.agent,
                terminal=row.terminal,
                amount=row.amount,
                currency=row.currency,
                by=by,
            )
            case = book.known(connection, number)
            return self._write(connection, case, "note", {"text": note}, by, now)

    def note(self, by: User, number: int, text: str) -> Case:
        """Add a note."""
        text, now = _text(text), self._now()
        with self._ledger.write() as connection:
            return self._write(connection, book.known(connection, number), "note", {"text": text}, by, now)

    def set_status(
        self,
        by: User,
        number: int,
        status: Status,
        *,
        reason: Reason | None = None,
        note: str | None = None,
        seen: int | None = None,
    ) -> Case:
        """Take the next step. Closing needs a reason; the reason `other`, and going back, need a note."""
        note = _text(note) if note and note.strip() else None
        now = self._now()
        with self._ledger.write() as connection:
            case = _unchanged(book.known(connection, number), seen)
            before = Status(case.status)
            if status not in TRANSITIONS[before]:
                allowed = ", ".join(sorted(TRANSITIONS[before]))
                raise CollectorUsageError("cases.no_way", before=before.value, after=status.value, allowed=allowed)
            if (status is Status.CLOSED) != (reason is not None):
                raise CollectorUsageError("cases.needs_reason" if reason is None else "cases.no_reason")
            if note is None and (reason is Reason.OTHER or (before, status) in NEEDS_NOTE):
                raise CollectorUsageError("cases.needs_note")
            if reason is not None:
                case = book.close(connection, case, reason, now_us=now, by=by, note=note)
                self._audit(connection, case, "status", by, now)
                return case
            data = {"from": before.value, "to": status.value, "note": note}
            changes = {"status": status.value, "reason": None, "closed_us": None}
            return self._write(connection, case, "status", data, by, now, **changes)

    def set_owner(self, by: User, number: int, owner: str | None, *, seen: int | None = None) -> Case:
        """Give the case to somebody who has an account, or to nobody."""
        now = self._now()
        with self._ledger.write() as connection:
            case = _unchanged(book.known(connection, number), seen)
            if owner is not None:
                account = accounts.account_named(connection, owner.strip().casefold())
                if account is None or account.disabled:
                    raise CollectorUsageError("cases.no_owner", owner=owner[:64])
                owner = account.name
            data = {"from": case.owner, "to": owner}
            return self._write(connection, case, "owner", data, by, now, owner=owner)

    def set_due(self, by: User, number: int, due_us: int | None, *, seen: int | None = None) -> Case:
        """When somebody has to look again; None: when nobody has to."""
        now = self._now()
        # The history keeps it for ever, and every page that shows it must be able to.
        if due_us is not None and not 0 <= due_us < now + _FURTHEST_US:
            raise CollectorUsageError("cases.bad_due", years=_FURTHEST_YEARS)
        with self._ledger.write() as connection:
            case = _unchanged(book.known(connection, number), seen)
            data = {"from": case.due_us, "to": due_us}
            return self._write(connection, case, "due", data, by, now, due_us=due_us)

    def exported(self, by: User, number: int, digest: str) -> Case:
        """An escalation package left the house; `digest`: SHA-256 of its list of digests."""
        now = self._now()
        with self._ledger.write() as connection:
            return self._write(connection, book.known(connection, number), "exported", {"sha256": digest}, by, now)

    def _write(
        self,
        connection: Connection,
        case: Case,
        action: str,
        data: Mapping[str, object],
        by: User,
        now: int,
        **changes: object,
    ) -> Case:
        case = book.write_down(connection, case, action, data, now_us=now, by=by, **changes)
        self._audit(connection, case, action, by, now)
        return case

    @staticmethod
    def _audit(connection: Connection, case: Case, action: str, by: User, now: int) -> None:
        audit.write(
            connection,
            at_us=now,
            actor=by.name,
            role=by.role.value,
            via=by.via.value,
            address=by.address,
            action=f"case.{action}",
            about=str(case.number),
            detail={"entry": case.entries},
        )

    def _now(self) -> int:
        return microseconds(self._clock())


def _unchanged(case: Case, seen: int | None) -> Case:
    if seen is not None and seen != case.entries:
        raise ChangedMeanwhileError("cases.changed", number=case.number)
    return case


def _text(text: str) -> str:
    """A note fit to be kept: not empty, bounded, without control characters, card numbers masked."""
    clean = "".join(char for char in text.replace("\r\n", "\n") if char.isprintable() or char == "\n").strip()
    if not clean:
        raise CollectorUsageError("cases.empty_note")
    if len(clean) > _LONGEST_NOTE:
        raise CollectorUsageError("cases.long_note", longest=_LONGEST_NOTE)
    return scrub(clean)
