"""The web side under test: a real server on the ledger of the test, people of every role, and their browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from fastapi import FastAPI

from collector.access.access import Access
from collector.access.people import CONSOLE
from collector.access.roles import Role
from collector.access.secrets import derived
from collector.ledger import Ledger
from collector.web.app import create_app
from collector.web.settings import WebSettings
from tests.collector.conftest import FixedClock
from tests.collector.web.serving import serving

PASSWORD = "three words of rain"


@pytest.fixture
def settings() -> WebSettings:
    """Override in a module to serve something else."""
    return WebSettings(hospital="First Hospital", contact="010-5550")


@pytest.fixture
def app(ledger: Ledger, settings: WebSettings, clock: FixedClock, access: Access) -> FastAPI:
    return create_app(ledger, settings, clock=clock, access=access)


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    """The address of the collector."""
    with serving(app) as url:
        yield url


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def client(url: str, stack: ExitStack) -> httpx.Client:
    """A browser or program without anything."""
    return stack.enter_context(httpx.Client(base_url=url, timeout=60))


@pytest.fixture
def program(url: str, access: Access, stack: ExitStack) -> Callable[[Role], httpx.Client]:
    """A program with a bearer token of that role."""

    def with_role(role: Role) -> httpx.Client:
        _, secret = access.new_token(CONSOLE, f"test {role}", role)
        return stack.enter_context(
            httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {secret}"})
        )

    return with_role


@pytest.fixture
def browser(url: str, access: Access, stack: ExitStack) -> Callable[[Role], httpx.Client]:
    """A browser logged in as a person of that role; its writes carry the CSRF token."""

    def with_role(role: Role) -> httpx.Client:
        secret = access.invite(CONSOLE, f"some-{role}", role)
        entered = access.accept(secret, PASSWORD, address="127.0.0.1", browser="test")
        client = stack.enter_context(httpx.Client(base_url=url, timeout=60))
        client.cookies.set("tillwatch_session", entered.secret)
        client.headers["X-CSRF-Token"] = derived(entered.secret, "csrf")
        return client

    return with_role
