"""The description of the API at /openapi.json: what FastAPI derives from the types, and how one gets in."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_OPEN = frozenset({"/api/health"})
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `detail` is one line for a person: what, where, what to do.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["title", "status", "detail"],
}
_REFUSALS = {
    "400": "A value can't be used.",
    "401": "No valid token or session.",
    "403": "The role does not allow it.",
    "422": "A value or the body has not the documented form.",
}


def describe(app: FastAPI) -> None:
    """Have `app.openapi` give the whole description, made once."""

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _made(app)
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign]


def _made(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        routes=app.routes,
        description="Ledger, cases and live events of the collector. Amounts are whole minor units; card numbers are "
        "masked everywhere. Parameters and shapes given here are kept.",
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "`tillwatch collector token` makes one."},
        "session": {"type": "apiKey", "in": "cookie", "name": "tillwatch_session"},
    }
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    body = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if path in _OPEN:
                continue
            operation["security"] = [{"bearer": []}, {"session": []}]
            for status, meaning in _REFUSALS.items():
                operation["responses"][status] = {"description": meaning, "content": body}
    return document
