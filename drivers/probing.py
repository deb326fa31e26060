"""One try to find out whether a terminal speaks a protocol, sans-IO: bytes to send, bytes heard, a verdict.

Who sends and waits is agent/probe.py. Nothing can be sent here but the words of the driver's probe.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from drivers.driver import Framing, Probe
from drivers.queries import Word

#: a terminal that says so much and is not recognised never will be
MOST_HEARD = 4096


class Verdict(StrEnum):
    """What came of it."""

    ANSWERED = "answered"  # it speaks this protocol
    SILENT = "silent"  # nothing at all came
    OTHER = "other"  # something came, and it was no answer of this protocol


class Attempt:
    """One conversation of a probe. Call `begin`, then `hear` for what comes, then `end`; send what each returns."""

    def __init__(self, probe: Probe, framing: Framing) -> None:
        self._words = probe.words(framing)
        self._conversation = probe.converse(framing)
        self._heard = 0

    @property
    def done(self) -> bool:
        """Nothing more is owed by either side, or nothing good will come."""
        return self._conversation.done or self._heard > MOST_HEARD

    @property
    def verdict(self) -> Verdict:
        """What came of it so far."""
        if self._conversation.recognised:
            return Verdict.ANSWERED
        return Verdict.OTHER if self._heard else Verdict.SILENT

    def begin(self) -> bytes:
        """The first bytes."""
        return self._bytes_of(self._conversation.begin())

    def hear(self, data: bytes) -> bytes:
        """Bytes came from the terminal."""
        self._heard += len(data)
        return self._bytes_of(self._conversation.hear(data))

    def end(self) -> bytes:
        """Nothing more came in time: leave the terminal as it was."""
        return b"" if self._conversation.done else self._bytes_of(self._conversation.interrupt())

    def _bytes_of(self, said: Sequence[Word]) -> bytes:
        return b"".join(self._words[word] for word in said)
