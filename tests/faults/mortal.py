"""The agent, which dies at the n-th line run in the files that make things durable (F03). Run by the tests only."""

from __future__ import annotations

import itertools
import os
import sys
from types import FrameType
from typing import Any

import agent.journal
import agent.outbox
from agent.cli import main

_FILES = frozenset({agent.journal.__file__, agent.outbox.__file__})
_count = itertools.count(1)
_last = int(os.environ.pop("TILLWATCH_DIE_AT"))


def _called(frame: FrameType, event: str, _arg: Any) -> Any:
    return _line if frame.f_code.co_filename in _FILES else None


def _line(_frame: FrameType, event: str, _arg: Any) -> Any:
    if event == "line" and next(_count) >= _last:
        os._exit(137)
    return _line


sys.settrace(_called)
sys.exit(main())
