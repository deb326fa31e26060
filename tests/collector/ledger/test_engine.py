"""Connecting to SQLite: several may begin with one new file at once."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from collector.ledger.engine import engine_of


def test_who_comes_while_another_begins_with_the_file_waits(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE it (x)")
        other.execute("BEGIN IMMEDIATE")  # SQLite waits for nobody who holds this when it is to change the mode
        ending = threading.Timer(0.2, lambda: other.execute("COMMIT"))
        ending.start()
        engine = engine_of(f"sqlite:///{path}")
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        engine.dispose()
        ending.join()
