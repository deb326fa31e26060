"""What a virtual machine and a container have in common: a console, and lines each way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path


class Guest:
    """A running guest. `console`: what it shows; `_talk`: lines to and from what runs in it."""

    console: Path
    _talk: socket.socket

    @property
    def tail(self) -> str:
        """The end of what its console shows."""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-40:])

    def lines(self, seconds: float) -> Iterator[str]:
        """What it says, a line at a time, until it is off. Raises TimeoutError when it is silent for so long."""
        self._talk.settimeout(seconds)
        waiting = b""
        while data := self._talk.recv(4096):
            waiting += data
            *lines, waiting = waiting.split(b"\n")
            yield from (line.decode(errors="replace").strip() for line in lines)

    def answer(self, line: str) -> None:
        """Say a line to it."""
        self._talk.sendall(line.encode() + b"\n")
