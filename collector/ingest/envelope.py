"""Reads a message of the broker: topic and payload in, one value of ledger/incoming.py out. Pure; never raises.

The topic says who may speak: the broker lets an agent write only below its own prefix (docs/collector.md). So an
event whose `source` or `id` names anybody else is refused, kept as a refusal, and never counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from collector.ledger.incoming import AgentState, Event, Incoming, Metrics, Raw, Refused
from collector.ledger.project import LONGEST_NAME, microseconds_of
from collector.ledger.published import read_json

LARGEST = 1 << 20  # bytes; an event is about 1 KiB
_LONGEST_TOPIC = 400  # characters: prefix, two names, an event's type; whatever is longer is shown cut
_MOST_NUMBER = (1 << 63) - 1
_MOST_WORD = LONGEST_NAME
_MOST_FIGURES = 200  # of one terminal; its driver has a dozen
_SPECVERSION = "1.0"
_named = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch


def parse(  # noqa: PLR0911 (each is one kind of message)
    topic: str, payload: bytes, received_us: int, *, retained: bool = False
) -> Incoming:
    """What the message is. `received_us`: the collector's clock. `retained`: the broker had kept it."""
    parts = topic.split("/", 5)
    if len(parts) < 5 or parts[0] != "tillwatch":
        return Raw(received_us, topic[:_LONGEST_TOPIC], payload, "topic")
    _, version, site, agent, kind = parts[:5]
    if len(topic) > _LONGEST_TOPIC or not _named(site) or not _named(agent):
        return Refused(received_us, topic[:_LONGEST_TOPIC], _claim(agent), "name", payload[:4096])
    if len(payload) > LARGEST:
        return Refused(received_us, topic, agent, "size", payload[:4096])
    text, body = _object(payload)
    if body is None:
        return Raw(received_us, topic, payload, "json")
    if kind == "events" and len(parts) == 6:
        return _event(topic, version, site, agent, parts[5], text, body, received_us)
    if version != "1" or kind not in ("state", "metrics"):
        return Raw(received_us, topic, payload, "version" if version != "1" else "topic")
    if kind == "metrics":
        return Metrics(received_us, site, agent, _figures(body))
    return _state(AgentState(received_us, site, agent, body, not retained), topic, payload)


def _state(state: AgentState, topic: str, payload: bytes) -> Incoming:
    site, agent = state.state.get("site"), state.state.get("agent")
    if (site, agent) == (state.site, state.agent):
        return state
    return Refused(state.received_us, topic, _claim(f"{site}/{agent}"), "source", payload)


def _event(
    topic: str,
    version: str,
    site: str,
    agent: str,
    named: str,
    text: str,
    body: Mapping[str, Any],
    received_us: int,
) -> Incoming:
    epoch, sequence, kind, source = body.get("epoch"), body.get("sequence"), body.get("type"), body.get("source")
    if not (
        isinstance(epoch, str)
        and 0 < len(epoch) <= _MOST_WORD
        and type(sequence) is int
        and 0 < sequence <= _MOST_NUMBER
        and isinstance(kind, str)
        and 0 < len(kind) <= _MOST_WORD
        and isinstance(source, str)
    ):
        return Raw(received_us, topic, text.encode(), "envelope")
    own = f"/{site}/{agent}"
    if source != own and not source.startswith(own + "/"):
        return Refused(received_us, topic, _claim(source), "source", text.encode())
    if body.get("id") != f"{agent}:{epoch}:{sequence}":
        return Refused(received_us, topic, _claim(body.get("id")), "id", text.encode())
    if kind != named:
        return Refused(received_us, topic, _claim(kind), "type", text.encode())
    data = body.get("data")
    subject = body.get("subject")
    known = version == "1" and body.get("specversion") == _SPECVERSION and isinstance(data, dict)
    return Event(
        agent,
        epoch,
        sequence,
        microseconds_of(body.get("time")) or 0,
        received_us,
        site,
        source[len(own) + 1 :][:_MOST_WORD] or None,
        kind,
        subject if isinstance(subject, str) and 0 < len(subject) <= _MOST_WORD else None,
        text,
        data if known else None,
    )


def _object(payload: bytes) -> tuple[str, dict[str, Any] | None]:
    """The payload's text and its JSON object; None when it is none."""
    try:
        text = payload.decode("utf-8")
        body = read_json(text)
    except ValueError:
        return "", None
    return text, body if isinstance(body, dict) else None


def _figures(body: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Numbers by terminal and name: those at the top are the agent's own, those below `terminals` the terminals'."""
    own = _numbers(body)
    found = {"": own} if own else {}
    terminals = body.get("terminals")
    if isinstance(terminals, dict):
        for name, values in terminals.items():
            if isinstance(values, dict) and 0 < len(name) <= _MOST_WORD:
                found[name] = _numbers(values)
    return found


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in islice(values.items(), _MOST_FIGURES)
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and len(name) <= _MOST_WORD
        and abs(value) < 1e15
        and math.isfinite(value)
    }


def _claim(value: object) -> str:
    return str(value)[:_MOST_WORD]
