"""`tillwatch devices --probe`: which ports are asked, which are left alone, and how the result is said."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.checks.host import bridge_pid
from agent.config import Address, Config, InvalidConfigError, load
from agent.config_values import PortAddress, RefusedError
from agent.errors import UsageError
from agent.probe import Found, Probed, probed
from agent.texts import Texts
from drivers import registry
from drivers.driver import Driver, LineDefaults
from drivers.links.discover import Device

_PORT = PortAddress(("serial", "usb", "tcp"))


def probe(found: Sequence[Device], named: Sequence[str], config: str, texts: Texts) -> list[tuple[Device, Probed]]:
    """Probe the named ports, or all that were found. Raises UsageError for a name that is no port."""
    targets = [_device(name, found) for name in named] or list(found)
    owned = _owned(config)
    done = []
    for device in targets:
        print(texts.say("devices.asking", port=device.address), file=sys.stderr, flush=True)
        done.append((device, _probed(device, owned)))
    return done


def _probed(device: Device, owned: set[str]) -> Probed:
    held = tuple(str(holder) for holder in device.holders)
    if held:
        return Probed(address=device.address, found=Found.HELD, holders=held)
    return probed(device.address, _likeliest_first(device), ours=_address(device.address).identity in owned)


def _likeliest_first(device: Device) -> list[Driver]:
    guess = device.likely.protocol if device.likely else None
    return sorted(_with_probe(), key=lambda driver: driver.name != guess)


def _with_probe() -> Iterator[Driver]:
    for name in registry.names():
        try:
            driver = registry.get(name)
        except ValueError:
            continue  # a profile of the site with mistakes: `tillwatch check-profile` explains them
        if driver.probe is not None:
            yield driver


def _device(name: str, found: Sequence[Device]) -> Device:
    """A device by its address, its path or its stable name; also one that was not found, such as a pty."""
    for device in found:
        if name in (device.address, device.path, device.stable):
            return device
    text = f"serial:{name}" if name.startswith("/") else name
    address = _address(text)
    if address.path is not None:
        return Device(kind="serial", path=str(address.path), stable=None, description=Path(address.path).name)
    return _Named(kind="usb" if address.scheme == "usb" else "tcp", path=None, stable=None, description=address.text)


class _Named(Device):
    """A port that was given by its address alone."""

    __slots__ = ()

    @property
    def address(self) -> str:
        """As it was given."""
        return self.description


def _address(text: str) -> Address:
    try:
        return _PORT.read(text)
    except RefusedError:
        raise UsageError("devices.no_such_port", port=text) from None


def _owned(path: str) -> set[str]:
    """The devices of the configuration, while our bridge runs: it may hold them where we can't see it."""
    try:
        config: Config = load(path, secrets=False)
    except InvalidConfigError:
        return set()  # none, or none that a bridge could run with
    if bridge_pid(config.agent.run_dir) is None:
        return set()
    return {terminal.device.identity for terminal in config.terminals}


def said(result: Probed, texts: Texts) -> str:
    """The result in one line."""
    holders = ", ".join(result.holders) or "-"
    return texts.say(
        f"devices.probe_{result.found}",
        protocol=result.protocol,
        line=shown(result.line) if result.line else "",
        detail=result.detail or "",
        holders=holders,
    )


def shown(line: LineDefaults) -> str:
    """9600 8N1."""
    return f"{line.baudrate} {line.bytesize}{line.parity}{line.stopbits}"


def unusual(result: Probed) -> list[tuple[str, str | int]]:
    """The settings that have to stand in the configuration, because they are not the protocol's usual ones."""
    if result.line is None or result.protocol is None or not result.address.startswith("serial:"):
        return []
    usual = registry.get(result.protocol).line
    names = ("baudrate", "bytesize", "parity", "stopbits")
    return [(n, getattr(result.line, n)) for n in names if getattr(result.line, n) != getattr(usual, n)]


def as_data(result: Probed) -> dict[str, object]:
    """The result for programs."""
    return {
        "found": str(result.found),
        "protocol": result.protocol,
        "line": shown(result.line) if result.line else None,
        "detail": result.detail,
        "holders": list(result.holders),
    }
