"""Whether the collector works: open to everybody, for load balancers and watchers. Tells nothing else."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from agent import __version__
from collector.ledger import health
from collector.web.context import site_of

router = APIRouter(prefix="/api", tags=["health"])


class Health(BaseModel):
    """`status`: ok or failing; `ledger`: whether the database answers."""

    status: str
    ledger: bool
    version: str


@router.head("/health", include_in_schema=False)
@router.get("/health", summary="Whether the collector and its database work")
def get_health(request: Request, response: Response) -> Health:
    """200 when all is well, else 503."""
    try:
        with site_of(request).ledger.read() as connection:
            health.ping(connection)
    except SQLAlchemyError:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Health(status="failing", ledger=False, version=__version__)
    return Health(status="ok", ledger=True, version=__version__)
