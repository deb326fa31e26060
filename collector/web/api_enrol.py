"""Enrolment for programs that roll out: tokens for a list of agents, who has a certificate, revocation."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from collector.access.people import User
from collector.access.roles import Permission
from collector.enrol.desk import DEFAULT_VALID_S, EnrolDesk
from collector.errors import CollectorUsageError
from collector.ledger import enrol, moment
from collector.web.context import site_of
from collector.web.security import require

router = APIRouter(prefix="/api/enrolment", tags=["enrolment"])
Enroller = Annotated[User, Depends(require(Permission.ENROLL))]


class Wanted(BaseModel):
    """An agent that is to be enrolled."""

    agent: str = Field(max_length=64)
    site: str = Field(max_length=64)


class Order(BaseModel):
    """Tokens for these agents; `valid_s`: seconds that they are good for, 60 to 2592000."""

    agents: list[Wanted] = Field(min_length=1, max_length=10_000)
    valid_s: int = DEFAULT_VALID_S


class Token(BaseModel):
    """A token, told only now."""

    agent: str
    site: str
    token: str


class Tokens(BaseModel):
    """In the order of what was asked for."""

    items: list[Token]


class Certificate(BaseModel):
    """The last certificate of an agent."""

    agent: str
    site: str
    serial: str
    how: str
    begins_at: str
    ends_at: str
    revoked_at: str | None


class Certificates(BaseModel):
    """By agent."""

    items: list[Certificate]


class Revoked(BaseModel):
    """How many certificates were good until now."""

    certificates: int


@router.post("/tokens", status_code=201, summary="One-time tokens for `tillwatch enroll`")
def make_tokens(request: Request, user: Enroller, order: Order) -> Tokens:
    """Former open tokens of the same agents are void."""
    desk = _desk(request)
    made = desk.new_tokens(user, [(it.agent, it.site) for it in order.agents], order.valid_s)
    return Tokens(items=[Token(agent=it.agent, site=it.site, token=str(it)) for it in made])


@router.get("/certificates", summary="The last certificate of each agent")
def get_certificates(request: Request, _user: Enroller) -> Certificates:
    """Ended and revoked ones too."""
    with site_of(request).ledger.read() as connection:
        found = enrol.newest_of_agents(connection)
    return Certificates(
        items=[
            Certificate(
                agent=it.agent,
                site=it.site,
                serial=it.serial,
                how=it.how,
                begins_at=moment(it.begins_us).isoformat(),
                ends_at=moment(it.ends_us).isoformat(),
                revoked_at=None if it.revoked_us is None else moment(it.revoked_us).isoformat(),
            )
            for it in found
        ]
    )


@router.delete("/agents/{agent}", summary="Take an agent's identity back")
def revoke(request: Request, user: Enroller, agent: str) -> Revoked:
    """Its certificates and open tokens are void; 404 when there were none."""
    return Revoked(certificates=_desk(request).revoke(user, agent))


def _desk(request: Request) -> EnrolDesk:
    found = site_of(request).enrolment
    if found is None:
        raise CollectorUsageError("enrol.not_configured")
    return found.enrol
