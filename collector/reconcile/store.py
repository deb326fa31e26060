"""Verdicts into the ledger: the same difference is one row whatever number of runs find it, and a later run settles it.

All in one write transaction of the caller: a run is stored whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from sqlalchemy import Connection

from collector.cases import Kind, Reason, open_for, settle
from collector.ledger import cases, reconcile
from collector.ledger.entries import Entry, Side
from collector.ledger.reconcile import IN_TRANSIT, OPEN, SETTLED, Difference, Finding
from collector.reconcile.judge import Category, Verdict
from collector.reconcile.match import anchor

_CASE_KINDS = {
    Category.CHARGED_NOT_BOOKED: Kind.CHARGED_NOT_BOOKED,
    Category.BOOKED_NOT_CHARGED: Kind.BOOKED_NOT_CHARGED,
    Category.AMOUNT_DIFFERS: Kind.AMOUNT_DIFFERS,
    Category.DUPLICATE: Kind.DUPLICATE,
    Category.IN_FILE_ONLY: Kind.ONLY_IN_FILE,
}


@dataclass(slots=True)
class Stored:
    """What a run changed."""

    new: list[Difference] = field(default_factory=list)
    settled: list[Difference] = field(default_factory=list)
    proved: list[Finding] = field(default_factory=list)


class Store:
    """Writes one run's verdicts. `before`: the differences in play when the run began."""

    def __init__(
        self, connection: Connection, *, day: str, run: int, now_us: int, close: bool, before: Sequence[Difference]
    ) -> None:
        self._connection = connection
        self._day = day
        self._run = run
        self._now_us = now_us
        self._close = close
        self._before = before
        self._by_anchor = {anchor(entry): difference for difference in before for entry in difference.evidence[:1]}
        self._touched: set[str] = set()
        self.stored = Stored()

    def verdicts(self, verdicts: Iterable[Verdict]) -> Stored:
        """Take all verdicts of the run. What was on record of the day and is not found any more is gone."""
        for verdict in verdicts:
            known = self._known(verdict)
            if verdict.day == self._day or known:
                self._take(verdict, known)
        for difference in self._before:
            unseen = difference.id not in self._touched and difference.day == self._day
            if unseen and difference.status != SETTLED:
                self._settle(difference, "gone")
        return self.stored

    def _known(self, verdict: Verdict) -> list[Difference]:
        found = {d.id: d for entry in verdict.entries if (d := self._by_anchor.get(anchor(entry))) is not None}
        return list(found.values())

    def _take(self, verdict: Verdict, known: list[Difference]) -> None:
        self._touched |= {difference.id for difference in known}
        if verdict.proof is not None and self._close:
            self._prove(verdict)
        if verdict.agrees:
            for difference in known:
                if difference.status != SETTLED:
                    self._settle(
                        difference, "reversed" if verdict.category is Category.REVERSED else "matched", verdict
                    )
            return
        if not known:
            self._open(verdict)
            return
        kept, *others = known
        self._update(kept, verdict)
        for difference in others:  # two differences turned out to be one
            if difference.status != SETTLED:
                self._settle(difference, "matched", verdict)

    def _open(self, verdict: Verdict) -> None:
        difference = _described(_blank(verdict, self._run, self._now_us), verdict)
        reconcile.put_difference(self._connection, difference, known=False)
        self.stored.new.append(self._case(difference))

    def _update(self, known: Difference, verdict: Verdict) -> None:
        if known.status == SETTLED and known.settled_how == "person":
            return
        told = _described(known, verdict)
        told = replace(told, last_run=self._run, settled_run=None, settled_day=None, settled_how=None, settled_by=None)
        if replace(told, last_run=known.last_run) == known:
            reconcile.put_difference(self._connection, replace(known, last_run=self._run), known=True)
            self._case(known)
            return
        told = replace(told, updated_us=self._now_us)
        reconcile.put_difference(self._connection, told, known=True)
        self._case(told)

    def _settle(self, difference: Difference, how: str, verdict: Verdict | None = None) -> None:
        settled = replace(
            difference,
            status=SETTLED,
            settled_run=self._run,
            settled_day=self._day,
            settled_how=how,
            last_run=self._run,
            updated_us=self._now_us,
            evidence=difference.evidence if verdict is None else _anchored(difference, verdict.entries),
        )
        reconcile.put_difference(self._connection, settled, known=True)
        self.stored.settled.append(settled)
        if settled.case is not None:
            settle(self._connection, int(settled.case), how, Reason.BALANCED, now_us=self._now_us, how="file")

    def _case(self, difference: Difference) -> Difference:
        if not self._close or difference.status != OPEN or difference.case is not None:
            return difference
        number, _ = open_for(
            self._connection,
            _CASE_KINDS.get(Category(difference.category), Kind.DIFFERENCE),
            difference.id,
            now_us=self._now_us,
            transaction=difference.transaction,
            site=difference.site,
            agent=difference.agent,
            terminal=difference.terminal,
            amount=abs(difference.amount),
            currency=difference.currency,
            detail={"day": difference.day, "category": difference.category, "why": difference.why},
        )
        reconcile.link_case(self._connection, difference.id, str(number))
        return replace(difference, case=str(number))

    def _prove(self, verdict: Verdict) -> None:
        proof = verdict.proof
        assert proof is not None  # noqa: S101 (the caller looked)
        finding = Finding(
            transaction=proof.transaction,
            day=self._day,
            outcome=proof.outcome,
            run=self._run,
            file=proof.row.file or "",
            line=proof.row.line or 0,
            row=proof.row,
            key=verdict.key.name.lower(),
            found_us=self._now_us,
        )
        if reconcile.put_finding(self._connection, finding):
            self.stored.proved.append(finding)
            booked = Reason.SETTLED if verdict.agrees else None
            for case in cases.cases_of(self._connection, [proof.transaction]):
                if case.is_open and case.kind == Kind.ESCALATED:
                    settle(self._connection, case.number, proof.outcome, booked, now_us=self._now_us, how="file")


def identity(anchored: str) -> str:
    """The difference's id: the same for the same anchor."""
    return "RD" + sha256(anchored.encode()).hexdigest()[:14].upper()


def _blank(verdict: Verdict, run: int, now_us: int) -> Difference:
    first = verdict.first
    anchored = anchor(first)
    return Difference(
        id=identity(anchored), anchor=anchored, day=verdict.day, category="", why="", status=OPEN, confirm=False,
        kind=first.kind, amount=0, currency=first.currency, site=None, agent=None, terminal=None, terminal_id=None,
        transaction=None, order_no=None, reference=None, last4=None, time_us=None, due_us=None, evidence=(),
        candidates=(), first_run=run, last_run=run, settled_run=None, settled_day=None, settled_how=None,
        settled_by=None, note=None, case=None, found_us=now_us, updated_us=now_us,
    )  # fmt: skip


def _described(difference: Difference, verdict: Verdict) -> Difference:
    """The difference as the verdict has it now."""
    entries = _anchored(difference, verdict.entries)
    journal = next((entry for entry in entries if entry.side is Side.JOURNAL), None)
    first: Callable[[str], str | None] = lambda name: next(  # noqa: E731 (short, and only here)
        (value for entry in entries if (value := getattr(entry, name))), None
    )
    return replace(
        difference,
        category=verdict.category,
        why=verdict.why,
        status=IN_TRANSIT if verdict.category is Category.IN_TRANSIT else OPEN,
        confirm=verdict.confirm,
        amount=verdict.amount,
        currency=first("currency"),
        site=first("site"),
        agent=first("agent"),
        terminal=first("terminal"),
        terminal_id=first("terminal_id"),
        transaction=journal.key if journal else None,
        order_no=first("order"),
        reference=first("reference"),
        last4=first("last4"),
        time_us=next((entry.time_us for entry in entries if entry.time_us is not None), None),
        due_us=verdict.due_us,
        evidence=entries,
        candidates=verdict.candidates,
    )


def _anchored(difference: Difference, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries, that which gave the difference its name first: it is found again by it."""
    return tuple(sorted(entries, key=lambda entry: anchor(entry) != difference.anchor))


def categories_of(verdicts: Iterable[Verdict], day: str) -> Mapping[str, str]:
    """The journal's payments of the day → category."""
    return {
        entry.key: str(verdict.category)
        for verdict in verdicts
        for entry in verdict.entries
        if entry.side is Side.JOURNAL and entry.day == day
    }
