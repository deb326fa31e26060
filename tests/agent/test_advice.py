"""Advice: whatever is known of the money, the person at the window is told what to do, in either language."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.advice import advice, advise
from agent.events import Call, Certainty, Reason
from agent.texts import LANGUAGES, Texts
from drivers.observations import Outcome
from tests.agent.test_telling import DOUBT


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("delivered", list(Certainty))
def test_every_state_has_advice(outcome: Outcome, delivered: Certainty, language: str) -> None:
    charged = Certainty.YES if outcome is Outcome.APPROVED else Certainty.NO
    data = replace(DOUBT, outcome=outcome, charged=charged, delivered=delivered, reason=Reason.LINK_LOST)
    assert not advice(data, "concert", Texts(language)).startswith("history.")


def test_a_charge_that_the_cashier_did_not_hear_of_must_not_be_charged_again() -> None:
    data = replace(DOUBT, outcome=Outcome.APPROVED, charged=Certainty.YES, delivered=Certainty.NO, final=True)
    assert "do not charge again" in advise(data, "zvt").en
    assert "切勿重复收款" in advise(data, "zvt").zh_CN


def test_each_call_says_more_than_the_one_before() -> None:
    texts = [advise(replace(DOUBT, call=call), "zvt").en for call in (None, Call.FIRST, Call.FINAL)]
    assert len(set(texts)) == 3
    assert all("Do not charge again" in text for text in texts)


def test_a_code_with_advice_of_its_own_adds_it() -> None:
    plain = replace(DOUBT, outcome=Outcome.DECLINED, charged=Certainty.NO, delivered=Certainty.YES, final=True)
    special = advice(replace(plain, response_code="05"), "zvt", Texts("en"))
    assert special.startswith(advice(plain, "zvt", Texts("en")))
    assert "Another card" in special.removeprefix(advice(plain, "zvt", Texts("en")))
