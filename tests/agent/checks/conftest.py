"""A device that works, and a broker that knows a user."""

from __future__ import annotations

import os
import pty
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker


@pytest.fixture
def device() -> Iterator[Path]:
    """A serial device that works: the terminal's end of a pty."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    path = Path(os.ttyname(theirs))
    os.close(theirs)
    yield path
    os.close(ours)


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("users"), users={"cashier-07": "secret"}) as broker:
        yield broker
