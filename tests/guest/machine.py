"""QEMU with one FTDI cable (QEMU's usb-serial is one), whose other end is a TCP port of the host."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.guest.guest import Guest
from tests.guest.image import Image
from tests.waits import until

_KVM = ("-accel", "kvm", "-cpu", "host")
#: always plugged: else QEMU pulls it out when the terminal at its other end is started again
_CABLE: dict[str, Any] = {
    "driver": "usb-serial",
    "chardev": "terminal",
    "id": "cable",
    "bus": "usb.0",
    "always-plugged": True,
    "serial": "FT0007",  # else QEMU makes one of the socket it is plugged into, and takes the next socket each time
}


def kvm_works(folder: Path, image: Image) -> bool:
    """Whether a kernel boots under KVM here: inside some virtual machines the device is there and it hangs."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    console = folder / "kvm.log"
    words = ["qemu-system-x86_64", *_KVM, "-m", "512", "-display", "none", "-no-reboot", "-nic", "none"]
    words += ["-kernel", str(image.kernel), "-append", "console=ttyS0 panic=-1", "-serial", f"file:{console}"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: console.exists() and "Kernel panic" in console.read_text(errors="replace"), 20)
        except AssertionError:
            return False
        finally:
            process.kill()
    return True


class Machine(Guest):
    """A running guest. `talk` is its second serial port, a line each way at a time."""

    def __init__(self, folder: Path, image: Image, terminal_port: int, kvm: bool) -> None:
        self.console = folder / "console.log"
        talk, monitor = folder / "talk", folder / "monitor"
        words = [
            "qemu-system-x86_64",
            *(_KVM if kvm else ("-accel", "tcg,tb-size=1024", "-cpu", "max")),
            *("-m", "1024", "-smp", "2", "-display", "none", "-no-reboot", "-nic", "none"),
            *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
            *("-append", "root=/dev/vda rw quiet console=ttyS0 panic=1 systemd.mask=serial-getty@ttyS0.service"),
            *("-drive", f"file={image.disk},format=raw,if=virtio,cache=unsafe"),
            *("-serial", f"file:{self.console}"),
            *("-serial", f"unix:{talk},server=on,wait=off"),
            *("-qmp", f"unix:{monitor},server=on,wait=off"),
            *("-device", "qemu-xhci,id=usb"),
            *("-chardev", f"socket,id=terminal,host=127.0.0.1,port={terminal_port},reconnect=1"),
            *("-device", json.dumps(_CABLE)),
        ]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        until(lambda: talk.exists() and monitor.exists(), 30, "QEMU")
        self._talk = _connect(talk)
        self._monitor = _connect(monitor)
        self._monitor_lines = self._monitor.makefile("r", encoding="utf-8")
        self._events: list[str | None] = []
        self._monitor_lines.readline()  # its greeting
        self._order("qmp_capabilities")

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._monitor_lines.close()
        self._monitor.close()
        self._talk.close()

    def unplug(self) -> None:
        """Pull the cable out."""
        self._order("device_del", id=_CABLE["id"])
        self._await("DEVICE_DELETED")

    def plug(self) -> None:
        """Plug it in again."""
        self._order("device_add", **_CABLE)

    def _order(self, name: str, **arguments: str | bool) -> None:
        self._monitor.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
        while "return" not in (said := self._read()):
            if "error" in said:
                raise RuntimeError(f"QEMU refuses {name}: {said['error']}")
            self._events.append(said.get("event"))

    def _await(self, event: str) -> None:
        while event not in self._events:
            self._events.append(self._read().get("event"))
        self._events.clear()

    def _read(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self._monitor_lines.readline())
        return said


def _connect(path: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    until(lambda: found.connect_ex(str(path)) == 0, 30, str(path))
    return found
