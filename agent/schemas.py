"""JSON Schemas and the AsyncAPI document, made from the event types: `python -m agent.schemas` writes them.

What is published can't differ from what is documented: a test compares the files with what this module makes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from agent import __version__
from agent.events import DATA_OF, EventType
from agent.frozen import outside_name

_ROOT = Path(__file__).parent.parent
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def documents() -> dict[Path, str]:
    """Every generated file with its content."""
    made = {_ROOT / "config/schemas" / f"{kind}.json": _pretty(event_schema(kind)) for kind in EventType}
    made[_ROOT / "docs/asyncapi.json"] = _pretty(asyncapi())
    return made


def event_schema(kind: EventType) -> dict[str, Any]:
    """The schema of one event: envelope and data."""
    data = DATA_OF[kind]
    text = {"type": "string"}
    envelope: dict[str, Any] = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "description": "{agent}:{epoch}:{sequence}"},
        "source": {"type": "string", "description": "/{site}/{agent}/{terminal}"},
        "type": {"const": str(kind)},
        "subject": {"type": "string", "description": "transaction id"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "sequence": {"type": "integer", "minimum": 1},
        "epoch": text,
        "data": type_schema(data),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": str(kind),
        "type": "object",
        "properties": envelope,
        "required": [name for name in envelope if name != "subject"],
    }


def type_schema(kind: Any) -> dict[str, Any]:
    """The schema of a Python type as agent.frozen writes it."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        parts = [type_schema(part) for part in get_args(kind) if part is not NoneType]
        return {"anyOf": [*parts, {"type": "null"}]} if NoneType in get_args(kind) else {"anyOf": parts}
    if origin is tuple:
        return {"type": "array", "items": type_schema(get_args(kind)[0])}
    if is_dataclass(kind) and isinstance(kind, type):
        return _object_schema(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    return {"type": _PLAIN[kind]}


def asyncapi() -> dict[str, Any]:
    """The MQTT side: each topic with its message."""
    channels: dict[str, Any] = {}
    for kind in EventType:
        channels[str(kind)] = {
            "address": f"tillwatch/1/{{site}}/{{agent}}/events/{kind}",
            "parameters": {"site": {}, "agent": {}},
            "messages": {
                "event": {
                    "contentType": "application/cloudevents+json",
                    "payload": {"$ref": f"../config/schemas/{kind}.json"},
                }
            },
        }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "tillwatch", "version": __version__},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            f"publish {kind}": {"action": "send", "channel": {"$ref": f"#/channels/{kind}"}} for kind in EventType
        },
    }


def _object_schema(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    described = fields(kind)
    return {
        "type": "object",
        "description": (kind.__doc__ or "").strip(),
        "properties": {outside_name(f.name): type_schema(hints[f.name]) for f in described},
        "required": [outside_name(f.name) for f in described if f.default is MISSING],
    }


def _pretty(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _main() -> int:
    for path, content in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
