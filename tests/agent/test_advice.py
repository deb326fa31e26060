"""Advice: whatever is known of the money, the person at the window is told what to do, in either language."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from agent.advice import advice, advise, for_technician
from agent.events import Call, Certainty, Reason
from agent.texts import LANGUAGES, Texts
from drivers.observations import Kind, Outcome
from tests.agent.test_telling import DOUBT


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("kind", list(Kind))
def test_every_state_has_advice(outcome: Outcome, kind: Kind, language: str) -> None:
    for delivered, charged in product(Certainty, Certainty):
        data = replace(DOUBT, kind=kind, outcome=outcome, charged=charged, delivered=delivered, reason=Reason.LINK_LOST)
        assert not advice(data, "concert", Texts(language)).startswith("history.")


def test_what_was_given_back_or_only_asked_is_not_called_paid() -> None:
    done = replace(DOUBT, outcome=Outcome.APPROVED, charged=Certainty.YES, delivered=Certainty.YES, final=True)
    assert advise(replace(done, kind=Kind.REFUND), "zvt").en.startswith("Given back.")
    assert "the earlier payment stands" in advise(replace(done, kind=Kind.VOID, outcome=Outcome.DECLINED), "zvt").en
    assert "No money moved" in advise(replace(done, kind=Kind.BALANCE, charged=Certainty.NO), "zvt").en
    assert advise(replace(done, kind=Kind.PREAUTHORISATION), "zvt").en.startswith("Reserved")
    assert "was not seen" in advise(replace(done, kind=Kind.OTHER, charged=Certainty.UNKNOWN), "zvt").en
    assert "given back" in advise(replace(DOUBT, kind=Kind.REFUND, reason=Reason.LINK_LOST), "zvt").en


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


def test_a_technician_is_told_what_the_code_means_for_him() -> None:
    data = replace(DOUBT, outcome=Outcome.UNKNOWN, response_code="94")
    assert "trace number" in str(for_technician(data, "cup8583", Texts("en")))
    assert "流水号" in str(for_technician(data, "cup8583", Texts("zh-CN")))
    assert for_technician(replace(data, response_code=None), "cup8583", Texts("en")) is None
    assert for_technician(data, "nosuch", Texts("en")) is None


@pytest.mark.parametrize("call", [None, *Call])
def test_where_the_terminal_undoes_by_itself_the_cashier_is_told_how_long_a_doubt_may_last(call: Call | None) -> None:
    data = replace(DOUBT, outcome=Outcome.UNKNOWN, reason=Reason.HOST_TIMEOUT, call=call)
    assert "before its next payment" in advice(data, "cup8583", Texts("en"))
    assert "下一笔联机交易" in advice(data, "cup8583", Texts("zh-CN"))
    assert "before its next payment" not in advice(data, "zvt", Texts("en"))


def test_what_a_code_advises_is_said_only_where_it_is_the_outcome() -> None:
    """98 left it unknown, and then it was reversed: nobody has to find out any more."""
    data = replace(DOUBT, charged=Certainty.NO, response_code="98", outcome=Outcome.REVERSED)
    assert "swipe" not in advice(data, "cup8583", Texts("en"))
    paid = replace(data, outcome=Outcome.APPROVED, charged=Certainty.YES, delivered=Certainty.YES, response_code="A4")
    assert "day after" in advice(paid, "cup8583", Texts("en"))


def test_an_approval_whose_delivery_nobody_can_see_is_to_be_looked_up() -> None:
    data = replace(DOUBT, outcome=Outcome.APPROVED, charged=Certainty.YES, delivered=Certainty.UNKNOWN)
    assert "see that it is booked" in advice(data, "cup8583", Texts("en"))
    assert "took the answer" not in advice(data, "cup8583", Texts("en"))


def test_a_code_that_leaves_it_unknown_adds_what_to_do() -> None:
    data = replace(DOUBT, outcome=Outcome.UNKNOWN, reason=Reason.CODE_AMBIGUOUS, response_code="YM")
    assert "按终端提示" in advice(data, "cup8583", Texts("zh-CN"))
    assert "按终端提示" not in advice(replace(data, response_code="51"), "cup8583", Texts("zh-CN"))
