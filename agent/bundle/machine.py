"""What a bundle says of the PC: versions, platform, states, checks, what is plugged in, logs."""

from __future__ import annotations

import locale
import os
import platform
import select
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from agent import __version__
from agent.bundle.part import Missing, Part
from agent.checks import Who, all_checks
from agent.checks.places import free_bytes
from agent.config import Config
from agent.control import ask
from agent.errors import TillwatchError, UnreachableError
from agent.tap import bridge_status
from agent.texts import Texts

PACKAGES = ("pyserial", "structlog", "tenacity", "paho-mqtt", "jinja2", "pyusb", "pyudev", "textual", "iotcore")
UNITS = ("tillwatch-agent", "tillwatch-bridge", "tillwatch-passthrough")
#: of each log, its end: a bundle goes by mail
MOST_LOG = 2 << 20
_PROGRAM_S = 20.0
_UNIT_FACTS = "Id,LoadState,ActiveState,SubState,Result,NRestarts,ActiveEnterTimestamp,ExecMainStatus"


def versions() -> Part:
    """What runs here, by version."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "-"
    programs = {"python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version, "openssl": ssl.OPENSSL_VERSION}
    return Part.of_json("versions.json", {"tillwatch": __version__, **programs, "packages": found})


def platform_part(config: Config | None) -> Part:
    """Machine, system, clock, disk."""
    system = platform.uname()
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    now = datetime.now().astimezone()
    facts = {
        "system": {name: release.get(name) for name in ("PRETTY_NAME", "ID", "VERSION_ID")},
        "kernel": system.release,
        "machine": system.machine,
        "libc": " ".join(platform.libc_ver()),
        "cpus": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "load": os.getloadavg(),
        "up_s": round(time.clock_gettime(time.CLOCK_BOOTTIME)),
        "time": now.isoformat(timespec="seconds"),
        "time_zone": now.tzname(),
        "encoding": locale.getpreferredencoding(False),
        "state_disk_free_mib": _free_mib(config.agent.state_dir) if config else None,
        "user": os.geteuid(),
    }
    return Part.of_json("platform.json", facts)


def states(config: Config) -> Iterator[Part | Missing]:
    """What agent, bridge and units say of themselves."""
    sources: dict[str, Callable[[], dict[str, Any]]] = {
        "agent": lambda: ask(config.agent.run_dir, "status"),
        "bridge": lambda: bridge_status(config.agent.run_dir),
    }
    for name, asked in sources.items():
        try:
            yield Part.of_json(f"state/{name}.json", _with_times(asked()))
        except UnreachableError as error:
            yield Missing(f"state/{name}.json", str(error))


def units() -> Part | Missing:
    """What systemd says of our units."""
    shown = _output("systemctl", "show", "--no-pager", f"--property={_UNIT_FACTS}", *UNITS)
    if isinstance(shown, str) and shown.strip():
        return Part.of_text("state/units.txt", shown)
    return Missing("state/units.txt", "systemd does not answer")


def checks(config: Config) -> Part | Missing:
    """What `tillwatch check` finds."""
    texts = Texts("en")
    try:
        rows = [
            {
                "check": each.name,
                "terminal": each.terminal,
                "state": str(each.state),
                "text": each.what.say(texts),
                "mend": each.mend(texts),
            }
            for each in all_checks(config, Who.service())
        ]
    except (TillwatchError, OSError, ValueError) as error:
        return Missing("checks.json", str(error))
    return Part.of_json("checks.json", rows)


def plugged_in() -> Part | Missing:
    """Serial and USB devices, and who holds them."""
    from drivers.links.discover import devices  # reads the device table

    try:
        found = devices()
    except (OSError, ValueError) as error:
        return Missing("plugged-in.json", str(error))
    rows = [
        {
            "path": device.path,
            "stable": device.stable,
            "usb_id": device.usb_id,
            "description": device.description,
            "manufacturer": device.manufacturer,
            "access": f"{device.owner}:{device.group} {device.mode}",
            "holders": [str(holder) for holder in device.holders],
        }
        for device in found
    ]
    return Part.of_json("plugged-in.json", rows)


def diagnoses(config: Config) -> Iterator[Part]:
    """What the last `tillwatch diag` of each terminal left behind."""
    for terminal in config.terminals:
        path = config.agent.state_dir / f"diag-{terminal.name}.json"
        try:
            yield Part.of_text(f"diag/{terminal.name}.json", path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue  # none was made


def logs(days: float, files: tuple[Path, ...]) -> Iterator[Part | Missing]:
    """The end of what our units wrote into the journal of systemd, and of the files named."""
    asked = [word for unit in UNITS for word in ("-u", unit)]
    since = f"--since={datetime.fromtimestamp(time.time() - days * 86_400):%Y-%m-%d %H:%M:%S}"
    said = _output("journalctl", "--no-pager", "-q", "-o", "short-iso", since, *asked)
    if isinstance(said, str) and said.strip():
        yield Part.of_text("logs/systemd.txt", said)
    else:
        yield Missing("logs/systemd.txt", "systemd has no lines of our units" if said is not None else "no journalctl")
    names: set[str] = set()
    for path in files:
        name = f"logs/{path.name}"
        while name in names:
            name += "_"
        names.add(name)
        try:
            if path.exists() and not path.is_file():  # a pipe would be waited for
                yield Missing(name, "no regular file")
                continue
            yield Part.of_text(name, _end_of_file(path))
        except OSError as error:
            yield Missing(name, error.strerror or str(error))


def _with_times(value: Any) -> Any:
    """Counters of nanoseconds as times: a number of nineteen digits may look like a card's."""
    if isinstance(value, dict):
        return {
            key.removesuffix("_ns"): _moment(item) if key.endswith("_ns") else _with_times(item)
            for key, item in value.items()
        }
    return [_with_times(item) for item in value] if isinstance(value, list) else value


def _moment(nanoseconds: object) -> str | None:
    if not isinstance(nanoseconds, int):
        return None
    return datetime.fromtimestamp(nanoseconds / 1e9).astimezone().isoformat(timespec="milliseconds")


def _free_mib(folder: Path) -> int | None:
    try:
        return free_bytes(folder) >> 20
    except OSError:
        return None


def _end_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - MOST_LOG - 1))
        return _last_lines(stream.read(MOST_LOG + 1))


def _output(*command: str) -> str | None:
    """The end of what a program prints; None when there is none such, or it takes too long."""
    kept = bytearray()
    until = time.monotonic() + _PROGRAM_S
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                assert process.stdout is not None  # noqa: S101  a pipe was asked for
                while (left := until - time.monotonic()) > 0 and select.select([process.stdout], [], [], left)[0]:
                    if not (data := os.read(process.stdout.fileno(), 1 << 16)):
                        return _last_lines(bytes(kept))
                    kept += data
                    if len(kept) > 2 * MOST_LOG:
                        del kept[: -MOST_LOG - 1]
            finally:
                process.kill()
    except OSError:
        return None
    return None


def _last_lines(data: bytes) -> str:
    """The last of them, whole: of the first one a part may be cut off."""
    if len(data) > MOST_LOG:
        data = data[-MOST_LOG - 1 :]
        data = data[data.find(b"\n") + 1 :]
    return data.decode("utf-8", "replace")
