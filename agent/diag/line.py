"""Steps on the line: what is heard, how clean it is, and what the terminal answers to a harmless question."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from agent.diag.asking import Asked, Reply
from agent.diag.mouth import settings_of, shown
from agent.diag.scene import Scene
from agent.diag.step import Level, Step
from agent.diag.traffic import Traffic
from agent.phrase import Phrase
from drivers.detection import AUTO
from drivers.driver import LineDefaults

#: broken frames in the last hour that are no chance any more, and the share from which a line is bad
LEAST_BROKEN = 3
BROKEN_SHARE = 0.02
#: of frames refused by the other side
REFUSED_SHARE = 0.02
#: answers of the terminal's link layer slower than this share of the cashier's patience are a risk
SLOW_SHARE = 0.5
_USUAL_PATIENCE_S = 2.0
_LEAST_FRAMES = 10


def answer(scene: Scene) -> Iterator[Step]:
    """The terminal answers, and as its protocol says."""
    asked = scene.asked
    wanted, protocol = _wanted(scene), scene.driver.name if scene.driver else scene.terminal.protocol
    if asked.parity is not None:
        yield Step.fail(
            "answer", "diag.wrong_parity", wanted=wanted, heard=f"7{asked.parity}1", bytes=asked.bytes_heard
        )
    elif asked.line is not None:
        yield _wrong_line(scene, asked.line, wanted)
    elif asked.protocol is not None and scene.terminal.protocol == AUTO:
        yield Step.ok("answer", "diag.speaks", protocol=asked.protocol)
    elif asked.protocol is not None:
        yield Step.fail("answer", "diag.wrong_protocol", protocol=asked.protocol, configured=protocol)
    elif asked.reply is Reply.ANSWERED:
        ms = round(max(asked.first_s) * 1000) if asked.first_s else 0
        yield Step.ok("answer", "diag.answers", protocol=protocol, tries=asked.tries, answered=asked.answered, ms=ms)
    else:
        yield _unanswered(scene, asked, protocol)


def _wrong_line(scene: Scene, line: LineDefaults, wanted: str) -> Step:
    heard = f"{line.baudrate} {line.bytesize}{line.parity}{line.stopbits}"
    same_speed = line.baudrate == scene.configured_line.baudrate
    return Step.fail("answer", "diag.wrong_format" if same_speed else "diag.wrong_speed", wanted=wanted, heard=heard)


def _unanswered(scene: Scene, asked: Asked, protocol: str) -> Step:
    level, key = _UNANSWERED[asked.reply]
    if asked.reply is Reply.SILENT and _speaks_elsewhere(scene):
        level, key = Level.WARN, "diag.silent_now"
    elif scene.bridge is not None:
        key = _THROUGH_BRIDGE.get(asked.reply, key)
    elif scene.terminal.protocol == AUTO:
        key = _UNNAMED.get(asked.reply, key)
    else:
        key = _ELSEWHERE.get((scene.terminal.device.scheme, asked.reply), key)
    values = {
        "tries": asked.tries,
        "answered": asked.answered,
        "bytes": asked.bytes_heard,
        "wanted": _wanted(scene),
        "protocol": protocol,
        "reason": asked.detail,
    }
    return Step("answer", level, Phrase(key, values))


#: how the terminal was heard → how bad that is, and what is said about it
_UNANSWERED = {
    Reply.SOMETIMES: (Level.FAIL, "diag.answers_sometimes"),
    Reply.OTHER: (Level.FAIL, "diag.answers_garbled"),
    Reply.SILENT: (Level.FAIL, "diag.silent"),
    Reply.GONE: (Level.FAIL, "diag.gone"),
    Reply.TALKING: (Level.WARN, "diag.talking"),
    Reply.ECHO: (Level.SKIP, "diag.echo_only"),
    Reply.HALF_DUPLEX: (Level.SKIP, "diag.echo_first"),
    Reply.INTERRUPTED: (Level.SKIP, "diag.payment_open"),
    Reply.CLOSED: (Level.SKIP, "diag.closed"),
    Reply.UNASKABLE: (Level.SKIP, "diag.unaskable"),
}
#: the same where a bridge holds the line, so that other settings could not be tried
_THROUGH_BRIDGE = {Reply.SILENT: "diag.silent_bridge", Reply.OTHER: "diag.answers_garbled_bridge"}
#: where no protocol is configured
_UNNAMED = {Reply.SILENT: "diag.silent_auto"}
#: where the device is no serial port: it has no speed, and no cable that a plug could prove
_ELSEWHERE = {
    ("tcp", Reply.SILENT): "diag.silent_no_serial",
    ("usb", Reply.SILENT): "diag.silent_no_serial",
    ("tcp", Reply.OTHER): "diag.answers_garbled_no_serial",
    ("usb", Reply.OTHER): "diag.answers_garbled_no_serial",
    ("tcp", Reply.GONE): "diag.gone_network",
}


def _speaks_elsewhere(scene: Scene) -> bool:
    """Whether payments pass on this line: a terminal that does not know the question is not silent."""
    traffic = scene.traffic
    return traffic is not None and traffic.terminal.whole >= LEAST_BROKEN and not traffic.terminal.broken


def echo(scene: Scene) -> Iterator[Step]:
    """Our own words do not come back."""
    asked = scene.asked
    if asked.reply is Reply.ECHO:
        if scene.loopback:
            yield Step.ok("echo", "diag.echo_plug")
        else:
            yield Step.fail("echo", "diag.echo", bytes=asked.bytes_heard)
    elif asked.reply is Reply.HALF_DUPLEX:
        yield Step.fail("echo", "diag.echo_answered", tries=asked.tries)
    elif asked.reply in (Reply.ANSWERED, Reply.SOMETIMES, Reply.OTHER, Reply.SILENT):
        yield Step.ok("echo", "diag.echo_none")
    else:
        yield Step.skip("echo", "diag.not_asked")


def errors(scene: Scene) -> Iterator[Step]:
    """Framing and parity errors that the port's driver counts."""
    asked = scene.asked
    now = asked.behind or (scene.line or {}).get("counters")
    if now is None:
        shut = scene.line is None and asked.reply is Reply.CLOSED
        yield Step.skip("errors", "diag.see_above" if shut else "diag.errors_uncounted")
        return
    before = asked.before or {}
    new = {name: now[name] - before.get(name, 0) for name in ("frame", "parity", "overrun", "brk")}
    received = now["rx"] - before.get("rx", 0)
    wrong = new["frame"] + new["parity"]
    found = {**new, "received": received, "share": f"{100 * wrong / max(1, received):.1f}", "wanted": _wanted(scene)}
    if wrong >= LEAST_BROKEN and wrong >= BROKEN_SHARE * received:
        key = "diag.errors_all" if wrong * 2 >= received else "diag.errors_some"
        yield Step.fail("errors", key, **found)
    elif new["overrun"] >= LEAST_BROKEN:
        yield Step.warn("errors", "diag.errors_overrun", **found)
    else:
        yield Step.ok("errors", "diag.errors_none", **found)


def heard(scene: Scene) -> Iterator[Step]:
    """Which protocol passes, and whether it is the configured one."""
    traffic = scene.traffic
    configured = scene.terminal.protocol
    if traffic is None:
        yield Step.skip("heard", "diag.no_bridge")
    elif not traffic.terminal.bytes and not traffic.cashier.bytes:
        yield Step.skip("heard", "diag.nothing_passed")
    elif traffic.detected and configured not in (traffic.detected, AUTO) and not traffic.terminal.whole:
        yield Step.fail("heard", "diag.wrong_protocol", protocol=traffic.detected, configured=configured)
    elif traffic.cashier.bytes and not traffic.terminal.bytes and not (scene.driver and scene.driver.listens_only):
        yield Step.fail("heard", "diag.cashier_alone", bytes=traffic.cashier.bytes)
    else:
        protocol = scene.driver.name if scene.driver else traffic.detected or "?"
        found = {"whole": traffic.terminal.whole + traffic.cashier.whole, "requests": traffic.requests}
        yield Step.ok("heard", "diag.heard", protocol=protocol, **found)


def noise(scene: Scene) -> Iterator[Step]:
    """How much of what the terminal says arrives broken: in payments of the last hour, and in our questions."""
    traffic = scene.traffic
    asked = scene.asked
    if asked.reply is Reply.SOMETIMES:
        missed = asked.tries - asked.answered
        yield Step.fail("noise", "diag.bit_errors_asked", tries=asked.tries, missed=missed)
    if scene.driver is not None and scene.driver.listens_only:
        yield Step.skip("noise", "diag.listens_only", protocol=scene.driver.name)
    elif traffic is not None and traffic.terminal.bytes:
        yield _noise(scene, traffic)
    elif asked.reply is not Reply.SOMETIMES:
        yield Step.skip("noise", "diag.nothing_passed")


def _noise(scene: Scene, traffic: Traffic) -> Step:
    side, other = traffic.terminal, traffic.cashier
    found = {"whole": side.whole, "broken": side.broken, "share": f"{100 * side.broken_share:.1f}"}
    if side.parity is not None and side.whole_stripped > side.whole:
        heard = f"7{side.parity}1"
        return Step.fail("noise", "diag.wrong_parity", wanted=_wanted(scene), heard=heard, bytes=side.bytes)
    if side.broken >= LEAST_BROKEN and not side.whole:
        return Step.fail("noise", "diag.all_broken", wanted=_wanted(scene), bytes=side.bytes, **found)
    if side.broken >= LEAST_BROKEN and side.broken_share >= BROKEN_SHARE:
        return Step.fail("noise", "diag.bit_errors", refused=side.refused, **found)
    if side.broken:
        return Step.warn("noise", "diag.few_errors", **found)
    if other.broken >= LEAST_BROKEN and other.broken_share >= BROKEN_SHARE:
        return Step.warn("noise", "diag.cashier_broken", broken=other.broken, whole=other.whole)
    return Step.ok("noise", "diag.clean", **found)


def times(scene: Scene) -> Iterator[Step]:
    """How fast the terminal answers a frame."""
    driver = scene.driver
    patience = driver.asking.patience_s if driver and driver.asking else _USUAL_PATIENCE_S
    asked = scene.asked.first_s
    if not asked:
        yield _times_heard(scene.traffic)
        return
    found = {"median": round(median(asked) * 1000), "longest": round(max(asked) * 1000), "patience": f"{patience:g}"}
    if max(asked) > patience * SLOW_SHARE:
        yield Step.warn("times", "diag.slow", **found)
    else:
        yield Step.ok("times", "diag.fast", **found)


def _times_heard(traffic: Traffic | None) -> Step:
    """What passed tells as much, but nobody can say how fast it should have been: a card takes its time."""
    if traffic is None or not traffic.answer_s:
        return Step.skip("times", "diag.not_asked")
    found = {name: round(of(traffic.answer_s) * 1000) for name, of in (("median", median), ("longest", max))}
    return Step.ok("times", "diag.times_heard", answers=len(traffic.answer_s), **found)


def retries(scene: Scene) -> Iterator[Step]:
    """How often one side refuses what the other sent, or hears no answer, so that it must be said again."""
    traffic = scene.traffic
    if traffic is None or traffic.terminal.whole + traffic.cashier.whole < _LEAST_FRAMES:
        yield Step.skip("retries", "diag.too_little")
        return
    by_terminal, by_cashier = traffic.terminal.refused, traffic.cashier.refused
    frames = traffic.terminal.whole + traffic.cashier.whole
    found = {"terminal": by_terminal, "cashier": by_cashier, "frames": frames}
    refused = by_terminal + by_cashier
    again = traffic.terminal.repeated + traffic.cashier.repeated
    if refused >= LEAST_BROKEN and refused >= REFUSED_SHARE * frames:
        key = "diag.refuses_terminal" if by_terminal > by_cashier else "diag.refuses_cashier"
        yield Step.fail("retries", key, **found)
    elif traffic.dropped:
        yield Step.warn("retries", "diag.dropped", bytes=traffic.dropped)
    elif again >= LEAST_BROKEN and again >= REFUSED_SHARE * frames:
        told = {"terminal": traffic.terminal.repeated, "cashier": traffic.cashier.repeated, "frames": frames}
        yield Step.warn("retries", "diag.said_again", **told)
    else:
        yield Step.ok("retries", "diag.refused_none", **found)


def _wanted(scene: Scene) -> str:
    return (
        shown(settings_of(scene.terminal)) if scene.terminal.device.scheme == "serial" else scene.terminal.device.text
    )
