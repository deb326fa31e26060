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

#: losses of the line in a day that are no chance any more
LEAST_LOSSES = 2
#: a plug that is touched is back at once; a terminal that starts is away longer
RESTART_S = 2.0
CLOCK_S = 120.0
_BANK_LEAST, _BANK_SHARE = 3, 0.3
#: what a ZVT terminal's status byte, or its refusal, says of itself (config/codes/zvt.toml has the texts)
_IDLE_STATUS = frozenset({"00"})
#: response codes, by code table (config/codes), with which the terminal or the switch says that a host was not reached
_HOST_CODES = {"cup": {"68", "90", "91", "92", "96", "98"}, "zvt": {"9B", "A3"}}


def stability(scene: Scene) -> Iterator[Step]:
    """The line stays; a terminal that restarts, or a loose plug, takes it away."""
    past, traffic = scene.past, scene.traffic
    losses = [(loss.reason, loss.away_s) for loss in past.losses] if past else []
    if not losses and traffic:
        losses = [(loss.reason, loss.seconds) for loss in traffic.losses]
    gone = [away for reason, away in losses if reason == GONE]
    restarts = sum(payment.reason == "terminal_restarted" for payment in past.payments) if past else 0
    away = [seconds for seconds in gone if seconds is not None]
    if scene.asked.reply is Reply.GONE and scene.bridge is None:
        gone.append(None)
    if len(gone) >= LEAST_LOSSES and (not away or median(away) >= RESTART_S):
        seconds = f"{median(away):.0f}" if away else "?"
        yield Step.fail("stability", "diag.restarts", losses=len(gone), hours=HOURS, seconds=seconds)
    elif restarts >= LEAST_LOSSES:
        yield Step.fail("stability", "diag.restarts_told", payments=restarts)
    elif len(gone) >= LEAST_LOSSES:
        yield Step.fail("stability", "diag.loose", losses=len(gone), hours=HOURS, seconds=f"{median(away):.1f}")
    elif gone or restarts:
        yield Step.warn("stability", "diag.lost_once", hours=HOURS)
    elif past is None and traffic is None:
        yield Step.skip("stability", "diag.no_journal")
    else:
        yield Step.ok("stability", "diag.stable", hours=HOURS)


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
    """How many seconds the terminal's clock is ahead; both as local time. None when it said no whole time."""
    if payment.terminal_time is None:
        return None
    try:
        told = datetime.fromisoformat(payment.terminal_time)
        ours = datetime.fromisoformat(payment.ended_at or payment.started_at)
    except ValueError:
        return None
    return (told.replace(tzinfo=None) - ours.replace(tzinfo=None)).total_seconds()


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
    bad = [one for one in payments[:20] if one.reason == "host_timeout" or _by_host(scene.driver, one)]
    found = {"bad": len(bad), "payments": min(len(payments), 20)}
    if len(bad) >= _BANK_LEAST and len(bad) >= _BANK_SHARE * found["payments"]:
        yield Step.fail("bank", "diag.bank", codes=", ".join(sorted({one.code or "-" for one in bad})), **found)
    elif bad:
        yield Step.warn("bank", "diag.bank_once", codes=", ".join(sorted({one.code or "-" for one in bad})), **found)
    else:
        yield Step.ok("bank", "diag.bank_ok", **found)


def _by_host(driver: Driver | None, payment: Payment) -> bool:
    """Whether the code says that a host could not be reached or could not do its work."""
    if driver is None or payment.outcome == Outcome.APPROVED:
        return False
    return payment.code in _HOST_CODES.get(driver.codes or driver.name, ())
