"""Put on PYTHONPATH, this plugs one USB device into every process: CDC-ACM, with a simulated terminal behind it.

TILLWATCH_TEST_USB=HOST:PORT is the simulated terminal's TCP port. The device is there while that port takes
connections, and unplugged when the terminal hangs up. pyusb is the real one; only its backend is exchanged.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import usb.backend.libusb1

from tests.usb_backend import GONE, FakeBackend, FakeDevice, cdc

HOST, _, PORT = os.environ["TILLWATCH_TEST_USB"].rpartition(":")


class Behind(FakeDevice):
    """The device, once it was opened."""

    line: socket.socket | None = None

    def connect(self) -> None:
        try:
            self.line = socket.create_connection((HOST, int(PORT)), 5)
        except OSError:
            raise GONE from None
        self.on_sent = self.line.sendall
        threading.Thread(target=self._hear, daemon=True).start()

    def disconnect(self) -> None:
        if self.line is not None:
            with contextlib.suppress(OSError):
                self.line.shutdown(socket.SHUT_RDWR)
            self.line.close()

    def _hear(self) -> None:
        assert self.line is not None
        while True:
            try:
                data = self.line.recv(64)
            except OSError:
                data = b""
            if not data:
                return self.unplug()
            self.say(data)


class Bus(FakeBackend):
    """A new device each time it is looked for: as after each plugging in."""

    def enumerate_devices(self) -> Iterator[FakeDevice]:
        return iter([Behind(cdc(), kernel={0, 1})])

    def open_device(self, dev: FakeDevice) -> FakeDevice:
        assert isinstance(dev, Behind)
        if dev.line is None:
            dev.connect()
        return super().open_device(dev)

    def close_device(self, dev_handle: FakeDevice) -> None:
        super().close_device(dev_handle)
        assert isinstance(dev_handle, Behind)
        dev_handle.disconnect()


BUS = Bus()


def _backend(*_: Any, **__: Any) -> Bus:
    return BUS


usb.backend.libusb1.get_backend = _backend
