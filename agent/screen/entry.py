"""One row of the screen."""

from __future__ import annotations

from dataclasses import dataclass

from agent.tlog import Event
from drivers.masking import Piece
from drivers.observations import Direction, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A frame, or something that happened to the line. `number` grows by one from row to row.

    `kind` is request, progress, answer, ack, receipt, settlement, noise, bytes, or event. `summary` is ready to be
    shown, and so are `text` (a receipt's lines) and `pieces`.
    """

    number: int
    wall_ns: int
    at: float  # seconds, monotonic
    direction: Direction | None
    kind: str
    summary: str
    text: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()
    wrong: bool = False
    asked: bool = False  # the agent's own question, or the terminal's answer to it
    event: Event | None = None  # where a .tlog has a word for it
    observation: Observation | None = None


KINDS = ("request", "progress", "answer", "ack", "receipt", "settlement", "noise", "bytes", "event")
