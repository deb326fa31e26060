"""A lease: the agent alone speaks with the terminal, for a moment; nothing is mixed, lost, or held for long."""

from __future__ import annotations

import os

from agent.bridge import wire
from agent.bridge.lease import REPLIES
from tests.agent.bridge.rig import FarEnd, Listener, Rig, nothing_comes, read_exactly
from tests.waits import until


def begun(rig: Rig) -> tuple[FarEnd, int, Listener]:
    """A line at rest: terminal, application, agent."""
    far = rig.far()
    rig.line(far.device)
    rig.start()
    return far, rig.open_port(), rig.tap(0)


def test_a_query_reaches_the_terminal_and_its_reply_the_agent_alone(rig: Rig) -> None:
    far, near, agent = begun(rig)
    lease = agent.lease()
    agent.tap.request("write", id=lease, hex=b"status?".hex())
    assert far.read(7) == b"status?"
    far.write(b"idle")
    until(lambda: agent.bytes(wire.REPLY) == b"idle")
    agent.settle()
    assert agent.bytes(wire.QUERY) == b"status?"
    assert nothing_comes(near)
    agent.tap.request("release", id=lease)
    ended = until(lambda: agent.lease_news("ended"))
    assert ended == [{"lease": "ended", "id": lease, "reason": "released", "held_ms": 0.0}]
    far.write(b"hello")
    assert read_exactly(near, 5) == b"hello"


def test_a_terminal_that_speaks_unasked_speaks_to_the_application(rig: Rig) -> None:
    """A late answer must not end with the agent because a query was about to be asked."""
    far, near, agent = begun(rig)
    agent.lease()
    far.write(b"late answer")
    assert read_exactly(near, 11) == b"late answer"
    ended = until(lambda: agent.lease_news("ended"))
    assert ended[0]["reason"] == "terminal"
    until(lambda: agent.bytes(wire.TERMINAL) == b"late answer")


def test_how_long_the_application_was_held_is_told(rig: Rig) -> None:
    far, near, agent = begun(rig)
    lease = agent.lease(hold_ms=2000)
    agent.tap.request("write", id=lease, hex=b"?".hex())
    os.write(near, b"pay")
    until(lambda: agent.lease_news("cashier_waiting"))
    assert nothing_comes(far.master, 0.2) is False  # the query alone
    agent.tap.request("release", id=lease)
    ended = until(lambda: agent.lease_news("ended"))
    assert 0 < ended[0]["held_ms"] < 2000
    assert far.read(4) == b"?pay"


def test_what_the_application_says_meanwhile_waits_and_goes_out_in_order(rig: Rig) -> None:
    far, near, agent = begun(rig)
    lease = agent.lease(hold_ms=2000)
    os.write(near, b"pay ")
    until(lambda: agent.lease_news("cashier_waiting"))
    os.write(near, b"12.34")
    assert nothing_comes(far.master)
    agent.tap.request("release", id=lease)
    assert far.read(9) == b"pay 12.34"
    until(lambda: agent.bytes(wire.CASHIER) == b"pay 12.34")


def test_a_lease_that_is_not_given_back_is_ended_with_the_abort_first(rig: Rig) -> None:
    far, near, agent = begun(rig)
    lease = agent.lease(hold_ms=50, abort=b"\x04".hex())
    agent.tap.request("write", id=lease, hex=b"?".hex())
    assert far.read(1) == b"?"
    os.write(near, b"pay")
    assert far.read(4) == b"\x04pay"
    until(lambda: [news["reason"] for news in agent.lease_news("ended")] == ["cashier"])
    agent.tap.request("write", id=lease, hex="00")
    until(lambda: agent.answers("error"))
    assert nothing_comes(far.master)


def test_what_the_terminal_says_to_the_abort_never_reaches_the_application(rig: Rig) -> None:
    far, near, agent = begun(rig)
    lease = agent.lease(hold_ms=20, drain_ms=400, abort=b"\x04".hex())
    agent.tap.request("write", id=lease, hex=b"?".hex())
    assert far.read(1) == b"?"
    os.write(near, b"pay")
    assert far.read(1) == b"\x04"
    far.write(b"aborted")
    until(lambda: agent.bytes(wire.REPLY) == b"aborted")
    assert far.read(3) == b"pay"
    assert nothing_comes(near)


def test_an_agent_that_dies_gives_the_line_back(rig: Rig) -> None:
    far, near, agent = begun(rig)
    agent.lease()
    agent.close()
    until(lambda: not rig.state()["lease"])
    os.write(near, b"pay")
    assert far.read(3) == b"pay"


def test_a_lease_grows_no_older_than_it_asked(rig: Rig) -> None:
    _, _, agent = begun(rig)
    agent.lease(max_ms=50)
    until(lambda: [news["reason"] for news in agent.lease_news("ended")] == ["expired"])
    assert not rig.state()["lease"]


def test_a_lease_is_denied_with_its_reason(rig: Rig) -> None:
    far, near, agent = begun(rig)
    reasons: list[str] = []

    def ask(line: str = "pos1", **terms: object) -> str:
        agent.ask_lease(line, **terms)
        until(lambda: len(agent.lease_news("denied")) > len(reasons))
        reasons.append(agent.lease_news("denied")[-1]["reason"])
        return reasons[-1]

    assert ask("pos9") == "unknown_line"
    os.write(near, b"x")
    assert far.read(1) == b"x"
    assert ask(quiet_ms=60_000, wait_ms=50) == "not_quiet"
    held = agent.lease()
    assert ask() == "busy"
    agent.tap.request("release", id=held)
    far.unplug()
    until(lambda: rig.state()["link"] == "down")
    assert ask() == "link_down"


def test_a_device_that_goes_ends_the_lease(rig: Rig) -> None:
    far, _, agent = begun(rig)
    agent.lease()
    far.unplug()
    until(lambda: [news["reason"] for news in agent.lease_news("ended")] == ["link_down"])


def test_what_the_terminal_says_to_the_abort_is_acknowledged(rig: Rig) -> None:
    """The agent died in mid-question: a terminal left waiting for an acknowledgement would refuse the next payment."""
    far, near, agent = begun(rig)
    lease = agent.lease(abort=b"stop".hex(), reply=b"ok".hex(), drain_ms=600)
    agent.tap.request("write", id=lease, hex=b"status?".hex())
    assert far.read(7) == b"status?"
    agent.tap.close()
    assert far.read(4) == b"stop"
    far.write(b"stopped")
    assert far.read(2) == b"ok"
    os.write(near, b"pay")
    assert far.read(3) == b"pay"
    assert nothing_comes(near)
    far.write(b"paid")
    assert read_exactly(near, 4) == b"paid"


def test_a_terminal_that_never_ends_is_not_answered_for_ever(rig: Rig) -> None:
    far, _near, agent = begun(rig)
    lease = agent.lease(abort=b"stop".hex(), reply=b"!".hex(), drain_ms=1500)
    agent.tap.request("write", id=lease, hex=b"?".hex())
    assert far.read(1) == b"?"
    agent.tap.close()
    assert far.read(4) == b"stop"
    for _ in range(REPLIES):
        far.write(b"x")
        assert far.read(1) == b"!"
    far.write(b"x")
    assert nothing_comes(far.master, 0.2)
