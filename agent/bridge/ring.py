"""The last few MiB of what passed, in RAM that no disk ever sees (a memfd), with offsets that only grow.

A record lies whole at `offset % size`, wrapping around the end. Appending costs the same whatever the ring holds:
old records make room one by one, oldest first.

The first page says whose ring it is and which offsets it holds, so that the next bridge process goes on with it
(handover.py): after an upgrade as after kill -9 the agent reads on where it was.
"""

from __future__ import annotations

import mmap
import os
import time
import weakref
from struct import Struct

from agent.bridge.wire import RECORD

DEFAULT_BYTES = 4 << 20
_MAGIC = b"TWRING01"
#: magic, identity, digest of the lines whose records it holds, size; then, apart, the oldest and the next offset
_TITLE = Struct("<8s16s12sQ")
_MARKS = Struct("<QQ")
_MARKS_AT = 64


class Ring:
    """Records in, records out from any offset still held. `identity` names it over its whole life."""

    __slots__ = ("__weakref__", "_map", "_title", "descriptor", "identity", "next", "oldest", "size")

    def __init__(self, size: int = DEFAULT_BYTES, lines: str = "", descriptor: int | None = None) -> None:
        """`lines`: digest of the lines it is for. With a `descriptor` it goes on as `fits` has found it."""
        kept = descriptor is not None
        if descriptor is None:
            descriptor = os.memfd_create("tillwatch-ring", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, mmap.PAGESIZE + size)
        self.descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        self._title = mmap.mmap(descriptor, mmap.PAGESIZE)
        self._map = mmap.mmap(descriptor, size, offset=mmap.PAGESIZE)
        self.size = size
        self.oldest = self.next = 0
        if kept:
            self.identity = _TITLE.unpack_from(self._title)[1].decode()
            self.oldest, self.next = _MARKS.unpack_from(self._title, _MARKS_AT)
        else:
            self.identity = os.urandom(8).hex()
            _TITLE.pack_into(self._title, 0, _MAGIC, self.identity.encode(), lines.encode(), size)

    @staticmethod
    def fits(descriptor: int, size: int, lines: str) -> bool:
        """Whether the ring of a former process can go on for these lines."""
        title = os.pread(descriptor, _TITLE.size, 0)
        if len(title) < _TITLE.size or os.fstat(descriptor).st_size != mmap.PAGESIZE + size:
            return False
        magic, _, digest, held = _TITLE.unpack(title)
        return (magic, digest.rstrip(b"\0"), held) == (_MAGIC, lines.encode(), size)

    def append(self, line: int, kind: int, payload: bytes) -> tuple[int, int]:
        """Keep one record, stamped now; returns the stamp, monotonic and wall clock in ns."""
        length = len(payload)
        mono_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        header = RECORD.pack(self.next, wall_ns, mono_ns, length, line, kind)
        need = RECORD.size + length
        if self.next + need - self.oldest > self.size:
            while self.next + need - self.oldest > self.size:
                self.oldest += RECORD.size + self._head(self.oldest)[3]
            _MARKS.pack_into(self._title, _MARKS_AT, self.oldest, self.next)  # before they are overwritten
        self._put(self.next, header + payload)
        self.next += need
        _MARKS.pack_into(self._title, _MARKS_AT, self.oldest, self.next)
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
