"""The schema: what the steps make is what the code speaks of; a newer one is left alone; two at once do it once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, inspect, select, text

import collector.ledger.tables  # noqa: F401 (fills the metadata)
from agent.texts import Texts
from collector.errors import CollectorUsageError, LedgerError
from collector.ledger import Ledger, migrations
from collector.ledger.engine import engine_of
from collector.ledger.metadata import metadata
from collector.ledger.tables import in_vain, transactions
from tests.collector import planted
from tests.postgres import Cluster


def differences(connection: Connection) -> list[object]:
    """Between the tables that are there and those that the code knows; without the months of PostgreSQL."""
    context = MigrationContext.configure(
        connection,
        opts={"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables},
    )
    return list(compare_metadata(context, metadata))


def test_the_steps_make_the_tables_that_the_code_knows(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert differences(connection) == []


def test_a_ledger_of_every_earlier_version_is_brought_up_to_date(tmp_path: Path, cluster: Cluster) -> None:
    folder = Path(migrations.__file__).parent
    earlier = sorted(path.name[:4] for path in (folder / "versions").glob("[0-9]*.py"))[:-1]
    for version in earlier:
        for url in (f"sqlite:///{tmp_path}/{version}.sqlite", cluster.create()):
            old = Ledger(engine_of(url))
            config = Config()
            config.set_main_option("script_location", str(folder))
            with old.write() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, version)
            planted.plant(old, 1)
            old.close()
            ledger = Ledger.open(url)
            with ledger.read() as connection:
                assert differences(connection) == []
                assert connection.scalar(select(func.count()).select_from(transactions)) == 1
            ledger.close()


def test_the_counts_of_the_first_page_come_from_an_index(ledger: Ledger) -> None:
    if ledger.is_postgresql:
        return  # its planner decides by the size of the table
    query = select(func.count()).select_from(transactions).where(transactions.c.started_us >= 1, in_vain)
    with ledger.read() as connection:
        words = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
        plan = connection.execute(text(f"EXPLAIN QUERY PLAN {words}")).all()
    assert "ix_transactions_in_vain" in str(plan)


def test_a_newer_schema_is_refused_in_one_line_and_left_alone(database: str) -> None:
    ledger = Ledger.open(database)
    with ledger.write() as connection:
        connection.execute(text("INSERT INTO alembic_version VALUES ('9999')"))
    ledger.close()

    with pytest.raises(LedgerError) as caught:
        Ledger.open(database)

    assert caught.value.exit_code == 3
    said = caught.value.text(Texts("en"))
    assert "9999" in said
    assert "\n" not in said


def test_two_that_open_a_new_database_at_once_make_it_once(tmp_path: Path, cluster: Cluster) -> None:
    for url in (f"sqlite:///{tmp_path}/new.sqlite", cluster.create()):
        failures: list[BaseException] = []

        def attempt(url: str = url, failures: list[BaseException] = failures) -> None:
            try:
                Ledger.open(url).close()
            except BaseException as error:  # noqa: BLE001 (shown by the assertion)
                failures.append(error)

        threads = [threading.Thread(target=attempt) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        ledger = Ledger.open(url)
        with ledger.read() as connection:
            assert "transactions" in inspect(connection).get_table_names()
        ledger.close()


@pytest.mark.parametrize("url", ["", "mysql://x/y", "sqlite://", "ledger.sqlite", "sqlite:////no/such/folder/l.sqlite"])
def test_an_address_that_is_none_is_a_usage_error(url: str) -> None:
    with pytest.raises(CollectorUsageError) as caught:
        Ledger.open(url)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.text(Texts("zh-CN"))


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are not the tables you are looking for " * 50)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger.open(f"sqlite:///{path}")
    assert path.read_text().startswith("these are not")


def test_a_server_that_is_away_is_said_so() -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger.open("postgresql://u:secret@127.0.0.1:1/x")
    assert "secret" not in caught.value.text(Texts("en"))
