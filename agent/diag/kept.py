"""A run that was broken off, kept in a file so that `--resume` goes on behind the last finished step.

`state_dir/diag-TERMINAL.json`; where that can't be written, $XDG_STATE_HOME/tillwatch/. Nothing secret is in it: the
texts' keys and their figures.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.diag.step import Step, frozen, thawed

_VERSION = 1


@dataclass
class Kept:
    """What is done so far: step's name → what it found."""

    path: Path
    done: dict[str, list[Step]] = field(default_factory=dict)

    def add(self, name: str, steps: Sequence[Step]) -> None:
        """A step is finished. A disk that is full or closed does not stop a diagnosis."""
        self.done[name] = list(steps)
        rows = {name: [frozen(step) for step in steps] for name, steps in self.done.items()}
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            beside = self.path.with_suffix(f".{os.getpid()}")
            beside.write_text(json.dumps({"version": _VERSION, "done": rows}, ensure_ascii=False), encoding="utf-8")
            os.replace(beside, self.path)

    def end(self) -> None:
        """The walk is over: nothing is left to resume."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def begin(state_dir: Path, terminal: str, environ: Mapping[str, str], resume: bool) -> Kept:
    """A new run, or the one that was broken off where there is one that can be read."""
    places = [state_dir / f"diag-{terminal}.json"]
    home = environ.get("XDG_STATE_HOME") or (f"{environ['HOME']}/.local/state" if environ.get("HOME") else None)
    if home:
        places.append(Path(home) / "tillwatch" / f"diag-{terminal}.json")
    path = next((place for place in places if _writable(place.parent)), places[-1])
    if not resume:
        return Kept(path)
    for place in (path, *places):
        try:
            data = json.loads(place.read_text(encoding="utf-8"))
            if data["version"] == _VERSION:
                return Kept(path, {name: [thawed(row) for row in rows] for name, rows in data["done"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return Kept(path)


def _writable(folder: Path) -> bool:
    while not folder.exists():
        if folder.parent == folder:
            return False
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)
