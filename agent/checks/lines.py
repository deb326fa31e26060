"""Devices and cashier ports of a terminal.

A device is opened only while no bridge of ours runs: some terminals take an open for a reset, and many accept one
TCP connection at a time.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.checks.check import Check
from agent.checks.held import held
from agent.checks.places import existing
from agent.checks.usb import usb_device
from agent.checks.who import Who, group_of
from agent.config import Address, Terminal
from agent.errors import UnreachableError
from agent.tap import bridge_status
from drivers import registry
from drivers.detection import line_of
from drivers.links.base import BUSY, LinkError
from drivers.links.holders import holders
from drivers.links.serial import open_serial

_CONNECT_S = 3.0


def checks(
    terminal: Terminal, run_dir: Path, who: Who, bridge: int | None, port_group: str | None = None
) -> Iterator[Check]:
    """All checks of one terminal. `bridge`: the process of our running bridge."""
    yield _port("device", terminal, terminal.device, who, bridge, run_dir)
    match terminal.cashier.scheme:
        case "pty":
            yield virtual_port(terminal, run_dir, who)
            if port_group is not None:
                yield group(terminal, port_group, who)
            yield from parity(terminal)
        case "tcp":
            yield listening(terminal, bridge)
        case "serial" | "file":
            yield _port("cashier", terminal, terminal.cashier, who, bridge, run_dir)


def _port(name: str, terminal: Terminal, address: Address, who: Who, bridge: int | None, run_dir: Path) -> Check:
    if address.scheme == "file":
        return watched_folder(name, terminal, address, who)
    if address.path is not None:
        return serial_port(name, terminal, address.path, who, bridge)
    if address.scheme == "usb":
        return usb_device(name, terminal, who, bridge)
    return remote(name, terminal, address) if bridge is None else _dialled(name, terminal, address, bridge, run_dir)


def watched_folder(name: str, terminal: Terminal, address: Address, who: Who) -> Check:
    """The folder of a file: address is there and may be read."""
    assert address.path is not None  # noqa: S101  a file address has its path
    folder = address.path.parent
    if not folder.is_dir():
        return Check.fail(name, "check.watched_missing", terminal.name, path=folder)
    if not who.may(folder, read=True, enter=True):
        return Check.fail(name, "check.watched_closed", terminal.name, path=folder, user=who.name)
    return Check.ok(name, "check.watched_ok", terminal.name, path=address.path)


def serial_port(name: str, terminal: Terminal, path: Path, who: Who, bridge: int | None) -> Check:
    """The port is there, may be opened, is free or ours, and takes the settings."""
    if obstacle := _obstacle(name, terminal.name, path, who):
        return obstacle
    return settings(name, terminal, path) if bridge is None else _held_by_bridge(name, terminal.name, path, bridge)


def _held_by_bridge(name: str, terminal: str, path: Path, bridge: int) -> Check:
    """Our bridge runs: it should be the one that has the device, which is left alone."""
    if not os.access(f"/proc/{bridge}/fd", os.R_OK):
        return Check.ok(name, "check.device_left", terminal, path=path, pid=bridge)
    found = holders(str(path))
    if any(holder.pid == bridge for holder in found):
        return Check.ok(name, "check.device_ours", terminal, path=path, pid=bridge)
    if found:
        return held(name, terminal, path, found[0])
    return Check.warn(name, "check.device_not_ours", terminal, path=path, pid=bridge)


def _obstacle(name: str, terminal: str, path: Path, who: Who) -> Check | None:
    try:
        mode = path.stat().st_mode
    except PermissionError:
        return Check.fail(name, "check.device_behind", terminal, path=path)
    except OSError:
        return Check.fail(name, "check.device_missing", terminal, path=path)
    if not stat.S_ISCHR(mode):
        return Check.fail(name, "check.device_no_device", terminal, path=path)
    if not who.may(path, read=True, write=True):
        return Check.fail(name, "check.device_closed", terminal, path=path, user=who.name, group=group_of(path))
    return None


def settings(name: str, terminal: Terminal, path: Path) -> Check:
    """Open the port for a moment: does it take speed, data bits, parity and stop bits?"""
    usual = line_of(terminal.protocol, registry.get)
    speed = usual.baudrate if terminal.baudrate == "follow" else terminal.baudrate
    wanted = f"{speed} {terminal.bytesize}{terminal.parity}{terminal.stopbits}"
    try:
        open_serial(str(path), speed, terminal.bytesize, terminal.parity, terminal.stopbits, terminal.flow).close()
    except LinkError as error:
        if error.reason == BUSY and (found := holders(str(path))):
            return held(name, terminal.name, path, found[0])
        if error.reason == BUSY:
            holder = ", ".join(error.holders) or "?"
            return Check.fail(name, "check.device_held", terminal.name, path=path, holder=holder)
        return Check.fail(name, "check.device_settings", terminal.name, path=path, wanted=wanted, reason=error.detail)
    return Check.ok(name, "check.device_ok", terminal.name, path=path, wanted=wanted)


def _dialled(name: str, terminal: Terminal, address: Address, bridge: int, run_dir: Path) -> Check:
    """Our bridge runs and is the one that dials; many terminals take one connection at a time, so it is asked."""
    try:
        line = bridge_status(run_dir)["lines"].get(terminal.name, {})
    except UnreachableError:  # not ours to ask (permission), or ending just now
        line = {}
    if line.get("link") == "down":
        reason = line.get("detail") or line.get("reason") or "?"
        return Check.fail(name, "check.remote_unreachable", terminal.name, address=address, reason=reason)
    return Check.ok(name, "check.remote_ours", terminal.name, address=address, pid=bridge)


def remote(name: str, terminal: Terminal, address: Address) -> Check:
    """A terminal on the network accepts connections."""
    try:
        socket.create_connection((address.host or "", address.port or 0), _CONNECT_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return Check.fail(name, "check.remote_unreachable", terminal.name, address=address, reason=reason)
    return Check.ok(name, "check.remote_ok", terminal.name, address=address)


def virtual_port(terminal: Terminal, run_dir: Path, who: Who) -> Check:
    """The link to the virtual port can be made."""
    link = terminal.cashier.path
    assert link is not None  # noqa: S101  a pty address always has its link
    own = terminal.name
    try:
        obstacle = _in_the_way(link, run_dir, who)
    except OSError as error:  # a folder above it may not be entered
        return Check.fail("cashier", "check.folder_unreadable", own, path=link, reason=error.strerror)
    if obstacle is not None:
        return Check.fail("cashier", obstacle, own, path=link, folder=link.parent, user=who.name)
    return Check.ok("cashier", "check.link_ok", own, path=link)


def _in_the_way(link: Path, run_dir: Path, who: Who) -> str | None:
    """What keeps the link from being made: the key of its text. Raises OSError where nothing can be seen."""
    if link.exists() and not link.is_symlink():
        return "check.link_in_the_way"
    folder = link.parent
    if folder.is_dir():
        return None if who.may(folder, write=True, enter=True) else "check.link_closed"
    # The run folder is checked, and made, by itself.
    may_make = folder == run_dir or run_dir in folder.parents or who.may(existing(folder), write=True, enter=True)
    return None if may_make else "check.link_no_folder"


def group(terminal: Terminal, port_group: str, who: Who) -> Check:
    """The group that may open the virtual port exists, and the service's user may give it the port."""
    try:
        gid = grp.getgrnam(port_group).gr_gid
    except KeyError:
        return Check.fail("cashier", "check.group_missing", terminal.name, group=port_group, user=who.name)
    if who.uid != 0 and gid not in who.groups:
        return Check.fail("cashier", "check.group_not_member", terminal.name, group=port_group, user=who.name)
    return Check.ok("cashier", "check.group_ok", terminal.name, group=port_group)


def parity(terminal: Terminal) -> Iterator[Check]:
    """A virtual port carries whole bytes and no parity: an application set to 7E1 would not get along."""
    if terminal.bytesize != 8 or terminal.parity != "N":
        line = f"{terminal.bytesize}{terminal.parity}{terminal.stopbits}"
        yield Check.warn("parity", "check.parity", terminal.name, path=terminal.cashier.path, line=line)


def listening(terminal: Terminal, bridge: int | None) -> Check:
    """The TCP port for the cashier application is free, or our bridge listens there."""
    address = terminal.cashier
    host, port = address.host or "", address.port or 0
    own = terminal.name
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            if bridge is not None:
                return Check.ok("cashier", "check.port_ours", own, address=address, pid=bridge)
            return Check.fail("cashier", "check.port_taken", own, address=address, port=port)
        reason = error.strerror or str(error)
        return Check.fail("cashier", "check.port_unusable", own, address=address, reason=reason)
    return Check.ok("cashier", "check.port_ok", own, address=address)
