"""Finds a driver by its name: every module of this package that has a `DRIVER`, profiles, and installed entry points.

Profiles are the files NAME.toml of config/protocols and of the site's own folder (/etc/tillwatch/protocols, or where
TILLWATCH_PROTOCOLS points). They are read when asked for by name: an agent whose terminals have drivers in code reads
none of them.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import drivers
from drivers import codes
from drivers.codes import CodeBook, shared_file
from drivers.driver import Driver

_GROUP = "tillwatch.drivers"
SITE_FOLDER = "/etc/tillwatch/protocols"
#: what was read, and for which driver: a profile that was changed gets a new one
_BOOKS: dict[str, tuple[Driver, CodeBook]] = {}


def names() -> tuple[str, ...]:
    """The names of all known protocols, sorted."""
    return tuple(sorted({*_in_code(), *profiles()}))


def get(name: str) -> Driver:
    """The driver of that name.

    Raises KeyError when there is none, and ProfileError (drivers.profiles.errors) when its profile has mistakes.
    """
    if driver := _built_in(name):
        return driver
    if path := profiles().get(name):
        from drivers.profiles.driver import driver_in  # only where a profile is used

        return driver_in(path)
    return _installed(name)


def code_book(name: str) -> CodeBook:
    """The response codes of a protocol: its table, its profile's own, the site's. Empty when nobody knows the protocol.

    Raises CodesError when the site's table is broken.
    """
    try:
        driver = get(name)
    except KeyError:
        return CodeBook()
    known = _BOOKS.get(name)
    if known is None or known[0] is not driver:
        known = _BOOKS[name] = (driver, codes.book(driver.codes or name, driver.own_codes, name))
    return known[1]


def profiles() -> dict[str, Path]:
    """The files of all profiles by name; one of the site's takes the place of a shipped one of the same name."""
    site = Path(os.environ.get("TILLWATCH_PROTOCOLS") or SITE_FOLDER)
    return {path.stem: path for folder in (shared_file("protocols"), site) for path in sorted(folder.glob("*.toml"))}


@cache
def _in_code() -> tuple[str, ...]:
    from importlib.metadata import entry_points  # heavy, and an agent asks by name

    built_in = (module.name for module in pkgutil.iter_modules(drivers.__path__) if not module.ispkg)
    installed = (point.name for point in entry_points(group=_GROUP))
    return (*(name for name in built_in if _built_in(name)), *installed)


@cache
def _installed(name: str) -> Driver:
    from importlib.metadata import entry_points  # heavy, and the usual protocols are built in

    for point in entry_points(group=_GROUP, name=name):
        return cast(Driver, point.load().DRIVER)
    raise KeyError(name)


@cache
def _built_in(name: str) -> Driver | None:
    """A module of this package is a protocol when it says `DRIVER = …`; the others serve the protocols."""
    if not name.isidentifier() or find_spec(f"drivers.{name}") is None:
        return None
    return getattr(importlib.import_module(f"drivers.{name}"), "DRIVER", None)
