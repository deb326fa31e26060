"""Papers: the patient's proof of a payment, and the escalation package of a case. Both are written in the audit log."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from agent.phrase import phrase
from collector.access.people import User
from collector.access.roles import Permission
from collector.cases import evidence as papers
from collector.cases import package
from collector.cases.book import known
from collector.texts import LANGUAGES, Texts
from collector.web.api import only_known_parameters
from collector.web.context import Site, site_of
from collector.web.language import language_of
from collector.web.problems import BadValueError, Problem
from collector.web.security import require

router = APIRouter(prefix="/api", tags=["papers"], dependencies=[Depends(only_known_parameters)])
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


@router.get("/transactions/{id}/proof", summary="The patient's proof of a payment (HTML)", response_class=HTMLResponse)
def get_proof(
    request: Request,
    user: Annotated[User, Depends(require(Permission.PRINT_PROOF))],
    id: str,
    language: str | None = None,
) -> HTMLResponse:
    """One page for A4 and for an 80 mm receipt printer. `language`: en or zh-CN."""
    parts = site_of(request)
    texts = Texts(_language(request, language))
    with parts.ledger.read() as connection:
        payment = papers.of_payment(connection, id.upper())
    if payment is None:
        raise Problem(HTTPStatus.NOT_FOUND, phrase("web.no_transaction", id=id[:64]))
    settings = parts.settings
    page = papers.proof_page(payment, texts, _now(parts), hospital=settings.hospital, contact=settings.contact)
    parts.access.note(user, "proof.printed", payment.found.id)
    return HTMLResponse(page, headers={"Content-Security-Policy": _policy(page)})


@router.get("/cases/{number}/package", summary="The escalation package for the acquirer (ZIP)", response_class=Response)
def get_package(
    request: Request,
    user: Annotated[User, Depends(require(Permission.EXPORT))],
    number: int,
    language: str | None = None,
) -> Response:
    """Letter in both languages, CSV, receipts, proof, evidence and digests. 409 when a card number would be in it."""
    parts = site_of(request)
    chosen = _language(request, language)
    with parts.ledger.read() as connection:
        evidence = papers.of_case(connection, known(connection, number, lock=False))
    settings = parts.settings
    made = package.build(evidence, _now(parts), hospital=settings.hospital, contact=settings.contact, language=chosen)
    parts.desk.exported(user, number, made.digest)
    headers = {"Content-Disposition": f'attachment; filename="{made.name}"'}
    return Response(made.content, media_type="application/zip", headers=headers)


def _language(request: Request, wished: str | None) -> str:
    if wished is None:
        return language_of(request)
    if wished not in LANGUAGES:
        raise BadValueError("language", phrase("web.one_of", accepted=", ".join(LANGUAGES)))
    return wished


def _now(parts: Site) -> datetime:
    zone = parts.settings.timezone
    return parts.clock().astimezone(ZoneInfo(zone) if zone else None)


def _policy(page: str) -> str:
    """The paper's own style by its digest, and nothing else."""
    styles = [base64.b64encode(sha256(style.encode()).digest()).decode() for style in _STYLE.findall(page)]
    allowed = " ".join(f"'sha256-{style}'" for style in styles)
    return f"default-src 'none'; style-src {allowed}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
