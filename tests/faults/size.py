"""How often a fault is tried: a few times in CI, as often as docs/reliability.md says by hand (`make faults`)."""

from __future__ import annotations

import os
import sys

#: `ci` (the default), `full`, or a number that stands for itself
_ASKED = os.environ.get("TILLWATCH_FAULTS", "ci")


def times(ci: int, full: int) -> int:
    """So often."""
    return {"ci": ci, "full": full}.get(_ASKED) or int(_ASKED)


def figure(row: str, text: str) -> None:
    """Print a figure of a fault, whatever the test runner captures."""
    print(f"{row}: {text}", file=sys.__stdout__, flush=True)
