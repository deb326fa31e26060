"""systemd-nspawn instead of QEMU: systemd as process 1 at this machine's speed; no udev, and a pty for the cable."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tests.waits import until

_BOOT_S = 60.0


class Container:
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

    @property
    def tail(self) -> str:
        """The end of what its console shows."""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-40:])

    def lines(self, seconds: float) -> Iterator[str]:
        """What it says, a line at a time, until it is off. Raises TimeoutError when it is silent for so long."""
        return lines_of(self._talk, seconds)

    def answer(self, line: str) -> None:
        """Say a line to it."""
        self._talk.sendall(line.encode() + b"\n")

    def _end(self) -> None:
        self._process.terminate()
        until(lambda: self._process.poll() is not None, 30, "the container's end")
        self._relay.terminate()
        self._relay.wait(10)


def lines_of(talk: socket.socket, seconds: float) -> Iterator[str]:
    """What comes there, a line at a time, until it is closed. Raises TimeoutError when it is silent for so long."""
    talk.settimeout(seconds)
    waiting = b""
    while data := talk.recv(4096):
        waiting += data
        *lines, waiting = waiting.split(b"\n")
        yield from (line.decode(errors="replace").strip() for line in lines)
