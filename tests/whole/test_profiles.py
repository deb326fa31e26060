"""A site's own profile, whole: one TOML file, no code, and the payment's truth on the broker; also by asking."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers import registry
from drivers.observations import Answer
from drivers.profiles.load import load
from tests.drivers.profiles.sample import changed, tutorial
from tests.logs.profile_cashier import Cashier
from tests.waits import until
from tests.whole.stand import MASKED, Stand

SOON = 'currency = "CNY"\n[terminal.confirm]\nfirst_delay = "0.2s"\nquiet = "0.2s"\n'


def installed(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile in the site's folder; the processes of the stand inherit where that is."""
    (folder / "protocols").mkdir()
    (folder / "protocols" / "acme.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("TILLWATCH_PROTOCOLS", str(folder / "protocols"))


def paid(stand: Stand, amount: int, patience_s: float = 10.0) -> bool:
    """Whether the cashier application got an answer to its payment."""
    until(stand.port().exists, what="the cashier's port")
    cashier = Cashier(stand.port(), load(registry.profiles()["acme"]))
    try:
        return any(isinstance(seen, Answer) for seen in cashier.pay(amount, patience_s))
    finally:
        cashier.close()


def test_a_lost_answer_is_asked_for_by_the_profile_s_question(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(stand.folder, tutorial(), monkeypatch)
    device = stand.simulate("acme", "--scenario", "approve,lost", "--think", "0.1")
    stand.terminal("pos1", "acme", device, more=SOON)
    with stand.subscriber() as subscriber:
        stand.start_agent()
        assert paid(stand, 1234)
        done = subscriber.await_type("transaction.completed")[0]["data"]
        assert (done["outcome"], done["charged"], done["delivered"], done["amount"]) == ("approved", "yes", "yes", 1234)
        assert (done["order"], done["card"]["masked"], done["response_text"]["zh-CN"]) == (
            "HIS0001",
            MASKED,
            "交易成功",
        )
        assert not paid(stand, 990, patience_s=1.0)
        known = subscriber.await_type("transaction.confirmed")[0]["data"]
        assert (known["outcome"], known["charged"], known["amount"]) == ("approved", "yes", 990)
        assert known["delivered"] == "no"


def test_a_line_without_acknowledgement_does_not_claim_delivery(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(stand.folder, changed(("acknowledged = true", "acknowledged = false")), monkeypatch)
    device = stand.simulate("acme", "--scenario", "decline", "--think", "0.1")
    stand.terminal("pos1", "acme", device, more=SOON)
    with stand.subscriber() as subscriber:
        stand.start_agent()
        assert paid(stand, 5000)
        done = subscriber.await_type("transaction.completed")[0]["data"]
        assert (done["outcome"], done["charged"], done["delivered"]) == ("declined", "no", "unknown")
        assert done["response_text"]["en"] == "Insufficient funds"
