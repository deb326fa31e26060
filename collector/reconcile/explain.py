"""A difference in words: what the books say, what it means, what to do (texts: collector/locale/*/reconcile.toml)."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from agent.money import show_amount
from collector.ledger.entries import Entry, Side
from collector.ledger.reconcile import SETTLED, Difference
from collector.texts import Texts


def category(difference: Difference, texts: Texts) -> str:
    """The name of its category."""
    return texts.say(f"reconcile.category_{difference.category}")


def explain(difference: Difference, texts: Texts, zone: ZoneInfo) -> str:
    """What it means and what to do, in a few sentences."""
    back = difference.amount < 0 or difference.kind != "purchase"
    key = f"reconcile.why_{difference.why}"
    if back and texts.has(f"{key}_back"):
        key = f"{key}_back"
    amount = show_amount(abs(difference.amount), difference.currency)
    due = moment(difference.due_us, zone) if difference.due_us else "-"
    sentences = [texts.say(key, amount=amount, due=due, stated=_stated(difference, texts))]
    if difference.confirm:
        sentences.append(texts.say("reconcile.confirm_rows"))
    elif difference.candidates and difference.category != "duplicate":
        sentences.append(texts.say("reconcile.compare_candidates", count=len(difference.candidates)))
    if difference.status == SETTLED:
        how = texts.say(f"reconcile.how_{difference.settled_how}", day=difference.settled_day or "-")
        sentences.append(how)
    return texts.say("reconcile.between").join(sentences)


def evidence_line(entry: Entry, texts: Texts, zone: ZoneInfo) -> str:
    """One row as its side states it."""
    numbers = [
        (name, value)
        for name in ("terminal_id", "reference", "batch", "trace", "channel_order", "order", "card")
        if (value := getattr(entry, name))
    ]
    said = " ".join(f"{texts.say(f'reconcile.field_{name}')} {value}" for name, value in numbers)
    return texts.say(
        "reconcile.evidence",
        side=texts.say(f"reconcile.side_{entry.side}"),
        where=f"{entry.file}:{entry.line}" if entry.file else entry.key,
        time=moment(entry.time_us, zone) if entry.time_us is not None else "-",
        kind=texts.say(f"reconcile.kind_{entry.kind}"),
        state=texts.say(f"reconcile.state_{entry.state}"),
        amount=show_amount(entry.amount, entry.currency),
        numbers=said,
    )


def moment(us: int, zone: ZoneInfo) -> str:
    """A time for people of the zone."""
    return datetime.fromtimestamp(us // 1_000_000, zone).strftime("%Y-%m-%d %H:%M:%S")


def _stated(difference: Difference, texts: Texts) -> str:
    """What each side says the amount is."""
    totals: dict[Side, int] = {}
    for entry in difference.evidence:
        totals[entry.side] = totals.get(entry.side, 0) + entry.amount
    return ", ".join(
        f"{texts.say(f'reconcile.side_{side}')} {show_amount(amount, difference.currency)}"
        for side, amount in totals.items()
    )
