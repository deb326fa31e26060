"""What the bridge that runs and its successor say to each other, on a pair of sockets (successor.py starts it).

    successor            bridge
    ready PID     →                    its program is whole and loaded; the bridge passes bytes meanwhile
                  ←      descriptors   from here on the bridge touches no line
    taken         →                    it has found its place on every line, and touches none either
                  ←      go            from here on the successor alone passes bytes; the bridge ends

When the successor ends before `go`, the bridge goes on as if nothing had been: until then nobody has read or written.
When the bridge ends instead of saying `go`, there is nobody else: the successor goes on.
"""

from __future__ import annotations

import json
import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

READY, TAKEN, GO = b"ready", b"taken", b"go"
#: descriptors in one message: the kernel takes 253
_BATCH = 200
LONGEST = 64


class Unwanted(Exception):  # noqa: N818
    """The bridge has ended, or goes on without a successor."""


def channel() -> tuple[socket.socket, socket.socket]:
    """The bridge's end and the successor's. Messages keep their borders; the end of a process shows as its silence."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ours, theirs


def give(bridge: socket.socket, descriptors: dict[str, int], state: dict[str, Any]) -> None:
    """Send copies of the descriptors, and the state in memory. Raises OSError when nobody is there to take them."""
    body = in_memory({"descriptors": list(descriptors), "state": state})
    try:
        socket.send_fds(bridge, [b"state"], [body])
    finally:
        os.close(body)
    numbers = list(descriptors.values())
    for at in range(0, len(numbers), _BATCH):
        socket.send_fds(bridge, [b"descriptors"], numbers[at : at + _BATCH])


class Takeover:
    """The successor's part."""

    __slots__ = ("_bridge",)

    def __init__(self, bridge: socket.socket) -> None:
        self._bridge = bridge

    def detach(self) -> None:
        """Become nobody's child, as systemd expects of a process that it will watch. Before there is any thread."""
        if os.fork():
            os._exit(0)

    def receive(self) -> tuple[dict[str, int], dict[str, Any]]:
        """Say that this program can begin, and wait for what is to be taken over. Raises Unwanted."""
        try:
            self._bridge.sendall(b"%s %d" % (READY, os.getpid()))
            body = read_memory(self._descriptors()[0])
            names = body["descriptors"]
            numbers: list[int] = []
            while len(numbers) < len(names):
                numbers += self._descriptors()
        except OSError as error:
            raise Unwanted from error
        return dict(zip(names, numbers, strict=True)), body["state"]

    def confirm(self) -> None:
        """Everything was taken over: wait for the moment to begin."""
        try:
            self._bridge.sendall(TAKEN)
            self._bridge.recv(LONGEST)  # `go`, or nothing from a bridge that has died
        except OSError:
            pass  # it has died, too
        self._bridge.close()

    def _descriptors(self) -> list[int]:
        data, numbers, _, _ = socket.recv_fds(self._bridge, LONGEST, _BATCH)
        if not data:
            raise Unwanted
        for number in numbers:
            os.set_inheritable(number, False)
        return list(numbers)


def in_memory(body: dict[str, Any]) -> int:
    """A descriptor that gives this JSON, and no disk has it."""
    descriptor = os.memfd_create("tillwatch-handover", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(json.dumps(body).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def read_memory(descriptor: int) -> dict[str, Any]:
    """The JSON that such a descriptor gives; closes it."""
    with open(descriptor, encoding="utf-8") as file:
        body: dict[str, Any] = json.load(file)
    return body
