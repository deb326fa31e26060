"""What the verbs that name a protocol share: finding its driver, and refusing with the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from agent.errors import UsageError
from agent.profiles import refused
from drivers import registry
from drivers.driver import Driver, Framing
from drivers.profiles.errors import ProfileError


def driver_named(name: str) -> Driver:
    """The driver of a protocol. Raises UsageError that names the nearest one."""
    try:
        return registry.get(name)
    except ProfileError as error:
        raise refused(error) from error
    except KeyError:
        known = registry.names()
        raise UsageError(
            "decode.unknown_protocol", name=name, nearest=nearest(name, known), known=", ".join(known)
        ) from None


def framing_named(driver: Driver, name: str) -> Framing:
    """A framing that the driver knows, or AUTO. Raises UsageError."""
    known = (Framing.AUTO, *driver.framings)
    if name not in known:
        raise UsageError("decode.no_framing", protocol=driver.name, found=name, known=", ".join(known))
    return Framing(name)


def nearest(found: str, known: Iterable[str]) -> str:
    """The known name that looks most like the found one."""
    names = list(known)
    return next(iter(difflib.get_close_matches(found, names, n=1, cutoff=0.0)), "-")
