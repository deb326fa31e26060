"""Ledgers for tests, on both databases. A test that takes `ledger` runs twice; nothing of one test reaches another."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from collector.access.access import Access
from collector.access.passwords import Passwords
from collector.ledger import Ledger
from tests.postgres import Cluster

#: a module whose tests ask nothing of the database that the other one could answer otherwise
ONE_DATABASE = pytest.mark.one_database

NOW = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)


class FixedClock:
    """The time that a test says it is."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One PostgreSQL for each process that runs tests."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def empty_postgresql(cluster: Cluster) -> str:
    """The name of a database that is an empty ledger, to be copied."""
    url = cluster.create()
    Ledger.open(url, FixedClock()).close()
    return url.split("?")[0].rsplit("/", 1)[1]


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is an empty ledger, to be copied."""
    path = tmp_path_factory.mktemp("ledger") / "empty.sqlite"
    Ledger.open(f"sqlite:///{path}", FixedClock()).close()
    return path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where nothing that is tested can differ between the two (`pytestmark = ONE_DATABASE`), SQLite stands for both."""

    def spared(item: pytest.Item) -> bool:
        return bool(item.get_closest_marker("one_database")) and "postgresql" in item.nodeid.rpartition("[")[2]

    if dropped := [item for item in items if spared(item)]:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if not spared(item)]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty ledger."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.sqlite"
        shutil.copy(request.getfixturevalue("empty_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    url = cluster.create(request.getfixturevalue("empty_postgresql"))
    yield url
    cluster.drop(url)


@pytest.fixture
def ledger(database: str, clock: Callable[[], datetime]) -> Iterator[Ledger]:
    """An empty ledger whose clock stands at `NOW` (fixture `clock` moves it)."""
    ledger = Ledger.open(database, clock)
    yield ledger
    ledger.close()


@pytest.fixture
def access(ledger: Ledger, clock: FixedClock) -> Access:
    """The doorkeeper, with real argon2 at the least work it allows: how slow it is is not what is tested."""
    least = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    return Access(ledger, clock, passwords=Passwords(least))
