"""What nobody foresaw, in one line: what happened and where in the code, so that a report of that line is enough."""

from __future__ import annotations

import traceback
from pathlib import Path

from agent.errors import NothingFoundError, UnreachableError
from agent.texts import Texts
from drivers.cards import scrub

_SOURCES = Path(__file__).parents[2]
_FRAMES = 4
_LONGEST = 300


def line_of(error: Exception, texts: Texts) -> str:
    """The line for a person; card numbers are masked in it."""
    detail = scrub(" ".join(str(error).split()))[:_LONGEST]
    key = "cli.refused" if isinstance(error, OSError) else "cli.defect"
    return texts.say(key, kind=type(error).__name__, detail=detail, where=_where(error))


def exit_code(error: Exception) -> int:
    """3 when the system refused something, else 1."""
    return UnreachableError.exit_code if isinstance(error, OSError) else NothingFoundError.exit_code


def _where(error: Exception) -> str:
    """The innermost lines of ours, innermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_SOURCES)]
    told = [f"{Path(frame.filename).relative_to(_SOURCES)}:{frame.lineno}" for frame in ours]
    return " < ".join(reversed(told[-_FRAMES:]))
