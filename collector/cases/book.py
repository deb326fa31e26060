"""Writes cases: opening, changing, closing, each with its entry in the history, in the caller's transaction.

A case is found by (kind, subject): whoever finds the same trouble again finds the same case. All functions take a
connection of `Ledger.write()`, so a case is durable exactly when the thing it is about is.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from collector.access.people import SYSTEM, User
from collector.cases import chain
from collector.cases.life import CLOSES_ITSELF, DUE_S, Kind, Reason, Status
from collector.errors import CollectorNothingFoundError
from collector.ledger import cases
from collector.ledger.cases import Case

_S = 1_000_000


def open_for(
    connection: Connection,
    kind: Kind,
    subject: str,
    *,
    now_us: int,
    transaction: str | None = None,
    related: str | None = None,
    site: str | None = None,
    agent: str | None = None,
    terminal: str | None = None,
    amount: int | None = None,
    currency: str | None = None,
    due_us: int | None = None,
    detail: Mapping[str, object] | None = None,
    by: User = SYSTEM,
) -> tuple[int, bool]:
    """The number of the case of this kind about `subject`, and whether it was opened by this call.

    `subject`: a transaction's id, a difference's id, "agent:epoch:sequence" of a settlement. `detail`: what is known,
    JSON values, for the history. `due_us` None: the kind's own time from now.
    """
    values: dict[str, object] = {
        "kind": kind.value,
        "subject": subject,
        "transaction": transaction,
        "related": related,
        "site": site,
        "agent": agent,
        "terminal": terminal,
        "amount": amount,
        "currency": currency,
        "status": Status.OPEN.value,
        "due_us": now_us + DUE_S[kind] * _S if due_us is None else due_us,
        "opened_us": now_us,
        "updated_us": now_us,
        "entries": 0,
        "head": "",
    }
    number = cases.add(connection, values)
    if number is None:
        found = cases.case_of(connection, kind, subject)
        assert found is not None  # noqa: S101 (it was the reason why nothing was added)
        return found.number, False
    write_down(connection, known(connection, number), "opened", detail or {}, now_us=now_us, by=by)
    return number, True


def known(connection: Connection, number: int, *, lock: bool = True) -> Case:
    """The case, locked for this transaction. Raises CollectorNothingFoundError."""
    found = cases.case(connection, number, lock=lock)
    if found is None:
        raise CollectorNothingFoundError("cases.unknown", number=number)
    return found


def write_down(
    connection: Connection,
    case: Case,
    action: str,
    data: Mapping[str, object],
    *,
    now_us: int,
    by: User,
    **changes: object,
) -> Case:
    """Add an entry to the history of a locked case, and change the case with it."""
    new = chain.entry(
        case.number,
        case.entries + 1,
        case.head,
        at_us=now_us,
        actor=by.name,
        via=by.via.value,
        action=action,
        data=data,
    )
    cases.append(connection, new)
    updated = {**changes, "updated_us": now_us, "entries": new.entry, "head": new.hash}
    cases.change(connection, case.number, updated)
    return known(connection, case.number)


def settle(
    connection: Connection, number: int, outcome: str, reason: Reason | None, *, now_us: int, how: str | None = None
) -> None:
    """The truth behind a case became known. `reason`: why nothing is left to do; None when people still have to act.

    Says it in the history once for each outcome, and closes the case when it may close itself.
    """
    case = known(connection, number)
    if case.settled_as != outcome:
        data = {"outcome": outcome, "how": how}
        changes = {"settled_us": now_us, "settled_as": outcome}
        case = write_down(connection, case, "settled", data, now_us=now_us, by=SYSTEM, **changes)
    if reason is not None and Status(case.status) in CLOSES_ITSELF:
        close(connection, case, reason, now_us=now_us, by=SYSTEM)


def close(
    connection: Connection, case: Case, reason: Reason, *, now_us: int, by: User, note: str | None = None
) -> Case:
    """Close a locked case."""
    data = {"from": case.status, "to": Status.CLOSED.value, "reason": reason.value, "note": note}
    return write_down(
        connection,
        case,
        "status",
        data,
        now_us=now_us,
        by=by,
        status=Status.CLOSED.value,
        reason=reason.value,
        closed_us=now_us,
    )
