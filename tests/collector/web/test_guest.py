"""People without a log-in: only on this machine, only when it was asked for, never more than the role."""

from __future__ import annotations

import httpx
import pytest

from agent.errors import TillwatchError
from collector.access.roles import Role
from collector.web.settings import WebSettings, check_guest
from tests.collector.conftest import ONE_DATABASE

pytestmark = ONE_DATABASE


@pytest.fixture
def settings() -> WebSettings:
    return WebSettings(guest=Role.VIEWER)


def test_a_guest_may_what_the_role_may(client: httpx.Client) -> None:
    assert client.get("/api/transactions").status_code == 200
    assert client.get("/api/cases/1/package").status_code == 403
    assert client.post("/api/cases", json={"transaction": "x", "note": "x"}).status_code == 403


def test_a_guests_writes_need_the_token_of_a_form_too(client: httpx.Client) -> None:
    assert client.post("/language", data={"language": "en"}).status_code == 403


def test_who_comes_by_another_name_or_through_somebody_is_no_guest(client: httpx.Client) -> None:
    for headers in (
        {"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example:80"}, {"X-Forwarded-For": "10.0.0.1"},
        {"Forwarded": "for=10.0.0.1"}, {"Authorization": "Bearer tw_wrong"},
    ):  # fmt: skip
        assert client.get("/api/transactions", headers=headers).status_code == 401, headers


def test_guests_are_only_for_a_collector_that_this_machine_alone_can_reach() -> None:
    for host in ("127.0.0.1", "127.0.0.53", "::1", "localhost"):
        check_guest(Role.VIEWER, host)
    check_guest(None, "0.0.0.0")
    for host in ("0.0.0.0", "::", "192.168.1.5", "collector.example", "127.evil.example"):
        with pytest.raises(TillwatchError, match="loopback") as caught:
            check_guest(Role.VIEWER, host)
        assert caught.value.exit_code == 2
