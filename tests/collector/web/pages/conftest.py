"""The pages under test: a hospital's morning on the ledger, a reader and somebody who works on cases."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

from collector.access.access import Access
from collector.access.roles import Role
from collector.ledger import Ledger
from collector.web.app import create_app
from collector.web.pages import ROUTERS, error_page
from collector.web.settings import WebSettings
from tests.collector.conftest import FixedClock
from tests.collector.web.pages import scenery
from tests.collector.web.pages.scenery import Scenery


@pytest.fixture
def settings() -> WebSettings:
    return WebSettings(hospital="First Hospital", timezone="Asia/Shanghai")


@pytest.fixture
def morning(ledger: Ledger) -> Scenery:
    return scenery.build(ledger)


@pytest.fixture
def app(ledger: Ledger, settings: WebSettings, clock: FixedClock, access: Access, morning: Scenery) -> FastAPI:
    return create_app(ledger, settings, clock=clock, access=access, pages=ROUTERS, error_page=error_page)


@pytest.fixture
def reader(program: Callable[[Role], httpx.Client]) -> httpx.Client:
    """Reads the pages; with a token, which no clock of a test makes end."""
    return program(Role.VIEWER)


@pytest.fixture
def worker(browser: Callable[[Role], httpx.Client]) -> httpx.Client:
    return browser(Role.OPERATIONS)
