"""The rows of the screen as a .tlog: masked as they are shown, and still to be decoded and played back. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from agent.screen.entry import Entry
from agent.tlog import Header, Lines


def save(stream: TextIO, header: Header, entries: Sequence[Entry]) -> int:
    """Write the rows; returns how many lines of frames. Raises OSError when the stream does."""
    lines = Lines(stream, header)
    began = entries[0].at if entries else 0.0
    for entry in entries:
        at = max(0.0, entry.at - began)
        if entry.event is not None:
            lines.happened(at, entry.event)
        elif entry.direction is not None:
            lines.pieces(at, entry.direction, entry.pieces)
    lines.end()
    return lines.frames
