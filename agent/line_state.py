"""What the book knows of the line itself: whether it is up, how clean it is; receipts and settlements that pass.

Part of the book (book.py); the same rules hold: no I/O, no clock.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.doubts import doubt
from agent.events import Draft, EventType, Reason, SettlementData, TerminalData
from agent.payments import At, Book, Link, LinkDown, LinkUp, PortRefused, State, Step, Tally, Terms
from agent.prints import alone, beside, settlement_again
from agent.settling import totals
from drivers.observations import Checksum, Direction, Kind, Noise, Observation, Receipt, Settlement

#: so many broken frames in a row make a line "degraded"
BAD_FRAMES_DEGRADE = 3
_PICTURES = "image_receipts"


def line_quality(book: Book, what: Any, at: At, terms: Terms) -> Step:
    """Follows how clean the line is, and when it was last heard."""
    if not isinstance(what, Observation):
        return book, ()
    if what.checksum is Checksum.BAD:
        book = replace(book, bad_run=book.bad_run + 1)
        if book.bad_run == BAD_FRAMES_DEGRADE and book.link is Link.UP:
            return _degraded(book, "bad_frames", f"{book.bad_run} broken frames in a row", at, terms)
        return book, ()
    if isinstance(what, Noise) or _is_picture(what):
        return book, ()
    heard = what.direction is Direction.TERMINAL
    book = replace(book, bad_run=0, last_frame_wall_ns=at.wall_ns if heard else book.last_frame_wall_ns)
    if book.link is Link.DEGRADED and heard:
        return link_up(book, LinkUp(), at, terms)
    return book, ()


def _is_picture(what: Observation) -> bool:
    """Whether it is a receipt that can't be read because it was printed as a picture."""
    return isinstance(what, Receipt) and not what.text and "image" in dict(what.facts.extra)


def link_up(book: Book, what: LinkUp, at: At, terms: Terms) -> Step:
    """The device is open, or good frames come again."""
    if book.link is Link.UP:
        return book, ()
    book = replace(book, link=Link.UP, link_reason=None, bad_run=0)
    return book, (_about_line(EventType.TERMINAL_CONNECTED, Link.UP, None, None, at, terms),)


def link_down(book: Book, what: LinkDown, at: At, terms: Terms) -> Step:
    """The device went away, or still can't be opened for a reason we have not told yet."""
    if book.link is Link.DOWN and book.link_reason == what.reason:
        return book, ()
    kind = EventType.TERMINAL_FAULT if book.link is Link.DOWN else EventType.TERMINAL_DISCONNECTED
    book = replace(book, link=Link.DOWN, link_reason=what.reason)
    drafts: tuple[Draft, ...] = (_about_line(kind, Link.DOWN, what.reason, what.detail, at, terms),)
    if book.state is State.OPEN:
        book, doubts = doubt(book, Reason.LINK_LOST, at, terms)
        drafts += doubts
    return book, drafts


def port_refused(book: Book, what: PortRefused, at: At, terms: Terms) -> Step:
    """The cashier application asked for what a pty can't have."""
    return _degraded(book, "settings_refused", what.detail, at, terms)


def _degraded(book: Book, reason: str, detail: str, at: At, terms: Terms) -> Step:
    link = Link.DEGRADED if book.link is Link.UP else book.link
    book = replace(book, link=link, link_reason=reason)
    return book, (_about_line(EventType.TERMINAL_DEGRADED, link, reason, detail, at, terms),)


def _about_line(kind: EventType, link: Link, reason: str | None, detail: str | None, at: At, terms: Terms) -> Draft:
    data = TerminalData(
        terminal=terms.terminal,
        protocol=terms.protocol,
        device=terms.device,
        link=str(link),
        reason=reason,
        detail=detail,
    )
    return Draft(kind, data, at.wall_ns)


# --- receipts and settlements -------------------------------------------------------------------------------------


def receipt(book: Book, what: Receipt, at: At, terms: Terms) -> Step:
    """Receipt text, of the current payment unless the cashier application asked for something else."""
    if not terms.listens_only:
        return beside(book, what, at, terms)
    book, drafts = alone(book, what, at, terms)
    if _is_picture(what) and book.link_reason != _PICTURES:
        book, degraded = _degraded(book, _PICTURES, "receipts are pictures: set the terminal to print text", at, terms)
        drafts += degraded
    return book, drafts


def settlement(book: Book, what: Settlement, at: At, terms: Terms) -> Step:
    """End-of-day totals: held against what was counted, and perhaps the truth about a payment in doubt."""
    if terms.listens_only:
        book, again = settlement_again(book, what)
        if again:
            return book, ()
    settling = book.current is not None and book.current.kind is Kind.SETTLEMENT
    current = book.current.id if settling and book.current else None
    settled: tuple[Draft, ...] = ()
    # A terminal's own totals leave out what it does not know to be charged: only a host that agrees proves anything.
    if what.balanced or (what.balanced is None and not terms.reverses):
        book, settled = totals(book, what.totals, at, terms)
    stated = [total.net for total in what.totals if total.amount is not None]
    agrees = sum(stated) == book.tally.amount
    data = SettlementData(
        transaction=current,
        terminal=terms.terminal,
        totals=what.totals,
        journal_count=book.tally.count,
        journal_amount=book.tally.amount,
        # What passed before we watched, or unseen, is in the terminal's totals only: then a difference says nothing.
        matches=agrees if stated and (agrees or book.tally.whole) else None,
        balanced=what.balanced,
    )
    return replace(book, tally=Tally(whole=True)), (*settled, Draft(EventType.SETTLEMENT_COMPLETED, data, at.wall_ns))
