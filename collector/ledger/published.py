"""Reads what agents published, whatever it is: every page, paper and answer of the API reads it through here.

An agent of another version has other words, a broken one has anything. What this version can't use is left out (null,
unknown), never guessed; the event itself is kept as it came.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, get_type_hints

from agent.events import Certainty, TransactionData
from agent.frozen import from_plain
from collector.ledger.project import microseconds_of
from drivers.observations import Kind, Outcome

#: Nested deeper than this is nothing that an agent has to say, and more than others can read back.
DEEPEST = 32

#: fields that must be there → what they are when they can't be read
_UNKNOWN: dict[str, Any] = {
    "transaction": "",
    "terminal": "",
    "kind": Kind.OTHER,
    "outcome": Outcome.UNKNOWN,
    "charged": Certainty.UNKNOWN,
    "delivered": Certainty.UNKNOWN,
    "final": False,
    "started_at": "",
    "attempts": 0,
    "late": False,
    "asked": (),
}


def read_json(text: str) -> Any:
    """The value, fit for every database and every reader: no NUL, no lone surrogate, no infinity, not too deep.

    Raises ValueError for what is no JSON.
    """
    try:
        value = _decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    # Seldom: control characters, a sender that writes ASCII only, many brackets.
    if "\\u" in text or text.count("[") + text.count("{") > DEEPEST:
        return _fit(value, 0)
    return value


def transaction_of(data: Mapping[str, Any]) -> TransactionData:
    """The transaction data of a projected event, as far as this version has words for it."""
    try:
        found = from_plain(TransactionData, data)
    except (TypeError, ValueError, KeyError):
        found = TransactionData(**{name: _field(name, hint, data) for name, hint in _hints().items()})
    timed = tuple(asked for asked in found.asked if microseconds_of(asked.at) is not None)
    return found if timed == found.asked else replace(found, asked=timed)


def _field(name: str, hint: Any, data: Mapping[str, Any]) -> Any:
    try:
        return from_plain(hint, data.get(name))
    except (TypeError, ValueError, KeyError):
        return _UNKNOWN.get(name)


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(TransactionData)


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite).decode


def _fit(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return None if depth >= DEEPEST else [_fit(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return None if depth >= DEEPEST else {_fit(key, depth): _fit(item, depth + 1) for key, item in value.items()}
    return value
