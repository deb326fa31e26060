"""The site's own response-code tables: what is written in them can be used."""

from __future__ import annotations

from collections.abc import Iterator

from agent.checks.check import Check, State
from agent.phrase import Phrase
from drivers import codes, registry
from drivers.codes import CodesError


def checks() -> Iterator[Check]:
    """One check, where the site has tables of its own."""
    try:
        read = codes.check_site(table_names())
    except CodesError as error:
        yield Check("codes", State.FAIL, Phrase(f"codes.{error.key}", error.values))
        return
    if read:
        yield Check.ok("codes", "check.codes_ok", files=", ".join(path.name for path in read))


def table_names() -> set[str]:
    """The names that a site's table may have: those of shipped tables, and of protocols."""
    return {path.stem for path in codes.shared_file("codes").glob("*.toml")} | set(registry.names())
