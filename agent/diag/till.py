"""Steps on the cashier application's side: has it the port open, and does it take the terminal's answers."""

from __future__ import annotations

from collections.abc import Iterator

from agent.checks.lines import listening, parity, virtual_port
from agent.diag.scene import Scene
from agent.diag.step import Step

_LEAST, _SHARE = 2, 0.2
_LAST = 20
_WELL_SINCE = 3  # payments that went well since then: it is over


def cashier(scene: Scene) -> Iterator[Step]:
    """The application's port is there, and the application has it open."""
    own, line = scene.terminal, scene.line
    if own.cashier.scheme == "pty" and line is None:
        yield Step.of("cashier", virtual_port(own, scene.config.agent.run_dir, scene.who))
    elif own.cashier.scheme == "tcp" and line is None:
        yield Step.of("cashier", listening(own, scene.bridge))
    elif line is None or own.cashier.scheme == "none":
        yield Step.skip("cashier", "diag.no_bridge" if line is None else "diag.cashier_none")
    else:
        yield from _port(scene, str(line["port"]), str(line["cashier"]))
    if own.cashier.scheme == "pty":
        for check in parity(own):
            yield Step.of("cashier", check)


def _port(scene: Scene, state: str, address: str) -> Iterator[Step]:
    traffic = scene.traffic
    if traffic is not None and traffic.port == "settings_refused":
        yield Step.fail("cashier", "diag.cashier_settings", address=address)
    elif state == "open":
        yield Step.ok("cashier", "diag.cashier_open", address=address)
    elif traffic is not None and traffic.cashier.bytes:
        yield Step.ok("cashier", "diag.cashier_was_open", address=address)
    else:
        yield Step.warn("cashier", "diag.cashier_closed", address=address)


def delivery(scene: Scene) -> Iterator[Step]:
    """It acknowledges the answers: else money is taken that its books do not show."""
    payments = scene.past.payments[:_LAST] if scene.past else ()
    known = [one for one in payments if one.delivered in ("yes", "no")]
    if not known:
        yield Step.skip("delivery", "diag.no_payments")
        return
    missed = [one for one in known if one.delivered == "no"]
    charged = sum(one.charged == "yes" for one in missed)
    found = {"missed": len(missed), "charged": charged, "payments": len(known)}
    lately = any(one.delivered == "no" for one in known[:_WELL_SINCE])
    if lately and len(missed) >= _LEAST and len(missed) >= _SHARE * len(known):
        closed = sum(one.reason == "cashier_closed" for one in missed)
        key = "diag.cashier_leaves" if closed * 2 > len(missed) else "diag.cashier_silent"
        yield Step.fail("delivery", key, **found)
    elif missed:
        yield Step.warn("delivery", "diag.undelivered_once", **found)
    else:
        yield Step.ok("delivery", "diag.delivered", **found)
