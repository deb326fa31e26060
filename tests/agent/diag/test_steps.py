"""Each step, from what is known to what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent import __version__
from agent.diag import host, line, machine, plug, till
from agent.diag import scene as scenes
from agent.diag.asking import Asked, Reply
from agent.diag.garble import Parity
from agent.diag.past import Loss, past_of
from agent.diag.traffic import Side, Traffic
from agent.errors import UnreachableError
from drivers.driver import LineDefaults
from drivers.observations import Answer, Direction, Facts
from tests.agent.diag.bench import NOW_NS, configuration, loaded, paid, past, scene, taken
from tests.agent.shut import shut

COUNTERS = {"rx": 1000, "tx": 1000, "frame": 0, "overrun": 0, "parity": 0, "brk": 0}
UP: dict[str, Any] = {
    "link": "up",
    "reason": None,
    "detail": None,
    "holder": [],
    "port": "open",
    "device": "serial:/dev/null",
    "cashier": "pty:/x",
    "modem": None,
    "counters": None,
}


def traffic(**known: Any) -> Traffic:
    usual: dict[str, Any] = {"cashier": Side(), "terminal": Side(), "answer_s": (), "requests": 0, "dropped": 0}
    usual |= {"losses": (), "port": None, "detected": None}
    return Traffic(**(usual | known))


@pytest.mark.parametrize(
    ("asked", "finding"),
    [
        (Asked(reply=Reply.ANSWERED, tries=12, answered=12, first_s=(0.1,)), ("ok", "answers")),
        (Asked(reply=Reply.SOMETIMES, tries=12, answered=7), ("fail", "answers_sometimes")),
        (Asked(reply=Reply.OTHER, tries=12, bytes_heard=40), ("fail", "answers_garbled")),
        (Asked(reply=Reply.SILENT, tries=2), ("fail", "silent")),
        (Asked(reply=Reply.ECHO, tries=12), ("skip", "echo_only")),
        (Asked(reply=Reply.TALKING, bytes_heard=9), ("warn", "talking")),
        (Asked(reply=Reply.INTERRUPTED), ("skip", "payment_open")),
        (Asked(reply=Reply.GONE, detail="x"), ("fail", "gone")),
        (Asked(reply=Reply.CLOSED, detail="x"), ("skip", "closed")),
        (Asked(reply=Reply.UNASKABLE), ("skip", "unaskable")),
        (Asked(reply=Reply.SILENT, line=LineDefaults(19200)), ("fail", "wrong_speed")),
        (Asked(reply=Reply.SILENT, line=LineDefaults(9600, 7, "E")), ("fail", "wrong_format")),
        (Asked(reply=Reply.HALF_DUPLEX, tries=6), ("skip", "echo_first")),
        (Asked(reply=Reply.OTHER, parity=Parity.ODD), ("fail", "wrong_parity")),
        (Asked(reply=Reply.OTHER, protocol="zvt"), ("fail", "wrong_protocol")),
    ],
)
def test_what_came_of_asking(asked: Asked, finding: tuple[str, str], tmp_path: Path) -> None:
    assert taken(line.answer, scene(tmp_path, asked=asked)) == [finding]


def test_every_reply_has_its_words() -> None:
    assert set(line._UNANSWERED) | {Reply.ANSWERED} == set(Reply)


def test_a_terminal_whose_payments_pass_is_not_silent(tmp_path: Path) -> None:
    quiet = Asked(reply=Reply.SILENT, tries=2)
    passing = traffic(terminal=Side(bytes=900, whole=9))
    assert taken(line.answer, scene(tmp_path, asked=quiet, traffic=passing, bridge=1)) == [("warn", "silent_now")]
    assert taken(line.answer, scene(tmp_path, asked=quiet, bridge=1)) == [("fail", "silent_bridge")]


@pytest.mark.parametrize(
    ("new", "finding"),
    [
        ({}, ("ok", "errors_none")),
        ({"rx": 1040, "frame": 30, "parity": 5}, ("fail", "errors_all")),
        ({"rx": 1200, "frame": 9}, ("fail", "errors_some")),
        ({"rx": 1200, "frame": 2}, ("ok", "errors_none")),
        ({"rx": 1200, "overrun": 5}, ("warn", "errors_overrun")),
    ],
)
def test_errors_that_the_port_counts(new: dict[str, int], finding: tuple[str, str], tmp_path: Path) -> None:
    asked = Asked(reply=Reply.OTHER, before=COUNTERS, behind=COUNTERS | new)
    assert taken(line.errors, scene(tmp_path, asked=asked)) == [finding]


def test_where_nothing_is_counted_nothing_is_claimed(tmp_path: Path) -> None:
    assert taken(line.errors, scene(tmp_path, asked=Asked(reply=Reply.OTHER))) == [("skip", "errors_uncounted")]


@pytest.mark.parametrize(
    ("side", "finding"),
    [
        (Side(bytes=900, whole=100), ("ok", "clean")),
        (Side(bytes=900, whole=100, broken=1), ("warn", "few_errors")),
        (Side(bytes=900, whole=1000, broken=4), ("warn", "few_errors")),
        (Side(bytes=900, whole=100, broken=6), ("fail", "bit_errors")),
        (Side(bytes=900, broken=6), ("fail", "all_broken")),
        (Side(bytes=900, broken=6, parity=Parity.EVEN, whole_stripped=6), ("fail", "wrong_parity")),
    ],
)
def test_broken_frames(side: Side, finding: tuple[str, str], tmp_path: Path) -> None:
    on = scene(tmp_path, traffic=traffic(terminal=side), asked=Asked(reply=Reply.ANSWERED))
    assert taken(line.noise, on) == [finding]


def test_a_line_that_is_only_heard_has_no_broken_frames(tmp_path: Path) -> None:
    passing = traffic(terminal=Side(bytes=900, broken=6))
    on = scene(tmp_path, "receipt", traffic=passing, asked=Asked(reply=Reply.UNASKABLE))
    assert taken(line.noise, on) == [("skip", "listens_only")]


def test_refused_frames(tmp_path: Path) -> None:
    asked = Asked(reply=Reply.ANSWERED)

    def of(terminal: Side, cashier: Side, dropped: int = 0) -> list[tuple[str, str]]:
        passing = traffic(terminal=terminal, cashier=cashier, dropped=dropped)
        return taken(line.retries, scene(tmp_path, traffic=passing, asked=asked))

    assert of(Side(whole=3), Side()) == [("skip", "too_little")]
    assert of(Side(whole=50), Side(whole=50)) == [("ok", "refused_none")]
    assert of(Side(whole=50, refused=5), Side(whole=50)) == [("fail", "refuses_terminal")]
    assert of(Side(whole=50), Side(whole=50, refused=5)) == [("fail", "refuses_cashier")]
    assert of(Side(whole=50, repeated=4), Side(whole=50)) == [("warn", "said_again")]
    assert of(Side(whole=50, repeated=2), Side(whole=50)) == [("ok", "refused_none")]
    assert of(Side(whole=50), Side(whole=50), dropped=7) == [("warn", "dropped")]


def test_protocol_heard(tmp_path: Path) -> None:
    def of(**known: Any) -> list[tuple[str, str]]:
        return taken(line.heard, scene(tmp_path, traffic=traffic(**known)))

    assert of() == [("skip", "nothing_passed")]
    both = {"terminal": Side(bytes=90, whole=9), "cashier": Side(bytes=90, whole=9)}
    assert of(**both, detected="concert") == [("ok", "heard")]
    assert of(terminal=Side(bytes=90), cashier=Side(bytes=90), detected="zvt") == [("fail", "wrong_protocol")]
    assert of(cashier=Side(bytes=90, whole=9)) == [("fail", "cashier_alone")]
    assert taken(line.heard, scene(tmp_path)) == [("skip", "no_bridge")]
    printer = scene(tmp_path, "receipt", traffic=traffic(cashier=Side(bytes=90, whole=2)))
    assert taken(line.heard, printer) == [("ok", "heard")]


def test_answer_times(tmp_path: Path) -> None:
    quick, slow = Asked(reply=Reply.ANSWERED, first_s=(0.02, 0.03)), Asked(reply=Reply.ANSWERED, first_s=(0.02, 0.8))
    assert taken(line.times, scene(tmp_path, asked=quick)) == [("ok", "fast")]
    assert taken(line.times, scene(tmp_path, asked=slow)) == [("warn", "slow")]
    assert taken(line.times, scene(tmp_path, asked=Asked(reply=Reply.SILENT))) == [("skip", "not_asked")]
    passing = scene(tmp_path, "cup8583", asked=Asked(reply=Reply.UNASKABLE), traffic=traffic(answer_s=(0.2, 0.4, 30.0)))
    assert taken(line.times, passing) == [("ok", "times_heard")]


def test_echo_is_a_fault_but_for_a_plug_that_was_asked_for(tmp_path: Path) -> None:
    on = scene(tmp_path, asked=Asked(reply=Reply.ECHO, bytes_heard=4))
    assert taken(line.echo, on) == [("fail", "echo")]
    on.loopback = True
    assert taken(line.echo, on) == [("ok", "echo_plug")]


def test_modem_lines(tmp_path: Path) -> None:
    lines = {"cts": False, "dsr": True, "dcd": False, "ri": False, "rts": True, "dtr": True}
    assert taken(plug.modem, scene(tmp_path, line=UP | {"modem": lines})) == [("ok", "modem_ok")]
    handshake = scene(tmp_path, more='flow = "rtscts"', line=UP | {"modem": lines})
    assert taken(plug.modem, handshake) == [("fail", "modem_stopped")]
    assert taken(plug.modem, scene(tmp_path, asked=Asked(reply=Reply.SILENT))) == [("skip", "modem_none")]


def test_the_bridge_tells_of_its_device(tmp_path: Path) -> None:
    def of(**told: Any) -> list[tuple[str, str]]:
        return taken(plug.line_settings, scene(tmp_path, bridge=1, line=UP | told))

    assert of() == [("ok", "settings_bridge")]
    assert of(link="down", reason="gone", detail="EIO") == [("fail", "link_down")]
    assert of(link="down", reason="busy", detail="held") == [("skip", "see_above")]
    assert taken(plug.line_settings, scene(tmp_path, bridge=1)) == [("fail", "bridge_knows_not")]


@pytest.mark.parametrize(
    ("hours_ago", "away", "finding"),
    [
        ([], 0, ("ok", "stable")),
        ([1], 30, ("warn", "lost_once")),
        ([0.5, 1], 30, ("fail", "restarts")),
        ([0.5, 1], 0.4, ("fail", "loose")),
        ([20, 21], 30, ("ok", "stable")),
        ([5, 10, 15, 20], 30, ("fail", "restarts")),
    ],
)
def test_a_line_that_goes_away(hours_ago: list[float], away: float, finding: tuple[str, str], tmp_path: Path) -> None:
    losses = [Loss(at_s=NOW_NS / 1e9 - ago * 3600, reason="gone", away_s=away) for ago in hours_ago]
    assert taken(machine.stability, scene(tmp_path, past=past(losses=tuple(losses)))) == [finding]


def test_restarts_that_the_terminal_tells(tmp_path: Path) -> None:
    twice = past(payments=(paid(reason="terminal_restarted"),) * 2)
    assert taken(machine.stability, scene(tmp_path, past=twice)) == [("fail", "restarts_told")]
    assert taken(machine.stability, scene(tmp_path)) == [("skip", "no_journal")]


@pytest.mark.parametrize(
    ("told", "finding"),
    [
        (None, ("skip", "clock_unknown")),
        ("2026-03-04T10:00:09", ("ok", "clock_fits")),
        ("2026-03-04T11:00:05", ("warn", "clock_ahead")),
        ("2026-03-04T09:00:05", ("warn", "clock_behind")),
        ("10:00", ("skip", "clock_unknown")),
    ],
)
def test_the_terminals_clock(told: str | None, finding: tuple[str, str], tmp_path: Path) -> None:
    payments = (paid(terminal_time=told), paid())
    assert taken(machine.clock, scene(tmp_path, past=past(payments=payments))) == [finding]


def test_a_payment_that_was_settled_hours_later_says_nothing_of_the_clock(tmp_path: Path) -> None:
    settled = paid(terminal_time="2026-03-04T10:00:03", ended_at="2026-03-04T13:00:00+08:00")
    slow = paid(terminal_time="2026-03-04T10:00:03", ended_at="2026-03-04T10:04:30+08:00")
    assert taken(machine.clock, scene(tmp_path, past=past(payments=(settled,)))) == [("skip", "clock_unknown")]
    assert taken(machine.clock, scene(tmp_path, past=past(payments=(settled, slow)))) == [("ok", "clock_fits")]


def test_what_a_terminal_says_of_itself(tmp_path: Path) -> None:
    def of(status: str | None = None, code: str | None = None) -> list[tuple[str, str]]:
        facts = Facts(response_code=code, extra=(("status", status),) if status else ())
        end = Answer(direction=Direction.TERMINAL, outcome=None, final=True, message="completion", facts=facts)
        asked = Asked(reply=Reply.ANSWERED, seen=(end,))
        return taken(machine.paper, scene(tmp_path, "zvt", asked=asked))

    assert of("00") == [("ok", "paper_ok")]
    assert of("CC") == [("warn", "paper_wrong")]
    assert of(code="DC") == [("warn", "paper_wrong")]
    assert of() == [("skip", "paper_unsaid")]
    assert taken(machine.paper, scene(tmp_path, asked=Asked(reply=Reply.SILENT))) == [("skip", "not_asked")]


def test_the_bank(tmp_path: Path) -> None:
    unreached = paid(outcome="unknown", code="91", charged="unknown")

    def of(*payments: Any) -> list[tuple[str, str]]:
        return taken(machine.bank, scene(tmp_path, "cup8583", past=past(payments=payments)))

    assert of() == [("skip", "no_payments")]
    assert of(paid(), paid()) == [("ok", "bank_ok")]
    assert of(paid(), unreached) == [("warn", "bank_once")]
    assert of(unreached, unreached, unreached, paid()) == [("fail", "bank")]
    assert of(paid(), paid(), paid(), unreached, unreached, unreached) == [("warn", "bank_once")]
    assert of(*[paid(outcome="unknown", code=None, reason="host_timeout")] * 3) == [("fail", "bank")]
    assert of(*[paid(outcome="declined", code="51", charged="no")] * 5) == [("ok", "bank_ok")]


def test_the_cashier_application(tmp_path: Path) -> None:
    missed, left = paid(delivered="no"), paid(delivered="no", reason="cashier_closed")

    def of(*payments: Any) -> list[tuple[str, str]]:
        return taken(till.delivery, scene(tmp_path, past=past(payments=payments)))

    assert of() == [("skip", "no_payments")]
    assert of(paid(delivered="unknown")) == [("skip", "no_payments")]
    assert of(paid(), paid()) == [("ok", "delivered")]
    assert of(missed, paid()) == [("warn", "undelivered_once")]
    assert of(missed, missed, paid()) == [("fail", "cashier_silent")]
    assert of(left, left, paid()) == [("fail", "cashier_leaves")]
    assert of(paid(), paid(), paid(), missed, missed) == [("warn", "undelivered_once")]


def test_the_cashiers_port(tmp_path: Path) -> None:
    def of(state: str, **passing: Any) -> list[tuple[str, str]]:
        return taken(till.cashier, scene(tmp_path, line=UP | {"port": state}, traffic=traffic(**passing)))

    assert of("open") == [("ok", "cashier_open")]
    assert of("closed") == [("warn", "cashier_closed")]
    assert of("closed", cashier=Side(bytes=9)) == [("ok", "cashier_was_open")]
    assert of("closed", port="settings_refused") == [("fail", "cashier_settings")]


def test_agent_and_bridge(tmp_path: Path) -> None:
    def of(agent: dict[str, Any] | None, bridge: int | None) -> list[tuple[str, str]]:
        return taken(host.agent, scene(tmp_path, agent=agent, bridge=bridge))

    running = {"version": __version__, "since": "2026-03-04T09:00:00+08:00"}
    assert of(running, 12) == [("ok", "agent_runs")]
    assert of(running | {"version": "0.0"}, 12) == [("warn", "agent_older")]
    assert of(None, 12) == [("fail", "agent_dead")]
    assert of(running, None) == [("fail", "bridge_dead")]
    assert of(None, None) == [("warn", "agent_none")]


def test_what_only_the_agents_user_may_see_is_no_fault(tmp_path: Path) -> None:
    on = scene(tmp_path, bridge=12)
    state_dir = on.config.agent.state_dir
    assert taken(host.journal, on) == [("ok", "journal_none")]
    with shut(state_dir):
        remembered, found = past_of(state_dir, "pos1", NOW_NS), taken(host.journal, on)
    assert (remembered, found) == (None, [("skip", "journal_closed")])
    on.agent_denied = True
    assert taken(host.agent, on) == [("skip", "agent_closed")]


def test_an_agent_that_may_not_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(run_dir: Path, _op: str) -> dict[str, Any]:
        raise UnreachableError("control.denied", path=run_dir)

    monkeypatch.setattr(scenes, "ask_agent", denied)
    config = loaded(configuration(tmp_path, "serial:/dev/null"))
    on = scenes.Scene(config, config.terminals[0])
    assert (on.agent, on.agent_denied) == (None, True)


def test_the_collector(tmp_path: Path) -> None:
    folder = tmp_path / "with"
    folder.mkdir()
    remote = scene(folder)
    remote.config = _with_broker(folder)

    def of(agent: dict[str, Any] | None = None, **known: Any) -> list[tuple[str, str]]:
        remote.past, remote.agent = past(**known), agent
        return taken(host.collector, remote)

    assert of(sequence=10, acknowledged=10, stored=10) == [("ok", "collector_ok")]
    assert of(sequence=10, acknowledged=10) == [("warn", "never_stored")]
    assert of(sequence=5000, acknowledged=10) == [("fail", "outbox_full")]
    assert of(sequence=5000, acknowledged=5000, stored=3) == [("fail", "collector_behind")]
    assert of({"broker": "unreachable"}, sequence=9, acknowledged=3) == [("warn", "agent_offline")]
    assert taken(host.collector, scene(tmp_path, past=past())) == [("skip", "collector_none")]


def _with_broker(folder: Path) -> Any:
    return loaded(configuration(folder, "serial:/dev/null", mqtt='[mqtt]\nurl = "mqtt://localhost:1"\n'))


def test_a_device_that_is_not_there_and_one_that_is_none(tmp_path: Path) -> None:
    on = scene(tmp_path)
    assert taken(plug.device, on) == [("ok", "device_there")]
    assert on.terminal.device.path is not None
    file = tmp_path / "file"
    file.touch()
    for path, finding in ((file, "device_no_device"), (tmp_path / "nothing", "device_missing")):
        on = scene(tmp_path)
        on.terminal = _at(tmp_path, path)
        assert taken(plug.device, on)[0] == ("fail", finding)


def test_what_the_bridge_says_of_the_device_counts(tmp_path: Path) -> None:
    """The agent's own unit sees neither devices nor other processes."""

    def of(step: Any, **told: Any) -> list[tuple[str, str]]:
        on = scene(tmp_path, bridge=1, line=UP | told)
        on.terminal = _at(tmp_path, tmp_path / "not seen from here")
        return [found for found in taken(step, on) if found[1] not in ("modem_manager", "brltty")]

    assert of(plug.device) == [("ok", "device_bridge")]
    assert of(plug.permission) == [("ok", "permission_bridge")]
    assert of(plug.holder) == [("ok", "holder_ours")]
    busy = {"link": "down", "reason": "busy", "holder": ["pid 7 (gpsd)"]}
    assert of(plug.device, **busy) == [("ok", "device_seen")]
    assert of(plug.holder, **busy) == [("fail", "device_held")]
    assert of(plug.permission, link="down", reason="denied", group="dialout") == [("fail", "device_closed")]
    assert of(plug.device, link="down", reason="not_found")[0] == ("fail", "device_missing")


def _at(folder: Path, path: Path) -> Any:
    return loaded(configuration(folder, f"serial:{path}")).terminals[0]
