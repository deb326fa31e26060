"""The last few MiB of what passed, in RAM that no disk ever sees (a memfd), with offsets that only grow.

A record lies whole at `offset % size`, wrapping around the end. Appending costs the same whatever the ring holds:
old records make room one by one, oldest first.
"""

from __future__ import annotations

import mmap
import os
import time

from agent.bridge.wire import RECORD

DEFAULT_BYTES = 4 << 20


class Ring:
    """Records in, records out from any offset still held."""

    __slots__ = ("_map", "next", "oldest", "size")

    def __init__(self, size: int = DEFAULT_BYTES) -> None:
        descriptor = os.memfd_create("tillwatch-ring", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, size)
        self._map = mmap.mmap(descriptor, size)
        os.close(descriptor)  # the map keeps it
        self.size = size
        self.oldest = 0
        self.next = 0

    def append(self, line: int, kind: int, payload: bytes) -> tuple[int, int]:
        """Keep one record, stamped now; returns the stamp, monotonic and wall clock in ns."""
        length = len(payload)
        mono_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        header = RECORD.pack(self.next, wall_ns, mono_ns, length, line, kind)
        need = RECORD.size + length
        while self.next + need - self.oldest > self.size:
            self.oldest += RECORD.size + self._head(self.oldest)[3]
        self._put(self.next, header + payload)
        self.next += need
        return mono_ns, wall_ns

    def start_at(self, offset: int) -> int:
        """Where reading from `offset` can begin: there, or at the next record when none begins there."""
        if offset >= self.next:
            return self.next
        if self.oldest <= offset and self._head(offset)[0] == offset:
            return offset
        at = self.oldest
        while at < offset:
            at += RECORD.size + self._head(at)[3]
        return at

    def read(self, offset: int, limit: int) -> bytes:
        """Whole records from `offset` (the beginning of one, not older than `oldest`) on, at least one where there is
        one, and no more bytes than `limit` beyond it."""
        end = offset
        while end < self.next:
            after = end + RECORD.size + self._head(end)[3]
            if after - offset > limit and end > offset:
                break
            end = after
        return self._get(offset, end - offset)

    def _head(self, offset: int) -> tuple[int, int, int, int, int, int]:
        return RECORD.unpack(self._get(offset, RECORD.size))

    def _put(self, offset: int, data: bytes) -> None:
        at = offset % self.size
        room = self.size - at
        if len(data) <= room:
            self._map[at : at + len(data)] = data
        else:
            self._map[at:] = data[:room]
            self._map[: len(data) - room] = data[room:]

    def _get(self, offset: int, length: int) -> bytes:
        at = offset % self.size
        room = self.size - at
        if length <= room:
            return self._map[at : at + length]
        return self._map[at:] + self._map[: length - room]
