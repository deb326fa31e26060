"""The ledger's address as configured, for whoever opens it: the collector, and verbs that need nothing of its pages."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from collector.config import Database
from collector.errors import CollectorUsageError


def database_url(database: Database) -> str:
    """The address with the password of its file. Raises CollectorUsageError for an address that is none."""
    if database.password_file is None:
        return database.url
    try:
        url = make_url(database.url)
    except ArgumentError:
        raise CollectorUsageError("ledger.bad_url") from None
    password = database.password_file.read_text(encoding="utf-8").strip()
    return url.set(password=password).render_as_string(hide_password=False)
