"""What a run has found, kept in a file: `--resume` goes on behind the last finished step of one that was broken off,
and a support bundle holds what the last one found.

`state_dir/diag-TERMINAL.json`; where that can't be written, $XDG_STATE_HOME/tillwatch/. Nothing secret is in it: the
texts' keys and their figures.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.config import Terminal
from agent.diag.step import Step, frozen, thawed

_VERSION = 2


@dataclass
class Kept:
    """What is done so far: step's name → what it found. `path` None: it is kept nowhere."""

    path: Path | None
    line: str = ""  # of which terminal and settings; what was found of others is not gone on with
    done: dict[str, list[Step]] = field(default_factory=dict)
    resumed_s: float | None = None  # when the run was broken off that this one goes on with; wall clock
    wall_s: Callable[[], float] = time.time

    def add(self, name: str, steps: Sequence[Step]) -> None:
        """A step is finished. A disk that is full or closed does not stop a diagnosis."""
        self.done[name] = list(steps)
        self._write(ended=False)

    def end(self) -> None:
        """The whole run is over: nothing is left to resume."""
        self._write(ended=True)

    def _write(self, ended: bool) -> None:
        if self.path is None:
            return
        rows = {name: [frozen(step) for step in steps] for name, steps in self.done.items()}
        data = {"version": _VERSION, "line": self.line, "at_s": self.wall_s(), "ended": ended, "done": rows}
        beside = self.path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            # A new file: root may ask, and the folder belongs to the service's user.
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                with open(descriptor, "w", encoding="utf-8") as stream:
                    json.dump(data, stream, ensure_ascii=False)
                os.replace(beside, self.path)
            except OSError:
                beside.unlink(missing_ok=True)
                raise


def begin(state_dir: Path, terminal: Terminal, environ: Mapping[str, str], resume: bool) -> Kept:
    """A new run, or the one of this terminal with these settings that was broken off, where one can be read."""
    name = f"diag-{terminal.name}.json"
    places = [state_dir / name]
    if home := environ.get("XDG_STATE_HOME") or (environ.get("HOME") and f"{environ['HOME']}/.local/state"):
        places.append(Path(home) / "tillwatch" / name)
    # The agent's folder is never made here: it would not be the agent's.
    usable = places if os.access(state_dir, os.W_OK | os.X_OK) else places[1:]
    path = usable[0] if usable else None
    line = repr((terminal.protocol, terminal.device.text, terminal.baudrate, terminal.bytesize, terminal.parity))
    for place in places if resume else ():
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            return _broken_off(json.loads(place.read_text(encoding="utf-8")), path, line)
    return Kept(path, line)


def _broken_off(data: Mapping[str, Any], path: Path | None, line: str) -> Kept:
    """Raises ValueError when the file is of another version or line, or of a run that came to its end."""
    if (data["version"], data["line"], data["ended"]) != (_VERSION, line, False):
        raise ValueError(line)
    done = {name: [thawed(row) for row in rows] for name, rows in data["done"].items()}
    return Kept(path, line, done, resumed_s=float(data["at_s"]))
