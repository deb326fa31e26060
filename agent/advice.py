"""What a payment's state means for the patient's money and what to do, in one or two sentences of either language."""

from __future__ import annotations

from agent.events import Call, Certainty, ResponseText, TransactionData
from agent.texts import Texts
from drivers import registry
from drivers.observations import GIVEN_BACK, Kind, Outcome


def advise(data: TransactionData, protocol: str) -> ResponseText:
    """The advice in both languages, as events carry it."""
    return ResponseText(advice(data, protocol, Texts("en")), advice(data, protocol, Texts("zh-CN")))


def advice(data: TransactionData, protocol: str, texts: Texts) -> str:
    """The advice in the language of the texts: what the state means, and what the response code adds to it."""
    undelivered = data.charged is Certainty.YES and data.delivered is Certainty.NO
    unknown = data.outcome is Outcome.UNKNOWN
    general = _doubt(data, protocol, texts) if unknown else texts.say(f"history.advice_{_known(data)}")
    meaning = registry.code_book(protocol).meaning(data.response_code)
    fits = meaning is not None and meaning.outcome is data.outcome and not undelivered
    special = meaning.advice.get(texts.language) if meaning and fits else None
    return f"{general} {special}" if special else general


def for_technician(data: TransactionData, protocol: str, texts: Texts) -> str | None:
    """What the response code tells a technician, in the language of the texts; None where nobody wrote it down."""
    meaning = registry.code_book(protocol).meaning(data.response_code)
    return meaning.technician.get(texts.language) if meaning else None


def _known(data: TransactionData) -> str:
    """Which advice a known outcome has: by what was asked for, and whether the cashier application heard of it."""
    if data.outcome is not Outcome.APPROVED:
        return "back_failed" if data.kind in GIVEN_BACK else str(data.outcome)
    if data.charged is not Certainty.YES:
        return "no_money" if data.charged is Certainty.NO else "approved_unseen"
    heard = {Certainty.NO: "_undelivered", Certainty.UNKNOWN: "_unheard"}.get(data.delivered, "")
    if data.kind in GIVEN_BACK:
        return "back_approved" + heard
    return "reserved" if data.kind is Kind.PREAUTHORISATION and not heard else "approved" + heard


def _doubt(data: TransactionData, protocol: str, texts: Texts) -> str:
    if data.reason is None:
        return texts.say("history.advice_open")
    key = {None: "unknown", Call.FIRST: "unknown_called", Call.FINAL: "unknown_final"}[data.call]
    key = "back_unknown" if data.kind in GIVEN_BACK else key
    said = texts.say(f"history.advice_{key}", reason=texts.say(f"history.reason_{data.reason}"))
    return f"{said} {texts.say('history.advice_reverses')}" if _reverses(protocol) else said


def _reverses(protocol: str) -> bool:
    """Whether the terminal undoes an unanswered payment by itself, and only with its next one."""
    try:
        return registry.get(protocol).reverses
    except KeyError:
        return False
