"""What a payment's state means for the patient's money and what to do, in one or two sentences of either language."""

from __future__ import annotations

from agent.events import Call, Certainty, ResponseText, TransactionData
from agent.texts import Texts
from drivers import codes
from drivers.observations import Outcome


def advise(data: TransactionData, protocol: str) -> ResponseText:
    """The advice in both languages, as events carry it."""
    return ResponseText(advice(data, protocol, Texts("en")), advice(data, protocol, Texts("zh-CN")))


def advice(data: TransactionData, protocol: str, texts: Texts) -> str:
    """The advice in the language of the texts."""
    if data.outcome is Outcome.UNKNOWN:
        return _doubt(data, texts)
    undelivered = data.charged is Certainty.YES and data.delivered is Certainty.NO
    general = texts.say(f"history.advice_{data.outcome}" + ("_undelivered" if undelivered else ""))
    meaning = codes.meaning(protocol, data.response_code)
    special = meaning.advice.get(texts.language) if meaning and not undelivered else None
    return f"{general} {special}" if special else general


def _doubt(data: TransactionData, texts: Texts) -> str:
    if data.reason is None:
        return texts.say("history.advice_open")
    key = {None: "unknown", Call.FIRST: "unknown_called", Call.FINAL: "unknown_final"}[data.call]
    return texts.say(f"history.advice_{key}", reason=texts.say(f"history.reason_{data.reason}"))
