"""Reconciliation of a large day: time, peak memory, beside the least a database alone needs for the same join.

python -m bench reconcile            a million rows: a third each of journal, HIS export, acquirer's file
SIZE=3000000 python -m bench reconcile
"""

from __future__ import annotations

import csv
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collector.ledger import Ledger, bulk
from collector.ledger.tables import transactions
from collector.reconcile.calendar import start_of
from collector.reconcile.mapping import load
from collector.reconcile.writers import ALLINPAY_COLUMNS, HIS_COLUMNS
from tests.postgres import Cluster

DAY = "2026-11-24"
ROWS = int(os.environ.get("SIZE", "1000000"))
#: one payment in so many is not booked, not filed, or of another amount
ODD = 997
_NAMES = (
    "id", "site", "agent", "terminal", "kind", "amount", "currency", "outcome", "charged", "delivered", "final",
    "pending", "escalated", "trace", "batch", "reference", "terminal_id", "merchant_id", "last4", "card_masked",
    "order_no", "attempts", "started_us", "updated_us", "opened_us", "epoch", "last_sequence", "events", "data",
)  # fmt: skip


def run() -> Iterator[dict[str, Any]]:
    """One JSON object a figure."""
    with tempfile.TemporaryDirectory() as name, Cluster() as cluster:
        folder = Path(name)
        planted = write_files(folder)
        for database, url in (("sqlite", f"sqlite:///{folder}/ledger.sqlite"), ("postgresql", cluster.create())):
            fill(url)
            for turn in ("first run", "again"):
                yield {"figure": turn, "database": database, "rows": ROWS} | reconcile(folder, url, planted)
        yield baseline(folder)


def payments() -> Iterator[tuple[int, int, int]]:
    """(number, amount, second of the day)."""
    for number in range(ROWS // 3):
        yield number, 1000 + number * 7919 % 90_000, number * 36_000 // (ROWS // 3) + 8 * 3600


def write_files(folder: Path) -> int:
    """Both files; how many payments are not alike everywhere."""
    planted = 0
    with (
        (folder / "his.csv").open("w", encoding="gb18030", newline="") as his_file,
        (folder / "pos.csv").open("w", encoding="utf-8", newline="") as pos_file,
    ):
        his, pos = csv.writer(his_file), csv.writer(pos_file)
        his.writerow(HIS_COLUMNS)
        pos.writerow(ALLINPAY_COLUMNS)
        for number, amount, second in payments():
            clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
            odd = number % ODD == 0
            planted += odd
            yuan = f"{amount // 100}.{amount % 100:02d}"
            terminal, trace, reference = (
                f"{10_000_000 + number % 300}",
                f"{number // 300:06d}",
                f"{240_000_000_000 + number}",
            )
            if not (odd and number % 2 == 0):
                his.writerow(
                    (
                        f"MZ{number:09d}",
                        f"{DAY} {clock}",
                        "3",
                        terminal,
                        "收费",
                        yuan,
                        reference,
                        trace,
                        "000001",
                        "",
                        "",
                    )
                )
            if not (odd and number % 2 == 1):
                row = [""] * len(ALLINPAY_COLUMNS)
                row[0:9] = [
                    "898310073992501",
                    "一分院",
                    terminal,
                    clock,
                    "消费",
                    "000001",
                    trace,
                    reference,
                    "622202******0001",
                ]
                row[12], row[13], row[14], row[16] = yuan, "0.38", DAY, f"MZ{number:09d}"
                pos.writerow(row)
    return planted


def fill(url: str) -> None:
    """The journal's side."""
    begin = start_of(DAY, load("his-generic").zone)
    ledger = Ledger.open(url)
    batch: list[tuple[Any, ...]] = []

    def flush() -> None:
        with ledger.write() as connection:
            bulk.append(connection, transactions, _NAMES, batch)
        batch.clear()

    for number, amount, second in payments():
        at = begin + second * 1_000_000
        batch.append(
            (
                f"T{number:025d}", "east", f"cashier-{number % 300:03d}", "pos1", "purchase", amount, "CNY", "approved",
                "yes", "yes", True, False, False, f"{number // 300:06d}", "000001", f"{240_000_000_000 + number}",
                f"{10_000_000 + number % 300}", "898310073992501", "0001", "622202******0001", f"MZ{number:09d}", 0, at,
                at, at, "e1", number, 2, "{}",
            )
        )  # fmt: skip
        if len(batch) == 20_000:
            flush()
    flush()
    ledger.close()


def reconcile(folder: Path, url: str, planted: int) -> dict[str, Any]:
    """`tillwatch reconcile` as a process of its own; the peak of its memory."""
    command = [
        *(sys.executable, "-m", "agent", "reconcile", "--database", url, "--day", DAY, "--json", "--close"),
        *("--his", str(folder / "his.csv"), "--his-format", "his-generic"),
        *("--acquirer", str(folder / "pos.csv"), "--acquirer-format", "allinpay", "--as-of", "2026-11-25T10:30"),
    ]
    started = time.perf_counter()
    peak_kib = 0
    with (folder / "report.json").open("w") as output:
        process = subprocess.Popen(command, stdout=output)
        while process.poll() is None:
            peak_kib = max(peak_kib, high_water_kib(process.pid))
            time.sleep(0.1)
    took = time.perf_counter() - started
    found = (folder / "report.json").read_text().count('"anchor"')
    if process.returncode != 1 or found != planted:
        raise SystemExit(f"exit code {process.returncode}, {found} differences instead of {planted}")
    return {
        "seconds": round(took, 1),
        "rows_per_s": round(ROWS / took),
        "peak_MiB": round(peak_kib / 1024),
        "differences": found,
    }


def high_water_kib(pid: int) -> int:
    """The most memory the process has had; what wait4 says would count that of the bench before exec as well."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def baseline(folder: Path) -> dict[str, Any]:
    """What reading the same two files and joining them by reference costs with csv and SQLite alone, and no rules."""
    started = time.perf_counter()
    with sqlite3.connect(folder / "plain.sqlite") as db:
        for table, encoding, column in (("his", "gb18030", 6), ("pos", "utf-8", 7)):
            db.execute(f"CREATE TABLE {table} (reference TEXT, row TEXT)")
            with (folder / f"{table}.csv").open(encoding=encoding, newline="") as file:
                rows = csv.reader(file)
                next(rows)
                db.executemany(f"INSERT INTO {table} VALUES (?, ?)", ((row[column], "\x1f".join(row)) for row in rows))
            db.execute(f"CREATE INDEX by_{table} ON {table} (reference)")
        joined = db.execute("SELECT count(*) FROM his JOIN pos USING (reference)").fetchone()[0]
    db.close()
    took = time.perf_counter() - started
    return {"figure": "csv and SQLite alone", "seconds": round(took, 1), "joined": joined}
