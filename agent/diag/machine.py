"""Steps about the terminal itself: restarts, clock, paper; and what the bank says through it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from statistics import median

from agent.diag.asking import Reply
from agent.diag.past import HOURS, Payment
from agent.diag.scene import Scene
from agent.diag.step import Step
from drivers import codes
from drivers.driver import Driver
from drivers.links.base import GONE
from drivers.observations import Ack, Answer, Outcome

#: losses of the line that are no chance any more: in the last hours, and in a day. A plug that a technician has pulled
#: is lost once; what was mended yesterday is not told again
FRESH_HOURS, LEAST_LOSSES, MANY_LOSSES = 2, 2, 4
#: a plug that is touched is back at once; a terminal that starts is away longer
RESTART_S = 2.0
CLOCK_S = 120.0
_LONGEST_S = 600.0  # a payment at a window
_LAST = 20  # payments
_BANK_LEAST, _BANK_SHARE = 3, 0.3
_WELL_SINCE = 3  # payments that went well since then: it is over
#: what a ZVT terminal's status byte, or its refusal, says of itself (config/codes/zvt.toml has the texts)
_IDLE_STATUS = frozenset({"00"})
#: response codes, by code table (config/codes), with which the terminal or the switch says that a host was not reached
_HOST_CODES = {"cup": {"68", "90", "91", "92", "96", "98"}, "zvt": {"9B", "A3"}}


def stability(scene: Scene) -> Iterator[Step]:
    """The line stays; a terminal that restarts, or a loose plug, takes it away."""
    past, traffic = scene.past, scene.traffic
    if past is None and traffic is None:
        yield Step.skip("stability", "diag.no_journal")
        return
    hours, away = _gone(scene)
    restarts = sum(payment.reason == "terminal_restarted" for payment in past.payments[:_LAST]) if past else 0
    known = [seconds for seconds in away if seconds is not None]
    found = {"losses": len(away), "hours": hours, "seconds": f"{median(known):.1f}" if known else "?"}
    if len(away) >= LEAST_LOSSES and (not known or median(known) >= RESTART_S):
        yield Step.fail("stability", "diag.restarts", **found)
    elif restarts >= LEAST_LOSSES:
        yield Step.fail("stability", "diag.restarts_told", payments=restarts)
    elif len(away) >= LEAST_LOSSES:
        yield Step.fail("stability", "diag.loose", **found)
    elif away or restarts:
        yield Step.warn("stability", "diag.lost_once", hours=hours)
    else:
        yield Step.ok("stability", "diag.stable", hours=hours)


def _gone(scene: Scene) -> tuple[int, list[float | None]]:
    """How long the device was away each time it went, in the last hours or in the last day where those are many."""
    if scene.past is None:
        losses = scene.traffic.losses if scene.traffic else ()
        return 1, [loss.seconds for loss in losses if loss.reason == GONE]
    now_s = scene.wall_ns() / 1e9
    every = [loss for loss in scene.past.losses if loss.reason == GONE]
    fresh = [loss.away_s for loss in every if now_s - loss.at_s <= FRESH_HOURS * 3600]
    if len(fresh) < LEAST_LOSSES <= MANY_LOSSES <= len(every):
        return HOURS, [loss.away_s for loss in every]
    return FRESH_HOURS, fresh


def clock(scene: Scene) -> Iterator[Step]:
    """The terminal's clock beside that of this PC, at the last payment that bears a time of the terminal."""
    for payment in scene.past.payments if scene.past else ():
        off = _off(payment)
        if off is not None:
            minutes = round(abs(off) / 60)
            if abs(off) > CLOCK_S:
                key = "diag.clock_ahead" if off > 0 else "diag.clock_behind"
                yield Step.warn("clock", key, minutes=minutes, terminal_time=payment.terminal_time)
            else:
                yield Step.ok("clock", "diag.clock_fits", seconds=round(abs(off)))
            return
    yield Step.skip("clock", "diag.clock_unknown")


def _off(payment: Payment) -> float | None:
    """How many seconds the terminal's clock is ahead; both as local time. None when it said no whole time.

    The terminal's moment lies anywhere between request and end; a payment that was settled long after its request says
    too little.
    """
    if payment.terminal_time is None:
        return None
    try:
        moments = (payment.terminal_time, payment.started_at, payment.ended_at or payment.started_at)
        told, began, ended = (datetime.fromisoformat(each).replace(tzinfo=None) for each in moments)
    except ValueError:
        return None
    if (ended - began).total_seconds() > _LONGEST_S:
        return None
    return (told - min(max(told, began), ended)).total_seconds()


def paper(scene: Scene) -> Iterator[Step]:
    """What the terminal says of its own state, where its protocol tells."""
    asked = scene.asked
    if asked.reply not in (Reply.ANSWERED, Reply.SOMETIMES):
        yield Step.skip("paper", "diag.not_asked")
        return
    protocol = scene.driver.name if scene.driver else ""
    status = next((value for seen in asked.seen for name, value in seen.facts.extra if name == "status"), None)
    refused = (seen for seen in asked.seen if isinstance(seen, Answer) or (isinstance(seen, Ack) and not seen.positive))
    code = next((seen.facts.response_code for seen in refused if seen.facts.response_code), None)
    told = code or (str(status) if status is not None else None)
    if told is None:
        yield Step.skip("paper", "diag.paper_unsaid", protocol=protocol)
    elif told in _IDLE_STATUS:
        yield Step.ok("paper", "diag.paper_ok", status=told)
    else:
        meaning = codes.meaning(protocol, told)
        texts = meaning.text if meaning else {}
        yield Step.warn("paper", "diag.paper_wrong", status=told, en=texts.get("en", "?"), zh=texts.get("zh-CN", "?"))


def bank(scene: Scene) -> Iterator[Step]:
    """Whether the host behind the terminal is reached: by the ends of the last payments."""
    payments = scene.past.payments if scene.past else ()
    if not payments:
        yield Step.skip("bank", "diag.no_payments")
        return
    last = payments[:_LAST]
    failed = [one.reason == "host_timeout" or _by_host(scene.driver, one) for one in last]
    bad = [one for one, is_bad in zip(last, failed, strict=True) if is_bad]
    found = {"bad": len(bad), "payments": len(last), "codes": ", ".join(sorted({one.code or "-" for one in bad}))}
    if len(bad) >= _BANK_LEAST and len(bad) >= _BANK_SHARE * len(last) and any(failed[:_WELL_SINCE]):
        yield Step.fail("bank", "diag.bank", **found)
    elif bad:
        yield Step.warn("bank", "diag.bank_once", **found)
    else:
        yield Step.ok("bank", "diag.bank_ok", **found)


def _by_host(driver: Driver | None, payment: Payment) -> bool:
    """Whether the code says that a host could not be reached or could not do its work."""
    if driver is None or payment.outcome == Outcome.APPROVED:
        return False
    return payment.code in _HOST_CODES.get(driver.codes or driver.name, ())
