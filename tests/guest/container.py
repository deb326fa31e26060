"""systemd-nspawn instead of QEMU: systemd as process 1 at this machine's speed; no udev, and a pty for the cable."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from types import TracebackType

from tests.guest.guest import Guest
from tests.waits import until

_BOOT_S = 60.0


class Container(Guest):
    """A running one, with no network but its own. In /talk it finds the way to us, and to the terminal."""

    def __init__(self, folder: Path, root: Path, terminal_port: int) -> None:
        self.console = folder / "console.log"
        talk = folder / "talk"
        talk.mkdir()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(talk / "host"))
        listener.listen(1)
        listener.settimeout(_BOOT_S)
        relay = [f"unix-listen:{talk / 'terminal'},fork", f"tcp:127.0.0.1:{terminal_port}"]
        self._relay = subprocess.Popen(["socat", *relay], stdin=subprocess.DEVNULL)
        words = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--console=pipe"]
        words += [f"--directory={root}", f"--bind={talk}:/talk", "--boot"]
        with self.console.open("wb") as console:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            self._talk, _ = listener.accept()
        except TimeoutError:
            self._end()
            raise RuntimeError(f"the container has not said a word:\n{self.tail}") from None
        finally:
            listener.close()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._talk.close()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        until(lambda: self._process.poll() is not None, 30, "the container's end")
        self._relay.terminate()
        self._relay.wait(10)
