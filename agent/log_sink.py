"""Writes log lines to a stream that may be slow, stuck or gone, and never lets the caller wait for it.

A line that can't be written at once is dropped and counted; the count is the first line when writing works again.
What was half written is finished first, so that lines never run into each other.
"""

from __future__ import annotations

import io
import os
import select
import socket
import stat
import threading
from collections.abc import Callable
from typing import TextIO

#: What a pipe or tty takes without blocking once poll says it is writable.
_PIECE = 4096


class Sink:
    """One stream. `write` never raises and never blocks for long. `note` words how many lines were dropped."""

    def __init__(self, stream: TextIO, note: Callable[[int], str]) -> None:
        self._stream = stream
        self._note = note
        self._lock = threading.RLock()
        self._rest = b""
        self._dropped = 0
        self._fd = _descriptor(stream)
        self._regular = self._fd is None or stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._socket = _socket_of(self._fd)

    def close(self) -> None:
        """Let go of what the sink opened itself; the stream stays open."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()

    def write(self, line: str) -> None:
        """Write one line, or drop it."""
        with self._lock:
            try:
                self._write(line)
            except (OSError, ValueError):  # broken pipe, closed stream: there is nobody to tell
                self._dropped += 1

    def _write(self, line: str) -> None:
        if self._fd is None:
            self._stream.write(line + "\n")
            return
        if not self._finish_rest():
            self._dropped += 1
            return
        text = f"{self._note(self._dropped)}\n{line}\n" if self._dropped else f"{line}\n"
        data = text.encode("utf-8", "backslashreplace")
        written = self._send(data)
        if written:
            self._rest = data[written:]
            self._dropped = 0
        else:
            self._dropped += 1

    def _finish_rest(self) -> bool:
        if self._rest:
            self._rest = self._rest[self._send(self._rest) :]
        return not self._rest

    def _send(self, data: bytes) -> int:
        """Write what goes without waiting; return how much that was."""
        assert self._fd is not None  # noqa: S101  a stream without descriptor never comes here
        sent = 0
        while sent < len(data):
            piece = data[sent : sent + _PIECE]
            try:
                if self._socket is not None:
                    sent += self._socket.send(piece, socket.MSG_DONTWAIT)
                elif self._regular or _writable(self._fd):
                    sent += os.write(self._fd, piece)
                else:
                    break
            except BlockingIOError:
                break
        return sent


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, io.UnsupportedOperation):
        return None  # a stream in memory


def _socket_of(fd: int | None) -> socket.socket | None:
    # The flag that makes one write non-blocking exists for sockets only; O_NONBLOCK on the shared
    # descriptor would change it for every process that has it.
    if fd is None or not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return None
    return socket.socket(fileno=os.dup(fd))


def _writable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
