"""Log-in at an OpenID provider: through two real servers, with every token that must not open the door."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from collector.access.access import Access
from collector.access.oidc_settings import Oidc
from collector.access.people import CONSOLE
from collector.access.roles import Role
from collector.ledger import Ledger
from collector.web.app import create_app
from collector.web.settings import WebSettings
from tests.collector.access.provider import CLIENT, SECRET, OpenId
from tests.collector.conftest import ONE_DATABASE, FixedClock

pytestmark = ONE_DATABASE


@pytest.fixture
def database(empty_sqlite: Path, tmp_path: Path) -> str:
    """One database is enough here: what is kept of a sign-in is a link, and those are tested on both."""
    shutil.copy(empty_sqlite, tmp_path / "ledger.sqlite")
    return f"sqlite:///{tmp_path}/ledger.sqlite"


@pytest.fixture
def openid(clock: FixedClock) -> Iterator[OpenId]:
    with OpenId(lambda: int(clock.now.timestamp())) as openid:
        yield openid


@pytest.fixture
def app(ledger: Ledger, clock: FixedClock, access: Access, openid: OpenId) -> FastAPI:
    oidc = Oidc(
        issuer=openid.issuer,
        client_id=CLIENT,
        client_secret=SECRET,
        roles=(("admins", Role.ADMIN), ("ops", Role.OPERATIONS)),
        label="Hospital ID",
    )
    return create_app(ledger, WebSettings(oidc=oidc), clock=clock, access=access)


def begin(client: httpx.Client, goal: str = "/") -> str:
    sent = client.get("/login/oidc", params={"next": goal})
    assert sent.status_code == 303, sent.text
    return sent.headers["location"]


def sign_in(client: httpx.Client, openid: OpenId, goal: str = "/") -> httpx.Response:
    return client.get(openid.consent(begin(client, goal)))


def test_a_person_of_the_provider_is_let_in_with_the_role_of_the_group(
    client: httpx.Client, openid: OpenId, access: Access
) -> None:
    assert "Hospital ID" in client.get("/login").text
    entered = sign_in(client, openid, "/cases")
    assert entered.status_code == 303, entered.text
    assert entered.headers["location"] == "/cases"
    assert client.get("/api/cases").status_code == 200
    (account,) = access.accounts()
    assert (account.name, account.display, account.role) == ("chen", "Chen Wei", "operations")
    assert account.password_hash is None
    openid.person["groups"] = ["admins", "ops"]
    client.cookies.clear()
    sign_in(client, openid)
    assert [account.role for account in access.accounts()] == ["admin"], "the provider decides, each time"


def test_a_name_that_is_taken_takes_nobodys_account_over(client: httpx.Client, openid: OpenId, access: Access) -> None:
    access.invite(CONSOLE, "chen", Role.ADMIN)
    sign_in(client, openid)
    assert {(account.name, account.role) for account in access.accounts()} == {
        ("chen", "admin"), ("chen-2", "operations"),
    }  # fmt: skip


def test_who_holds_no_group_stays_out(client: httpx.Client, openid: OpenId, access: Access) -> None:
    openid.person["groups"] = ["canteen"]
    refused = sign_in(client, openid)
    assert refused.status_code == 400
    assert "none of the groups" in refused.text
    assert access.accounts() == []


def test_a_disabled_account_stays_out(client: httpx.Client, openid: OpenId, access: Access) -> None:
    sign_in(client, openid)
    access.set_disabled(CONSOLE, access.accounts()[0].id, True)
    assert client.get("/api/cases").status_code == 401, "and its session has ended"
    client.cookies.clear()
    assert sign_in(client, openid).status_code == 401


def claim(name: str, value: Any) -> Callable[[OpenId], None]:
    def spoil(openid: OpenId) -> None:
        openid.spoil = lambda claims: claims.update({name: value}) if value is not None else claims.pop(name)

    return spoil


SPOILT: list[Callable[[OpenId], None]] = [
    claim("iss", "https://evil.example"), claim("aud", "another"), claim("aud", ["another", CLIENT]),
    claim("nonce", "replayed"), claim("nonce", None), claim("exp", 1), claim("exp", None), claim("sub", None),
    lambda openid: setattr(openid, "token", openid.signed_by_somebody_else),
    lambda openid: setattr(openid, "token", openid.signed_with_the_public_key),
    lambda openid: setattr(openid, "token", openid.unsigned),
    lambda openid: setattr(openid, "token", lambda _: "no.jwt.at-all"),
    lambda openid: setattr(openid, "token", lambda _: ""),
    lambda openid: setattr(openid, "token", lambda _: None),
]  # fmt: skip


def test_a_token_that_is_not_right_opens_nothing(client: httpx.Client, openid: OpenId, access: Access) -> None:
    good = openid.spoil, openid.token
    for number, spoil in enumerate(SPOILT):
        openid.spoil, openid.token = good
        spoil(openid)
        refused = sign_in(client, openid)
        assert refused.status_code == 409, (number, refused.text)
        assert "did not succeed" in refused.text
        assert access.accounts() == []
        assert client.get("/api/cases").status_code == 401
    openid.spoil, openid.token = good
    assert sign_in(client, openid).status_code == 303, "it was the token and nothing else"


def test_the_way_back_works_once_in_the_browser_that_began_and_for_ten_minutes(
    client: httpx.Client, openid: OpenId, url: str, clock: FixedClock
) -> None:
    back = openid.consent(begin(client))
    with httpx.Client(base_url=url, timeout=60) as another:
        assert another.get(back).status_code == 409, "a link that somebody sends to somebody else"
    assert client.get(back).status_code == 409, "it is used up by that"
    late = openid.consent(begin(client))
    clock.advance(minutes=11)
    assert client.get(late).status_code == 409
    assert client.get("/login/oidc/return?error=access_denied&state=x").status_code == 409
    assert client.get("/login/oidc/return").status_code == 409
    assert sign_in(client, openid).status_code == 303


def test_a_provider_that_changed_its_keys_is_still_believed(client: httpx.Client, openid: OpenId) -> None:
    assert sign_in(client, openid).status_code == 303
    openid.new_key()
    client.cookies.clear()
    assert sign_in(client, openid).status_code == 303


def test_a_provider_that_is_away_is_said_so(client: httpx.Client, openid: OpenId) -> None:
    openid.down = True
    refused = client.get("/login/oidc")
    assert refused.status_code == 503
    assert "Hospital ID can't be reached" in refused.text
    openid.down = False
    assert sign_in(client, openid).status_code == 303


def test_without_a_provider_there_is_no_such_door(ledger: Ledger, access: Access) -> None:
    assert create_app(ledger, WebSettings(), access=access).state.site.oidc is None
