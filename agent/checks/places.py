"""Folders, disk and journal."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from agent.checks.check import Check
from agent.checks.who import Who
from agent.config import Config
from agent.errors import JournalError
from agent.journal import FILE_NAME, connect_read_only

GIB = 1 << 30
MIB = 1 << 20
WARN_BELOW = GIB
FAIL_BELOW = 64 * MIB
_LONGEST_CHECK_S = 20.0


def checks(config: Config, who: Who) -> Iterator[Check]:
    """All checks of this module."""
    agent = config.agent
    yield folder("state_dir", agent.state_dir, who)
    yield space(agent.state_dir, free_bytes(agent.state_dir))
    if (kind := file_system(agent.state_dir)) in ("tmpfs", "ramfs"):
        yield Check.warn("disk", "check.disk_volatile", path=agent.state_dir, kind=kind)
    yield journal(agent.state_dir / FILE_NAME)
    yield folder("run_dir", agent.run_dir, who)


def folder(name: str, path: Path, who: Who) -> Check:
    """The folder is there and can be written, or can be made."""
    try:
        if path.is_dir():
            if who.may(path, read=True, write=True, enter=True):
                return Check.ok(name, "check.folder_ok", path=path)
            return Check.fail(name, "check.folder_closed", path=path, user=who.name)
        if path.exists():
            return Check.fail(name, "check.folder_no_folder", path=path)
        parent = existing(path)
        if parent.is_dir() and who.may(parent, write=True, enter=True):
            return Check.ok(name, "check.folder_later", path=path)
    except OSError as error:
        return Check.fail(name, "check.folder_unreadable", path=path, reason=error.strerror)
    # The units make both folders; whoever runs without systemd has to.
    return Check.warn(name, "check.folder_missing", path=path, user=who.name)


def space(path: Path, free: int) -> Check:
    """Enough room for the journal."""
    found: dict[str, Any] = {"path": path, "free": f"{free / GIB:.1f} GiB" if free >= GIB else f"{free // MIB} MiB"}
    if free < FAIL_BELOW:
        return Check.fail("disk", "check.disk_full", **found)
    if free < WARN_BELOW:
        return Check.warn("disk", "check.disk_low", **found)
    return Check.ok("disk", "check.disk_ok", **found)


def journal(path: Path) -> Check:
    """The journal opens and SQLite finds no damage. Only read."""
    try:
        db = connect_read_only(path)
    except JournalError as error:
        if error.key == "journal.missing":
            return Check.ok("journal", "check.journal_none", path=path)
        return Check.fail("journal", "check.journal_unreadable", path=path, reason=error.values.get("detail", error))
    with closing(db):
        return _sound(db, path)


def _sound(db: sqlite3.Connection, path: Path) -> Check:
    end = time.monotonic() + _LONGEST_CHECK_S
    db.set_progress_handler(lambda: time.monotonic() > end, 100_000)
    try:
        result = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return Check.warn("journal", "check.journal_large", path=path, seconds=int(_LONGEST_CHECK_S))
        return Check.fail("journal", "check.journal_unreadable", path=path, reason=error)
    except sqlite3.DatabaseError as error:
        result = str(error)
    if result != "ok":
        return Check.fail("journal", "check.journal_damaged", path=path, reason=result.splitlines()[0])
    return Check.ok("journal", "check.journal_ok", path=path)


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if os.path.exists(place))


def free_bytes(path: Path) -> int:
    """What is left for us on the disk that holds the path."""
    found = os.statvfs(existing(path))
    return found.f_bavail * found.f_frsize


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The type of the file system that holds the path."""
    place = str(existing(path).resolve())
    best: tuple[int, str] | None = None
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _, point, kind, *_ = line.split()
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and (best is None or len(point) >= best[0]):
            best = (len(point), kind)
    return best[1] if best else None
