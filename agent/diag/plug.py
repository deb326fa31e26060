"""Steps at the plug: is the device there, has it a driver, may we open it, who else has it, does it open, its wires.

Nothing here speaks to the terminal. A port that our bridge holds is not opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.checks import Check, State
from agent.checks.held import held
from agent.checks.host import disturbers, process_names
from agent.checks.lines import remote, settings, watched_folder
from agent.checks.usb import usb_device
from agent.checks.who import Who, group_of
from agent.diag.asking import Reply
from agent.diag.mouth import Gone, Interrupted, PortMouth, settings_of, shown
from agent.diag.scene import Scene
from agent.diag.step import Step
from agent.errors import UnreachableError
from drivers.links.base import BUSY, DENIED, FAILED, NOT_FOUND, REFUSED, LinkError
from drivers.links.discover import devices
from drivers.links.holders import holders
from drivers.links.serial import is_pty

RULES = tuple(Path(folder, "60-tillwatch.rules") for folder in ("/etc/udev/rules.d", "/usr/lib/udev/rules.d"))
SYS = Path("/sys")
#: no control character and no digit: it opens a frame in no protocol
PATTERN = b"U*U*U*ZUUZ*ZU*U*" * 4
_LOOP_S = 1.0
#: with these there is a terminal, or something else that is no plug
_SOMEBODY = (
    Reply.ANSWERED,
    Reply.SOMETIMES,
    Reply.HALF_DUPLEX,
    Reply.TALKING,
    Reply.OTHER,
    Reply.INTERRUPTED,
)


def device(scene: Scene) -> Iterator[Step]:
    """The device is there. Where our bridge runs, it knows: the agent's own unit sees no devices at all."""
    address, own, line = scene.terminal.device, scene.terminal.name, scene.line
    if line is not None and line["link"] == "up":
        yield Step.ok("device", "diag.device_bridge", device=line["device"], pid=scene.bridge)
    elif address.scheme == "file":
        yield Step.of("device", watched_folder("device", scene.terminal, address, scene.who))
    elif address.scheme == "usb":
        yield Step.of("device", usb_device("device", scene.terminal, scene.who, scene.bridge))
    elif address.scheme == "tcp":
        yield _network_device(scene)
    elif line is not None and line["reason"] in (BUSY, DENIED, FAILED):
        yield Step.ok("device", "diag.device_seen", device=line["device"])  # what hinders it, the next steps tell
    else:
        path = _path(scene)
        if not os.path.exists(path) or (line is not None and line["reason"] == NOT_FOUND):
            yield _missing(path)
        elif not _is_device(path):
            yield Step.of("device", Check.fail("device", "check.device_no_device", own, path=path))
        else:
            yield Step.ok("device", "diag.device_there", path=path, real=path.resolve())


def driver(scene: Scene) -> Iterator[Step]:
    """The kernel's driver of the port."""
    if scene.terminal.device.scheme != "serial" or not _is_device(_path(scene)):
        yield Step.skip("driver", "diag.driver_none")
        return
    name = _path(scene).resolve().name
    link = SYS / "class/tty" / name / "device/driver"
    if link.exists():
        yield Step.ok("driver", "diag.driver_ok", port=name, driver=link.resolve().name)
    else:
        yield Step.skip("driver", "diag.driver_virtual", port=_path(scene))


def permission(scene: Scene) -> Iterator[Step]:
    """The user of the agent may open it."""
    path, who, line = scene.terminal.device.path, scene.who, scene.line or {}
    if scene.terminal.device.scheme != "serial" or path is None:
        yield Step.skip("permission", "diag.no_port")
    elif line.get("link") == "up":
        yield Step.ok("permission", "diag.permission_bridge", path=path)
    elif line.get("reason") == DENIED or (_is_device(path) and not _may(who, path)):
        group = line.get("group") or (group_of(path) if _is_device(path) else "?")
        found = Check.fail("device", "check.device_closed", path=path, user=who.name, group=group)
        yield Step.of("permission", found)
    elif not _is_device(path):
        yield Step.skip("permission", "diag.no_port")
    elif rule := next((str(rule) for rule in RULES if rule.exists()), None):
        yield Step.ok("permission", "diag.permission_ok", path=path, user=who.name, group=group_of(path), rule=rule)
    else:
        yield Step.ok("permission", "diag.permission_no_rule", path=path, user=who.name, group=group_of(path))


def holder(scene: Scene) -> Iterator[Step]:
    """Nobody else has it open."""
    line = scene.line or {}
    if scene.terminal.device.scheme != "serial" or not (line or _is_device(_path(scene))):
        yield Step.skip("holder", "diag.no_port")
        return
    path = _path(scene)
    # Whoever made a pty has it open too, and takes nothing away: of such a port only its exclusive mark counts.
    seen = _is_device(path) and not is_pty(path)
    others = [one for one in holders(str(path)) if one.pid != scene.bridge] if seen else []
    told = ", ".join(line.get("holder") or []) or ("?" if line.get("reason") == BUSY else None)
    if others:
        yield Step.of("holder", held("device", scene.terminal.name, path, others[0]))
    elif taken := told or (_busy(scene) if scene.bridge is None else None):
        yield Step.fail("holder", "check.device_held", path=path, holder=taken)
    elif scene.bridge is not None:
        yield Step.ok("holder", "diag.holder_ours", path=path, pid=scene.bridge)
    else:
        yield Step.ok("holder", "diag.holder_none", path=path)
    for check in disturbers(process_names(), any(rule.exists() for rule in RULES)):
        if check.state is not State.OK:
            yield Step.of("holder", check)


def line_settings(scene: Scene) -> Iterator[Step]:
    """The port opens, with the settings of the configuration."""
    own = scene.terminal
    if scene.bridge is not None:
        line = scene.line
        if line is None:
            yield Step.fail("settings", "diag.bridge_knows_not", terminal=own.name)
        elif not scene.bridge_is_current:
            yield Step.fail("settings", "diag.bridge_outdated", device=line["device"], path=scene.config.path)
        elif line["link"] == "up":
            wanted = shown(settings_of(own)) if own.device.scheme == "serial" else own.device.text
            yield Step.ok("settings", "diag.settings_bridge", device=line["device"], wanted=wanted)
        elif line["reason"] in (BUSY, DENIED, NOT_FOUND, REFUSED):
            yield Step.skip("settings", "diag.see_above")
        else:
            yield Step.fail(
                "settings", "diag.link_down", device=line["device"], reason=line["detail"] or line["reason"]
            )
    elif own.device.scheme == "serial" and _is_device(_path(scene)) and _may(scene.who, _path(scene)):
        yield Step.of("settings", settings("device", own, _path(scene)))
    else:
        yield Step.skip("settings", "diag.no_port")


def modem(scene: Scene) -> Iterator[Step]:
    """The modem lines: with hardware handshake the terminal must say that it may be spoken to."""
    lines = scene.line.get("modem") if scene.line else scene.asked.modem
    if lines is None:
        shut = scene.line is None and scene.asked.reply is Reply.CLOSED
        yield Step.skip("modem", "diag.see_above" if shut else "diag.modem_none")
        return
    on = " ".join(name.upper() for name, is_on in lines.items() if is_on) or "-"
    wanted = {"rtscts": "cts", "dsrdtr": "dsr"}.get(scene.terminal.flow)
    if wanted and not lines[wanted]:
        yield Step.fail("modem", "diag.modem_stopped", on=on, wanted=wanted.upper(), flow=scene.terminal.flow)
    else:
        yield Step.ok("modem", "diag.modem_ok", on=on)


def loopback(scene: Scene) -> Iterator[Step]:
    """With a loopback plug in the terminal's place, what is sent comes back."""
    if not scene.loopback:
        yield Step.skip("loopback", "diag.loopback_unasked")
    elif scene.terminal.device.scheme != "serial":
        yield Step.skip("loopback", "diag.no_port")
    elif scene.asked.reply in _SOMEBODY:
        yield Step.skip("loopback", "diag.loopback_refused")
    else:
        yield _looped(scene)


def _looped(scene: Scene) -> Step:
    back = bytearray()
    try:
        with scene.mouth() as mouth:
            mouth.say(PATTERN)
            while len(back) < len(PATTERN) and (data := mouth.hear(_LOOP_S)):
                back += data
    except (LinkError, Gone, Interrupted, UnreachableError) as error:
        return Step.skip("loopback", "diag.loopback_failed", reason=error)
    wrong = sum(a != b for a, b in zip(PATTERN, back, strict=False)) + abs(len(PATTERN) - len(back))
    if not back:
        return Step.fail("loopback", "diag.loopback_nothing", sent=len(PATTERN))
    if wrong:
        return Step.fail("loopback", "diag.loopback_wrong", sent=len(PATTERN), wrong=wrong)
    return Step.ok("loopback", "diag.loopback_ok", sent=len(PATTERN))


def _missing(path: Path) -> Step:
    """It is not there; perhaps it is plugged in and the kernel has made no port of it."""
    without = [one for one in devices() if one.kind == "usb" and one.likely]
    if without:
        names = ", ".join(f"{one.usb_id} {one.description}" for one in without)
        return Step.fail("device", "diag.device_without_driver", path=path, devices=names)
    return Step.fail("device", "check.device_missing", path=path)


def _network_device(scene: Scene) -> Step:
    line, address = scene.line, scene.terminal.device
    if line is None:
        return Step.of("device", remote("device", scene.terminal, address))
    return Step.fail("device", "check.remote_unreachable", address=address, reason=line["detail"] or line["reason"])


def _path(scene: Scene) -> Path:
    path = scene.terminal.device.path
    assert path is not None  # noqa: S101  a serial address has its path
    return path


def _is_device(path: Path) -> bool:
    """Whether a character device is there, as far as we may look."""
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except OSError:
        return False


def _may(who: Who, path: Path) -> bool:
    try:
        return who.may(path, read=True, write=True)
    except OSError:
        return False


def _busy(scene: Scene) -> str | None:
    """Who keeps others out, when we try."""
    if not _may(scene.who, _path(scene)):
        return None
    try:
        PortMouth(scene.terminal).close()
    except LinkError as error:
        return (", ".join(error.holders) or "?") if error.reason == BUSY else None
    return None
