"""Hears from the kernel that something was plugged in, so that a device that was away is opened at once.

Only a bridge with a `usb:` device listens (pyudev, of the extra `usb`); without pyudev, or where no udev runs, the
lines find their devices as they always do: by trying again, at the latest every two seconds.
"""

from __future__ import annotations

from agent.bridge.loop import IN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.bridge.line import Line
    from agent.bridge.log import Log
    from agent.bridge.loop import Loop

SUBSYSTEMS = ("usb", "tty")


def watch_plugs(loop: Loop, lines: dict[str, Line], log: Log) -> None:
    """Let the lines that wait for a device try again when one comes."""
    if not any(line.device.address.startswith("usb:") for line in lines.values()):
        return
    monitor = _monitor(log)
    if monitor is None:
        return

    def heard(_events: int) -> None:
        plugged = False
        while (event := monitor.poll(0)) is not None:
            plugged = plugged or event.action in ("add", "bind", "change")
        if plugged:
            for line in lines.values():
                line.device.start()

    loop.add(monitor.fileno(), IN, heard)


def _monitor(log: Log) -> Any:
    """udev's news, after its rules have set who may open the device; None where there is no udev."""
    try:
        import pyudev

        monitor = pyudev.Monitor.from_netlink(pyudev.Context())
        for subsystem in SUBSYSTEMS:
            monitor.filter_by(subsystem)
        monitor.start()
    except (ImportError, OSError) as error:
        log.say("debug", "hotplug.polled", detail=str(error))
        return None
    return monitor
