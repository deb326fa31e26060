"""Finds a driver by its name: every module of this package that has a `DRIVER`, and installed entry points."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.util import find_spec
from typing import cast

import drivers
from drivers import codes
from drivers.codes import CodeBook
from drivers.driver import Driver

_GROUP = "tillwatch.drivers"


@cache
def names() -> tuple[str, ...]:
    """The names of all known protocols, sorted."""
    from importlib.metadata import entry_points  # heavy, and an agent asks by name

    built_in = (module.name for module in pkgutil.iter_modules(drivers.__path__) if not module.ispkg)
    installed = (point.name for point in entry_points(group=_GROUP))
    return tuple(sorted({*(name for name in built_in if _built_in(name)), *installed}))


@cache
def get(name: str) -> Driver:
    """The driver of that name. Raises KeyError when there is none."""
    if driver := _built_in(name):
        return driver
    from importlib.metadata import entry_points  # heavy, and the usual protocols are built in

    for point in entry_points(group=_GROUP, name=name):
        return cast(Driver, point.load().DRIVER)
    raise KeyError(name)


@cache
def code_book(name: str) -> CodeBook:
    """The response codes of a protocol: its table, its profile's own, the site's. Empty when nobody knows the protocol.

    Raises CodesError when the site's table is broken.
    """
    try:
        driver = get(name)
    except KeyError:
        return CodeBook()
    return codes.book(driver.codes or name, driver.own_codes, name)


def _built_in(name: str) -> Driver | None:
    """A module of this package is a protocol when it says `DRIVER = …`; the others serve the protocols."""
    if not name.isidentifier() or find_spec(f"drivers.{name}") is None:
        return None
    return getattr(importlib.import_module(f"drivers.{name}"), "DRIVER", None)
